"""The sandbox over HTTP: each provider's API, /ai/ for AI agents, /sandbox/ to steer them, and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from aiohttp import web

from deploy.ports import listen
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.calls import Request
from simulation.sandbox.control import MAX_FILE, ControlApi, control_errors, json_response
from simulation.sandbox.gpt.stand_in import AI_PATH, GptStandIn
from simulation.sandbox.player import Player
from simulation.sandbox.providers import Providers
from simulation.sandbox.sender import CallbackSender

SENDER = web.AppKey("sender", CallbackSender)
PLAYER = web.AppKey("player", Player)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    providers: Providers,
    clock: Callable[[], datetime],
    *,
    ai: AiStandIn | None = None,
    gpt: GptStandIn | None = None,
    redeliver_on_failure: bool = False,
    callback_timeout: float | None = None,
    hold_seconds: float = 60.0,
) -> web.Application:
    """The sandbox as an application.

    ai, gpt: in the place of AI agents and their models; left out, ones that give the canned text. hold_seconds: how
    long a call that is to time out hangs before its connection is dropped. The rest: CallbackSender.
    """
    sender = CallbackSender(
        providers.state.accounts, clock, redeliver_on_failure=redeliver_on_failure, timeout=callback_timeout
    )
    player = Player(providers, sender, clock)
    ai, gpt = ai or AiStandIn(), gpt or GptStandIn()
    app = web.Application(middlewares=[control_errors], client_max_size=MAX_FILE)
    app[SENDER] = sender
    app[PLAYER] = player
    apis = _Apis(providers, gpt, sender, clock, hold_seconds)
    app.add_routes(ControlApi(providers, sender, player, ai, gpt, clock).routes())
    app.add_routes([web.post(f"{AI_PATH}/v1/answers", _answering(ai)), web.get("/healthz", _healthz)])
    app.add_routes([web.route("*", "/{path:.*}", apis.answer)])
    app.on_shutdown.append(apis.close)
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


class _Apis:
    """Every provider's API, and those of GPT agents' models and tools."""

    def __init__(
        self,
        providers: Providers,
        gpt: GptStandIn,
        sender: CallbackSender,
        clock: Callable[[], datetime],
        hold_seconds: float,
    ) -> None:
        self._providers = providers
        self._gpt = gpt
        self._sender = sender
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._closing = asyncio.Event()

    async def close(self, _app: web.Application) -> None:
        """Let go of the calls that hang."""
        self._closing.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is called that is not the sandbox's own."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        called = Request(
            request.method, request.path, dict(request.query), headers, await request.read(), str(request.url.origin())
        )
        reply = self._gpt.handle(called, self._clock()) or self._providers.handle(called, self._clock())
        if reply is None:
            return json_response({"error": "the sandbox has no such route"}, 404)
        self._sender.schedule(reply.callbacks)
        if reply.hangs or reply.delay_s:
            await self._hold(self._hold_seconds if reply.hangs else reply.delay_s)
        if reply.status is None:
            return _drop(request)
        headers = {**reply.headers, "Content-Type": reply.content_type}
        if not reply.padding:
            return web.Response(body=reply.body, status=reply.status, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        with suppress(ConnectionError):
            await response.write(reply.body)
            for _ in range(reply.padding // len(_ZEROS)):
                await response.write(_ZEROS)
        return response

    async def _hold(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


_ZEROS = bytes(1 << 20)


def _drop(request: web.Request) -> web.StreamResponse:
    """Cut the connection, so that the caller gets no answer at all."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


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
