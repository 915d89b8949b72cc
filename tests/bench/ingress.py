"""Ingress beside aiohttp servers: one that only reads and answers, one that awaits a send for each request.

Each in a process of its own, loaded in turns by this one over the same number of kept-alive connections.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from bus.connection import client_options
from deploy.kafka.topics import apply
from deploy.settings import Settings, load_settings
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import TOPICS, WEBHOOKS
from tests.bench.connection import Connection, connect, post_request
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session, broker
from tests.support.servers import Servers

BODY_BYTES = 927
CONNECTIONS = 64
CHANNEL = "bench"
_PATH = f"/webhooks/engagelab/{'t' * 43}"
_KEY = "YmVuY2gta2V5LWJlbmNoLWtleS1iZW5jaC1rZXktMDE="
_OK = b'{"status":"ok"}'

Serve = Callable[[Settings, Callable[[str], Awaitable[None]]], Coroutine[None, None, None]]
"""(settings, whom to tell the URL; returns when it is time to stop)"""
Run = Callable[[Coroutine[None, None, None]], None]


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
        return web.Response(body=_OK, content_type="application/json")

    await _serve(post, started)


async def serve_send(settings: Settings, started: Callable[[str], Awaitable[None]]) -> None:
    """What one would write by hand: a send for each request, awaited."""
    async with AIOKafkaProducer(**client_options(settings.kafka), acks="all") as producer:
        topic = WEBHOOKS.full_name(settings.topic_prefix)

        async def post(request: web.Request) -> web.Response:
            await producer.send_and_wait(topic, await request.read(), key=CHANNEL.encode())
            return web.Response(body=_OK, content_type="application/json")

        await _serve(post, started)


async def serve_ingress(settings: Settings, started: Callable[[str], Awaitable[None]]) -> None:
    """The real thing."""
    file = parse_channels_file({"channels": [{"id": CHANNEL, "phone_number": "+34600000001"}]})
    async with Servers(settings, channels=file) as server:
        await started(server.webhook_url(server.channels[0]))


async def _serve(
    post: Callable[[web.Request], Awaitable[web.Response]], started: Callable[[str], Awaitable[None]]
) -> None:
    app = web.Application()
    app.add_routes([web.post("/webhooks/engagelab/{token}", post)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await started(f"http://127.0.0.1:{runner.addresses[0][1]}{_PATH}")
    await runner.cleanup()


NOOP, SEND, INGRESS = "aiohttp that only reads the body", "aiohttp, one awaited send a request", "ingress"
NOOP_UVLOOP = f"{NOOP}, on uvloop"
SERVERS: dict[str, tuple[Run, Serve]] = {
    NOOP: (asyncio.run, serve_noop),
    NOOP_UVLOOP: (uvloop.run, serve_noop),
    SEND: (asyncio.run, serve_send),
    INGRESS: (uvloop.run, serve_ingress),
}


def run_server(name: str, settings: Settings, pipe: Pipe) -> None:
    """Main function of a server's process: sends its URL, then runs until the other end closes."""

    async def started(url: str) -> None:
        pipe.send(url)
        await asyncio.to_thread(pipe.poll, None)

    run_loop, serve = SERVERS[name]
    run_loop(serve(settings, started))


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


async def load(url: str, seconds: float) -> Round:
    """Load a server for so long: on each connection a request as soon as the last one is answered."""
    loop, result, request = asyncio.get_running_loop(), Round(), post_request(url, callback_body())
    connections = await connect(url, CONNECTIONS)
    started = loop.time()

    def ask(connection: Connection, finished: asyncio.Future[None]) -> None:
        sent_at = loop.time()

        def answered(status: int) -> None:
            now = loop.time()
            result.latencies.append(now - sent_at)
            if status != 200:
                finished.set_exception(NoResult(f"a server answered {status}"))
            elif now - started < seconds:
                ask(connection, finished)
            else:
                finished.set_result(None)

        connection.ask(request, answered)

    all_finished = [loop.create_future() for _ in connections]
    for connection, finished in zip(connections, all_finished, strict=True):
        ask(connection, finished)
    await asyncio.gather(*all_finished)
    result.seconds = loop.time() - started
    for connection in connections:
        connection.close()
    return result


@asynccontextmanager
async def process(name: str, settings: Settings) -> AsyncIterator[str]:
    """A server in a process of its own; gives the URL to post to."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=run_server, args=(name, settings, theirs))
    child.start()
    theirs.close()  # so that its end is noticed here, should it not start
    try:
        yield await asyncio.to_thread(ours.recv)
    except EOFError as error:
        raise NoResult(f"{name} did not start") from error
    finally:
        ours.close()
        await asyncio.to_thread(child.join)


async def run(session: Session) -> Sequence[Report]:
    """Load the servers in turns, after a round of each to warm up."""
    rounds, seconds = session.pick((1, 0.5), (5, 2.5), (9, 6.0))
    results: list[dict[str, Round]] = []
    with broker(session) as found:
        changes = {
            "kafka": found.kafka,
            "topic_prefix": f"bench{os.getpid()}.",
            "secret_key": SecretStr(_KEY),
            "data_dir": session.folder,
        }
        settings = load_settings().model_copy(update=changes)
        await apply(settings.kafka, settings.topic_prefix, TOPICS, settings.partitions, 1)
        async with AsyncExitStack() as stack:
            urls = {name: await stack.enter_async_context(process(name, settings)) for name in SERVERS}
            for number in range(rounds + 1):
                session.say(f"round {number} of {rounds}, {seconds:.0f} s each" if number else "warming up")
                results.append({name: await load(url, seconds) for name, url in urls.items()})
    return [report(results[1:])]


def report(rounds: list[dict[str, Round]]) -> Report:
    """Medians of the rounds; the ratios are those within a round."""

    def middle(name: str, figure: Callable[[Round], float]) -> float:
        return statistics.median(figure(found[name]) for found in rounds)

    def ratio(other: str) -> list[float]:
        return [found[INGRESS].rate / found[other].rate for found in rounds]

    def cells(name: str) -> tuple[str, ...]:
        ratios = sorted(ratio(name))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
        rate, p50, p99 = (
            middle(name, figure)
            for figure in (lambda r: r.rate, lambda r: r.percentile(50), lambda r: r.percentile(99))
        )
        return name, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", "1" if name == INGRESS else spread

    p99_over = statistics.median(found[INGRESS].percentile(99) / found[SEND].percentile(99) for found in rounds)
    verdicts = (
        Verdict("ingress over aiohttp that only reads", statistics.median(ratio(NOOP)), 0.8),
        Verdict("ingress over aiohttp with an awaited send", statistics.median(ratio(SEND)), 1.1),
        Verdict("99th percentile over that of aiohttp with an awaited send", p99_over, 1.0, most=True),
    )
    title = (
        f"Ingress: {BODY_BYTES}-byte callbacks, {CONNECTIONS} connections, acks=all; medians of {len(rounds)} rounds"
    )
    columns = ("server", "requests/s", "p50 ms", "p99 ms", "ingress over it (lowest - highest)")
    return Report(title, columns, [cells(name) for name in SERVERS], verdicts)
