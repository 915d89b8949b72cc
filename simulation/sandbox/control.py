"""The sandbox's own routes under /sandbox/: what was sent, and what is to happen. A test tool: they show texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from simulation.sandbox.accounts import Account, Behaviour
from simulation.sandbox.ai import AiBehaviour, AiStandIn
from simulation.sandbox.customers import CustomerMessage, script
from simulation.sandbox.engagelab.callbacks import Json
from simulation.sandbox.engagelab.provider import Provider
from simulation.sandbox.player import Player
from simulation.sandbox.sender import CallbackSender

MESSAGES = TypeAdapter(list[CustomerMessage])
SECRETS = {"dev_secret", "callback_secret", "callback_url"}  # a callback address holds the channel's token


class ScriptRequest(BaseModel):
    """Body of POST /sandbox/customers/script; see customers.script()."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dev_key: str | None = None
    seed: int = 0
    customers: int = Field(ge=1, le=100_000)
    rate: float = Field(default=1.0, gt=0)
    follow_ups: int = Field(default=2, ge=0)
    batch: float = Field(default=0.1, ge=0, le=1)
    redeliver: float = Field(default=0.05, ge=0, le=1)


class ControlApi:
    """Handlers of /sandbox/. Bad input is answered with 400 and {"error": …}."""

    def __init__(
        self, provider: Provider, sender: CallbackSender, player: Player, ai: AiStandIn, clock: Callable[[], datetime]
    ) -> None:
        self._provider = provider
        self._sender = sender
        self._player = player
        self._ai = ai
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        return [
            web.get("/sandbox/log", self.log),
            web.get("/sandbox/callbacks", self.callbacks),
            web.get("/sandbox/accounts", self.list_accounts),
            web.post("/sandbox/accounts", self.put_account),
            web.post("/sandbox/behaviour", self.set_behaviour),
            web.post("/sandbox/ai", self.set_ai),
            web.post("/sandbox/customers/write", self.write),
            web.post("/sandbox/customers/script", self.play),
        ]

    async def log(self, request: web.Request) -> web.Response:
        """Send requests, oldest first; ?contact=, ?id=, ?account= (number), ?after= (seq) narrow it."""
        wanted = {key: request.query[key] for key in ("contact", "id", "account") if key in request.query}
        after = int(request.query.get("after", -1))
        return json_response(
            [
                entry
                for entry in self._provider.log
                if entry.seq > after and all(getattr(entry, key) == value for key, value in wanted.items())
            ]
        )

    async def callbacks(self, _request: web.Request) -> web.Response:
        """Callback attempts with their status, and how many were delivered, failed or wait."""
        return json_response({"counts": self._sender.counts, "attempts": self._sender.attempts})

    async def list_accounts(self, _request: web.Request) -> web.Response:
        """The accounts, without their secrets."""
        return json_response([_render(account) for account in self._provider.accounts.all()])

    async def put_account(self, request: web.Request) -> web.Response:
        """Add an account, or change the given fields of the one with its dev_key."""
        given = await _object(request)
        known = {account.dev_key: account for account in self._provider.accounts.all()}.get(str(given.get("dev_key")))
        current = {name: getattr(known, name) for name in Account.model_fields} if known else {}
        account = Account.model_validate(current | given)
        self._provider.accounts.put(account)
        return json_response(_render(account))

    async def set_behaviour(self, request: web.Request) -> web.Response:
        """How the next sends are answered: a Behaviour, and dev_key where there are several accounts."""
        given = await _object(request)
        dev_key = given.pop("dev_key", None)
        behaviour = Behaviour.model_validate(given)
        self._provider.set_behaviour(behaviour, None if dev_key is None else str(dev_key))
        return json_response(behaviour.model_dump())

    async def set_ai(self, request: web.Request) -> web.Response:
        """How the AI agent answers from now on: an AiBehaviour."""
        behaviour = AiBehaviour.model_validate(await _object(request))
        self._ai.set_behaviour(behaviour)
        return json_response(behaviour.model_dump())

    async def write(self, request: web.Request) -> web.Response:
        """A customer's message, or an array of them in one callback. ?copies=2: delivered twice; ?dev_key=."""
        data = _parse(await request.read())
        messages = MESSAGES.validate_python(data if isinstance(data, list) else [data])
        if not messages:
            raise ValueError("nothing to write")
        callback = self._provider.customers_write(messages, self._clock(), request.query.get("dev_key"))
        copies = int(request.query.get("copies", 1))
        self._sender.schedule([callback] * copies)
        return web.Response(body=callback.body, content_type="application/json", status=202)

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
        self._player.start(steps, wanted.dev_key)
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
