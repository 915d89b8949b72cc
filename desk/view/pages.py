"""Answers of queries: a page of items in a fixed order, where the next one begins, and how far the view has read."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, RowMapping, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from desk.view.applier import Place
from desk.view.instant import Instant
from desk.view.schema import POSITION

MAX_PAGE: Final = 200
"""Items of a page at most."""

Item = Mapping[str, object]


class InvalidCursor(ValueError):
    """A cursor that no page of this query gave."""


class AsOf(NamedTuple):
    """How far the view had read: the offset of the next record of each partition, and the time of the newest one."""

    positions: Mapping[Place, int]
    time: datetime | None


@dataclass(frozen=True)
class Page:
    """Some items. cursor: of the next page; None: there is none."""

    items: Sequence[Item]
    cursor: str | None
    as_of: AsOf


class Order(NamedTuple):
    """By which columns a query is in order: together they are different for each item."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = True


async def as_of(connection: AsyncConnection) -> AsOf:
    """How far the view has read. To be asked before anything else, as it may read on meanwhile."""
    found = (await connection.execute(select(POSITION))).all()
    times = [row.time for row in found if row.time is not None]
    return AsOf({Place(row.topic, row.partition): row.position for row in found}, max(times, default=None))


async def page_of(
    connection: AsyncConnection, query: Select[Any], order: Order, cursor: str | None, limit: int
) -> tuple[list[RowMapping], str | None]:
    """The items from the cursor on, and the next page's cursor. Raises InvalidCursor."""
    limit = max(1, min(limit, MAX_PAGE))
    found = (await connection.execute(after(query, order, cursor).limit(limit + 1))).mappings().all()
    items = list(found[:limit])
    names = [column.key for column in order.columns]
    more = len(found) > limit
    return items, encode_cursor([items[-1][name] for name in names]) if more else None


def after(query: Select[Any], order: Order, cursor: str | None) -> Select[Any]:
    """The query in order, from the cursor on. Raises InvalidCursor."""
    columns = order.columns
    query = query.order_by(*(column.desc() if order.descending else column.asc() for column in columns))
    if cursor is None:
        return query
    last = tuple_(
        *(literal(value, column.type) for value, column in zip(decode_cursor(order, cursor), columns, strict=True))
    )
    return query.where(tuple_(*columns) < last if order.descending else tuple_(*columns) > last)


def encode_cursor(values: Sequence[object]) -> str:
    """The place of an item in an order, as text that means nothing to others."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


def decode_cursor(order: Order, cursor: str) -> list[Any]:
    """The values of the item at which the page before ended. Raises InvalidCursor."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(values, list) or len(values) != len(order.columns):
            raise ValueError("of another order")
        return [_as_python(value, column) for value, column in zip(values, order.columns, strict=True)]
    except (ValueError, TypeError, binascii.Error):
        raise InvalidCursor("the cursor is none of this query's") from None


def _as_python(value: object, column: ColumnElement[Any]) -> object:
    if isinstance(column.type, Instant):
        return datetime.fromisoformat(str(value))
    if not isinstance(value, column.type.python_type) or isinstance(value, bool):
        raise TypeError(column.key)
    return value
