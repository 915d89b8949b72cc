"""The sandbox over HTTP: /v1/ as EngageLab has it, /ai/ for the AI agent, /sandbox/ to steer them, and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from aiohttp import web

from deploy.ports import listen
from simulation.sandbox.accounts import Credentials
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.control import ControlApi, control_errors, json_response
from simulation.sandbox.engagelab.errors import ApiError
from simulation.sandbox.engagelab.provider import Provider
from simulation.sandbox.engagelab.templates import TemplateApi, TemplateFilter, UnreachableError
from simulation.sandbox.player import Player
from simulation.sandbox.sender import CallbackSender

SENDER = web.AppKey("sender", CallbackSender)
PLAYER = web.AppKey("player", Player)

AI_PATH = "/ai"
"""What is added to the sandbox's URL to give the AI agent's."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    provider: Provider,
    clock: Callable[[], datetime],
    *,
    ai: AiStandIn | None = None,
    redeliver_on_failure: bool = False,
    callback_timeout: float = 3.0,
    hold_seconds: float = 60.0,
) -> web.Application:
    """The sandbox as an application.

    ai: in the AI agent's place; left out, one that gives the canned text. hold_seconds: how long a send that is to time
    out hangs before its connection is dropped. The rest: CallbackSender.
    """
    sender = CallbackSender(
        provider.accounts, clock, redeliver_on_failure=redeliver_on_failure, timeout=callback_timeout
    )
    player = Player(provider, sender, clock)
    ai = ai or AiStandIn()
    app = web.Application(middlewares=[control_errors, engagelab_errors])
    app[SENDER] = sender
    app[PLAYER] = player
    engagelab = EngageLabApi(provider, sender, clock, hold_seconds)
    app.add_routes(engagelab.routes())
    app.add_routes(ControlApi(provider, sender, player, ai, clock).routes())
    app.add_routes([web.post(f"{AI_PATH}/v1/answers", _answering(ai)), web.get("/healthz", _healthz)])
    app.on_shutdown.append(engagelab.close)
    app.cleanup_ctx.append(_running)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an application and give its base URL. Port 0: any free one. Raises LiveDeskError."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await listen(runner, "The sandbox", host, port, "Choose another --port or --host.")
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class EngageLabApi:
    """Handlers of /v1/."""

    def __init__(
        self, provider: Provider, sender: CallbackSender, clock: Callable[[], datetime], hold_seconds: float
    ) -> None:
        self._provider = provider
        self._templates = TemplateApi(provider.accounts)
        self._sender = sender
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._closing = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        return [
            web.post("/v1/messages", self.send),
            web.get("/v1/templates", self.list_templates),
            web.post("/v1/templates", self.create_template),
            web.get("/v1/templates/{id}", self.get_template),
            web.put("/v1/templates/{id}", self.update_template),
            web.delete("/v1/templates/{name}", self.delete_template),
        ]

    async def close(self, _app: web.Application) -> None:
        """Let go of the sends that hang."""
        self._closing.set()

    async def send(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        result = self._provider.handle_send(_credentials(request), await request.read(), self._clock())
        self._sender.schedule(result.callbacks)
        if result.http_status is None:
            await self._hang()
            return _drop(request)
        if result.outcome == "unreachable":
            return web.Response(status=result.http_status)
        response = json_response(result.body, result.http_status)
        if result.retry_after is not None:
            response.headers["Retry-After"] = str(result.retry_after)
        return response

    async def list_templates(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/templates."""
        query = request.query
        wanted = TemplateFilter(
            query.get("name"), query.get("language_code"), query.get("category"), query.get("status")
        )
        return json_response(self._templates.list(_credentials(request), wanted))

    async def get_template(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/templates/{id}."""
        return json_response(self._templates.get(_credentials(request), request.match_info["id"]))

    async def create_template(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/templates."""
        return json_response(self._templates.create(_credentials(request), await request.read()))

    async def update_template(self, request: web.Request) -> web.StreamResponse:
        """PUT /v1/templates/{id}."""
        id, body = request.match_info["id"], await request.read()
        return json_response(self._templates.update(_credentials(request), id, body))

    async def delete_template(self, request: web.Request) -> web.StreamResponse:
        """DELETE /v1/templates/{name}."""
        return json_response(self._templates.delete(_credentials(request), request.match_info["name"]))

    async def _hang(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._hold_seconds):
                await self._closing.wait()


@web.middleware
async def engagelab_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a refused call as EngageLab does."""
    try:
        return await handler(request)
    except ApiError as error:
        return json_response(error.body(), error.http_status)
    except UnreachableError:
        return _drop(request)


def _drop(request: web.Request) -> web.StreamResponse:
    """Cut the connection, so that the caller gets no answer at all."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _credentials(request: web.Request) -> Credentials | None:
    return Credentials.from_header(request.headers.get("Authorization"))


def _answering(ai: AiStandIn) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        status, body = ai.handle(await request.read())
        return json_response(body, status)

    return answer


async def _healthz(_request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def _running(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[SENDER].run())
    yield
    await app[PLAYER].stop()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
