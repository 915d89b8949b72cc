"""HTTP without a library, at both ends: whoever loads or stands in must cost less than what is measured."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

Answered = Callable[[int], None]
"""Is given the status of the answer; 0: the connection was lost before it."""


class Connection(asyncio.Protocol):
    """One kept-alive connection to a server: one request at a time. One that the server closed is opened again."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._received = b""
        self._answered: Answered | None = None
        self._transport: asyncio.Transport | None = None
        self._again: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect."""
        await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)

    def ask(self, request: bytes, answered: Answered) -> None:
        """Send a request; `answered` is called once."""
        assert self._transport is not None
        if self._transport.is_closing():
            self._again = asyncio.create_task(self._ask_again(request, answered))
            return
        self._answered = answered
        self._transport.write(request)

    async def _ask_again(self, request: bytes, answered: Answered) -> None:
        try:
            await self.open()
        except OSError:
            answered(0)
        else:
            self.ask(request, answered)

    def close(self) -> None:
        """Disconnect."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = message_end(self._received)
        if end is None or self._answered is None:
            return
        status = int(self._received[9:12])
        self._received = self._received[end:]
        answered, self._answered = self._answered, None
        answered(status)

    def connection_lost(self, exc: Exception | None) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(0)


class Server(asyncio.Protocol):
    """One connection of a client. handle: body of a POST -> JSON to answer with 200."""

    def __init__(self, handle: Callable[[bytes], bytes]) -> None:
        self._handle, self._received = handle, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := message_end(self._received)) is not None:
            request, self._received = self._received[:end], self._received[end:]
            answer = self._handle(request[request.index(b"\r\n\r\n") + 4 :])
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            self._transport.write(head + answer)


async def connect(url: str, count: int) -> list[Connection]:
    """So many connections to the URL's server."""
    parts = urlsplit(url)
    connections = [Connection(parts.hostname or "", parts.port or 80) for _ in range(count)]
    await asyncio.gather(*(connection.open() for connection in connections))
    return connections


def post_request(url: str, body: bytes) -> bytes:
    """A POST of JSON."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def message_end(received: bytes) -> int | None:
    """Where the first HTTP message ends; None: not all of it is there."""
    head, found, _ = received.partition(b"\r\n\r\n")
    if not found:
        return None
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    end = len(head) + 4 + int(length or 0)
    return end if len(received) >= end else None
