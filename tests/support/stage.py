"""One stage on a bench: events in, what it emits out. No broker, no clock."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

from agents.stage import RowT, Stage
from schemas.event import Event
from schemas.record import Record, decode, encode, from_milliseconds
from schemas.settings.channel import ChannelSettings
from schemas.topics import Topic
from streams.state import META, KeyRows, Meta, TaskState
from streams.step import Due, Step, step

EventT = TypeVar("EventT", bound=Event)


class Emitted(NamedTuple):
    topic: Topic
    key: str
    event: Event


class StageBench:
    """Steps a stage as a task does. settings: of the one channel, which may be replaced on the way."""

    def __init__(self, stage: Stage, settings: ChannelSettings, partition: int = 0) -> None:
        self.stage = stage
        self.settings = settings
        self.partition = partition
        self.state = TaskState()
        self._records = 0

    def feed(self, event: Event, *, at: datetime, key: str) -> list[Emitted]:
        """What the stage emits about the event, after the timers of its key that are due."""
        self._records += 1
        record = Record(f"record-{self._records}", "/test", at, key, event, channel=self.settings.id)
        return self._take(step(self.stage, self.state, record, self._lookup, self.partition))

    def fire(self, until: datetime) -> list[Emitted]:
        """What the timers due by then emit, in the order of their deadlines."""
        emitted: list[Emitted] = []
        while due := self.state.due(until, limit=1):
            at, key = due[0]
            moment = Due(key, from_milliseconds(at))
            emitted += self._take(step(self.stage, self.state, moment, self._lookup, self.partition))
        return emitted

    def row(self, key: str, name: str, model: type[RowT]) -> RowT | None:
        return KeyRows(self.state, key).get(name, model)

    def row_names(self, key: str, prefix: str = "") -> list[str]:
        return [name for name in self.state.names(key, prefix) if name != META]

    def timers(self, key: str) -> set[str]:
        """The names of the timers that are set."""
        value = self.state.read(key, META)
        return set() if value is None else set(Meta.decode(value).timers)

    def row_sizes(self) -> Iterator[int]:
        return (len(value) for _, _, value in self.state.rows())

    def _lookup(self, channel: str, revision: int) -> ChannelSettings:
        assert channel == self.settings.id
        return self.settings

    def _take(self, made: Step) -> list[Emitted]:
        assert made.failure is None
        for name, value in made.rows.items():
            self.state.write(made.key, name, value)
        for outgoing in made.outgoing:
            assert self.stage.name in outgoing.topic.writers[type(outgoing.record.event)].split(", ")
            assert decode(encode(outgoing.record), outgoing.topic.types) == outgoing.record
        return [Emitted(outgoing.topic, outgoing.key, outgoing.record.event) for outgoing in made.outgoing]


def the(model: type[EventT], emitted: list[Emitted]) -> EventT:
    """The one event of that type."""
    found = all_of(model, emitted)
    assert len(found) == 1, f"{len(found)} of {model.type}"
    return found[0]


def all_of(model: type[EventT], emitted: list[Emitted]) -> list[EventT]:
    """The events of that type, in order."""
    return [entry.event for entry in emitted if isinstance(entry.event, model)]


def types(emitted: list[Emitted]) -> list[str]:
    """The types of what was emitted, in order."""
    return [entry.event.type for entry in emitted]
