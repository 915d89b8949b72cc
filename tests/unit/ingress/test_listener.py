"""The public listener under attack, over raw sockets: what is no request is refused, and no word of it is logged."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingress import app
from ingress.listener import Listener
from ingress.rate import RateLimit
from tests.support.ingress import Ingress, running
from tests.support.mutation import BODY, LENGTH, NUMBER, TEXT, TOKEN_LIKE, head_of, malformed, mutated


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, bytes]:
        """The next answer's status and body; status 0: the connection was closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def is_closed(self) -> bool:
        """Whether the other end closes it soon."""
        try:
            async with asyncio.timeout(5):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


SHAPES = sorted(malformed("http://x/y"))


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_is_no_request_is_400_and_the_connection_is_closed(
    shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as (ingress, _):
        url = ingress.webhook()
        async with connected(url) as client:
            # A second one behind it, as who smuggles one would send it: it must not be answered.
            behind = head_of(url) + LENGTH + b"\r\n" + BODY
            client.writer.write(malformed(url)[shape] + (b"" if shape == "no version" else behind))
            status, _ = await client.answer()
            assert status in (400, 0)
            assert status == 400 or shape == "TLS"
            assert await client.is_closed()
        assert ingress.callbacks == []
    unlogged(caplog, ingress)


def unlogged(caplog: pytest.LogCaptureFixture, ingress: Ingress) -> None:
    """Nothing is an error, and nothing that came in is there."""
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    for planted in (TOKEN_LIKE, TEXT, NUMBER, urlsplit(ingress.webhook()).path.rpartition("/")[2]):
        assert planted not in caplog.text


async def test_a_client_that_leaves_in_the_middle_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aiohttp")
    async with running() as (ingress, client):
        whole = head_of(ingress.webhook()) + b"Content-Length: 5000\r\n\r\n" + BODY
        for cut in (0, 1, 20, len(whole) - len(BODY), len(whole)):
            for reset in (False, True):
                async with connected(ingress.webhook()) as leaving:
                    leaving.writer.write(whole[:cut])
                    await leaving.writer.drain()
                    await asyncio.sleep(0)
                    if reset:
                        leaving.writer.transport.abort()
        await left(client, ingress)
        assert ingress.callbacks == []
    unlogged(caplog, ingress)


async def left(client: ClientSession, ingress: Ingress) -> None:
    """Wait until ingress has noticed that clients have left."""
    deadline = time.monotonic() + 10
    while 'channel="desk",outcome="client_left"} 4.0' not in await metrics(client, ingress):
        assert time.monotonic() < deadline, await metrics(client, ingress)
        await asyncio.sleep(0.01)


async def metrics(client: ClientSession, ingress: Ingress) -> str:
    async with client.get(ingress.url + "/metrics") as answer:
        return await answer.text()


async def test_a_body_that_comes_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)
    async with running() as (ingress, _), connected(ingress.webhook()) as client:
        client.writer.write(head_of(ingress.webhook()) + LENGTH + b"\r\n")
        dripping = asyncio.create_task(drip(client, BODY))
        assert (await client.answer())[0] == 408
        assert await client.is_closed()
        dripping.cancel()
        assert ingress.callbacks == []


async def drip(client: Client, data: bytes) -> None:
    for byte in data:
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


@asynccontextmanager
async def listening(**options: float) -> AsyncIterator[tuple[str, list[str]]]:
    """A listener whose answer is always 200, and what it has counted."""
    counted: list[str] = []

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    server = Listener(handler, count=counted.append, max_body_bytes=1000, **options)  # type: ignore[arg-type]
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", counted
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "first", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nG"]
)
async def test_a_head_that_does_not_come_is_cut_off(first: bytes) -> None:
    async with listening(head_seconds=0.2) as (url, counted), connected(url) as client:
        client.writer.write(first)
        dripping = asyncio.create_task(drip(client, b"ET /" + b"a" * 1000 if first else b""))
        if first.endswith(b"\nG"):
            assert (await client.answer())[0] == 200
        assert await client.is_closed()
        assert not (first and dripping.done())  # cut off while more of it came
        dripping.cancel()
        assert counted == ["slow_head"]


async def test_a_connection_that_waits_between_requests_is_kept() -> None:
    async with listening(head_seconds=0.1) as (url, counted), connected(url) as client:
        for _ in range(3):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await client.answer())[0] == 200
            await asyncio.sleep(0.2)
        assert counted == []


async def test_a_body_in_pieces_is_not_taken_for_a_slow_head() -> None:
    async with listening(head_seconds=0.3) as (url, _), connected(url) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        for byte in b"12345":
            await asyncio.sleep(0.1)
            client.writer.write(bytes([byte]))
        assert (await client.answer())[0] == 200


async def test_more_connections_than_the_bound_are_closed_at_once_and_others_go_on() -> None:
    async with listening(connections=2) as (url, counted), connected(url) as one, connected(url) as two:
        for client in (one, two):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await client.answer())[0] == 200
        async with connected(url) as three:
            assert await three.is_closed()
        one.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one.answer())[0] == 200
        assert counted == ["too_many_connections"]


async def test_a_handler_that_breaks_is_logged_without_what_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        raise ValueError(f"can't handle {await request.text()}")

    runner = web.ServerRunner(Listener(handler, count=lambda _: None, max_body_bytes=1000), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/{TOKEN_LIKE}"
    async with ClientSession() as http, http.post(url, data=TEXT) as answer:
        assert (answer.status, await answer.json()) == (500, {"status": "broken"})
    await runner.cleanup()
    (record,) = caplog.records
    assert "ValueError" in record.getMessage()
    assert "in handler" in record.getMessage()
    assert TEXT not in caplog.text
    assert TOKEN_LIKE not in caplog.text


@pytest.mark.parametrize("encoding", ["gzip, gzip", "foo", "x-gzip"])
async def test_a_body_that_is_packed_in_another_way_is_refused(encoding: str) -> None:
    async with running() as (ingress, client):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        async with client.post(ingress.webhook(), data=BODY, headers=headers) as answer:
            assert answer.status == 415
        assert ingress.callbacks == []


async def test_unknown_tokens_of_every_kind_are_answered_alike() -> None:
    async with running() as (ingress, client):
        token = ingress.webhook().rpartition("/")[2]
        wrong = ["x", "x" * 43, token[:-1], token + "x", token.swapcase(), ingress.webhook("cloud").rpartition("/")[2]]
        answers = set()
        for one in wrong:
            async with client.post(f"{ingress.url}/webhooks/engagelab/{one}", data=BODY) as answer:
                headers = {name: value for name, value in answer.headers.items() if name != "Date"}
                answers.add((answer.status, await answer.read(), tuple(headers.items())))
        assert len(answers) == 1
        assert answers.pop()[0] == 404


async def test_above_what_a_number_carries_it_is_429_for_that_channel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    limit = RateLimit(lambda: now[0], per_second=1, burst=3)
    assert [limit.allows("desk") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("other")
    now[0] += 1
    assert [limit.allows("desk") for _ in range(2)] == [True, False]
    monkeypatch.setattr(RateLimit, "allows", lambda _self, channel: channel != "desk")
    async with running() as (ingress, client), client.post(ingress.webhook(), data=BODY) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")


async def test_the_ready_answer_is_an_ordinary_one() -> None:
    async with running() as (ingress, _), connected(ingress.webhook()) as client:
        request = head_of(ingress.webhook()) + LENGTH + b"\r\n" + BODY
        client.writer.write(request * 3)
        for _ in range(3):
            assert await client.answer() == (200, b'{"status":"ok"}')
        client.writer.write(request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert await client.answer() == (200, b'{"status":"ok"}')
        assert await client.is_closed()
        assert len(ingress.callbacks) == 4


async def test_mutated_requests_are_answered_or_cut_off_and_break_nothing(caplog: pytest.LogCaptureFixture) -> None:
    random, statuses = Random(7), set[int]()
    async with running() as (ingress, client):
        requests = [*malformed(ingress.webhook()).values(), head_of(ingress.webhook()) + LENGTH + b"\r\n" + BODY]
        for _ in range(40):
            statuses |= set(await asyncio.gather(*(fuzz(ingress, mutated(random, one)) for one in requests)))
        async with client.get(ingress.url + "/healthz") as answer:
            assert answer.status == 200
    assert statuses <= {0, 200, 400, 404, 405, 413, 415}
    unlogged(caplog, ingress)


async def fuzz(ingress: Ingress, data: bytes) -> int:
    async with connected(ingress.url) as client:
        try:
            client.writer.write(data)
            client.writer.write_eof()
            return (await client.answer())[0]
        except ConnectionError:
            return 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(sorted(malformed("http://x/y").values()))), max_size=4)
)
async def test_any_bytes_break_nothing(caplog: pytest.LogCaptureFixture, pieces: Iterable[bytes]) -> None:
    async with running() as (ingress, _):
        assert await fuzz(ingress, b"".join(pieces)) < 500
    unlogged(caplog, ingress)
