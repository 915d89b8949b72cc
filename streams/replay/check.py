"""Compares what a stage wrote with what replay makes of its input: records, rows, effects (docs/design.md, 4.5)."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import orjson

from agents.stage import Stage
from schemas.codec import to_kafka
from schemas.events.operations import DeadLettered
from schemas.events.sending import EffectEnded
from streams.replay.rebuild import Births, Partition, Replayed, Row, replay
from streams.state import META, Meta, TaskState
from streams.step import Outgoing, SettingsLookup

Problem = Literal["missing", "unexpected", "different", "out of order", "state", "effect"]

_WHERE_READ = {"partition", "offset"}
"""What a dead letter says of the log itself: not compared."""


class Written(NamedTuple):
    """A record that the stage wrote. topic: bare name; cause: its causation id."""

    topic: str
    key: str
    cause: str
    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True)
class StageLog:
    """All that Kafka holds of a stage.

    written: its outputs, in order within a partition. shortened: output topics of whose keys the oldest records may be
    gone, by retention or compaction. partitions: of its input; whole: all of them, and none has lost its beginning.
    """

    partitions: Sequence[Partition]
    written: Sequence[Written]
    whole: bool
    shortened: Collection[str] = ()


@dataclass(frozen=True)
class Difference:
    """Where the log and its replay part.

    attribute: the first that differs, as a path. expected: by replay; got: in the log; both may be a customer's words.
    offset: of the record in the log; of one that is missing, of the input that should have led to it.
    """

    problem: Problem
    topic: str
    key: str
    partition: int
    offset: int | None = None
    record_id: str | None = None
    attribute: str | None = None
    expected: str | None = None
    got: str | None = None


@dataclass
class Report:
    """What was compared. skipped: keys whose history begins before the log; gone: outputs that retention took."""

    stage: str
    inputs: int = 0
    timers: int = 0
    outputs: int = 0
    rows: int = 0
    keys: int = 0
    effects: int = 0
    pending: int = 0
    skipped: int = 0
    gone: int = 0
    difference: Difference | None = None

    @property
    def identical(self) -> bool:
        return self.difference is None


class _Parted(Exception):
    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.problem)
        self.difference = difference


def check(
    stage: Stage, log: StageLog, settings: SettingsLookup, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Replay the stage and compare, up to the first difference. progress is called with inputs done since.

    What the inputs before the committed offset led to must be in the log. What later ones lead to may be: the log of a
    running stage is read a moment before its inputs are. So a row may also have a value that it gets later.
    """
    run = _Check(stage, log, settings, progress)
    try:
        for partition in log.partitions:
            run.partition(partition)
        run.nothing_left()
    except _Parted as parted:
        run.report.difference = parted.difference
    return run.report


@dataclass
class _Seen:
    """What the replay of one partition led to. later: the values that a row gets after the committed offset."""

    state: TaskState = field(default_factory=TaskState)
    keys: set[str] = field(default_factory=set)
    later: dict[Row, list[bytes | None]] = field(default_factory=lambda: defaultdict(list))
    effects: dict[str, tuple[str, int]] = field(default_factory=dict)
    ends: dict[str, tuple[str, int]] = field(default_factory=dict)
    positions: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


class _Check:
    def __init__(self, stage: Stage, log: StageLog, settings: SettingsLookup, progress: Callable[[int], None]) -> None:
        self._stage, self._log, self._settings, self._progress = stage, log, settings, progress
        self.report = Report(stage.name)
        self._causes: set[str] = set()
        self._written: dict[tuple[str, str, str], deque[Written]] = defaultdict(deque)
        for written in log.written:
            self._written[written.topic, written.key, written.cause].append(written)

    def partition(self, partition: Partition) -> None:
        """Replay one partition and compare what it led to."""
        births = Births(self._stage, partition) if partition.begins else None
        seen, until = _Seen(), partition.committed
        inputs = [message for message in partition.inputs if message.offset < until]
        timers = [fired for fired in partition.timers if fired.offset < until]
        for replayed in replay(self._stage, inputs, timers, self._settings, seen.state, births, partition.number):
            self._take(replayed, partition, seen, due=True)
        settled = {(key, name): row for key, name, row in seen.state.rows()}
        self.report.inputs += len(inputs)
        self.report.timers += len(timers)
        inputs = [message for message in partition.inputs if message.offset >= until]
        timers = [fired for fired in partition.timers if fired.offset >= until]
        for replayed in replay(self._stage, inputs, timers, self._settings, seen.state, births, partition.number):
            self._take(replayed, partition, seen, due=False)
            for name, row in replayed.step.rows.items():
                seen.later[replayed.step.key, name].append(row)
        self._rows(partition, settled, seen, whole=births is None)
        self._effects(partition, seen)
        self.report.keys += len(seen.keys)
        self.report.skipped += len(births.left_out) if births else 0
        self._progress(len(partition.inputs))

    def _take(self, replayed: Replayed, partition: Partition, seen: _Seen, *, due: bool) -> None:
        key, record = replayed.step.key, replayed.record
        seen.keys.add(key)
        if record is not None:
            self._causes.add(record.id)
            if isinstance(record.event, EffectEnded):
                seen.ends[record.event.effect_id] = (key, replayed.offset)
        for requested in replayed.step.effects:
            self.report.effects += 1
            if requested.effect.request.awaited:
                seen.effects[requested.effect.id] = (key, replayed.offset)
        for out in replayed.step.outgoing:
            self._causes.add(out.record.causation_id or "")
            self._compare(out, replayed.offset, partition.number, seen, due=due)

    def _compare(self, out: Outgoing, input_offset: int, partition: int, seen: _Seen, *, due: bool) -> None:
        place = (out.topic.name, out.key)
        waiting = self._written.get((*place, out.record.causation_id or ""))
        if not waiting:
            # Retention takes the oldest: once one of a key is there, the later ones must be.
            if due and out.topic.name in self._log.shortened and place not in seen.positions:
                self.report.gone += 1
            elif due:
                raise _Parted(Difference("missing", *place, partition, input_offset, out.record.id))
            return
        written = waiting.popleft()
        position = (written.partition, written.offset)
        where = (*place, *position, out.record.id)
        if difference := _first_difference(out, written.value):
            raise _Parted(Difference("different", *where, *difference))
        if position < seen.positions.get(place, position):
            raise _Parted(Difference("out of order", *where))
        seen.positions[place] = position
        self.report.outputs += 1

    def _rows(self, partition: Partition, settled: Mapping[Row, bytes], seen: _Seen, *, whole: bool) -> None:
        for row in sorted(partition.rows.keys() | settled.keys()):
            if not whole and row[0] not in seen.keys:
                continue
            got, expected = partition.rows.get(row), settled.get(row)
            if not any(_same(got, value) for value in (expected, *seen.later.get(row, ()))):
                key, name = row
                attribute = f"row {name or '(runtime)'}"
                where = (f"{self._stage.name}-state", key, partition.number, None, None, attribute)
                raise _Parted(Difference("state", *where, _text(expected), _text(got)))
            self.report.rows += 1

    def _effects(self, partition: Partition, seen: _Seen) -> None:
        pending = {
            key: effect
            for (key, name), row in partition.rows.items()
            if name == META and (effect := Meta.decode(row).effect)
        }
        topic = self._stage.input.name
        for effect, (key, offset) in seen.effects.items():
            if effect in seen.ends:
                continue
            if pending.get(key) == effect:
                self.report.pending += 1
            elif offset < partition.committed:
                where = (topic, key, partition.number, offset, effect)
                raise _Parted(Difference("effect", *where, "its end", "an end, or the effect pending", "neither"))
        for effect, (key, offset) in seen.ends.items():
            if effect not in seen.effects:
                where = (topic, key, partition.number, offset, effect)
                raise _Parted(Difference("effect", *where, "the effect", "none with this id", "its end"))

    def nothing_left(self) -> None:
        """What is left over in the log was written for nothing that replay knows of."""
        for (topic, key, cause), left in self._written.items():
            if left and (self._log.whole or cause in self._causes):
                written = left[0]
                record_id = orjson.loads(written.value).get("id")
                where = (topic, key, written.partition, written.offset, record_id)
                raise _Parted(Difference("unexpected", *where))


def _same(got: bytes | None, expected: bytes | None) -> bool:
    if got is None or expected is None or got == expected:
        return got == expected
    return bool(orjson.loads(got) == orjson.loads(expected))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _first_difference(out: Outgoing, value: bytes) -> tuple[str, str | None, str | None] | None:
    """Attribute, expected, got."""
    expected, _ = to_kafka(out.topic, out.record)
    if expected == value:
        return None
    ours, theirs = orjson.loads(expected), orjson.loads(value)
    if isinstance(out.record.event, DeadLettered):
        for body in (ours, theirs):
            body["data"] = {name: part for name, part in body["data"].items() if name not in _WHERE_READ}
    return _parting(ours, theirs)


def _parting(ours: object, theirs: object, path: str = "") -> tuple[str, str | None, str | None] | None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in (*ours, *(name for name in theirs if name not in ours)):
            below = f"{path}.{name}" if path else name
            if name not in ours or name not in theirs:
                return below, _json(ours, name), _json(theirs, name)
            if found := _parting(ours[name], theirs[name], below):
                return found
        return None
    return None if ours == theirs else (path, orjson.dumps(ours).decode(), orjson.dumps(theirs).decode())


def _json(body: Mapping[str, object], name: str) -> str | None:
    return orjson.dumps(body[name]).decode() if name in body else None
