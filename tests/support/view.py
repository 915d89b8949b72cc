"""The view in tests: a recorded log to read, what the view must be of it, and what a database holds."""

import lzma
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson
from aiokafka.structs import ConsumerRecord
from sqlalchemy import Table, select

from desk.view.applier import Applied, Applier, Read, reads_of
from desk.view.database import Database
from desk.view.reading import read
from desk.view.rows import Logged, Row
from desk.view.schema import FAILURE, FOLLOWED, VIEW
from schemas.event import Event
from schemas.events.conversation import Header, Status
from schemas.record import Record, encode

LOG = Path(__file__).parents[1] / "fixtures" / "log" / "6e490dc.xz"
START = datetime(2026, 6, 1, 10, tzinfo=UTC)
TOPICS: Mapping[str, str] = {topic.full_name(""): name for name, topic in FOLLOWED.items()}
"""Full names of topics without a prefix, to bare ones."""

Rows = dict[tuple[object, ...], dict[str, Any]]


class Message(NamedTuple):
    """A message as Kafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None


def message(topic: str, offset: int, event: Event, *, key: str = "shop:34600100200", **envelope: Any) -> Message:
    """A record of ours, one second after the one of the offset before."""
    return Message(
        f"{topic}.v1",
        envelope.pop("partition", 0),
        offset,
        key.encode(),
        encode(_record(offset, event, key, **envelope)),
    )


def logged(topic: str, offset: int, event: Event, *, key: str = "shop:34600100200", **envelope: Any) -> Logged:
    """The same, read."""
    return Logged(topic, envelope.pop("partition", 0), offset, key, _record(offset, event, key, **envelope))


def _record(offset: int, event: Event, key: str, **envelope: Any) -> Record:
    given = {"id": f"record-{offset}", "source": "/test", "time": START + timedelta(seconds=offset), "subject": key}
    return Record(event=event, **{**given, **envelope})


@cache
def recorded() -> list[Message]:
    """What a real pipeline wrote to the topics that the view is made of."""
    _, *lines = lzma.decompress(LOG.read_bytes()).splitlines()
    found = []
    for topic, partition, offset, _, key, value, _ in map(orjson.loads, lines):
        if topic in TOPICS:
            found.append(Message(topic, partition, offset, key.encode("latin-1"), value and value.encode("latin-1")))
    return found


def applied(messages: Iterable[Message]) -> list[Applied]:
    """What the messages lead to."""
    return [read(cast(ConsumerRecord, one), TOPICS).applied for one in messages]


class Model:
    """What the view must be: each row is what it began with and what it was set to, in the order of the log."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, Rows] = defaultdict(dict)

    def apply(self, batch: Iterable[Applied]) -> "Model":
        for one in batch:
            for row in [*one.rows, *([one.failure.row()] if one.failure else [])]:
                self.set(row)
        return self

    def set(self, row: Row) -> None:
        rows = self.tables[row.table.name]
        if row.place not in rows:
            empty = {column.name: None for column in row.table.c}
            rows[row.place] = {**empty, **row.key, **row.initial}
        rows[row.place] |= row.values


async def write(applier: Applier, messages: Iterable[Message], *, batch: int = 500) -> None:
    """Apply messages from where the view is, in batches."""
    reads = await applier.positions()
    waiting = [one for one in applied(messages) if one.offset >= reads.get(one.place, Read(0)).position]
    for start in range(0, len(waiting), batch):
        some = waiting[start : start + batch]
        await applier.apply(some, reads)
        reads |= reads_of(some, reads)


async def stored(database: Database, *, without: Iterable[Table] = ()) -> dict[str, Rows]:
    """Every row of the view in the database, by table and key."""
    found: dict[str, Rows] = {}
    async with database.reading() as connection:
        for table in (*VIEW, FAILURE):
            rows = (await connection.execute(select(table))).mappings().all()
            keys = [column.name for column in table.primary_key]
            if rows and table not in without:
                found[table.name] = {tuple(row[name] for name in keys): dict(row) for row in rows}
    return found


def header(*, id: str = "a", **given: Any) -> Header:
    """A conversation's header, Open and without an assignee."""
    fields = {"channel": "shop", "contact": "34600100200", "opened_at": START, "revision": 1, "status": Status.OPEN}
    return Header(conversation_id=id, **{**fields, **given})
