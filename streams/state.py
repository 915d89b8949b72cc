"""The state of a task (one partition of one stage): rows by key, kept encoded, and the deadlines of its timers."""

import heapq
import zlib
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple, Protocol, cast

import orjson

from agents.stage import RowT
from schemas.record import from_milliseconds

META = ""
"""The row name of the runtime's own row."""


class Meta(NamedTuple):
    """What the runtime keeps of a key: its clock, its timers, the settings it has seen, the effect in flight.

    clock and deadlines are unix milliseconds. rows: how many rows the stage keeps of the key.
    parked: its records and timers wait; the id of its newest dead letter.
    born: the mark of the record that the key began with, by which replay finds where its history begins.
    """

    clock: int = 0
    timers: Mapping[str, int] = MappingProxyType({})
    revisions: Mapping[str, int] = MappingProxyType({})
    effect: str | None = None
    parked: str | None = None
    rows: int = 0
    born: str = ""

    def encode(self) -> bytes:
        body: dict[str, object] = {"c": self.clock, "n": self.rows, "b": self.born}
        if self.timers:
            body["t"] = dict(self.timers)
        if self.revisions:
            body["r"] = dict(self.revisions)
        if self.effect:
            body["e"] = self.effect
        if self.parked:
            body["p"] = self.parked
        return orjson.dumps(body)

    @staticmethod
    def decode(value: bytes) -> "Meta":
        body = orjson.loads(value)
        timers, revisions = body.get("t", {}), body.get("r", {})
        return Meta(body["c"], timers, revisions, body.get("e"), body.get("p"), body["n"], body.get("b", ""))


NO_META = Meta()


def birth_mark(record_id: str) -> str:
    """The mark of a record in the rows of a key that began with it."""
    return f"{zlib.crc32(record_id.encode()):08x}"


class Reader(Protocol):
    """Reads rows: the committed state, or uncommitted changes over it."""

    def read(self, key: str, name: str) -> bytes | None:
        """The encoded row, or None."""

    def names(self, key: str, prefix: str) -> Iterator[str]:
        """The names of the key's rows that begin with prefix, in order."""


def _deadline(meta: bytes | None) -> int | None:
    # Most keys have no timer: looking for the field is a tenth of decoding the row.
    if meta is None or b'"t":' not in meta:
        return None
    decoded = Meta.decode(meta)
    # A parked key's timers wait with its records: as due ones they would be fired in vain, again and again.
    return None if decoded.parked else min(decoded.timers.values(), default=None)


class TaskState:
    """The committed rows of one task."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, bytes]] = {}
        # Names in order, for the keys that were scanned: most keys have a handful of rows and never are.
        self._ordered: dict[str, list[str]] = {}
        self._deadlines: list[tuple[int, str]] = []

    def read(self, key: str, name: str) -> bytes | None:
        rows = self._keys.get(key)
        return None if rows is None else rows.get(name)

    def names(self, key: str, prefix: str) -> Iterator[str]:
        rows = self._keys.get(key)
        if rows is None:
            return iter(())
        ordered = self._ordered.get(key)
        if ordered is None:
            ordered = self._ordered[key] = sorted(rows)
        return _beginning_with(prefix, ordered)

    def write(self, key: str, name: str, value: bytes | None) -> None:
        """Keep the row, or delete it when value is None."""
        if value is None:
            self._delete(key, name)
            return
        rows = self._keys.setdefault(key, {})
        if name not in rows and key in self._ordered:
            insort(self._ordered[key], name)
        if name == META and (deadline := _deadline(value)) not in (None, _deadline(rows.get(META))):
            heapq.heappush(self._deadlines, (deadline, key))
        rows[name] = value

    def _delete(self, key: str, name: str) -> None:
        rows = self._keys.get(key)
        if rows is None or rows.pop(name, None) is None:
            return
        ordered = self._ordered.get(key)
        if ordered is not None:
            del ordered[bisect_left(ordered, name)]
        if not rows:
            del self._keys[key]
            self._ordered.pop(key, None)

    def next_deadline(self, prefix: str = "") -> datetime | None:
        """The earliest timer of the keys that begin with prefix."""
        self._drop_stale()
        if not self._deadlines:
            return None
        if not prefix:
            return from_milliseconds(self._deadlines[0][0])
        found = [at for at, key in self._deadlines if key.startswith(prefix) and self._deadline_of(key) == at]
        return from_milliseconds(min(found)) if found else None

    def _deadline_of(self, key: str) -> int | None:
        return _deadline(self.read(key, META))

    def _drop_stale(self) -> None:
        # A timer that was cancelled or moved leaves its entry behind; its new one, if any, is further on.
        while self._deadlines and self._deadline_of(self._deadlines[0][1]) != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)

    def due(self, until: datetime, limit: int) -> list[tuple[int, str]]:
        """(deadline in unix ms, key) of the timers due by `until`, earliest first.

        About `limit` of them, but never part of those with the same deadline: the last deadline names all that fired.
        """
        until_ms = round(until.timestamp() * 1000)
        found: list[tuple[int, str]] = []
        while self.next_deadline() is not None:
            entry = self._deadlines[0]
            if entry[0] > until_ms or (len(found) >= limit and entry[0] != found[-1][0]):
                break
            found.append(heapq.heappop(self._deadlines))
        for entry in found:  # still due until what they lead to is committed
            heapq.heappush(self._deadlines, entry)
        return found

    def pending_effects(self) -> Iterator[tuple[str, str]]:
        """(key, effect id) of what was in flight, in the order of the keys."""
        for key in sorted(self._keys):
            value = self._keys[key].get(META)
            if value is not None and (effect := Meta.decode(value).effect):
                yield key, effect

    def rows(self) -> Iterator[tuple[str, str, bytes]]:
        """Every row: key, name, value."""
        for key, rows in self._keys.items():
            for name, value in rows.items():
                yield key, name, value

    def __len__(self) -> int:
        return len(self._keys)


class Changes:
    """Uncommitted rows over what they were read from. Nothing beneath changes until commit()."""

    def __init__(self, beneath: Reader) -> None:
        self._beneath = beneath
        self._rows: dict[str, dict[str, bytes | None]] = {}
        # As in TaskState. A batch may change thousands of rows of one key, an account's, and scan it for each record.
        self._ordered: dict[str, list[str]] = {}

    def read(self, key: str, name: str) -> bytes | None:
        rows = self._rows.get(key)
        if rows is not None and name in rows:
            return rows[name]
        return self._beneath.read(key, name)

    def names(self, key: str, prefix: str) -> Iterator[str]:
        names, changed = self._beneath.names(key, prefix), self._rows.get(key)
        if not changed:
            return names
        ordered = self._ordered.get(key)
        if ordered is None:
            ordered = self._ordered[key] = sorted(changed)
        return _names_over(names, changed, list(_beginning_with(prefix, ordered)))

    def write(self, key: str, name: str, value: bytes | None) -> None:
        self.update(key, {name: value})

    def update(self, key: str, rows: Mapping[str, bytes | None]) -> None:
        """Write several rows of a key."""
        changed = self._rows.setdefault(key, {})
        if key in self._ordered:
            for name in rows.keys() - changed.keys():
                insort(self._ordered[key], name)
        changed.update(rows)

    def items(self) -> Iterator[tuple[str, str, bytes | None]]:
        """Every changed row: key, name, value or None."""
        for key, rows in self._rows.items():
            for name, value in rows.items():
                yield key, name, value

    def commit(self, state: "TaskState | Changes") -> None:
        """Write the changes to what lies beneath."""
        for key, name, value in self.items():
            state.write(key, name, value)


def _beginning_with(prefix: str, ordered: list[str]) -> Iterator[str]:
    start = bisect_left(ordered, prefix)
    return takewhile(lambda name: name.startswith(prefix), (ordered[i] for i in range(start, len(ordered))))


def _names_over(
    names: Iterator[str], changed: Mapping[str, bytes | None], changed_names: Sequence[str]
) -> Iterator[str]:
    if not changed_names:
        return names
    kept = (name for name in names if name not in changed)
    return heapq.merge(kept, [name for name in changed_names if changed[name] is not None])


class KeyRows:
    """The rows of one key, decoded as they are asked for: what a stage's decide sees.

    changed: encoded rows, or None for deleted ones, over those of the reader.
    """

    def __init__(self, reader: Reader, key: str, changed: Mapping[str, bytes | None] = MappingProxyType({})) -> None:
        self._reader, self._key, self._changed = reader, key, changed

    def read(self, name: str) -> bytes | None:
        """The encoded row, or None."""
        return self._changed[name] if name in self._changed else self._reader.read(self._key, name)

    def get(self, name: str, model: type[RowT]) -> RowT | None:
        value = self.read(name)
        # model_validate_json without what it looks at first: this is done for every record.
        return None if value is None else cast(RowT, model.__pydantic_validator__.validate_json(value))

    def scan(self, prefix: str, model: type[RowT]) -> Iterator[tuple[str, RowT]]:
        changed = sorted(name for name in self._changed if name.startswith(prefix))
        for name in _names_over(self._reader.names(self._key, prefix), self._changed, changed):
            row = self.get(name, model)
            if row is not None:
                yield name, row


OFFSET_KEY = b"#"
"""The key, in a changelog, of the task's input offset: what the rows before it are the state of."""
OWNER_KEY = b"#owner"
"""The key, in a changelog, of the transactional id that alone may write to it; deleted when its process gave it up."""


def row_key(key: str, name: str) -> bytes:
    """The key of a row in the stage's state topic. Keys hold no '#': channel and account ids may not."""
    return f"{key}#{name}".encode()


def is_row_key(key: bytes) -> bool:
    """Whether a record of a state topic is a stage's row: the others are its task's, of which stages know nothing."""
    return not key.startswith(b"#")


def split_row_key(value: bytes) -> tuple[str, str]:
    """Key and row name of a record of a state topic."""
    key, _, name = value.decode().partition("#")
    return key, name
