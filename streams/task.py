"""A task: the owner of one partition of one stage. One Kafka transaction per batch; commit or die."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.stage import Stage
from schemas.connection import client_options
from schemas.messaging import EffectEnded
from schemas.topics import state_topic
from streams.effects import EffectRunner, ended
from streams.effects_contract import Unknown
from streams.environment import Environment
from streams.faust_internals import Fetched, believe_loaded_offsets_only
from streams.processor import Batch, Processor, topics_of
from streams.producing import build_batches
from streams.state import OFFSET_KEY, Changes, TaskState, split_row_key

logger = logging.getLogger(__name__)

MAX_RECORDS = 4000
"""Records a transaction takes: bounds its length, and what is done again after a crash."""
ENOUGH_RECORDS = 100
COLLECT_AT_MOST = 0.05
"""Seconds, and records that are not waited longer for: see Task._collect."""
MAX_EFFECTS = 32
"""Calls a task may have under way: what a crash leaves unknown, and a greeting of unknown outcome is not sent again."""
FATAL = 70


@dataclass(frozen=True, slots=True)
class Barrier:
    """All that was written before `time` is processed once the task has processed its input up to `offset`."""

    time: datetime
    offset: int


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
        processor: Processor,
    ) -> None:
        self.stage, self.partition, self.generation = stage, partition, generation
        self._env, self._on_taken, self._processor = env, on_taken, processor
        self._input = TopicPartition(stage.input.full_name(env.prefix), partition)
        self._producer = env.new_producer(env.connection, f"{env.group(stage)}-{partition}")
        self._state = TaskState()
        self._fetched: deque[Fetched] = deque()
        self._ends: deque[tuple[str, EffectEnded]] = deque()
        self._correlations: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._in_transaction = False
        self._barrier: Barrier | None = None
        self._effects = EffectRunner(env.performers.get(stage.name), self._on_end)
        self.next_offset = 0
        self._position = 0
        self._told: int | None = None
        self._committed_at = self._took = 0.0
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
            self._wake.set()

    def allow(self, barrier: Barrier | None) -> None:
        """Let the timers due by the barrier's time fire, once the task is past its offset. None: none may."""
        self._barrier = barrier
        self._wake.set()

    @property
    def state(self) -> TaskState:
        """The committed rows."""
        return self._state

    @property
    def delivered_offset(self) -> int:
        """Everything before it has been fetched."""
        return self.next_offset if self._told is None else self._told

    @property
    def busy_effects(self) -> int:
        """Calls under way, and ends that are to be written."""
        return self._effects.running + len(self._ends)

    @property
    def in_transaction(self) -> bool:
        """A batch is on its way: what it leads to, effects too, is not known yet."""
        return self._in_transaction

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
                await self._collect()
                self._wake.clear()
                self.last_loop = time.monotonic()
                while not self._closing.is_set() and await self._advance():
                    self.last_loop = time.monotonic()
                    await self._collect()
            await self._effects.settle()
            if self._ends:
                batch = Batch(Changes(self._state))
                self._write_ends(batch)
                await self._transact(batch, None)
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
        believe_loaded_offsets_only(consumer)
        await consumer.start()
        try:
            changelog = TopicPartition(state_topic(self.stage.name).full_name(self._env.prefix), self.partition)
            consumer.assign([changelog])
            # At most what the changelog says and transaction markers after it; often less, and then it does not count.
            self.next_offset = await consumer.committed(self._input) or 0
            await self._restore(consumer, changelog)
        finally:
            await consumer.stop()
        self._position = self.next_offset
        names = [topic.full_name(self._env.prefix) for topic in topics_of(self.stage)]
        self._processor.partitions = {n: tuple(sorted(await self._producer.partitions_for(n))) for n in names}
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
            self.last_loop = time.monotonic()
            for message in (await consumer.getmany(timeout_ms=200)).get(changelog, ()):
                if message.key == OFFSET_KEY:
                    self.next_offset = max(self.next_offset, int(message.value))
                    continue
                key, name = split_row_key(message.key)
                self._state.write(key, name, message.value)

    async def _collect(self) -> None:
        """Let some records come together first, unless enough wait.

        As long as the last transaction took: a busy loop has fewer of them then, and each one, so every stage, is
        quicker. One that comes after a rest is not held up.
        """
        if self.stage.unhurried:
            enough, pause = MAX_RECORDS, self._env.collect
        else:
            enough, pause = ENOUGH_RECORDS, self._committed_at + min(self._took, COLLECT_AT_MOST) - time.monotonic()
        if self.queued < enough and pause > 0:
            await asyncio.sleep(pause)

    async def _advance(self) -> bool:
        """Do one transaction's worth, if there is any."""
        room = self._room()
        # Before more records: under a load that never ends there are always more.
        if room and self._timers_due():
            due = self._state.due(self._barrier.time, room) if self._barrier else []
            await self._transact(self._processor.fire(due, self._state, self.next_offset), None)
            return True
        records, position = self._take_records(room)
        if records or self._ends:
            batch = await self._processor.process(records, self._state)
            self._write_ends(batch)
            await self._transact(batch, position if position > self.next_offset else None)
            return True
        # Past transaction markers alone: nothing depends on it but what the group is told.
        self.next_offset = max(self.next_offset, position)
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

    def _timers_due(self) -> bool:
        barrier, deadline = self._barrier, self._state.next_deadline()
        if barrier is None or deadline is None:
            return False
        return self.next_offset >= barrier.offset and deadline <= barrier.time

    def _on_end(self, key: str, end: EffectEnded) -> None:
        self._ends.append((key, end))
        self._wake.set()

    def _write_ends(self, batch: Batch) -> None:
        while self._ends:
            key, end = self._ends.popleft()
            self._processor.end(batch, key, end, self._correlations.pop(end.effect_id, None))

    # --- the transaction: nothing is caught, retried or logged away between begin and commit ---------------------

    async def _transact(self, batch: Batch, position: int | None) -> None:
        attempted_at = time.monotonic()
        producer = self._producer
        self._processor.keep(batch, position)
        self._in_transaction = True
        await producer.begin_transaction()
        sent = [
            await producer.send_batch(built, topic, partition=partition)
            for (topic, partition), messages in batch.messages.items()
            for built in build_batches(producer.create_batch, messages)
        ]
        # A failed send does not poison the transaction: each one must be awaited.
        await asyncio.gather(*sent)
        await producer.commit_transaction()
        batch.changes.commit(self._state)
        if position is not None:
            self.next_offset = position
        self._committed_at = time.monotonic()
        self._took = self._committed_at - attempted_at
        self._env.metrics.transactions.labels(self.stage.name).observe(self._took)
        for key, requested in batch.effects:
            self._correlations[requested.effect.id] = requested.correlation_id
            self._effects.start(key, requested.effect, attempted_at)
        self._in_transaction = False
