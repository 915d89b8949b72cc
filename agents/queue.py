"""A queue for each key: what comes while the head is in flight waits in rows, in order, each item once.

Rows: `queue/{seq}`: an item that waits; `tail`: the next number; `seen/{id}`: it was queued before, for KEEP.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from agents.retention import Aged
from agents.stage import Row, Rows, RowT

KEEP: Final = timedelta(days=7)
QUEUE: Final = "queue/"
SEEN: Final = "seen/"
EMPTY: Final[Mapping[str, None]] = {"head": None, "tail": None}
"""What to write when nothing waits."""


class Tail(Row):
    """`tail`: the next number in the queue."""

    next: int = 0


class Seen(Aged):
    """`seen/{id}`: it was queued once; a second time it is ignored."""


def was_seen(rows: Rows, id: str) -> bool:
    """Whether the item was queued before."""
    return rows.get(f"{SEEN}{id}", Seen) is not None


def append(rows: Rows, item: Row) -> dict[str, Row | None]:
    """The rows that put the item at the end."""
    tail = rows.get("tail", Tail) or Tail()
    return {f"{QUEUE}{tail.next:012d}": item, "tail": Tail(next=tail.next + 1)}


def waiting(rows: Rows, model: type[RowT]) -> Iterator[tuple[str, RowT]]:
    """The items that wait, in order, with their rows' names."""
    return rows.scan(QUEUE, model)
