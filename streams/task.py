"""A task: the owner of one partition of one stage. One Kafka transaction per batch; commit or die."""

import asyncio
import logging
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from agents.stage import Stage
from schemas.codec import from_kafka, to_kafka
from schemas.connection import KafkaConnection, client_options
from schemas.ids import derived_id
from schemas.messaging import EffectEnded
from schemas.record import Record, UndecodableRecord, from_milliseconds
from schemas.system import DeadLettered, TimersFired
from schemas.topics import DEAD_LETTERS, TIMERS, Topic, state_topic
from streams.clock import Clock
from streams.effects import EffectRunner, end_record, ended
from streams.effects_contract import Performer, Unknown
from streams.failures import Failures
from streams.faust_internals import Fetched
from streams.metrics import Metrics
from streams.settings_store import SettingsStore
from streams.state import Changes, TaskState, row_key, split_row_key
from streams.step import Due, Outgoing, Requested, Step, step, undecodable

logger = logging.getLogger(__name__)

MAX_RECORDS = 1000
"""Records a transaction takes: bounds its length, and what is done again after a crash."""
YIELD_EVERY = 50
"""Records after which the other tasks of the process have their turn: their transactions go on meanwhile."""
MAX_EFFECTS = 32
"""Calls a task may have under way: what a crash leaves unknown, and a greeting of unknown outcome is not sent again."""
MAX_BATCH_BYTES = 3_500_000
"""Under the topics' max.message.bytes. The largest record is a dead letter: a callback of 1 MiB, in base64."""
TRANSACTION_TIMEOUT_MS = 10_000
"""How long a dead owner's open transaction may hold readers back, if nobody takes over before."""
FATAL = 70


def transactional_producer(connection: KafkaConnection, transactional_id: str) -> AIOKafkaProducer:
    """The producer of a task: it fences all others with its transactional id."""
    return AIOKafkaProducer(
        **client_options(connection),
        transactional_id=transactional_id,
        acks="all",
        linger_ms=0,
        # 100 ms by default: 110-135 ms at the 99th percentile of transactions back to back.
        retry_backoff_ms=10,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_BATCH_BYTES,
    )


def _opened() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass(frozen=True)
class Environment:
    """What the tasks of a worker share.

    gate: while it is cleared no task begins anything. new_producer: (connection, transactional id) -> one not started.
    """

    connection: KafkaConnection
    prefix: str
    settings: SettingsStore
    clock: Clock
    metrics: Metrics
    performers: Mapping[str, Performer] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=_opened)
    new_producer: Callable[[KafkaConnection, str], AIOKafkaProducer] = transactional_producer

    def group(self, stage: Stage) -> str:
        """The consumer group of a stage, and the base of its transactional ids."""
        return f"{self.prefix}{stage.name}"


@dataclass(frozen=True, slots=True)
class Barrier:
    """All that was written before `time` is processed once the task has processed its input up to `offset`."""

    time: datetime
    offset: int


@dataclass
class _Batch:
    changes: Changes
    outgoing: list[Outgoing] = field(default_factory=list)
    effects: list[tuple[str, Requested]] = field(default_factory=list)
    to_self: list[Record] = field(default_factory=list)
    failures: int = 0

    def add(self, outcome: Step) -> None:
        self.changes.update(outcome.key, outcome.rows)
        self.outgoing.extend(outcome.outgoing)
        self.effects.extend((outcome.key, requested) for requested in outcome.effects)
        self.failures += outcome.failure is not None


def topics_of(stage: Stage) -> tuple[Topic, ...]:
    """Every topic that a task of the stage reads or writes."""
    return (stage.input, *stage.outputs, state_topic(stage.name), DEAD_LETTERS, TIMERS)


class Task:
    """Owns one partition of a stage's input: fences, restores, then one transaction a batch.

    Any exception ends the process: it must start over from the fence.
    """

    def __init__(
        self,
        env: Environment,
        stage: Stage,
        partition: int,
        generation: int,
        on_taken: Callable[[int, int], None],
    ) -> None:
        self.stage, self.partition, self.generation = stage, partition, generation
        self._env, self._on_taken = env, on_taken
        self._input = TopicPartition(stage.input.full_name(env.prefix), partition)
        self._producer = env.new_producer(env.connection, f"{env.group(stage)}-{partition}")
        self._partitions: dict[str, tuple[int, ...]] = {}
        self._state = TaskState()
        self._fetched: deque[Fetched] = deque()
        self._ends: deque[tuple[str, EffectEnded]] = deque()
        self._correlations: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._in_transaction = False
        self._barrier: Barrier | None = None
        self._effects = EffectRunner(env.performers.get(stage.name), self._on_end)
        self._failures = Failures(stage.name)
        self.next_offset = 0
        self._position = 0
        self._told: int | None = None
        self.queued = 0
        self.ready = False
        self.last_loop = time.monotonic()
        self._loop = asyncio.create_task(self._run(), name=f"{stage.name}-{partition}")

    # --- what the stage's runner calls ---------------------------------------------------------------------------

    def deliver(self, fetched: Fetched) -> None:
        """Queue what was fetched, unless it is of another generation of the consumer group."""
        if fetched.generation != self.generation or self._closing.is_set():
            return
        if fetched.after != self._told:
            self._die(RuntimeError(f"a fetch is missing: one after {fetched.after} follows one up to {self._told}"))
        self._told = fetched.position
        if fetched.records or fetched.position > self._position:
            self._fetched.append(fetched)
            self.queued += len(fetched.records)
        if fetched.records:
            self._wake.set()

    def allow(self, barrier: Barrier | None) -> None:
        """Let the timers due by the barrier's time fire, once the task is past its offset. None: none may."""
        self._barrier = barrier
        self._wake.set()

    def tick(self) -> None:
        """Once in a while: commit a position that only transaction markers have moved, so that lag can reach zero."""
        self._wake.set()

    @property
    def state(self) -> TaskState:
        """The committed rows."""
        return self._state

    @property
    def busy_effects(self) -> int:
        """Calls under way, and ends that are to be written."""
        return self._effects.running + len(self._ends)

    @property
    def at_rest(self) -> bool:
        """Nothing is under way: no transaction, no effect."""
        return not self._in_transaction and not self.busy_effects

    async def close(self) -> None:
        """Finish the running batch and effects, write their ends, and close the producer."""
        self._closing.set()
        self._wake.set()
        if not self.ready:
            # A restore may take longer than a rebalance waits; it has changed nothing.
            self._loop.cancel()
        await asyncio.wait([self._loop])

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._open()
            while not self._closing.is_set():
                await self._wake.wait()
                await self._env.gate.wait()
                self._wake.clear()
                self.last_loop = time.monotonic()
                while not self._closing.is_set() and await self._advance():
                    self.last_loop = time.monotonic()
            await self._effects.settle()
            if self._ends:
                await self._transact(self._take_ends(), None)
            await asyncio.wait_for(self._producer.stop(), 5)
        except asyncio.CancelledError:
            await self._producer.stop()
            raise
        except BaseException as error:  # noqa: BLE001 - commit or die: nothing may go on after a doubt
            self._die(error)

    def _die(self, error: BaseException) -> NoReturn:
        logger.critical(
            "task %s-%d ends the process, to start over from the fence: %s: %s",
            self.stage.name,
            self.partition,
            type(error).__name__,
            error,
            exc_info=error,
        )
        logging.shutdown()
        os._exit(FATAL)

    async def _open(self) -> None:
        started = time.monotonic()
        # InitProducerId aborts the former owner's open transaction and fences it: what is read below is final.
        await self._producer.start()
        consumer = AIOKafkaConsumer(
            **client_options(self._env.connection),
            group_id=self._env.group(self.stage),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20,
        )
        await consumer.start()
        try:
            changelog = TopicPartition(state_topic(self.stage.name).full_name(self._env.prefix), self.partition)
            consumer.assign([changelog])
            self.next_offset = await consumer.committed(self._input) or 0
            await self._restore(consumer, changelog)
        finally:
            await consumer.stop()
        self._position = self.next_offset
        for topic in topics_of(self.stage):
            name = topic.full_name(self._env.prefix)
            self._partitions[name] = tuple(sorted(await self._producer.partitions_for(name)))
        for key, effect_id in self._state.pending_effects():
            # The former owner may have made its call, or not.
            self._ends.append((key, ended(effect_id, Unknown())))
        self.ready = True
        self._wake.set()
        took = time.monotonic() - started
        logger.debug("task %s-%d is ready: %d keys, %.1f s", self.stage.name, self.partition, len(self._state), took)

    async def _restore(self, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> None:
        await consumer.seek_to_beginning(changelog)
        end = (await consumer.end_offsets([changelog]))[changelog]
        # Positions, not counts: transaction markers leave holes in the offsets.
        while await consumer.position(changelog) < end:
            for message in (await consumer.getmany(timeout_ms=200)).get(changelog, ()):
                key, name = split_row_key(message.key)
                self._state.write(key, name, message.value)

    async def _advance(self) -> bool:
        """Do one transaction's worth, if there is any."""
        room = self._room()
        # Before more records: under a load that never ends there are always more.
        if room and self._timers_due():
            await self._transact(self._fire_timers(room), None)
            return True
        records, position = self._take_records(room)
        if records or self._ends:
            batch = await self._process(records)
            batch.to_self.extend(self._take_ends().to_self)
            await self._transact(batch, position if position > self.next_offset else None)
            return True
        if position > self.next_offset:
            await self._transact(_Batch(Changes(self._state)), position)
            return True
        return False

    def _room(self) -> int:
        """How many records, or timers, may be taken now: each may ask for one effect."""
        if self.stage.name not in self._env.performers:
            return MAX_RECORDS
        return max(0, MAX_EFFECTS - self.busy_effects)

    def _take_records(self, limit: int) -> tuple[list[ConsumerRecord], int]:
        records: list[ConsumerRecord] = []
        while self._fetched and len(records) < limit:
            fetched = self._fetched[0]
            room = limit - len(records)
            taken, left = fetched.records[:room], fetched.records[room:]
            # What was fetched between an assignment and Faust's seek to the committed offset is fetched again after it.
            records.extend(record for record in taken if record.offset >= self._position)
            self.queued -= len(taken)
            if left:
                self._fetched[0] = replace(fetched, records=left)
                self._position = max(self._position, taken[-1].offset + 1)
            else:
                self._fetched.popleft()
                self._position = max(self._position, fetched.position)
        self._on_taken(self.partition, self.queued)
        return records, self._position

    async def _process(self, records: Iterable[ConsumerRecord]) -> _Batch:
        batch = _Batch(Changes(self._state))
        count = 0
        for message in records:
            outcome = await self._step(message, batch.changes)
            if outcome.failure:
                logger.error("record %s:%d: %s", self._input, message.offset, outcome.failure)
            batch.add(self._locate(outcome, message))
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self._failures.count(count, batch.failures)
        self._env.metrics.records.labels(self.stage.name).inc(count)
        return batch

    async def _step(self, message: ConsumerRecord, changes: Changes) -> Step:
        try:
            record = from_kafka(self.stage.input, message.value, message.headers)
        except UndecodableRecord as error:
            key, now = (message.key or b"").decode(errors="replace"), from_milliseconds(message.timestamp)
            return undecodable(self.stage, changes, key, message.value or b"", message.headers, now, str(error))
        if record.settings_revision:
            await self._env.settings.wait_for(record.channel, record.settings_revision)
        return step(self.stage, changes, record, self._env.settings.lookup)

    def _locate(self, outcome: Step, message: ConsumerRecord) -> Step:
        for out in outcome.outgoing:
            if out.topic is DEAD_LETTERS:
                return outcome._replace(outgoing=tuple(self._located(out, message) for out in outcome.outgoing))
        return outcome

    def _located(self, out: Outgoing, message: ConsumerRecord) -> Outgoing:
        """A dead letter also says where it was read."""
        event = out.record.event
        if not isinstance(event, DeadLettered):
            return out
        self._env.metrics.dead_letters.labels(self.stage.name, event.reason).inc()
        event = event.model_copy(update={"partition": message.partition, "offset": message.offset})
        return out._replace(record=replace(out.record, event=event))

    def _timers_due(self) -> bool:
        barrier, deadline = self._barrier, self._state.next_deadline()
        if barrier is None or deadline is None:
            return False
        return self.next_offset >= barrier.offset and deadline <= barrier.time

    def _fire_timers(self, limit: int) -> _Batch:
        assert self._barrier is not None
        batch = _Batch(Changes(self._state))
        due = self._state.due(self._barrier.time, limit)
        for deadline, key in due:
            outcome = step(self.stage, batch.changes, Due(key, from_milliseconds(deadline)), self._env.settings.lookup)
            if outcome.failure:
                logger.error("a timer of task %s-%d: %s", self.stage.name, self.partition, outcome.failure)
                self._env.metrics.dead_letters.labels(self.stage.name, "timer_failed").inc()
            batch.add(outcome)
        last = from_milliseconds(due[-1][0])
        fired = TimersFired(stage=self.stage.name, partition=self.partition, due=last, offset=self.next_offset)
        subject = f"{self.stage.name}/{self.partition}"
        record = Record(
            derived_id(subject, last, self.next_offset), f"/livedesk/{self.stage.name}", last, subject, fired
        )
        batch.outgoing.append(Outgoing(TIMERS, subject, record))
        self._env.metrics.timers.labels(self.stage.name).inc(len(due))
        return batch

    def _on_end(self, key: str, end: EffectEnded) -> None:
        self._ends.append((key, end))
        self._wake.set()

    def _take_ends(self) -> _Batch:
        batch = _Batch(Changes(self._state))
        while self._ends:
            key, end = self._ends.popleft()
            correlation = self._correlations.pop(end.effect_id, None)
            batch.to_self.append(end_record(self.stage.name, key, end, self._env.clock(), correlation))
            self._env.metrics.effects.labels(self.stage.name, end.outcome).inc()
        return batch

    # --- the transaction: nothing is caught, retried or logged away between begin and commit ---------------------

    async def _transact(self, batch: _Batch, position: int | None) -> None:
        attempted_at = time.monotonic()
        producer = self._producer
        self._in_transaction = True
        await producer.begin_transaction()
        sent = [
            await producer.send_batch(built, topic, partition=partition)
            for (topic, partition), messages in self._messages(batch).items()
            for built in build_batches(producer.create_batch, messages)
        ]
        if position is not None:
            offsets = {self._input: OffsetAndMetadata(position, "")}
            await producer.send_offsets_to_transaction(offsets, self._env.group(self.stage))
        # A failed send does not poison the transaction: each one must be awaited.
        await asyncio.gather(*sent)
        await producer.commit_transaction()
        batch.changes.commit(self._state)
        if position is not None:
            self.next_offset = position
        self._env.metrics.transactions.labels(self.stage.name).observe(time.monotonic() - attempted_at)
        for key, requested in batch.effects:
            self._correlations[requested.effect.id] = requested.correlation_id
            self._effects.start(key, requested.effect, attempted_at)
        self._in_transaction = False

    def _messages(self, batch: _Batch) -> dict[tuple[str, int], list["Message"]]:
        messages: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for out in batch.outgoing:
            value, headers = to_kafka(out.topic, out.record)
            key = out.key.encode()
            messages[self._place(out.topic, key)].append((key, value, headers))
        for record in batch.to_self:
            value, headers = to_kafka(self.stage.input, record)
            messages[self._input.topic, self.partition].append((record.subject.encode(), value, headers))
        changelog = state_topic(self.stage.name).full_name(self._env.prefix)
        for row_of, name, row in batch.changes.items():
            messages[changelog, self.partition].append((row_key(row_of, name), row, []))
        return messages

    def _place(self, topic: Topic, key: bytes) -> tuple[str, int]:
        # The partitioner of every Kafka client, so that all agree where a key lives.
        name = topic.full_name(self._env.prefix)
        partitions = self._partitions.get(name)
        if partitions is None:
            raise LookupError(f"{self.stage.name} writes to {name}, which it does not declare")
        return name, partition_of(key, partitions)


@lru_cache(maxsize=50_000)
def partition_of(key: bytes, partitions: tuple[int, ...]) -> int:
    """The partition, of those, where every Kafka client puts the key."""
    # Kept, because the partitioner hashes in Python: one of its calls costs as much as the rest of a record's writing.
    return int(DefaultPartitioner()(key, partitions, partitions))


Message = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value, headers."""


def build_batches(create: Callable[[], BatchBuilder], messages: list[Message]) -> list[BatchBuilder]:
    """The messages in as few batches as hold them: one future a batch instead of one a record."""
    now = int(time.time() * 1000)
    built: list[BatchBuilder] = [create()]
    for key, value, headers in messages:
        if built[-1].append(timestamp=now, key=key, value=value, headers=headers) is None:
            built.append(create())
            if built[-1].append(timestamp=now, key=key, value=value, headers=headers) is None:
                raise ValueError(f"a record of {len(value or b'')} bytes does not fit into a batch")
    for builder in built:
        builder.close()
    return built
