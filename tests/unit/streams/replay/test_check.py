"""Replay agrees with what a task did, and finds whatever it did not do."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import orjson
import pytest

from agents.stage import NOTHING, Context, Decision, Effect, Rows, Stage, TimerFired
from schemas.codec import from_kafka
from schemas.effects import EffectRequest
from schemas.event import Event
from schemas.events.operations import TimersFired
from schemas.events.sending import EffectEnded
from schemas.record import Record, UndecodableRecord, encode, from_milliseconds
from schemas.settings.channel import ChannelSettings
from schemas.topics import Topic
from streams.effects.runner import end_record
from streams.replay.check import Report, StageLog, Written, check
from streams.replay.rebuild import Input, Partition
from streams.state import Changes, TaskState
from streams.step import Due, Step, step, undecodable
from tests.broker.counting import COUNT, COUNTS, Number

AT = datetime(2026, 5, 18, 6, 0, tzinfo=UTC)


def no_settings(channel: str, revision: int) -> ChannelSettings:
    raise LookupError((channel, revision))


@dataclass
class Log:
    """One partition as a task would leave it. Offsets have gaps, as transaction markers make them."""

    stage: Stage = COUNT
    state: TaskState = field(default_factory=TaskState)
    inputs: list[Input] = field(default_factory=list)
    timers: list[TimersFired] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    committed: int = 0

    def feed(self, key: str, n: int, *, minute: int, remind: int | None = None) -> None:
        number = Number(n=n, remind=remind)
        self.take(encode(Record(f"{key}{n}", "/test", AT + timedelta(minutes=minute), key, number)), key)

    def take(self, value: bytes, key: str) -> Step:
        message = Input(self.committed, key.encode(), value, (), 1_779_084_000_000)
        self.inputs.append(message)
        self.committed += 2
        try:
            record = from_kafka(self.stage.input, value, ())
        except UndecodableRecord as error:
            now = from_milliseconds(message.timestamp)
            return self._apply(undecodable(self.stage, self.state, key, value, (), now, str(error)))
        return self._apply(step(self.stage, self.state, record, no_settings))

    def fire(self, minute: int) -> None:
        due = self.state.due(AT + timedelta(minutes=minute), limit=100)
        for deadline, key in due:
            self._apply(step(self.stage, self.state, Due(key, from_milliseconds(deadline)), no_settings))
        last = from_milliseconds(due[-1][0])
        self.timers.append(TimersFired(stage=self.stage.name, partition=0, due=last, offset=self.committed))

    def _apply(self, outcome: Step) -> Step:
        changes = Changes(self.state)
        changes.update(outcome.key, outcome.rows)
        changes.commit(self.state)
        for out in outcome.outgoing:
            cause, value = out.record.causation_id or "", encode(out.record)
            self.written.append(Written(out.topic.name, out.key, cause, 0, len(self.written), value))
        return outcome

    def partition(self) -> Partition:
        rows = {(key, name): row for key, name, row in self.state.rows()}
        return Partition(0, 0, self.committed, self.inputs, self.timers, rows)

    def check(self, partition: Partition | None = None, *, shortened: tuple[str, ...] = ()) -> Report:
        partition = partition or self.partition()
        log = StageLog([partition], self.written, whole=not partition.begins, shortened=shortened)
        return check(self.stage, log, no_settings)


def busy() -> Log:
    """Two keys, a timer that fires between records, a poison record and what is parked behind it."""
    log = Log()
    log.feed("a", 1, minute=0, remind=240)
    log.feed("b", 2, minute=1)
    log.fire(5)
    # Written before the timer's deadline, read after it had fired.
    log.feed("a", 3, minute=3)
    log.feed("b", -4, minute=7)
    log.feed("b", 5, minute=8)
    log.take(b"nonsense", "c")
    log.feed("a", 6, minute=9, remind=3600)
    return log


def problem(report: Report) -> tuple[str, str | None] | None:
    found = report.difference
    return None if found is None else (found.problem, found.attribute)


def test_a_task_s_replay_does_what_the_task_did() -> None:
    report = busy().check()
    assert report.identical
    assert (report.inputs, report.timers, report.outputs, report.keys) == (7, 1, 8, 3)


def without_a_record(log: Log) -> None:
    del log.written[2]


def a_record_twice(log: Log) -> None:
    log.written.append(log.written[0])


def from_nowhere(log: Log) -> None:
    log.written.append(log.written[0]._replace(cause="nothing known"))


def in_another_order(log: Log) -> None:
    first, later = [one for one in log.written if one.key == "a"][:2]
    log.written = [
        first._replace(offset=later.offset)
        if one is first
        else later._replace(offset=first.offset)
        if one is later
        else one
        for one in log.written
    ]


def another_count(log: Log) -> None:
    value = log.written[1].value.replace(b'"count":1', b'"count":7')
    log.written[1] = log.written[1]._replace(value=value)


def another_time(log: Log) -> None:
    body = orjson.loads(log.written[1].value)
    log.written[1] = log.written[1]._replace(value=orjson.dumps(body | {"time": "2026-05-18T06:00:01Z"}))


def a_timer_that_did_not_fire(log: Log) -> None:
    log.timers.clear()


def another_row(log: Log) -> None:
    log.state.write("a", "count", b'{"count":9}')


def a_row_too_many(log: Log) -> None:
    log.state.write("z", "count", b'{"count":1}')


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (without_a_record, ("missing", None)),
        (a_record_twice, ("unexpected", None)),
        (from_nowhere, ("unexpected", None)),
        (in_another_order, ("out of order", None)),
        (another_count, ("different", "data.count")),
        (another_time, ("different", "time")),
        (a_timer_that_did_not_fire, ("different", "time")),
        (another_row, ("state", "row count")),
        (a_row_too_many, ("state", "row count")),
    ],
)
def test_any_difference_is_found(spoil: Callable[[Log], None], expected: tuple[str, str | None]) -> None:
    log = busy()
    spoil(log)
    assert problem(log.check()) == expected


def test_rows_may_be_written_in_another_order_of_their_fields() -> None:
    log = busy()
    for key, name, row in list(log.state.rows()):
        body = orjson.loads(row)
        log.state.write(key, name, orjson.dumps(dict(reversed(body.items()))))
    assert log.check().identical


@pytest.mark.parametrize("behind", range(0, 15, 2))
def test_a_running_stage_may_be_ahead_of_what_was_read(behind: int) -> None:
    log = busy()
    partition = log.partition()
    assert log.check(partition._replace(committed=max(0, log.committed - behind))).identical
    early = log.written[:3]
    log.written = early
    assert log.check(partition._replace(committed=4)).identical
    assert problem(log.check(partition._replace(committed=14))) == ("missing", None)


def shortened(log: Log, begins: int) -> Partition:
    whole = log.partition()
    return whole._replace(begins=begins, inputs=[one for one in whole.inputs if one.offset >= begins])


def test_only_keys_born_inside_the_log_count_once_its_beginning_is_gone() -> None:
    log = Log()
    log.feed("old", 1, minute=0)
    log.feed("old", 2, minute=1)
    log.feed("new", 3, minute=2)
    log.feed("old", 4, minute=3)
    log.feed("new", 5, minute=4)
    report = log.check(shortened(log, begins=2))
    assert report.identical
    assert (report.keys, report.skipped, report.outputs) == (1, 1, 2)
    log.state.write("new", "count", b'{"count":5}')
    assert problem(log.check(shortened(log, begins=2))) == ("state", "row count")


def test_outputs_that_retention_took_are_not_missed_but_later_ones_are() -> None:
    log = Log()
    for n in range(4):
        log.feed("a", n, minute=n)
    log.written = log.written[2:]
    assert problem(log.check()) == ("missing", None)
    report = log.check(shortened=("counts",))
    assert report.identical
    assert (report.gone, report.outputs) == (2, 2)
    del log.written[1:]
    assert problem(log.check(shortened=("counts",))) == ("missing", None)


class Ask(EffectRequest):
    """What the asking stage asks for."""


class Wanted(Event):
    """The asking stage asks."""

    type: ClassVar[str] = "test.wanted"


WISHES = Topic("wishes", key="any", writers={Wanted: "test", EffectEnded: "ask"}, holds="wishes")


def ask(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    return (
        Decision(effects=(Effect(id := ctx.new_id("ask"), Ask(effect_id=id)),))
        if isinstance(event, Wanted)
        else NOTHING
    )


ASK = Stage("ask", input=WISHES, outputs=(COUNTS,), decide=ask, effects=(Ask,))


def asking(*, answered: bool) -> Log:
    log = Log(ASK)
    wish = Record("w1", "/test", AT, "k", Wanted())
    [requested] = log.take(encode(wish), "k").effects
    if answered:
        end = EffectEnded(effect_id=requested.effect.id, outcome="done")
        log.take(encode(end_record("ask", "k", end, AT, None)), "k")
    return log


def test_every_effect_has_its_end_or_is_pending() -> None:
    done, waiting = asking(answered=True).check(), asking(answered=False).check()
    assert done.identical
    assert waiting.identical
    assert ((done.effects, done.pending), (waiting.effects, waiting.pending)) == ((1, 0), (1, 1))


def test_an_effect_that_was_lost_is_found() -> None:
    log = asking(answered=False)
    partition = log.partition()
    found = log.check(partition._replace(rows={}))
    assert problem(found) == ("state", "row (runtime)")


def test_an_end_of_an_effect_that_nobody_asked_for_is_found() -> None:
    log = Log(ASK)
    end = EffectEnded(effect_id="another", outcome="unknown")
    log.take(encode(end_record("ask", "k", end, AT, None)), "k")
    assert problem(log.check()) == ("effect", "the effect")


def test_a_stage_that_decides_otherwise_is_found() -> None:
    log = busy()
    log.stage = replace(COUNT, decide=lambda rows, event, ctx: NOTHING)
    assert problem(log.check()) == ("state", "row (runtime)")
