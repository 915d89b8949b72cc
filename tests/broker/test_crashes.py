"""Nothing missing and nothing twice, whatever happens to a worker: real processes, real signals, a real Kafka."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from bus.connection import KafkaConnection, client_options
from bus.transactional import transactional_producer
from deploy.kafka.topics import apply
from schemas.record import Record, decode, encode
from schemas.settings.channel import ChannelSettings
from schemas.topics import CHANNELS, DEAD_LETTERS, TIMERS, state_topic
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Progress
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from streams.state import Changes, TaskState, is_row_key, split_row_key
from streams.step import step
from tests.broker.counting import COUNT, COUNTS, NUMBERS, Counted, Number
from tests.support.reading import committed_messages, until

KEYS = 20
PARTITIONS = 2


class CountWorker:
    """One worker process of the counting stage."""

    def __init__(self, kafka: KafkaConnection, prefix: str, name: str, folder: Path, fault: str = "") -> None:
        self._out = folder / f"{name}-{time.monotonic_ns()}.out"
        with self._out.open("wb") as out:
            arguments = [kafka.bootstrap_servers, prefix, name, *([fault] if fault else [])]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.broker.count_worker", *arguments], stdout=out, stderr=out
            )

    async def said(self, word: str, seconds: float = 40) -> None:
        """Wait until the worker said the word."""
        await until(lambda: word in self._out.read_text(), f"{word} from the worker: {self._out}", seconds)

    async def exit_code(self, seconds: float = 90) -> int:
        # Faust, asked to stop while its group rebalances, first waits for that.
        await until(lambda: self.process.poll() is not None, "the worker's end", seconds)
        return int(self.process.returncode)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self._out.read_text()


def no_settings(channel: str, revision: int) -> ChannelSettings:
    raise LookupError((channel, revision))


class Bench:
    """Topics of the counting stage, numbered inputs, and what became of them."""

    def __init__(self, kafka: KafkaConnection, prefix: str) -> None:
        self.kafka, self.prefix, self.sent = kafka, prefix, 0

    async def produce(self, count: int) -> None:
        async with AIOKafkaProducer(**client_options(self.kafka), acks="all", linger_ms=5) as producer:
            sends = []
            for n in range(self.sent, self.sent + count):
                key = f"k{n % KEYS}"
                record = Record(f"r{n}", "/test", wall_clock(), key, Number(n=n))
                topic = NUMBERS.full_name(self.prefix)
                sends.append(await producer.send(topic, encode(record), key=key.encode(), partition=n % PARTITIONS))
            await asyncio.gather(*sends)
        self.sent += count

    async def read(self, topic: str) -> list[tuple[int, bytes, bytes | None]]:
        """Every committed record: partition, key, value."""
        return [(m.partition, m.key, m.value) for m in await committed_messages(self.kafka, topic)]

    async def outputs(self) -> list[tuple[str, Counted]]:
        found = []
        for _, key, value in await self.read(COUNTS.full_name(self.prefix)):
            event = decode(value or b"", COUNTS.types).event
            assert isinstance(event, Counted)
            found.append((key.decode(), event))
        return found

    async def until_processed(self, seconds: float = 60) -> None:
        """Wait until the group's committed offsets say that every input has been processed."""
        deadline = time.monotonic() + seconds
        progress = Progress(self.kafka, self.prefix, (COUNT,), Metrics())
        await progress.start()
        try:
            while (done := sum((await progress.committed())[COUNT.name].values())) < self.sent:
                assert time.monotonic() < deadline, f"{done} of {self.sent} inputs processed after {seconds} s"
                await asyncio.sleep(0.1)
        finally:
            await progress.stop()

    async def rewind(self) -> None:
        """Let the group tell the beginning, as a coordinator did that came back; returns when it does."""
        topic = NUMBERS.full_name(self.prefix)
        beginning = {TopicPartition(topic, n): OffsetAndMetadata(0, "") for n in range(PARTITIONS)}
        async with transactional_producer(self.kafka, f"{self.prefix}rewind") as producer, producer.transaction():
            await producer.send_offsets_to_transaction(beginning, f"{self.prefix}{COUNT.name}")
        deadline = time.monotonic() + 20
        progress = Progress(self.kafka, self.prefix, (COUNT,), Metrics())
        await progress.start()
        try:
            while any((await progress.committed())[COUNT.name].values()):
                assert time.monotonic() < deadline, "the group does not tell the older offset"
                await asyncio.sleep(0.02)
        finally:
            await progress.stop()

    async def state(self) -> dict[tuple[str, str], bytes]:
        """The rows that a restart would restore."""
        rows: dict[tuple[str, str], bytes] = {}
        for _, key, value in await self.read(state_topic(COUNT.name).full_name(self.prefix)):
            if not is_row_key(key):
                continue
            if value is None:
                rows.pop(split_row_key(key), None)
            else:
                rows[split_row_key(key)] = value
        return rows

    async def replayed_state(self) -> dict[tuple[str, str], bytes]:
        """The rows that the inputs lead to, by step() alone."""
        states = [TaskState() for _ in range(PARTITIONS)]
        for partition, _, value in await self.read(NUMBERS.full_name(self.prefix)):
            outcome = step(COUNT, states[partition], decode(value or b"", NUMBERS.types), no_settings)
            changes = Changes(states[partition])
            for name, row in outcome.rows.items():
                changes.write(outcome.key, name, row)
            changes.commit(states[partition])
        return {(key, name): row for state in states for key, name, row in state.rows()}

    async def damage(self) -> list[str]:
        """Everything that is wrong: missing, twice, out of order, or a state that its inputs don't explain."""
        found = []
        outputs = await self.outputs()
        times = Counter(event.n for _, event in outputs)
        if missing := [n for n in range(self.sent) if n not in times]:
            found.append(f"{len(missing)} inputs missing, the first {missing[0]}")
        if twice := [n for n, count in times.items() if count > 1]:
            found.append(f"{len(twice)} inputs applied twice, the first {min(twice)}")
        counts = defaultdict(list)
        for key, event in outputs:
            counts[key].append(event.count)
        if wrong := [key for key, seen in counts.items() if seen != list(range(1, len(seen) + 1))]:
            found.append(f"{len(wrong)} keys whose counts do not run 1, 2, 3 …: {sorted(wrong)[:3]}")
        if await self.state() != await self.replayed_state():
            found.append("the state differs from a replay of the inputs")
        return found


@pytest.fixture
async def bench(kafka: KafkaConnection, topic_prefix: str) -> Bench:
    topics = (NUMBERS, COUNTS, TIMERS, CHANNELS, DEAD_LETTERS, state_topic(COUNT.name))
    await apply(kafka, topic_prefix, topics, partitions=PARTITIONS, replication_factor=1)
    return Bench(kafka, topic_prefix)


@pytest.fixture
def start(bench: Bench, tmp_path: Path) -> Iterator[Callable[..., CountWorker]]:
    workers: list[CountWorker] = []

    def start_worker(name: str, fault: str = "") -> CountWorker:
        workers.append(CountWorker(bench.kafka, bench.prefix, name, tmp_path, fault))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.kill()


async def zombie(bench: Bench, start: Callable[..., CountWorker], fault: str) -> CountWorker:
    """A worker is stopped inside a transaction, another takes over, the first goes on, a rebalance, a kill -9."""
    await bench.produce(2000)
    first = start("w1", fault)
    await first.said("STALLED")
    second = start("w2")
    await bench.until_processed()
    await bench.produce(2000)
    os.kill(first.process.pid, signal.SIGCONT)
    await first.said("RESUMED")
    await bench.until_processed()
    third = start("w3")
    await third.said("READY")
    await bench.produce(2000)
    second.kill()
    await bench.produce(2000)
    await bench.until_processed()
    return first


async def test_a_zombie_does_no_harm(bench: Bench, start: Callable[..., CountWorker]) -> None:
    first = await zombie(bench, start, "stall")
    assert await first.exit_code() == 70, first.log
    assert await bench.damage() == []


async def test_without_the_fence_the_same_zombie_does_harm(bench: Bench, start: Callable[..., CountWorker]) -> None:
    await zombie(bench, start, "stall-unfenced")
    assert await bench.damage() != []


async def test_workers_that_come_and_go_under_load_lose_nothing(
    bench: Bench, start: Callable[..., CountWorker]
) -> None:
    async def load() -> None:
        while not enough.is_set():
            await bench.produce(200)

    enough = asyncio.Event()
    stayed = start("w1")
    await stayed.said("READY")
    loading = asyncio.create_task(load())
    for name in ("w2", "w3"):
        joined = start(name)
        await joined.said("READY")
        joined.process.terminate()
        assert await joined.exit_code() == 0, joined.log
    enough.set()
    await loading
    await bench.until_processed()
    assert stayed.process.poll() is None, stayed.log  # nobody had to fence it, who gave its partitions up
    assert await bench.damage() == []


async def test_state_restored_after_a_restart_equals_the_state_before_it(bench: Bench) -> None:
    async def run_until_processed() -> dict[tuple[str, str], bytes]:
        env = Environment(bench.kafka, bench.prefix, SettingsStore(str), wall_clock, Metrics())
        worker = Worker(env, [COUNT], topology=(COUNT,), instance_id="w1", tick=0.1)
        await worker.start()
        try:
            await until(lambda: worker.ready, "the worker to be ready")
            restored = rows_of(worker)
            await bench.produce(1000)
            await bench.until_processed()
            after.append(rows_of(worker))
        finally:
            await worker.stop()
        return restored

    after: list[dict[tuple[str, str], bytes]] = []
    assert await run_until_processed() == {}
    assert await run_until_processed() == after[0]
    assert await bench.state() == after[1] == await bench.replayed_state()
    assert await bench.damage() == []


async def test_a_partition_that_comes_back_is_read_on_from_where_it_was_given_up(
    bench: Bench, start: Callable[..., CountWorker]
) -> None:
    metrics = Metrics()
    env = Environment(bench.kafka, bench.prefix, SettingsStore(str), wall_clock, metrics)
    stays = Worker(env, [COUNT], topology=(COUNT,), instance_id="w1", tick=0.1)
    await stays.start()
    try:
        for _ in range(10):
            await bench.produce(100)
            await bench.until_processed()
        written = len(await bench.read(state_topic(COUNT.name).full_name(bench.prefix)))
        comes = start("w2")
        await comes.said("READY")
        await bench.produce(100)
        await bench.until_processed()
        comes.process.terminate()
        assert await comes.exit_code() == 0, comes.log
        await bench.produce(100)
        await bench.until_processed()
        assert rows_of(stays) == await bench.replayed_state()
    finally:
        await stays.stop()
    restored = metrics.registry.get_sample_value("livedesk_restored_records_total", {"stage": COUNT.name})
    assert restored is not None
    assert restored < written / 2
    assert await bench.damage() == []


def rows_of(worker: Worker) -> dict[tuple[str, str], bytes]:
    tasks = [task for runner in worker.runners for task in runner.tasks.values()]
    return {(key, name): row for task in tasks for key, name, row in task.state.rows()}


async def test_a_group_that_tells_an_older_offset_than_was_committed_is_not_believed(
    bench: Bench, start: Callable[..., CountWorker]
) -> None:
    worker = start("w1")
    await worker.said("READY")
    await bench.produce(1000)
    await bench.until_processed()
    worker.process.terminate()
    assert await worker.exit_code() == 0, worker.log
    await bench.rewind()
    start("w1")
    await bench.produce(1000)
    await bench.until_processed()
    assert await bench.damage() == []


async def test_an_idle_task_commits_again_what_its_group_tells_no_more(
    bench: Bench, start: Callable[..., CountWorker]
) -> None:
    worker = start("w1")
    await worker.said("READY")
    await bench.produce(1000)
    await bench.until_processed()
    worker.process.send_signal(signal.SIGSTOP)
    await bench.rewind()
    worker.process.send_signal(signal.SIGCONT)
    await bench.until_processed(seconds=20)
    assert await bench.damage() == []


async def test_a_killed_worker_that_comes_back_goes_on(bench: Bench, start: Callable[..., CountWorker]) -> None:
    worker = start("w1")
    await worker.said("READY")
    await bench.produce(1000)
    worker.kill()
    await bench.produce(1000)
    await start("w1").said("READY")
    await bench.until_processed()
    assert await bench.damage() == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGSTOP])
async def test_a_stopped_worker_is_replaced(
    bench: Bench, start: Callable[..., CountWorker], signum: signal.Signals
) -> None:
    first, second = start("w1"), start("w2")
    await asyncio.gather(first.said("READY"), second.said("READY"))
    await bench.produce(500)
    await bench.until_processed()
    first.process.send_signal(signum)
    await bench.produce(500)
    await bench.until_processed()
    assert await bench.damage() == []
