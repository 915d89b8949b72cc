"""What a stage makes of a batch: one step a record, and all that the transaction is to hold."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aiokafka.structs import ConsumerRecord

from agents.stage import Stage
from bus.transactional import Message, partition_of
from schemas.codec import from_kafka, to_kafka
from schemas.events.operations import DeadLettered, TimersFired
from schemas.events.sending import EffectEnded
from schemas.ids import derived_id
from schemas.record import Record, UndecodableRecord, from_milliseconds
from schemas.topics import DEAD_LETTERS, TIMERS, Topic, state_topic
from streams.effects.runner import end_record
from streams.runtime.failures import Failures
from streams.runtime.shared import Environment
from streams.state import OFFSET_KEY, Changes, TaskState, row_key
from streams.step import Due, Outgoing, Requested, Step, step, undecodable

logger = logging.getLogger(__name__)

YIELD_EVERY = 50
"""Records after which the other tasks of the process have their turn: their transactions continue meanwhile."""


@dataclass
class Batch:
    """What one transaction is to hold: messages by (topic, partition), changed rows; and the effects that follow it."""

    changes: Changes
    messages: dict[tuple[str, int], list[Message]] = field(default_factory=lambda: defaultdict(list))
    effects: list[tuple[str, Requested]] = field(default_factory=list)


def topics_of(stage: Stage) -> tuple[Topic, ...]:
    """Every topic that a task of the stage reads or writes."""
    return (stage.input, *stage.outputs, state_topic(stage.name), DEAD_LETTERS, TIMERS)


class Processor:
    """Runs a stage's steps for one partition of its input, and puts what they lead to on its way.

    partitions: of every topic in topics_of(stage), by full name; set once they are known.
    """

    def __init__(self, env: Environment, stage: Stage, partition: int) -> None:
        self._env, self._stage, self._partition = env, stage, partition
        self._failures = Failures(stage.name)
        self._input = stage.input.full_name(env.prefix)
        self._changelog = state_topic(stage.name).full_name(env.prefix)
        self.partitions: Mapping[str, tuple[int, ...]] = {}

    async def process(self, records: Iterable[ConsumerRecord], state: TaskState) -> Batch:
        """The steps of the records, in order."""
        batch = Batch(Changes(state))
        count = failed = 0
        for message in records:
            outcome = await self._step(message, batch.changes)
            if outcome.failure:
                failed += 1
                logger.debug("record %s-%d:%d: %s", self._input, self._partition, message.offset, outcome.failure)
            self._add(batch, outcome, message)
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self._failures.count(count, failed)
        self._env.metrics.records.labels(self._stage.name).inc(count)
        return batch

    def fire(self, due: list[tuple[int, str]], state: TaskState, offset: int) -> Batch:
        """The steps of due timers, (deadline in unix ms, key), and the record of where in the input they fired."""
        batch = Batch(Changes(state))
        for deadline, key in due:
            timers = Due(key, from_milliseconds(deadline))
            outcome = step(self._stage, batch.changes, timers, self._env.settings.lookup, self._partition)
            if outcome.failure:
                logger.debug("a timer of %s-%d: %s", self._stage.name, self._partition, outcome.failure)
            self._add(batch, outcome, None)
        last = from_milliseconds(due[-1][0])
        fired = TimersFired(stage=self._stage.name, partition=self._partition, due=last, offset=offset)
        subject = f"{self._stage.name}/{self._partition}"
        # By the earliest, not the last: what a timer sets may be due at the last's time too, and fire next, here.
        record_id = derived_id(subject, *due[0], offset)
        record = Record(record_id, f"/livedesk/{self._stage.name}", last, subject, fired)
        self._write(batch, Outgoing(TIMERS, subject, record))
        self._env.metrics.timers.labels(self._stage.name).inc(len(due))
        return batch

    def end(self, batch: Batch, key: str, end: EffectEnded, correlation_id: str | None) -> None:
        """The end of an effect goes to the stage's own input: this partition of it."""
        record = end_record(self._stage.name, key, end, self._env.clock(), correlation_id)
        value, headers = to_kafka(self._stage.input, record)
        batch.messages[self._input, self._partition].append((key.encode(), value, headers))
        self._env.metrics.effects.labels(self._stage.name, end.outcome).inc()

    def write_state(self, batch: Batch, offset: int | None) -> None:
        """Write the changed rows, as they are at the end of the batch, and the offset to the stage's changelog.

        There the offset stands and falls with the rows. The consumer group's offset follows afterwards.
        """
        rows: list[Message] = [(row_key(key, name), row, []) for key, name, row in batch.changes.items()]
        if offset is not None:
            rows.append((OFFSET_KEY, b"%d" % offset, []))
        if rows:
            batch.messages[self._changelog, self._partition] += rows

    async def _step(self, message: ConsumerRecord, changes: Changes) -> Step:
        try:
            record = from_kafka(self._stage.input, message.value, message.headers)
        except UndecodableRecord as error:
            key, now = (message.key or b"").decode(errors="replace"), from_milliseconds(message.timestamp)
            return undecodable(self._stage, changes, key, message.value or b"", message.headers, now, str(error))
        if record.settings_revision:
            await self._env.settings.wait_for(record.channel, record.settings_revision)
        return step(self._stage, changes, record, self._env.settings.lookup, self._partition)

    def _add(self, batch: Batch, outcome: Step, message: ConsumerRecord | None) -> None:
        batch.changes.update(outcome.key, outcome.rows)
        for out in outcome.outgoing:
            self._write(batch, self._located(out, message) if out.topic is DEAD_LETTERS else out)
        batch.effects.extend((outcome.key, requested) for requested in outcome.effects)

    def _located(self, out: Outgoing, message: ConsumerRecord | None) -> Outgoing:
        """A dead letter also says where it was read."""
        event = out.record.event
        if not isinstance(event, DeadLettered):
            return out
        self._env.metrics.dead_letters.labels(self._stage.name, event.reason).inc()
        if message is None:
            return out
        event = event.model_copy(update={"partition": message.partition, "offset": message.offset})
        return out._replace(record=replace(out.record, event=event))

    def _write(self, batch: Batch, out: Outgoing) -> None:
        name = out.topic.full_name(self._env.prefix)
        partitions = self.partitions.get(name)
        if partitions is None:
            raise LookupError(f"{self._stage.name} writes to {name}, which it does not declare")
        value, headers = to_kafka(out.topic, out.record)
        key = out.key.encode()
        batch.messages[name, partition_of(key, partitions)].append((key, value, headers))
