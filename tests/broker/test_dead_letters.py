"""Dead letters on a real Kafka: a parked key is given back, and the log still replays."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from agents.stage import Stage
from bus.connection import KafkaConnection, client_options
from cli.replay import replay_stages
from deploy.channels_file import load_channels_file
from deploy.dead_letters import Letters, Return, Selection, plan, read_letters, returning
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.kafka.topics import apply
from deploy.settings import load_settings
from schemas.record import Record, encode
from schemas.topics import CHANNELS, CONVERSATIONS, DEAD_LETTERS, INBOX, OUTBOUND, TIMERS, state_topic
from simulation.scenario.broker_run import Bench, running
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from streams.topology import TOPOLOGY
from tests.broker.counting import COUNT, COUNTS, NUMBERS, Counted, Number
from tests.e2e.livedesk import environment
from tests.support.reading import committed_records, until
from tests.unit.deploy.test_dead_letters import MENDED


class Operator:
    """The counting stage on topics of its own, and an operator."""

    def __init__(self, kafka: KafkaConnection, prefix: str) -> None:
        self.kafka, self.prefix = kafka, prefix

    async def feed(self, *numbers: int, key: str = "k") -> None:
        async with AIOKafkaProducer(**client_options(self.kafka)) as producer:
            for n in numbers:
                value = encode(Record(f"{key}{n}", "/test", wall_clock(), key, Number(n=n)))
                await producer.send_and_wait(NUMBERS.full_name(self.prefix), value, key=key.encode())

    @asynccontextmanager
    async def working(self, stage: Stage) -> AsyncIterator[None]:
        """The stage until it has processed what there is at the end of the block."""
        env = Environment(self.kafka, self.prefix, SettingsStore(str), wall_clock, Metrics())
        worker = Worker(env, [stage], topology=(stage,), tick=0.1, poll=0.1)
        await worker.start()
        try:
            await until(lambda: worker.ready, "the worker to be ready")
            yield
            ends = (await worker.progress.ends())[stage.name]
            await until(lambda: all(t.next_offset >= ends[t.partition] for t in worker.tasks), "the inputs")
        finally:
            await worker.stop()

    async def letters(self) -> Letters:
        async with committed_reader(self.kafka) as reader:
            return await read_letters(reader, self.prefix)

    async def plan(self) -> list[Return]:
        letters = await self.letters()
        return plan(letters, letters.chosen(Selection()), revisions={}, stages=(MENDED,))

    async def counted(self, key: str = "k") -> list[int]:
        records = await committed_records(self.kafka, self.prefix, COUNTS)
        return [r.event.n for r in records if isinstance(r.event, Counted) and r.subject == key]


@pytest.fixture
async def operator(kafka: KafkaConnection, topic_prefix: str) -> Operator:
    topics = (NUMBERS, COUNTS, TIMERS, CHANNELS, DEAD_LETTERS, state_topic(COUNT.name))
    await apply(kafka, topic_prefix, topics, partitions=2, replication_factor=1)
    return Operator(kafka, topic_prefix)


async def test_a_parked_key_is_given_back_in_order_once(operator: Operator) -> None:
    async with operator.working(COUNT):
        await operator.feed(1, -2, 3)
        await operator.feed(7, key="other")
    assert await operator.counted() == [1]
    async with operator.working(MENDED):
        async with returning(operator.kafka, operator.prefix) as write_back:
            await write_back(await operator.plan())
        await operator.feed(4)
    assert await operator.counted() == [1, 2, 3, 4]
    assert await operator.counted("other") == [7]
    assert [letter.replayed for letter in (await operator.letters()).by_id.values()] == [True, True]
    assert await operator.plan() == []


async def test_of_two_operators_who_see_the_same_letters_one_writes(operator: Operator) -> None:
    async with operator.working(COUNT):
        await operator.feed(-1, 2)
    async with returning(operator.kafka, operator.prefix) as slow:
        planned = await operator.plan()
        async with returning(operator.kafka, operator.prefix) as quick:
            await quick(await operator.plan())
        with pytest.raises(LiveDeskError, match="Somebody else"):
            await slow(planned)
    async with operator.working(MENDED):
        pass
    assert await operator.counted() == [1, 2]


async def test_the_log_of_a_key_that_was_parked_and_given_back_replays(operator: Operator) -> None:
    async with operator.working(MENDED):
        await operator.feed(1)
        async with AIOKafkaProducer(**client_options(operator.kafka)) as producer:
            await producer.send_and_wait(NUMBERS.full_name(operator.prefix), b"what?", key=b"k")
        await operator.feed(2, 3)
    async with operator.working(MENDED), returning(operator.kafka, operator.prefix) as write_back:
        await write_back(await operator.plan())
    assert await operator.counted() == [1, 2, 3]
    (report,) = await replay_stages(operator.kafka, operator.prefix, [MENDED])
    assert report.identical, report.difference


CONTACT = "4915190000077"


@pytest.fixture
async def bench(kafka: KafkaConnection, tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "channels.yaml"
    path.write_text(
        "agents: []\nchannels: [{id: shop, phone_number: '+34600000001', dev_key: k, dev_secret: s, "
        "greeting: {enabled: true, text: Welcome}}]\n"
    )
    async with running(load_settings().model_copy(update={"kafka": kafka, "data_dir": tmp_path})) as bench:
        await bench.control.save(load_channels_file(path))
        await bench.ingress.caught_up()
        yield bench


async def write_to(bench: Bench, text: str) -> None:
    """The customer writes."""
    contact = {"profile": {"name": "Kim"}, "wa_id": CONTACT}
    message = {"type": "text", "text": {"body": text}}
    content = {"channel_message_id": f"wamid.{text}", "contact": contact, "message": message}
    row = {
        "server": "whatsapp",
        "itime": int(wall_clock().timestamp()),
        "message_id": text,
        "from": CONTACT,
        "to": "34600000001",
        "response": {"event": "received", "response_data": content},
    }
    url = bench.ingress.webhook_url(bench.ingress.channels[0])
    async with bench.http.post(url, json={"total": 1, "rows": [row]}) as response:
        assert response.status == 200


async def test_a_conversation_that_was_parked_goes_on_by_the_command_line(
    bench: Bench, kafka: KafkaConnection, tmp_path: Path
) -> None:
    async def livedesk(*arguments: str, code: int = 0) -> str:
        command = (sys.executable, "-m", "cli.main", *arguments)
        env = environment(kafka, tmp_path, bench.env.prefix)
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == code, output.decode()
        return output.decode()

    async def letters() -> list[tuple[str, bool]]:
        lines = (await livedesk("dead-letters", "list", "--json")).splitlines()
        return [(letter["reason"], letter["replayed"]) for letter in map(json.loads, lines)]

    async def types(topic: str) -> list[str]:
        named = {"conversations": CONVERSATIONS, "outbound": OUTBOUND}[topic]
        return [r.event.type for r in await committed_records(kafka, bench.env.prefix, named)]

    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        inbox = INBOX.full_name(bench.env.prefix)
        await producer.send_and_wait(inbox, b"not a record", key=f"shop:{CONTACT}".encode())
    await bench.quiet()
    await write_to(bench, "Hello")
    await write_to(bench, "Anybody")
    await bench.quiet()
    assert await types("conversations") == []
    assert sorted(await letters()) == [("parked", False), ("parked", False), ("undecodable", False)]

    listed = await livedesk("dead-letters", "list", "--reason", "undecodable", "--json")
    id = json.loads(listed)["id"]
    assert await livedesk("dead-letters", "show", id[:12], "--raw") == "not a record"
    assert "Hello" not in await livedesk("dead-letters", "list")

    replay = ("dead-letters", "replay", "--key", f"shop:{CONTACT}")
    assert "2 records back to inbox" in await livedesk(*replay, "--dry-run")
    await livedesk(*replay, "--yes")
    await bench.quiet()
    assert (await types("conversations")).count("conversation.message_received") == 2
    assert "greeting.send" in await types("outbound")
    assert sorted(await letters()) == [("parked", True), ("parked", True), ("undecodable", False)]

    reports = [json.loads(line) for line in (await livedesk("replay", "--all", "--json")).splitlines()]
    assert [report["difference"] for report in reports] == [None] * len(TOPOLOGY)
