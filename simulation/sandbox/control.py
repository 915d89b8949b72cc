"""The sandbox's own routes under /sandbox/: what was sent, and what is to happen. A test tool: they show texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from schemas.settings.credentials import ENCRYPTED
from simulation.sandbox.accounts import Account, Behaviour
from simulation.sandbox.ai import AiBehaviour, AiStandIn
from simulation.sandbox.calls import Json
from simulation.sandbox.customers import CustomerMessage, script
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.gpt.stand_in import GptStandIn
from simulation.sandbox.media import FileFault
from simulation.sandbox.player import Player
from simulation.sandbox.providers import Providers
from simulation.sandbox.sender import CallbackSender

MAX_FILE = 128 << 20
MESSAGES = TypeAdapter(list[CustomerMessage])
FILE_FAULT: TypeAdapter[FileFault | None] = TypeAdapter(FileFault | None)
SECRETS = {*ENCRYPTED, "callback_secret", "callback_url"}  # a callback address holds the channel's token


class ScriptRequest(BaseModel):
    """Body of POST /sandbox/customers/script; see customers.script()."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str | None = None
    seed: int = 0
    customers: int = Field(ge=1, le=100_000)
    rate: float = Field(default=1.0, gt=0)
    follow_ups: int = Field(default=2, ge=0)
    batch: float = Field(default=0.1, ge=0, le=1)
    redeliver: float = Field(default=0.05, ge=0, le=1)


class ControlApi:
    """Handlers of /sandbox/. Bad input is answered with 400 and {"error": …}."""

    def __init__(
        self,
        providers: Providers,
        sender: CallbackSender,
        player: Player,
        ai: AiStandIn,
        gpt: GptStandIn,
        clock: Callable[[], datetime],
    ) -> None:
        self._providers = providers
        self._sender = sender
        self._player = player
        self._ai = ai
        self._gpt = gpt
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        return [
            web.get("/sandbox/log", self.log),
            web.get("/sandbox/callbacks", self.callbacks),
            web.get("/sandbox/marks", self.marks),
            web.post("/sandbox/files", self.put_file),
            web.post("/sandbox/files/fault", self.set_file_fault),
            web.get("/sandbox/accounts", self.list_accounts),
            web.post("/sandbox/accounts", self.put_account),
            web.post("/sandbox/behaviour", self.set_behaviour),
            web.post("/sandbox/ai", self.set_ai),
            web.get("/sandbox/gpt", self.gpt_calls),
            web.post("/sandbox/gpt", self.set_gpt),
            web.get("/sandbox/tools", self.tool_calls),
            web.post("/sandbox/tools", self.set_tool),
            web.post("/sandbox/customers/write", self.write),
            web.post("/sandbox/customers/script", self.play),
        ]

    async def log(self, request: web.Request) -> web.Response:
        """Send requests, oldest first; ?contact=, ?id=, ?account=, ?after= (seq) narrow it."""
        wanted = {key: request.query[key] for key in ("contact", "id", "account") if key in request.query}
        after = int(request.query.get("after", -1))
        return json_response(
            [
                entry
                for entry in self._providers.log
                if entry.seq > after and all(getattr(entry, key) == value for key, value in wanted.items())
            ]
        )

    async def callbacks(self, _request: web.Request) -> web.Response:
        """Callback attempts with their status, and how many were delivered, failed or wait."""
        return json_response({"counts": self._sender.counts, "attempts": self._sender.attempts})

    async def list_accounts(self, _request: web.Request) -> web.Response:
        """The accounts, without their secrets."""
        return json_response([_render(account) for account in self._providers.state.accounts.all()])

    async def marks(self, _request: web.Request) -> web.Response:
        """Customers' messages that were marked as read."""
        return json_response(self._providers.state.marks)

    async def put_file(self, request: web.Request) -> web.Response:
        """Keep the body, which customers then can send: its `id` is their message's `file`. ?filename=, ?fault=."""
        fault = FILE_FAULT.validate_python(request.query.get("fault"))
        file = self._providers.state.files.put(
            await request.read(), request.content_type, request.query.get("filename"), fault
        )
        return json_response({"id": file.id}, status=201)

    async def set_file_fault(self, request: web.Request) -> web.Response:
        """What happens to every fetch of a file from now on: {"fault": …}; null: nothing."""
        fault = FILE_FAULT.validate_python((await _object(request)).get("fault"))
        self._providers.state.files.fault = fault
        return json_response({"fault": fault})

    async def put_account(self, request: web.Request) -> web.Response:
        """Add an account, or change the given fields of the one with its id."""
        given = await _object(request)
        known = {account.id: account for account in self._providers.state.accounts.all()}.get(str(given.get("id")))
        current = {name: getattr(known, name) for name in Account.model_fields} if known else {}
        account = Account.model_validate(current | given)
        self._providers.state.accounts.put(account)
        return json_response(_render(account))

    async def set_behaviour(self, request: web.Request) -> web.Response:
        """How the next sends are answered: a Behaviour, and the account where there are several."""
        given = await _object(request)
        account = given.pop("account", None)
        behaviour = Behaviour.model_validate(given)
        self._providers.set_behaviour(behaviour, None if account is None else str(account))
        return json_response(behaviour.model_dump())

    async def set_ai(self, request: web.Request) -> web.Response:
        """How the AI agent answers from now on: an AiBehaviour."""
        behaviour = AiBehaviour.model_validate(await _object(request))
        self._ai.set_behaviour(behaviour)
        return json_response(behaviour.model_dump())

    async def gpt_calls(self, _request: web.Request) -> web.Response:
        """Chat completions that were asked for, oldest first, with tokens and cost, and the last bodies."""
        service = self._gpt.service
        return json_response({"calls": list(service.log), "requests": list(service.requests)})

    async def set_gpt(self, request: web.Request) -> web.Response:
        """What a model does from now on: a GptScript."""
        script = GptScript.model_validate(await _object(request))
        self._gpt.service.set_script(script)
        return json_response(script.model_dump(mode="json", exclude_unset=True))

    async def tool_calls(self, _request: web.Request) -> web.Response:
        """Calls of GPT agents' tools, oldest first."""
        return json_response(list(self._gpt.tools.log))

    async def set_tool(self, request: web.Request) -> web.Response:
        """What an agent's tool answers from now on: a ToolScript."""
        script = ToolScript.model_validate(await _object(request))
        self._gpt.tools.set_script(script)
        return json_response(script.model_dump(mode="json", exclude_unset=True, by_alias=True))

    async def write(self, request: web.Request) -> web.Response:
        """A customer's message, or an array of them at once. ?copies=2: delivered twice; ?account=.

        Answers with the bodies of the callbacks: one, or one for each message, as the provider has it.
        """
        data = _parse(await request.read())
        messages = MESSAGES.validate_python(data if isinstance(data, list) else [data])
        if not messages:
            raise ValueError("nothing to write")
        account, base_url = request.query.get("account"), str(request.url.origin())
        callbacks = self._providers.customers_write(messages, self._clock(), account, base_url)
        self._sender.schedule(callbacks * int(request.query.get("copies", 1)))
        return json_response([callback.body.decode() for callback in callbacks], status=202)

    async def play(self, request: web.Request) -> web.Response:
        """Customers write from a script; see ScriptRequest."""
        wanted = ScriptRequest.model_validate(await _object(request))
        steps = script(
            wanted.seed,
            wanted.customers,
            rate=wanted.rate,
            follow_ups=wanted.follow_ups,
            batch=wanted.batch,
            redeliver=wanted.redeliver,
        )
        self._player.start(steps, wanted.account)
        return json_response({"steps": len(steps)}, status=202)


@web.middleware
async def control_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer bad input to /sandbox/ with 400 and what is wrong."""
    if not request.path.startswith("/sandbox/"):
        return await handler(request)
    try:
        return await handler(request)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors()]
        return json_response({"error": "; ".join(problems)}, status=400)
    except KeyError as error:
        return json_response({"error": str(error.args[0])}, status=400)
    except ValueError as error:
        return json_response({"error": str(error)}, status=400)


def json_response(value: object, status: int = 200) -> web.Response:
    """A JSON answer; dataclasses and instants are rendered by orjson."""
    return web.Response(body=orjson.dumps(value), content_type="application/json", status=status)


def _render(account: Account) -> Json:
    shown: Json = account.model_dump(mode="json", exclude=SECRETS)
    return shown | {"has_callback_url": account.callback_url is not None}


def _parse(body: bytes) -> JsonValue:
    try:
        data: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError("body: not valid JSON") from error
    return data


async def _object(request: web.Request) -> Json:
    data = _parse(await request.read())
    if not isinstance(data, dict):
        raise ValueError("body: a JSON object is needed")
    return data
