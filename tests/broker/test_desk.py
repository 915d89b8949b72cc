"""The desk on a real Kafka: killed whenever, it is what a rebuild makes of the topics."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from operator import methodcaller
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from pydantic import SecretStr
from sqlalchemy import update

from bus.connection import KafkaConnection, client_options
from bus.transactional import transactional_producer
from deploy.errors import LiveDeskError
from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.processes.desk import DeskOptions, View, health_routes, open_view, rebuild, run_desk
from deploy.settings import Settings, load_settings
from desk.view.applier import Place, Read
from desk.view.queries import Queries
from desk.view.schema import CONVERSATION, FOLLOWED
from desk.view.visibility import Viewer
from schemas.events.channels import ChannelSaved
from schemas.events.conversation import ConversationOpened
from schemas.topics import ACCESS, INBOX, KNOWLEDGE
from tests.e2e.livedesk import environment, running
from tests.support.postgres import new_database, running_postgres
from tests.support.reading import committed_messages, until
from tests.support.view import TOPICS, Message, Model, Rows, applied, header, message, recorded, stored

PARTITIONS = 2
CONVERSATIONS = "conversations"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


class Bench:
    """Topics of the view on a Kafka, what writes to them, and settings for what reads them."""

    def __init__(self, kafka: KafkaConnection, prefix: str, folder: Path, url: str | None = None) -> None:
        self.kafka, self.prefix, self.folder = kafka, prefix, folder
        secret = None if url is None else SecretStr(url)
        given = {"kafka": kafka, "topic_prefix": prefix, "data_dir": folder, "database_url": secret}
        self.settings: Settings = load_settings().model_copy(update=given)

    async def make_topics(self) -> None:
        await apply(
            self.kafka,
            self.prefix,
            [*FOLLOWED.values(), ACCESS, INBOX, KNOWLEDGE],
            partitions=PARTITIONS,
            replication_factor=1,
        )

    def topic(self, name: str) -> str:
        return FOLLOWED[name].full_name(self.prefix)

    async def write(self, messages: list[Message], *, aborts: random.Random | None = None) -> Place:
        """Write in transactions, some of which are aborted first. Returns the place behind the last record."""
        left, last = list(messages), Place("", 0)
        async with transactional_producer(self.kafka, f"{self.prefix}writer") as producer:
            while left:
                size = aborts.randrange(1, 80) if aborts else len(left)
                if aborts and aborts.random() < 0.2:
                    with suppress(RuntimeError):
                        async with producer.transaction():
                            await self._send(producer, left[: size // 2 + 1])
                            raise RuntimeError("aborted")
                async with producer.transaction():
                    last = await self._send(producer, left[:size])
                del left[:size]
        return last

    async def _send(self, producer: AIOKafkaProducer, messages: list[Message]) -> Place:
        sent = [
            await producer.send(self.topic(TOPICS[one.topic]), one.value, key=one.key, partition=one.partition)
            for one in messages
        ]
        last = (await asyncio.gather(*sent))[-1]
        return Place(last.topic, last.offset)

    async def committed(self) -> list[Message]:
        """What the topics hold."""
        names = {self.topic(name): topic.full_name("") for name, topic in FOLLOWED.items()}
        found = await committed_messages(self.kafka, *names)
        return [Message(names[one.topic], one.partition, one.offset, one.key, one.value) for one in found]

    async def model(self) -> dict[str, Rows]:
        """What the view must be, of what the topics hold."""
        return dict(Model().apply(applied(await self.committed())).tables)

    async def ends(self) -> dict[Place, int]:
        """The offset behind the last committed record of each partition."""
        found = await self.committed()
        return {Place(self.topic(TOPICS[one.topic]), one.partition): one.offset + 1 for one in found}


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[View]:
    """The view, followed in this process."""
    until_ = asyncio.Event()
    async with open_view(settings) as view:
        task = asyncio.create_task(view.follower.run(until_))
        try:
            yield view
        finally:
            until_.set()
            await task


def readable() -> list[Message]:
    """The recorded log without channels: the process can't decrypt the credentials of another installation."""
    return [one for one in recorded() if one.topic != "channels.v1"]


async def position(view: View) -> int:
    """How far the view in the database has read, over all topics."""
    return sum(read.position for read in (await view.follower.applier.positions()).values())


async def until_read(view: View, wanted: int, seconds: float = 40) -> None:
    """Wait until another process has read so far."""
    deadline = time.monotonic() + seconds
    while (found := await position(view)) < wanted:
        assert time.monotonic() < deadline, f"read {found} of {wanted}"
        await asyncio.sleep(0.01)


async def said(log: Path, words: str) -> None:
    """Wait until a process has said it."""
    await until(lambda: words in log.read_text(), words)


async def rebuilt(settings: Settings) -> None:
    async for _ in rebuild(settings):
        pass


async def rows(settings: Settings) -> dict[str, Rows]:
    async with open_view(settings) as view:
        return await stored(view.database)


@pytest.fixture
async def bench(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> Bench:
    bench = Bench(kafka, topic_prefix, tmp_path)
    await bench.make_topics()
    return bench


@pytest.mark.parametrize(("database", "kills"), [("sqlite", 4), ("postgresql", 2)])
async def test_killed_at_random_moments_it_is_what_a_rebuild_makes(
    database: str, kills: int, kafka: KafkaConnection, topic_prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_sqlite = database == "sqlite"
    url = None if is_sqlite else await asyncio.to_thread(new_database, request.getfixturevalue("postgres"))
    bench, chance = Bench(kafka, topic_prefix, tmp_path, url), random.Random(database)
    await bench.make_topics()
    env = environment(kafka, tmp_path, topic_prefix) | ({} if url is None else {"LIVEDESK_DATABASE_URL": url})
    log_ = readable()[::2] if is_sqlite else readable()[::3]
    share = len(log_) // (kills + 1)
    async with open_view(bench.settings) as view:
        for number in range(kills):
            log, read = tmp_path / f"desk-{number}.log", await position(view)
            with running(["desk", "--port", "0"], env, log) as process:
                await said(log, "the view is kept in")
                part = log_[number * share : (number + 1) * share]
                writing = asyncio.create_task(bench.write(part, aborts=chance))
                await until_read(view, read + chance.randrange(share))
                process.kill()
                await writing
        await bench.write(log_[kills * share :], aborts=chance)
        with running(["desk", "--port", "0"], env, tmp_path / "desk.log") as process:
            await until_read(view, sum((await bench.ends()).values()))
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        killed = await stored(view.database)

    other = Bench(kafka, topic_prefix, tmp_path / "other").settings
    await rebuilt(other)
    assert killed == await rows(other) == await bench.model()
    assert len(killed["entries"]) > 300


async def test_a_caller_can_wait_for_what_it_just_wrote(bench: Bench) -> None:
    saved = ChannelSaved(settings={"id": "shop", "account": "main", "phone_number": "+34600123456"})
    async with following(bench.settings) as view:
        topic, offset = await bench.write([message("channels", 0, saved, key="shop/1")])
        assert await view.progress.wait_until(topic, 0, offset, 10)
        topic, offset = await bench.write([message(CONVERSATIONS, 0, ConversationOpened(header=header()))])
        assert await view.progress.wait_until(topic, 0, offset, 10)
        page = await Queries(view.database).conversations(Viewer("admin", "main", "all"))
        assert [item["id"] for item in page.items] == ["a"]
        assert page.as_of.positions[Place(topic, 0)] == offset + 1
        assert not await view.progress.wait_until(topic, 0, offset + 1_000, 0.05)
        app = web.Application()
        app.add_routes(health_routes(view))
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/healthz")).status == 200
            ready = await client.get("/readyz")
            assert (ready.status, await ready.json()) == (200, {"ready": True, "lag": dict.fromkeys(FOLLOWED, 0)})
            metrics = await (await client.get("/metrics")).text()
        assert 'livedesk_desk_records_total{topic="conversations"} 1.0' in metrics


async def test_a_rebuild_keeps_what_the_topics_no_longer_have(bench: Bench) -> None:
    await bench.write(recorded())
    await rebuilt(bench.settings)
    before, ends = await rows(bench.settings), await bench.ends()
    cut = {place: end // 2 for place, end in ends.items() if not FOLLOWED[bare(bench, place)].compacted}
    await delete(bench.kafka, cut)
    async with open_view(bench.settings) as view:
        newer = CONVERSATION.c.offset > max(cut.values())
        await view.database.write(methodcaller("execute", update(CONVERSATION).where(newer).values(status="wrong")))
    assert await rows(bench.settings) != before
    await rebuilt(bench.settings)
    assert await rows(bench.settings) == before


async def test_what_was_deleted_before_it_was_read_is_said_and_noted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.write([one for one in recorded() if one.topic == "conversations.v1"])
    place = Place(bench.topic(CONVERSATIONS), 0)
    async with open_view(bench.settings) as view:
        await view.follower.applier.advance({place: Read(3)}, {})
    await delete(bench.kafka, {place: 10})
    async with following(bench.settings) as view:
        assert await view.progress.wait_until(*place, 100, 20)
        failures = (await stored(view.database))["failures"]
    assert list(failures) == [(*place, 3)]
    assert "offset 3 is not in the view: deleted before it was read, up to offset 10" in caplog.text


async def test_a_view_of_other_topics_waits_and_says_so(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.write(recorded()[:5])
    async with open_view(bench.settings) as view:
        await view.follower.applier.advance({Place(bench.topic("channels"), 0): Read(10**6)}, {})
    async with following(bench.settings) as view:
        await until(lambda: "livedesk desk rebuild" in caplog.text, "the warning")
        assert not view.follower.following
        await rebuilt(bench.settings)
        await until(lambda: view.follower.following, "that it goes on")


async def test_two_at_once_on_one_database_count_nothing_twice(bench: Bench) -> None:
    async with following(bench.settings) as first, following(bench.settings) as second:
        await bench.write(recorded()[::4], aborts=random.Random(3))
        for place, end in (await bench.ends()).items():
            assert await first.progress.wait_until(*place, end - 1, 30)
            assert await second.progress.wait_until(*place, end - 1, 30)
        assert await stored(first.database) == await bench.model()


async def test_it_waits_for_kafka_and_says_so(bench: Bench, tmp_path: Path) -> None:
    await bench.write(readable()[:200])
    port = free_port()
    away = KafkaConnection(bootstrap_servers=f"127.0.0.1:{port}")
    log = tmp_path / "desk.log"
    with running(["desk", "--port", "0"], environment(away, tmp_path, bench.prefix), log) as process:
        await said(log, "waiting until it is")
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    with running(["desk", "--port", "0"], environment(away, tmp_path, bench.prefix), log) as process:
        await said(log, "waiting until it is")
        async with forwarder(port, bench.kafka):
            async with open_view(bench.settings) as view:
                await until_read(view, 1)
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
    assert " ERROR " not in log.read_text()


async def test_without_topics_it_says_what_to_do(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> None:
    with pytest.raises(LiveDeskError, match="livedesk topics apply"):
        await run_desk(Bench(kafka, topic_prefix, tmp_path).settings, DeskOptions("127.0.0.1", 0, "http://127.0.0.1:1"))


def bare(bench: Bench, place: Place) -> str:
    return place.topic.removeprefix(bench.prefix).removesuffix(".v1")


async def delete(kafka: KafkaConnection, before: dict[Place, int]) -> None:
    """As Kafka does with what is too old."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    await admin.start()
    try:
        wanted = {TopicPartition(*place): RecordsToDelete(before_offset=offset) for place, offset in before.items()}
        await admin.delete_records(wanted)
    finally:
        await admin.close()


@asynccontextmanager
async def forwarder(port: int, kafka: KafkaConnection) -> AsyncIterator[None]:
    """A Kafka that becomes reachable at a port."""
    host, _, target = kafka.bootstrap_servers.partition(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(host, int(target))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await source.read(1 << 16):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", port)
    async with server:
        yield
