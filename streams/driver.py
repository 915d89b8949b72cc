"""The in-memory driver: every stage in one process, without a broker, on a virtual clock, deterministic.

What Kafka Streams has as TopologyTestDriver. Records are taken in the order written, over all topics, until quiet.
Effects are performed when nothing else is left to do: whom they call is slower than the stages, and so nothing depends
on how many stages stand between.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime

from agents.stage import Stage
from schemas.codec import from_kafka, to_kafka
from schemas.effects import EffectRequest
from schemas.record import Record, from_milliseconds
from schemas.topics import Topic
from streams.effects.contract import Outcome
from streams.effects.runner import end_record, ended
from streams.runtime.settings_store import SettingsStore
from streams.state import Changes, TaskState
from streams.step import Due, Requested, Step, step
from streams.topology import TOPOLOGY

Perform = Callable[[EffectRequest, datetime], Outcome]
"""Performs an effect's request at an instant, at once."""


class Driver:
    """Runs the stages. `records` is everything written, in order, as (topic, record)."""

    def __init__(
        self, settings: SettingsStore, perform: Perform, now: datetime, stages: tuple[Stage, ...] = TOPOLOGY
    ) -> None:
        self.settings, self.now = settings, now
        self.records: list[tuple[Topic, Record]] = []
        self.states = {stage.name: TaskState() for stage in stages}
        self._perform, self._stages = perform, stages
        self._queue: deque[tuple[Topic, Record]] = deque()
        self._asked: dict[str, list[tuple[str, Requested]]] = {stage.name: [] for stage in stages}

    def write(self, topic: Topic, record: Record) -> None:
        """Write a record, as ingress would. Nothing is processed until run()."""
        # Through the bytes that Kafka would carry, so that what does not survive them shows here too.
        value, headers = to_kafka(topic, record)
        record = from_kafka(topic, value, headers) if topic.types else record
        self.records.append((topic, record))
        self._queue.append((topic, record))

    def run(self) -> None:
        """Process until quiet."""
        while self._queue or self._perform_asked():
            while self._queue:
                topic, record = self._queue.popleft()
                for stage in self._stages:
                    if stage.input.name == topic.name:
                        self._apply(stage, step(stage, self.states[stage.name], record, self.settings.lookup))

    def advance(self, to: datetime) -> None:
        """Let time pass: the timers due on the way fire, earliest first, each followed by what it leads to."""
        self.run()
        while (deadline := self.next_deadline()) is not None and deadline <= to:
            self.now = max(self.now, deadline)
            for stage in self._stages:
                state = self.states[stage.name]
                for at, key in state.due(deadline, limit=1_000_000):
                    due = Due(key, from_milliseconds(at))
                    self._apply(stage, step(stage, state, due, self.settings.lookup))
            self.run()
        self.now = max(self.now, to)

    def next_deadline(self) -> datetime | None:
        """The earliest timer of any stage."""
        deadlines = [state.next_deadline() for state in self.states.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _apply(self, stage: Stage, outcome: Step) -> None:
        changes = Changes(self.states[stage.name])
        for name, value in outcome.rows.items():
            changes.write(outcome.key, name, value)
        changes.commit(self.states[stage.name])
        for out in outcome.outgoing:
            self.write(out.topic, out.record)
        self._asked[stage.name] += ((outcome.key, requested) for requested in outcome.effects)

    def _perform_asked(self) -> bool:
        """Perform the effects of the first stage that asked for some. False: none did."""
        for stage in self._stages:
            asked, self._asked[stage.name] = self._asked[stage.name], []
            for key, requested in asked:
                end = ended(requested.effect.id, self._perform(requested.effect.request, self.now))
                if not requested.effect.request.awaited:
                    continue
                self.write(stage.input, end_record(stage.name, key, end, self.now, requested.correlation_id))
            if asked:
                return True
        return False
