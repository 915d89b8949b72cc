"""What the stages wrote to a real Kafka is what replaying their input makes of it; what is not, is found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from agents.greeting import GREETING
from agents.stage import NOTHING, Context, Decision, Rows, TimerFired
from bus.connection import KafkaConnection, client_options
from cli.replay import replay_stages
from deploy.kafka.topics import apply
from deploy.settings import load_settings
from schemas.event import Event
from schemas.record import Record, encode
from schemas.topics import CHANNELS, DEAD_LETTERS, TIMERS, state_topic
from simulation.scenario.broker_run import Bench, running
from simulation.scenario.format import load_file
from streams.clock import wall_clock
from streams.replay.check import Report
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from streams.topology import TOPOLOGY
from tests.broker.counting import COUNT, COUNTS, NUMBERS, Counted, Number
from tests.support.reading import until

PARTITIONS = 2
SCENARIOS = [
    loaded.scenario
    for file in sorted((Path(__file__).parent.parent / "scenarios").glob("*.jsonl"))
    for loaded in load_file(file)
    if loaded.scenario is not None
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(kafka: KafkaConnection, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """A system that some scenarios have gone through. Their clocks jump back from one to the next."""
    settings = load_settings().model_copy(update={"kafka": kafka, "data_dir": tmp_path_factory.mktemp("data")})
    async with running(settings) as bench:
        asks_ai = [scenario for scenario in SCENARIOS if any(step.ai is not None for step in scenario.steps)]
        files = [
            scenario for scenario in SCENARIOS if any(step.inbound and step.inbound.link for step in scenario.steps)
        ]
        tools = [scenario for scenario in SCENARIOS if any(step.tool is not None for step in scenario.steps)]
        knows = [scenario for scenario in SCENARIOS if scenario.knowledge]
        waits = [scenario for scenario in SCENARIOS if scenario.steps[-1].kind is None]
        lost = [
            scenario for scenario in SCENARIOS if any(step.inbound and step.inbound.lost for step in scenario.steps)
        ]
        own = (*files[:1], *tools[:2], *knows[:1], *lost[:1])
        for scenario in (*SCENARIOS[:: len(SCENARIOS) // 12], *asks_ai[:4], *own, *waits[::12]):
            await bench.perform(scenario, False)
        yield bench


async def test_the_log_of_the_scenarios_is_identical_to_its_replay(bench: Bench) -> None:
    reports = await replay_stages(bench.env.connection, bench.env.prefix, TOPOLOGY)
    assert [(report.stage, report.difference) for report in reports] == [(stage.name, None) for stage in TOPOLOGY]
    assert [report.stage for report in reports if not (report.inputs and report.outputs)] == []
    assert any(report.timers for report in reports)
    assert any(report.effects for report in reports)
    assert not any(report.skipped or report.gone or report.pending for report in reports)


async def test_a_single_partition_can_be_replayed(bench: Bench) -> None:
    both = [await replay_stages(bench.env.connection, bench.env.prefix, TOPOLOGY, number) for number in (0, 1)]
    assert all(report.identical for reports in both for report in reports)
    together = list(zip(*both, strict=True))
    assert [stage[0].stage for stage in together if not sum(report.inputs for report in stage)] == []


async def test_a_stage_that_decides_otherwise_is_found(bench: Bench) -> None:
    def silent(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        return NOTHING

    (report,) = await replay_stages(bench.env.connection, bench.env.prefix, [replace(GREETING, decide=silent)])
    assert report.difference is not None
    assert (report.difference.problem, report.difference.topic) == ("unexpected", "outbound")


async def test_a_stage_that_words_it_otherwise_is_found(bench: Bench) -> None:
    def louder(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        decision = GREETING.decide(rows, event, ctx)
        emit = tuple(replace(one, event=one.event.model_copy(update={"text": "HELLO"})) for one in decision.emit)
        return replace(decision, emit=emit)

    (report,) = await replay_stages(bench.env.connection, bench.env.prefix, [replace(GREETING, decide=louder)])
    assert report.difference is not None
    assert (report.difference.problem, report.difference.attribute) == ("different", "data.text")
    assert report.difference.expected == '"HELLO"'


@dataclass
class Counting:
    """The counting stage on topics of its own, and its inputs."""

    kafka: KafkaConnection
    prefix: str
    sent: int = 0

    async def produce(self, count: int, *, keys: int = 20, remind: int | None = None) -> None:
        async with AIOKafkaProducer(**client_options(self.kafka), acks="all", linger_ms=5) as producer:
            sends = []
            for n in range(self.sent, self.sent + count):
                record = Record(f"r{n}", "/test", wall_clock(), f"k{n % keys}", Number(n=n, remind=remind))
                key = record.subject.encode()
                sends.append(await producer.send(NUMBERS.full_name(self.prefix), encode(record), key=key))
            await asyncio.gather(*sends)
        self.sent += count

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        env = Environment(self.kafka, self.prefix, SettingsStore(str), wall_clock, Metrics())
        worker = Worker(env, [COUNT], topology=(COUNT,), tick=0.1, poll=0.1)
        await worker.start()
        try:
            await until(lambda: worker.ready, "the worker to be ready")
            yield worker
        finally:
            await worker.stop()

    async def until_quiet(self, worker: Worker) -> None:
        ends = (await worker.progress.ends())[COUNT.name]
        await until(lambda: all(t.next_offset >= ends[t.partition] for t in worker.tasks), "the inputs")
        await until(lambda: all(t.state.next_deadline() is None for t in worker.tasks), "the timers")

    async def replay(self) -> Report:
        (report,) = await replay_stages(self.kafka, self.prefix, [COUNT])
        return report

    async def write(self, topic: str, key: bytes, value: bytes) -> None:
        async with AIOKafkaProducer(**client_options(self.kafka)) as producer:
            await producer.send_and_wait(topic, value, key=key, partition=0)

    async def delete_before(self, topic: str, offset: int) -> None:
        """What retention does, at once."""
        admin = AIOKafkaAdminClient(**client_options(self.kafka))
        await admin.start()
        try:
            tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            await admin.delete_records({tp: RecordsToDelete(before_offset=offset) for tp in tps})
        finally:
            await admin.close()


@pytest_asyncio.fixture(loop_scope="module")
async def counting(kafka: KafkaConnection, topic_prefix: str) -> Counting:
    topics = (NUMBERS, COUNTS, TIMERS, CHANNELS, DEAD_LETTERS, state_topic(COUNT.name))
    await apply(kafka, topic_prefix, topics, partitions=PARTITIONS, replication_factor=1)
    return Counting(kafka, topic_prefix)


async def test_a_running_stage_gives_no_false_differences(counting: Counting) -> None:
    async with counting.running() as worker:
        for _ in range(5):
            producing = asyncio.create_task(counting.produce(1500, remind=1))
            report = await counting.replay()
            assert report.identical, report.difference
            await producing
        await counting.until_quiet(worker)
        report = await counting.replay()
    assert report.identical, report.difference
    assert (report.inputs, report.keys) == (counting.sent, 20)
    assert report.timers
    assert report.outputs > counting.sent


async def test_a_record_that_no_stage_decided_is_found(counting: Counting) -> None:
    async with counting.running() as worker:
        await counting.produce(40)
        await counting.until_quiet(worker)
    forged = Record("x", f"/livedesk/{COUNT.name}", wall_clock(), "k1", Counted(n=1, count=1), causation_id="y")
    await counting.write(COUNTS.full_name(counting.prefix), b"k1", encode(forged))
    found = (await counting.replay()).difference
    assert found is not None
    assert (found.problem, found.topic, found.key, found.record_id) == ("unexpected", "counts", "k1", "x")


async def test_a_row_that_nobody_wrote_is_found(counting: Counting) -> None:
    async with counting.running() as worker:
        await counting.produce(40)
        await counting.until_quiet(worker)
    await counting.write(state_topic(COUNT.name).full_name(counting.prefix), b"ghost#count", b'{"count":1}')
    found = (await counting.replay()).difference
    assert found is not None
    assert (found.problem, found.key, found.attribute) == ("state", "ghost", "row count")


async def test_after_retention_the_keys_that_are_whole_are_compared(counting: Counting) -> None:
    async with counting.running() as worker:
        await counting.produce(100, keys=10)
        await counting.until_quiet(worker)
        await counting.produce(100, keys=30)
        await counting.until_quiet(worker)
    # However the ten keys are spread, each partition loses their first records.
    await counting.delete_before(NUMBERS.full_name(counting.prefix), 10)
    await counting.delete_before(COUNTS.full_name(counting.prefix), 10)
    report = await counting.replay()
    assert report.identical, report.difference
    assert report.skipped == 10
    assert report.keys == 20
