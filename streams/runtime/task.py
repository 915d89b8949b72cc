"""A task: the owner of one partition of one stage. Every batch is committed whole, or the process ends."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.stage import Stage
from bus.aiokafka_fixes import believe_loaded_offsets_only
from bus.connection import client_options
from schemas.events.sending import EffectEnded
from schemas.topics import state_topic
from streams.effects.contract import Unknown
from streams.effects.runner import EffectRunner, ended
from streams.runtime.faust_overrides import Fetched
from streams.runtime.processor import Batch, Processor, topics_of
from streams.runtime.shared import Environment
from streams.runtime.transactions import Transactions, die, write
from streams.state import OFFSET_KEY, OWNER_KEY, Changes, TaskState, split_row_key

logger = logging.getLogger(__name__)

MAX_RECORDS = 4000
"""Records of a batch: bounds its transaction's length, and what is done again after a crash."""
GIVEN_UP_WITHIN_S, GIVEN_UP_LOOK_S = 1.0, 0.02
"""Seconds that a living process, which gives a partition up, has until that can be read. Then it is fenced."""
MAX_EFFECTS = 32
"""Calls a task may have under way: what a crash leaves unknown, and a greeting of unknown outcome is not sent again."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """All that was written before `time` is processed once the task has processed its input up to `offset`."""

    time: datetime
    offset: int


@dataclass(frozen=True)
class Leftovers:
    """What a task knew when it ended: the rows as the changelog says them before `read_to`, or later.

    Whoever opens the partition next in this process reads on from there. at: time.monotonic().
    """

    state: TaskState = field(default_factory=TaskState)
    read_to: int = 0
    next_offset: int = 0
    owner: str | None = None
    at: float = field(default_factory=time.monotonic)


class Task:
    """Owns one partition of a stage's input: fences, restores, claims, then commits batch after batch.

    Any exception ends the process: it must start over from the fence.
    """

    def __init__(
        self,
        env: Environment,
        transactions: Transactions,
        stage: Stage,
        partition: int,
        assignment: int,
        on_taken: Callable[[int, int], None],
        processor: Processor,
        kept: Leftovers,
    ) -> None:
        self.stage, self.partition, self._assignment = stage, partition, assignment
        self._env, self._transactions, self._on_taken, self._processor = env, transactions, on_taken, processor
        self._input = TopicPartition(stage.input.full_name(env.prefix), partition)
        self._changelog = TopicPartition(state_topic(stage.name).full_name(env.prefix), partition)
        self._state, self._owner = kept.state, kept.owner
        self._read_to, self.next_offset = kept.read_to, kept.next_offset
        self._fetched: deque[Fetched] = deque()
        self._ends: deque[tuple[str, EffectEnded]] = deque()
        self._correlations: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._in_transaction = False
        self._barrier: Barrier | None = None
        self._effects = EffectRunner(env.performers, self._on_end)
        self._position = 0
        self._fetched_to: int | None = None
        self._restoring = True
        self.queued = 0
        self.ready = False
        self.last_loop = time.monotonic()
        self._loop = asyncio.create_task(self._run(), name=f"{stage.name}-{partition}")

    # --- what the stage's runner calls ---------------------------------------------------------------------------

    def deliver(self, fetched: Fetched) -> None:
        """Queue what was fetched, unless it is of another assignment of the consumer."""
        if fetched.assignment != self._assignment or self._closing.is_set():
            return
        if fetched.after != self._fetched_to:
            gap = f"one after {fetched.after} follows one up to {self._fetched_to}"
            die(f"task {self.name}", RuntimeError(f"a fetch is missing: {gap}"))
        self._fetched_to = fetched.position
        if fetched.records or fetched.position > self._position:
            self._fetched.append(fetched)
            self.queued += len(fetched.records)
            self._wake.set()

    def allow(self, barrier: Barrier | None) -> None:
        """Let the timers due by the barrier's time fire, once the task is past its offset. None: none may."""
        self._barrier = barrier
        self._wake.set()

    @property
    def name(self) -> str:
        """The stage and the partition."""
        return f"{self.stage.name}-{self.partition}"

    @property
    def state(self) -> TaskState:
        """The committed rows."""
        return self._state

    @property
    def delivered_offset(self) -> int:
        """Everything before it has been fetched."""
        return self.next_offset if self._fetched_to is None else self._fetched_to

    @property
    def busy_effects(self) -> int:
        """Calls under way, and ends that are to be written."""
        return self._effects.running + len(self._ends)

    @property
    def in_transaction(self) -> bool:
        """A batch is on its way: what it leads to, effects too, is not known yet."""
        return self._in_transaction

    async def close(self) -> Leftovers:
        """Finish the running batch and effects, write their ends, and give the partition up."""
        self._closing.set()
        self._wake.set()
        if self._restoring:
            # It may take longer than a rebalance waits, and has changed nothing.
            self._loop.cancel()
        await asyncio.wait([self._loop])
        return Leftovers(self._state, self._read_to, self.next_offset, self._owner)

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
            await self._effects.drain()
            batch = Batch(Changes(self._state))
            self._write_ends(batch)
            # The next owner need not fence this process, which continues with its other partitions.
            batch.messages[self._changelog].append((OWNER_KEY, None, []))
            await self._commit(batch, None)
            self._owner = None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - commit or die: nothing may continue after a doubt
            die(f"task {self.name}", error)

    async def _open(self) -> None:
        """Make the partition this process' own. In this order: what is read must be final, and only one may claim it.

        The partition's own transactional id keeps everybody else from claiming it meanwhile. The changelog names the
        process that may still write to it, unless it gave it up: that one is fenced. Then all is read that it
        committed, and this process takes its place.
        """
        started = time.monotonic()
        fence = self._env.new_producer(self._env.connection, f"{self._env.group(self.stage)}-{self.partition}")
        await fence.start()
        try:
            await self._read_changelog()
            self._restoring = False
            self._owner = self._transactions.owner
            await write(fence, {self._changelog: [(OWNER_KEY, self._owner.encode(), [])]})
        finally:
            await fence.stop()
        self._position = self.next_offset
        names = [topic.full_name(self._env.prefix) for topic in topics_of(self.stage)]
        self._processor.partitions = {name: await self._transactions.partitions_for(name) for name in names}
        for key, effect_id in self._state.pending_effects():
            # The former owner may have made its call, or not.
            self._ends.append((key, ended(effect_id, Unknown())))
        self.ready = True
        self._wake.set()
        logger.debug("task %s is ready: %d keys, %.1f s", self.name, len(self._state), time.monotonic() - started)

    async def _read_changelog(self) -> None:
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
            consumer.assign([self._changelog])
            # At most what the changelog says and transaction markers after it; often less, and then it does not count.
            self.next_offset = max(self.next_offset, await consumer.committed(self._input) or 0)
            # From the beginning, or from where this process gave the partition up.
            consumer.seek(self._changelog, self._read_to)
            await self._restore(consumer)
            # A commit returns before its markers are written: the owner, alive, may just have given the partition up.
            given_up_by = time.monotonic() + GIVEN_UP_WITHIN_S
            while self._owner is not None and await self._more_to_come(consumer):
                if self._owner != self._transactions.owner and time.monotonic() > given_up_by:
                    break
                await asyncio.sleep(GIVEN_UP_LOOK_S)
                await self._restore(consumer)
            if self._owner not in (None, self._transactions.owner):
                await self._transactions.fence(self._owner)
                await self._restore(consumer)
        finally:
            await consumer.stop()

    async def _more_to_come(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether there is more than can be read: a transaction is open, or its markers are not written yet."""
        highwater = consumer.highwater(self._changelog)
        return highwater is None or bool(highwater > await consumer.position(self._changelog))

    async def _restore(self, consumer: AIOKafkaConsumer) -> None:
        """Read on to the end of what is committed."""
        end = (await consumer.end_offsets([self._changelog]))[self._changelog]
        restored = self._env.metrics.restored.labels(self.stage.name)
        # Positions, not counts: transaction markers leave holes in the offsets.
        while await consumer.position(self._changelog) < end:
            self.last_loop = time.monotonic()
            messages = (await consumer.getmany(timeout_ms=200)).get(self._changelog, ())
            for message in messages:
                if message.key == OFFSET_KEY:
                    self.next_offset = max(self.next_offset, int(message.value))
                elif message.key == OWNER_KEY:
                    self._owner = message.value.decode() if message.value else None
                else:
                    key, name = split_row_key(message.key)
                    self._state.write(key, name, message.value)
                self._read_to = message.offset + 1
            restored.inc(len(messages))

    async def _collect(self) -> None:
        """Let some records come together first, where nobody waits for the stage."""
        if self.stage.unhurried and self.queued < MAX_RECORDS:
            await asyncio.sleep(self._env.collect)

    async def _advance(self) -> bool:
        """Do one transaction's worth, if there is any."""
        room = self._room()
        # Before more records: under a load that never ends there are always more.
        if room and self._timers_due():
            due = self._state.due(self._barrier.time, room) if self._barrier else []
            await self._commit(self._processor.fire(due, self._state, self.next_offset), None)
            return True
        records, position = self._take_records(room)
        if records or self._ends:
            batch = await self._processor.process(records, self._state)
            self._write_ends(batch)
            await self._commit(batch, position if position > self.next_offset else None)
            return True
        # Past transaction markers alone: only the offset that the group reports depends on it.
        self.next_offset = max(self.next_offset, position)
        return False

    def _room(self) -> int:
        """How many records, or timers, may be taken now: each may ask for one effect."""
        if not self.stage.effects:
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

    async def _commit(self, batch: Batch, position: int | None) -> None:
        """position: of the input, after the batch's records; None: it has none."""
        attempted_at = time.monotonic()
        self._processor.write_state(batch, position)
        self._in_transaction = True
        offsets = await self._transactions.commit(batch.messages)
        batch.changes.commit(self._state)
        # Where the batch begins is enough: to read rows again does no harm.
        self._read_to = max(self._read_to, offsets.get(self._changelog, 0))
        if position is not None:
            self.next_offset = position
        self._env.metrics.batches.labels(self.stage.name).observe(time.monotonic() - attempted_at)
        for key, requested in batch.effects:
            if requested.effect.request.awaited:
                self._correlations[requested.effect.id] = requested.correlation_id
            self._effects.start(key, requested.effect, attempted_at)
        self._in_transaction = False
