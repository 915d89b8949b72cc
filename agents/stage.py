"""The stage contract: a stage is a value that says all about it; a decision is a value that the runtime carries out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from schemas.effects import EffectRequest
from schemas.event import Event
from schemas.ids import derived_id
from schemas.settings.channel import ChannelSettings
from schemas.topics import Topic


class Row(BaseModel):
    """One row of a stage's state: under 8 KiB, named within its key."""

    model_config = ConfigDict(frozen=True, extra="ignore")


RowT = TypeVar("RowT", bound=Row)


class Rows(Protocol):
    """The rows of the record's key: an ordered mapping from row name to row."""

    def get(self, name: str, model: type[RowT]) -> RowT | None:
        """The row of that name, or None."""

    def scan(self, prefix: str, model: type[RowT]) -> Iterator[tuple[str, RowT]]:
        """The rows whose name begins with prefix, in the order of their names, read as they are asked for."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer of the key is due. Not a record: its position is kept in the timers topic."""

    name: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage knows beside its rows and the event.

    now: the record's time or the timer's deadline (UTC); it never goes back within a key.
    cause: the id of the record, or of the timer's firing. partition: of the stage's input; 0 in the in-memory driver.
    """

    stage: str
    key: str
    now: datetime
    cause: str
    lookup: Callable[[str], ChannelSettings]
    partition: int = 0

    def settings(self, channel: str) -> ChannelSettings:
        """The channel's settings: the newer of the record's revision and the newest that the key has seen."""
        return self.lookup(channel)

    def new_id(self, label: str) -> str:
        """An id that the same cause always gives again."""
        return derived_id(self.stage, self.cause, label)


@dataclass(frozen=True, slots=True)
class Emit:
    """One record to write. channel: whose settings revision it is stamped with; left out, the cause's own."""

    topic: Topic
    key: str
    event: Event
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside after the commit; its end comes back as EffectEnded. One in flight per key.

    A request that is not awaited has no end that comes back, and does not count.
    """

    id: str
    request: EffectRequest


@dataclass(frozen=True, slots=True)
class Decision:
    """What a stage wants. writes: row name -> new row, or None to delete; timers: name -> when, or None to cancel."""

    writes: Mapping[str, Row | None] = field(default_factory=dict)
    emit: tuple[Emit, ...] = ()
    timers: Mapping[str, datetime | None] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()


NOTHING = Decision()

SHARED_ROWS: Final = "partition"
"""The key of a shared stage's rows."""

Decide = Callable[[Rows, Event | TimerFired, Context], Decision]


@dataclass(frozen=True)
class Stage:
    """One stage: one input topic, what it may write to, the rows it keeps, the effects it requests, and its decision.

    parks: a record it fails on parks the key; intake's keys are channels, so there the record goes alone.
    shared: one set of rows serves the whole partition in place of one for each key; such a stage parks nothing.
    unhurried: nobody notices a moment's delay, so it collects records meanwhile, to spend fewer transactions on them.
    """

    name: str
    input: Topic
    outputs: tuple[Topic, ...]
    decide: Decide
    state: tuple[type[Row], ...] = ()
    effects: tuple[type[EffectRequest], ...] = ()
    parks: bool = True
    shared: bool = False
    unhurried: bool = False

    def __hash__(self) -> int:
        return hash(self.name)

    def rows_key(self, key: str) -> str:
        """The key that the rows for a record's key are kept under."""
        return SHARED_ROWS if self.shared else key
