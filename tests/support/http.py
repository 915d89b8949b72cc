"""How a server of a test answers."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import JsonValue

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLOSING = web.AppKey("closing", asyncio.Event)
"""Set as the server ends, so that who never answers lets go."""


def answering(status: int, body: JsonValue, headers: dict[str, str] | None = None) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return answer


def answering_bytes(status: int, body: bytes) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never_answer(request: web.Request) -> web.StreamResponse:
    await request.app[CLOSING].wait()
    return web.Response()
