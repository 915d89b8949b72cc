"""The connections of ingress and the control API: aiohttp's, with bounds on a client, and a log without its words.

Pinned to aiohttp 3.14.5, whose RequestHandler is reached into: a test fails when the version moves.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import ClientConnectionResetError, web
from aiohttp.helpers import rfc822_formatted_time

logger = logging.getLogger(__name__)

VERSION: Final = "3.14.5"

HEAD_SECONDS: Final = 10.0
"""From a connection's, or a request's, beginning until its head is there."""
BODY_SECONDS: Final = 20.0
"""From its head until the body is there. EngageLab waits for 3 s in all, Twilio for 15 (docs, confirmed)."""
IDLE_SECONDS: Final = 75.0
"""Between two requests of a connection: longer than the 60 s of most proxies, which are not to find it closed."""
LINGER_SECONDS: Final = 2.0
"""In which the rest of a refused body is read and thrown away, so that the client reads the answer."""
CONNECTIONS: Final = 10_000

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Count = Callable[[str], None]
MakeRequest = Callable[..., web.BaseRequest]
"""As aiohttp calls it: of a message, its payload, protocol, writer and task."""


def _status(status: int) -> web.Response:
    body = b'{"status":"broken"}' if status == 500 else b'{"status":"malformed"}'
    return web.Response(status=status, body=body, content_type="application/json")


class Listener(web.Server):
    """The server. count: told of each connection or request that was cut off or refused before the handler, and why.

    connections: how many are open at most; more are closed at once. They must be fewer than the files that may be open.
    make_request: aiohttp's request of what came; left out, its simplest, with bodies of at most max_body_bytes.
    refusal: the answer, by its status, to what is no request, and to what the handler broke on.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        count: Count,
        max_body_bytes: int = 0,
        connections: int = CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
        make_request: MakeRequest | None = None,
        refusal: Callable[[int], web.Response] = _status,
    ) -> None:
        self.count, self.most, self.head_seconds, self.refusal = count, connections, head_seconds, refusal
        loop = asyncio.get_running_loop()

        def request_of(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body_bytes)

        # No access log: it would hold the webhook tokens.
        super().__init__(
            handler,
            request_factory=make_request or request_of,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )

    def __call__(self) -> web.RequestHandler:
        """A connection's protocol (asyncio's factory)."""
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_head_ends", "_listener")

    def __init__(self, listener: Listener, **options: Any) -> None:
        super().__init__(listener, **options)
        self._listener = listener
        self._head_ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._listener._connections) > self._listener.most:
            self._listener.count("too_many_connections")
            self.force_close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            if self._head_ends is not None:
                self._head_ends.cancel()
                self._head_ends = None
        elif self._head_ends is None and self._waits_for_head():
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
        super().connection_lost(exc)

    def _waits_for_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _expect_head(self) -> None:
        self._head_ends = self._loop.call_later(self._listener.head_seconds, self._cut_off)

    def _cut_off(self) -> None:
        self._head_ends = None
        if self._waits_for_head():
            self._listener.count("slow_head")
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words hold the client's
    ) -> web.StreamResponse:
        """The answer to what is no request, and to one that the handler broke on. Then the connection is closed."""
        if status == 500:
            self.log_exception("a request could not be handled", exc_info=exc)
        else:
            self._listener.count("malformed")
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent")
        answer = self._listener.refusal(status)
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, exc_info: Any = None, **_: Any) -> None:
        """Where it happened, without the exception's own words: they may be a client's."""
        if isinstance(exc_info, BaseException):
            where = "".join(traceback.format_tb(exc_info.__traceback__))
            logger.error("%s: %s\n%s", args[0], type(exc_info).__name__, where)
        else:
            logger.error("%s", args[0])


class ReadyAnswer(web.StreamResponse):
    """A 200 that is always the same, for clients that keep their connection: written in one piece.

    What aiohttp makes for each answer anew takes a tenth of a callback's time.
    """

    def __init__(self, body: bytes, content_type: str) -> None:
        super().__init__()
        self._head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nDate: ".encode()
        )
        self._rest = b"\r\n\r\n" + body

    @property
    def keep_alive(self) -> bool:
        """The connection goes on."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it all (aiohttp's protocol)."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client has left")
        transport.write(self._head + rfc822_formatted_time().encode() + self._rest)

    async def write_eof(self, data: bytes = b"") -> None:
        """There is nothing more to write."""
