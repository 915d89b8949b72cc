"""Changes of the view as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Table

from schemas.events.conversation import Assignee
from schemas.record import Record

Values = Mapping[str, object]


class Logged(NamedTuple):
    """A record, and where it is: the partition of its topic, the offset in it, and its key."""

    topic: str
    partition: int
    offset: int
    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Row:
    """What a row is from a record on. initial: what it begins with, if the record makes it."""

    table: Table
    key: Values
    values: Values = field(default_factory=dict)
    initial: Values = field(default_factory=dict)

    @property
    def place(self) -> tuple[object, ...]:
        """The row's key, to be looked up by."""
        return tuple(self.key.values())

    def then(self, later: "Row") -> "Row":
        """This change and a later one of the same row, as one."""
        return Row(self.table, self.key, {**self.values, **later.values}, {**later.initial, **self.initial})


def origin(logged: Logged) -> dict[str, object]:
    """Where the record is that a row comes of."""
    return {"partition": logged.partition, "offset": logged.offset}


def held_by(assignee: Assignee | None) -> str | None:
    """An assignee in one column: `human/lucia`."""
    return None if assignee is None else f"{assignee.kind}/{assignee.id}"
