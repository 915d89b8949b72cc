"""Replay: a stage's outputs and state rebuilt from its input, the timers topic and the settings, by step() alone."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from agents.stage import Stage
from schemas.codec import Headers, from_kafka
from schemas.events.operations import KeyUnparked, TimersFired
from schemas.record import Record, UndecodableRecord, from_milliseconds
from streams.state import META, Changes, Meta, TaskState, birth_mark
from streams.step import Due, SettingsLookup, Step, step, undecodable

Row = tuple[str, str]
"""Key and row name."""


class Input(NamedTuple):
    """One message of a stage's input as Kafka holds it. timestamp: Kafka's, unix milliseconds."""

    offset: int
    key: bytes
    value: bytes
    headers: Headers
    timestamp: int


class Partition(NamedTuple):
    """One partition of a stage's input, and what its task noted.

    begins: the first offset that retention has left. committed: the offset that the task has processed its input up to.
    timers: in the order they fired. rows: what the task's changelog holds.
    """

    number: int
    begins: int
    committed: int
    inputs: Sequence[Input]
    timers: Sequence[TimersFired]
    rows: Mapping[Row, bytes]


class Replayed(NamedTuple):
    """What one input, or the timers of one key that fired before the input at `offset`, led to.

    record: the input; None of timers and of what can't be decoded.
    """

    offset: int
    record: Record | None
    step: Step


def replay(
    stage: Stage,
    inputs: Iterable[Input],
    timers: Iterable[TimersFired],
    settings: SettingsLookup,
    state: TaskState,
    births: "Births | None" = None,
    partition: int = 0,
) -> Iterator[Replayed]:
    """Process the inputs of one partition, and fire its timers where they fired.

    `state` holds the rows after each one that is yielded. births: which keys are taken, and from which record on; None:
    all of them, the log being whole.
    """
    waiting = iter(timers)
    fired = next(waiting, None)
    for message in inputs:
        while fired is not None and fired.offset <= message.offset:
            yield from _fire(stage, fired, settings, state, partition)
            fired = next(waiting, None)
        record, outcome = _take(stage, message, settings, state, births, partition)
        if outcome is not None:
            _apply(outcome, state)
            yield Replayed(message.offset, record, outcome)
    while fired is not None:
        yield from _fire(stage, fired, settings, state, partition)
        fired = next(waiting, None)


def _take(
    stage: Stage, message: Input, settings: SettingsLookup, state: TaskState, births: "Births | None", partition: int
) -> tuple[Record | None, Step | None]:
    try:
        record = from_kafka(stage.input, message.value, message.headers)
    except UndecodableRecord as error:
        key, now = message.key.decode(errors="replace"), from_milliseconds(message.timestamp)
        if births is not None and not births.take(key, None):
            return None, None
        return None, undecodable(stage, state, key, message.value, message.headers, now, str(error))
    if births is not None and not births.take(stage.rows_key(record.subject), record.id):
        return record, None
    return record, step(stage, state, record, settings, partition)


def _fire(
    stage: Stage, fired: TimersFired, settings: SettingsLookup, state: TaskState, partition: int
) -> Iterator[Replayed]:
    # All of those due by then: a task takes no part of the timers with one deadline, and notes the last deadline.
    for deadline, key in state.due(fired.due, limit=sys.maxsize):
        outcome = step(stage, state, Due(key, from_milliseconds(deadline)), settings, partition)
        _apply(outcome, state)
        yield Replayed(fired.offset, None, outcome)


def _apply(outcome: Step, state: TaskState) -> None:
    changes = Changes(state)
    changes.update(outcome.key, outcome.rows)
    changes.commit(state)


class Births:
    """Which keys of a log that has lost its beginning can be replayed: those whose whole history is still in it.

    A key's own row says which record it began with, from no rows at all: what came before that has left nothing behind.
    A key that began with a record that is gone, or has no rows now, may have had rows at the log's beginning: it is
    left out. Where a stage declares no rows, a key has a past only if it has timers or effects, or was parked.
    """

    def __init__(self, stage: Stage, partition: Partition) -> None:
        self._marks = {key: Meta.decode(row).born for (key, name), row in partition.rows.items() if name == META}
        self._stateless = not stage.state
        unparked = KeyUnparked.type.encode()
        self._unparked = {message.key.decode() for message in partition.inputs if unparked in message.value}
        self.taken: set[str] = set()
        self.left_out: set[str] = set()

    def take(self, key: str, record_id: str | None) -> bool:
        """Whether this record of the key is part of its history. record_id None: it can't be decoded."""
        if key in self.taken:
            return True
        mark = self._marks.get(key)
        if mark is None:
            begins = self._stateless and key not in self._unparked
        else:
            begins = record_id is not None and birth_mark(record_id) == mark
        if begins:
            self.taken.add(key)
            self.left_out.discard(key)
        else:
            self.left_out.add(key)
        return begins
