"""One step of a stage: fire the key's due timers, then decide. Pure, and the only caller of decide."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from agents.stage import Context, Effect, Emit, Row, Stage, TimerFired
from schemas.codec import Headers, to_kafka
from schemas.event import Event
from schemas.events.operations import DeadLettered, KeyUnparked
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of, derived_id
from schemas.record import Record, body_text, from_milliseconds, milliseconds
from schemas.settings.channel import ChannelSettings
from schemas.topics import DEAD_LETTERS, Topic
from streams.state import META, NO_META, KeyRows, Meta, Reader, birth_mark

SettingsLookup = Callable[[str, int], ChannelSettings]
"""(channel id, revision) -> the channel's settings at that revision. Raises LookupError when it has not been read."""

MAX_FIRINGS = 1000
"""Timers that one key may fire in one step: a stage that sets a timer in the past for ever is a bug, not a loop."""


class Due(NamedTuple):
    """In place of a record: nothing came in, but the key's timers due by `time` fire."""

    key: str
    time: datetime


class Outgoing(NamedTuple):
    """A record to write, and where."""

    topic: Topic
    key: str
    record: Record


class Requested(NamedTuple):
    """An effect to perform after the commit, and the correlation id that its end carries on."""

    effect: Effect
    correlation_id: str


class Step(NamedTuple):
    """What one record, or a key's due timers, led to."""

    key: str
    rows: Mapping[str, bytes | None]
    outgoing: tuple[Outgoing, ...] = ()
    effects: tuple[Requested, ...] = ()
    failure: str | None = None


def step(stage: Stage, state: Reader, record: Record | Due, settings: SettingsLookup, partition: int = 0) -> Step:
    """Fire the due timers of the record's key, then decide about the record.

    Changes nothing: what follows is in the Step. A decision that fails parks the key (stage.parks) and the record
    becomes a dead letter; Step.failure then names the error.
    """
    if isinstance(record, Due):
        key = record.key
    else:
        key = stage.rows_key(record.subject)
        if record.replayed_for is not None and record.replayed_for != stage.name:
            return Step(key, {})
    try:
        run = _Run(stage, state, key, settings, partition)
        if isinstance(record, Record) and isinstance(record.event, KeyUnparked):
            run.unpark(record.event)
            return run.done()
        run.fire(record.time)
        if isinstance(record, Record):
            run.take(record)
        return run.done()
    except Exception as error:  # noqa: BLE001 - a bug in a stage must stop one key, not the partition
        return _failed(stage, state, key, record, f"{type(error).__name__} in {stage.name}")


class _Run:
    def __init__(self, stage: Stage, state: Reader, key: str, settings: SettingsLookup, partition: int) -> None:
        value = state.read(key, META)
        self._existed = value is not None
        meta = NO_META if value is None else Meta.decode(value)
        self._clock, self._timers, self._revisions = meta.clock, dict(meta.timers), dict(meta.revisions)
        self._effect, self._parked, self._count, self._born = meta.effect, meta.parked, meta.rows, meta.born
        self._stage, self._key, self._settings, self._partition = stage, key, settings, partition
        self._changed: dict[str, bytes | None] = {}
        self._rows = KeyRows(state, key, self._changed)
        self._outgoing: list[Outgoing] = []
        self._effects: list[Requested] = []

    def fire(self, until: datetime) -> None:
        """Fire the timers due by `until`, in the order of their deadlines, each at its own."""
        if self._parked or not self._timers:
            return
        limit = milliseconds(until)
        for _ in range(MAX_FIRINGS):
            due = min(((at, name) for name, at in self._timers.items() if at <= limit), default=None)
            if due is None:
                return
            at, name = due
            del self._timers[name]
            self._clock = max(self._clock, at)
            cause = derived_id(self._stage.name, self._key, name, at)
            channel = None if self._stage.shared else channel_of(self._key)
            self._decide(self._key, TimerFired(name), _Cause(cause, cause, channel))
        raise RuntimeError("a timer sets itself in the past for ever")

    def take(self, record: Record) -> None:
        """Decide about the record."""
        if self._parked:
            letter = dead_letter(self._stage, record, "parked", "")
            self._outgoing.append(letter)
            self._parked = letter.record.id
            return
        self._born = self._born or birth_mark(record.id)
        channel = record.channel
        if channel is not None and record.settings_revision > self._revisions.get(channel, 0):
            self._revisions[channel] = record.settings_revision
        self._clock = max(self._clock, milliseconds(record.time))
        if isinstance(record.event, EffectEnded):
            if record.event.effect_id != self._effect:
                return  # an end whose attempt is not pending: the task that wrote it was replaced meanwhile
            self._effect = None
        self._decide(record.subject, record.event, _Cause(record.id, record.correlation_id or record.id, channel))

    def unpark(self, order: KeyUnparked) -> None:
        """Let the key's records in again, unless a dead letter came that the order doesn't know of.

        The clock stays: what was parked is processed at its own time.
        """
        if order.letter_id in (None, self._parked):
            self._parked = None

    def _decide(self, key: str, event: Event | TimerFired, cause: "_Cause") -> None:
        now = from_milliseconds(self._clock)
        context = Context(self._stage.name, key, now, cause.id, self._settings_now, self._partition)
        decision = self._stage.decide(self._rows, event, context)
        for name, row in decision.writes.items():
            self._write(name, row)
        for name, at in decision.timers.items():
            if at is None:
                self._timers.pop(name, None)
            else:
                self._timers[name] = milliseconds(at)
        for effect in decision.effects:
            if effect.request.awaited:
                if self._effect is not None:
                    raise RuntimeError("a second effect in flight for one key")
                self._effect = effect.id
            self._effects.append(Requested(effect, cause.correlation_id))
        for index, emit in enumerate(decision.emit):
            self._emit(index, emit, now, cause)

    def _write(self, name: str, row: Row | None) -> None:
        existed = self._rows.read(name) is not None
        if row is not None:
            self._changed[name] = row.__pydantic_serializer__.to_json(row, exclude_defaults=True)
            self._count += not existed
        elif existed:
            self._changed[name] = None
            self._count -= 1

    def _emit(self, index: int, emit: Emit, now: datetime, cause: "_Cause") -> None:
        if emit.topic not in self._stage.outputs:
            raise ValueError(f"{self._stage.name} does not declare {emit.topic.name} as an output")
        channel = emit.channel or cause.channel
        record = Record(
            id=derived_id(self._stage.name, cause.id, index),
            source=f"/livedesk/{self._stage.name}",
            time=now,
            subject=emit.key,
            event=emit.event,
            channel=channel,
            settings_revision=self._revisions.get(channel, 0) if channel else 0,
            correlation_id=cause.correlation_id,
            causation_id=cause.id,
        )
        self._outgoing.append(Outgoing(emit.topic, emit.key, record))

    def _settings_now(self, channel: str) -> ChannelSettings:
        return self._settings(channel, self._revisions.get(channel, 0))

    def done(self) -> Step:
        rows = self._changed
        # A key without rows, timers or effects is forgotten: its clock begins anew, as does what it knew of settings.
        if self._count or self._timers or self._effect or self._parked:
            seen = (self._clock, self._timers, self._revisions)
            rows[META] = Meta(*seen, self._effect, self._parked, self._count, self._born).encode()
        elif self._existed:
            rows[META] = None
        return Step(self._key, rows, tuple(self._outgoing), tuple(self._effects))


class _Cause(NamedTuple):
    id: str
    correlation_id: str
    channel: str | None


def dead_letter(stage: Stage, record: Record, reason: str, detail: str) -> Outgoing:
    """The record, whole, for the dead-letters topic."""
    value, headers = to_kafka(stage.input, record)
    correlation = record.correlation_id or record.id
    return _letter(stage, record.subject, value, headers, reason, detail, record.time, record.id, correlation)


def undecodable(stage: Stage, state: Reader, key: str, value: bytes, headers: Headers, now: datetime, why: str) -> Step:
    """What to do about a Kafka message that holds no record: a dead letter, and the key is parked."""
    cause = derived_id(stage.name, key, value)
    letter = _letter(stage, key, value, headers, "undecodable", why, now, cause, cause)
    return Step(key, _parked(stage, state, key, letter), (letter,), failure=f"undecodable record: {why}")


def _failed(stage: Stage, state: Reader, key: str, record: Record | Due, failure: str) -> Step:
    if isinstance(record, Record):
        letter = dead_letter(stage, record, "failed", failure)
    else:
        # There is nothing to write back, but the key must show, and its letter's id is needed to unpark it.
        cause = derived_id(stage.name, key, "timers", milliseconds(record.time))
        letter = _letter(stage, key, b"", (), "timer_failed", failure, record.time, cause, cause)
    return Step(key, _parked(stage, state, key, letter), (letter,), failure=failure)


def _parked(stage: Stage, state: Reader, key: str, letter: Outgoing) -> dict[str, bytes | None]:
    if not stage.parks:
        return {}
    value = state.read(key, META)
    born = birth_mark(letter.record.causation_id or "")
    meta = NO_META._replace(born=born) if value is None else Meta.decode(value)
    return {META: meta._replace(parked=letter.record.id).encode()}


def _letter(
    stage: Stage,
    key: str,
    value: bytes,
    headers: Headers,
    reason: str,
    detail: str,
    now: datetime,
    cause: str,
    correlation: str,
) -> Outgoing:
    body, encoding = body_text(value)
    event = DeadLettered(
        reason=reason,
        detail=detail,
        stage=stage.name,
        topic=stage.input.name,
        body=body,
        encoding=encoding,
        headers={name: content.decode(errors="replace") for name, content in headers},
    )
    letter = Record(
        id=derived_id(stage.name, cause, "dead-letter"),
        source=f"/livedesk/{stage.name}",
        time=now,
        subject=key,
        event=event,
        correlation_id=correlation,
        causation_id=cause,
    )
    return Outgoing(DEAD_LETTERS, key, letter)
