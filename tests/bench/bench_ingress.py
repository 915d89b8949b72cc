"""Ingress against an aiohttp server that only reads and answers: python -m tests.bench.bench_ingress

Both in a process of their own, loaded in turns by this one over the same number of kept-alive connections.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from aiohttp import web
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from deploy.broker import EmbeddedBroker, free_port
from deploy.ingress_process import IngressServer
from deploy.settings import Settings, load_settings
from deploy.topics import apply
from schemas.channels_file import parse_channels_file
from schemas.connection import KafkaConnection
from schemas.topics import CHANNELS, INBOX, WEBHOOKS

BODY_BYTES = 927
TARGET = 0.6
_KEY = "YmVuY2gta2V5LWJlbmNoLWtleS1iZW5jaC1rZXktMDE="

Serve = Callable[[Settings, Callable[[str], Awaitable[None]]], Coroutine[None, None, None]]


def callback_body() -> bytes:
    """A text message's callback of BODY_BYTES bytes."""
    message = {"id": "wamid.bench", "from": "34611000222", "type": "text", "text": {"body": ""}}
    contact = {"profile": {"name": "Irene"}, "wa_id": "34611000222"}
    data = {"channel_message_id": "wamid.bench", "contact": contact, "message": message}
    row = {"message_id": "8812", "from": "34611000222", "to": "34600000001", "server": "whatsapp", "itime": 1780000000}
    callback = {"total": 1, "rows": [{**row, "response": {"event": "received", "response_data": data}}]}
    message["text"] = {"body": "x" * (BODY_BYTES - len(json.dumps(callback)))}
    return json.dumps(callback).encode()


async def serve_noop(_: Settings, started: Callable[[str], Awaitable[None]]) -> None:
    """Reads the body and answers."""

    async def post(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    app = web.Application()
    app.add_routes([web.post("/webhooks/engagelab/{token}", post)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await started(f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/engagelab/{'t' * 43}")
    await runner.cleanup()


async def serve_ingress(settings: Settings, started: Callable[[str], Awaitable[None]]) -> None:
    """The real thing."""
    file = parse_channels_file({"channels": [{"id": "bench", "phone_number": "+34600000001"}]})
    async with IngressServer(settings, channels=file) as server:
        await started(server.webhook_url(server.channels[0]))


def run_server(serve: Serve, settings: Settings, pipe: Connection) -> None:
    """Main function of a server's process: sends its URL, then runs until the other end closes."""

    async def started(url: str) -> None:
        pipe.send(url)
        await asyncio.to_thread(pipe.poll, None)

    asyncio.run(serve(settings, started))


@dataclass
class Round:
    """One round's latencies, in seconds, and how long it took."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Milliseconds."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1] * 1000


class Client(asyncio.Protocol):
    """One connection: a request as soon as the last one is answered."""

    def __init__(self, request: bytes, stop_at: float, latencies: list[float]) -> None:
        self._request, self._stop_at, self._latencies = request, stop_at, latencies
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(f"answered {head[:40]!r}"))
            self._transport.close()
            return
        now = self._loop.time()
        self._latencies.append(now - self._sent_at)
        self._received = b""
        if now < self._stop_at:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed by the server"))

    def _send(self) -> None:
        self._sent_at = self._loop.time()
        self._transport.write(self._request)


async def load(url: str, connections: int, seconds: float) -> Round:
    """Load a server for so long."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    body = callback_body()
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    loop, result = asyncio.get_running_loop(), Round()
    started = loop.time()
    clients = [
        (await loop.create_connection(lambda: Client(request, started + seconds, result.latencies), host, port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    result.seconds = loop.time() - started
    return result


@asynccontextmanager
async def process(serve: Serve, settings: Settings) -> AsyncIterator[str]:
    """A server in a process of its own; gives the URL to post to."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=run_server, args=(serve, settings, theirs))
    child.start()
    theirs.close()  # so that its end is noticed here, should it not start
    try:
        yield await asyncio.to_thread(ours.recv)
    finally:
        ours.close()
        await asyncio.to_thread(child.join)


async def compare(settings: Settings, connections: int, seconds: float, rounds: int) -> list[tuple[Round, Round]]:
    """(server that does nothing, ingress), round by round, after one round to warm up."""
    await apply(settings.kafka, settings.topic_prefix, [WEBHOOKS, INBOX, CHANNELS], settings.partitions, 1)
    async with process(serve_noop, settings) as noop, process(serve_ingress, settings) as ingress:
        results = [
            (await load(noop, connections, seconds), await load(ingress, connections, seconds))
            for _ in range(rounds + 1)
        ]
    return results[1:]


def show(results: list[tuple[Round, Round]], console: Console) -> float:
    """Print the table; returns the median ratio."""
    table = Table("round", "server", "requests/s", "p50 ms", "p99 ms", "ratio", title=f"{BODY_BYTES}-byte callbacks")
    ratios = []
    for number, (noop, ingress) in enumerate(results, 1):
        ratios.append(ingress.rate / noop.rate)
        for name, round_, ratio in (("noop", noop, ""), ("ingress", ingress, f"{ratios[-1]:.2f}")):
            figures = (f"{round_.rate:,.0f}", f"{round_.percentile(50):.1f}", f"{round_.percentile(99):.1f}")
            table.add_row(str(number), name, *figures, ratio)
    console.print(table)
    return statistics.median(ratios)


def main(
    connections: Annotated[int, typer.Option(help="Kept-alive connections.")] = 64,
    seconds: Annotated[float, typer.Option(help="Length of a round.")] = 4.0,
    rounds: Annotated[int, typer.Option(help="Rounds of each server.")] = 5,
) -> None:
    """Measure. Uses KAFKA_BOOTSTRAP_SERVERS, or an embedded broker of its own."""
    found = load_settings()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedBroker(
            port=free_port(), data_dir=Path(folder), cache_dir=found.cache_dir, heap="1g", jvm_flags=()
        )
        external = "KAFKA_BOOTSTRAP_SERVERS" in os.environ
        if not external:
            broker.start()
        try:
            kafka = found.kafka if external else KafkaConnection(bootstrap_servers=broker.bootstrap_servers)
            prefix = f"bench{os.getpid()}."
            settings = found.model_copy(update={"kafka": kafka, "topic_prefix": prefix, "secret_key": SecretStr(_KEY)})
            results = asyncio.run(compare(settings, connections, seconds, rounds))
        finally:
            if not external:
                broker.stop()
    ratio = show(results, console)
    console.print(f"median ratio {ratio:.2f}, target {TARGET}: {'met' if ratio >= TARGET else 'missed'}")


if __name__ == "__main__":
    typer.run(main)
