"""Writing changes of the view: rows, and how far the view has read, in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, Delete, Insert, Table, and_, bindparam, delete, false, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from desk.view.database import Database, DatabaseAway
from desk.view.feed import begin_anew, tell
from desk.view.rows import Row
from desk.view.schema import FAILURE, POSITION, TEXT, VIEW, WORD, topic_of
from desk.view.words import MAX_FORM

_INSERT: Final[Mapping[str, Callable[[Table], sqlite.Insert | postgresql.Insert]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}

MAX_FAILURES: Final = 100
"""Records of one batch that the database may refuse: if it refuses more, it is not their fault."""
KNOWN_WORDS: Final = 200_000
"""Words that are known to be in the database already."""


class Place(NamedTuple):
    """A partition of a topic, which goes by its full name."""

    topic: str
    partition: int


class Read(NamedTuple):
    """How far a partition is read: the offset of the next record, and the time of the last."""

    position: int
    time: datetime | None = None


class Failure(NamedTuple):
    """A record that could not be applied. error: what went wrong, never the data."""

    place: Place
    offset: int
    type: str | None
    error: str

    def row(self) -> Row:
        """As a row of the view."""
        key = {"topic": self.place.topic, "partition": self.place.partition, "offset": self.offset}
        return Row(FAILURE, key, {"type": self.type, "error": self.error})


@dataclass(frozen=True, slots=True)
class Applied:
    """What one record led to: rows, or a failure. type: the event's, where it is known."""

    place: Place
    offset: int
    time: datetime | None
    type: str | None
    rows: Sequence[Row] = ()
    failure: Failure | None = None


class Refused(Exception):
    """The database stores nothing that it is given: the schema or the database itself is the matter."""


class Superseded(Exception):
    """Another process has written to the view: the positions must be read anew."""


class Applier:
    """Writes batches of records. What was read is in the database alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = _INSERT[database.url.get_backend_name()]
        self._words: set[str] = set()
        self._statements: dict[tuple[Table, tuple[str, ...], tuple[str, ...]], Insert] = {}

    async def positions(self) -> dict[Place, Read]:
        """How far the view has read."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(POSITION))
            return {Place(row.topic, row.partition): Read(row.position, row.time) for row in found}

    async def apply(self, batch: Sequence[Applied], before: Mapping[Place, Read]) -> list[Failure]:
        """Write what the records led to, and that they are read. Returns those that could not be applied.

        before: how far the view had read; a place that is new is not in it. Raises Superseded, DatabaseAway, and
        Refused after MAX_FAILURES.
        """
        try:
            await self._write(batch, before)
        except (DatabaseAway, Superseded):
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is one record's
            return await self._apply_apart(batch, before)
        return [one.failure for one in batch if one.failure is not None]

    async def _apply_apart(self, batch: Sequence[Applied], before: Mapping[Place, Read]) -> list[Failure]:
        """Write each record by itself, as one of them can't be."""
        failures: list[Failure] = []
        before = dict(before)
        for one in batch:
            try:
                await self._write([one], before)
            except (DatabaseAway, Superseded):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's
                if len(failures) >= MAX_FAILURES:
                    # Not from the error, which may hold the data.
                    raise Refused(type(error).__name__) from None
                one = _failed(one, error)
                await self._write([one], before)
            before |= reads_of([one], before)
            failures += [one.failure] if one.failure is not None else []
        return failures

    async def advance(
        self, reads: Mapping[Place, Read], before: Mapping[Place, Read], failures: Sequence[Failure] = ()
    ) -> None:
        """Write that there is nothing to apply up to somewhere, and what is not there to be read. Raises Superseded."""

        def work(connection: Connection) -> None:
            self._advance(connection, reads, before)
            self._upsert(connection, [failure.row() for failure in failures])

        await self._database.write(work)

    async def forget(self, begins: Mapping[Place, int], topics: Mapping[str, str]) -> None:
        """Delete what the topics still have the records of, to be read from `begins` again. topics: bare name -> full.

        What older records made stays: they are gone.
        """

        def work(connection: Connection) -> None:
            for table in VIEW:
                connection.execute(_made_since(table, topics[topic_of(table).name], begins))
            for place, begin in begins.items():
                failed = and_(FAILURE.c.topic == place.topic, FAILURE.c.partition == place.partition)
                connection.execute(delete(FAILURE).where(failed, FAILURE.c.offset >= begin))
            connection.execute(delete(POSITION))
            begin_anew(connection)
            self._advance(connection, {place: Read(begin) for place, begin in begins.items()}, {})

        await self._database.write(work)

    async def _write(self, batch: Sequence[Applied], before: Mapping[Place, Read]) -> None:

        def work(connection: Connection) -> set[str]:
            rows = [row for one in batch for row in one.rows]
            rows = merge([*rows, *(one.failure.row() for one in batch if one.failure is not None)])
            self._advance(connection, reads_of(batch, before), before)
            tell(connection, rows)
            self._upsert(connection, rows)
            return self._add_words(connection, rows)

        words = await self._database.write(work)
        self._words = self._words | words if len(self._words) < KNOWN_WORDS else words

    def _advance(self, connection: Connection, reads: Mapping[Place, Read], before: Mapping[Place, Read]) -> None:
        """First of all, so that two processes that write at once wait for each other here, and only one goes on."""
        new = [_position(place, read) for place, read in reads.items() if place not in before]
        if new:
            insert = self._insert(POSITION).on_conflict_do_nothing()
            for row in new:
                if connection.execute(insert, row).rowcount != 1:
                    raise Superseded
        for place, read in reads.items():
            if place in before:
                values = {**_position(place, read), "expected": before[place].position}
                if connection.execute(_ADVANCE, _bound(values)).rowcount != 1:
                    raise Superseded

    def _upsert(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Write rows, each of which is there once."""
        shaped = defaultdict[tuple[Table, tuple[str, ...], tuple[str, ...]], list[dict[str, object]]](list)
        for row in rows:
            shape = (row.table, tuple(row.values), tuple(row.initial))
            shaped[shape].append({**row.initial, **row.values, **row.key})
        for (table, values, initial), parameters in shaped.items():
            statement = self._statements.get((table, values, initial))
            if statement is None:
                statement = self._statements[table, values, initial] = self._build(table, values, initial)
            connection.execute(statement, parameters)

    def _add_words(self, connection: Connection, rows: Iterable[Row]) -> set[str]:
        """Write words that were not known to be there. Returns them."""
        found = {word for row in rows if row.table is TEXT for word in str(row.values["words"]).split()}
        new = {word for word in found if len(word) <= MAX_FORM} - self._words
        if new:
            insert = self._insert(WORD).on_conflict_do_nothing()
            connection.execute(insert, [{"word": word} for word in sorted(new)])
        return new

    def _build(self, table: Table, values: Sequence[str], initial: Sequence[str]) -> Insert:
        key = [column.name for column in table.primary_key]
        insert = self._insert(table).values({name: bindparam(name) for name in {*initial, *values, *key}})
        if not values:
            return insert.on_conflict_do_nothing(index_elements=key)
        return insert.on_conflict_do_update(index_elements=key, set_={name: insert.excluded[name] for name in values})


def reads_of(batch: Iterable[Applied], before: Mapping[Place, Read]) -> dict[Place, Read]:
    """How far the view has read after a batch. A record that is passed over has no time: the one before it counts."""
    positions: dict[Place, int] = {}
    times = {place: read.time for place, read in before.items()}
    for one in batch:
        positions[one.place] = one.offset + 1
        if one.time is not None:
            times[one.place] = one.time
    return {place: Read(position, times.get(place)) for place, position in positions.items()}


def merge(rows: Iterable[Row]) -> list[Row]:
    """Each row once, as it is after all of its changes."""
    merged: dict[tuple[Table, tuple[object, ...]], Row] = {}
    for row in rows:
        known = merged.get((row.table, row.place))
        merged[row.table, row.place] = row if known is None else known.then(row)
    return list(merged.values())


_ADVANCE: Final = (
    update(POSITION)
    .where(
        POSITION.c.topic == bindparam("b_topic"),
        POSITION.c.partition == bindparam("b_partition"),
        POSITION.c.position == bindparam("b_expected"),
    )
    .values(position=bindparam("b_position"), time=bindparam("b_time"))
)


def _bound(values: Mapping[str, object]) -> dict[str, object]:
    return {f"b_{name}": value for name, value in values.items()}


def _position(place: Place, read: Read) -> dict[str, object]:
    return {**place._asdict(), **read._asdict()}


def _failed(one: Applied, error: Exception) -> Applied:
    failure = Failure(one.place, one.offset, one.type, f"not stored: {type(error).__name__}")
    return Applied(one.place, one.offset, one.time, one.type, failure=failure)


def _made_since(table: Table, topic: str, begins: Mapping[Place, int]) -> Delete:
    since = [
        and_(table.c.partition == place.partition, table.c.offset >= begin)
        for place, begin in begins.items()
        if place.topic == topic
    ]
    return delete(table).where(or_(false(), *since))
