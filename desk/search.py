"""Searching texts: how each of the two databases finds words that begin with what is asked for."""

from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import ColumnElement, Select, Table, cast, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql import TSQUERY

from desk.words import queried

_SHORTEST_PREFIX: Final = 2
"""Characters of a word that stands for all that begin with it."""


def matching(dialect: str, searched: Table, text: str) -> Select[int] | None:
    """The documents of a table with a text's words, newest first. None: the text has no word."""
    items = queried(text)
    if not items:
        return None
    return (_in_sqlite if dialect == "sqlite" else _in_postgresql)(searched, items)


def _in_sqlite(searched: Table, items: Iterable[list[str]]) -> Select[int]:
    name = f"{searched.name}_index"
    doc: ColumnElement[int] = column("rowid")
    query = _query(items, lambda word: f'"{word}"{"*" if _is_prefix(word) else ""}', " AND ", " OR ")
    found = select(doc.label("doc")).select_from(table(name)).where(literal_column(name).op("MATCH")(query))
    return found.order_by(doc.desc())


def _in_postgresql(searched: Table, items: Iterable[list[str]]) -> Select[int]:
    words = func.array_to_tsvector(func.string_to_array(searched.c.words, literal_column("' '")))
    query = _query(items, lambda word: f"'{word}'{':*' if _is_prefix(word) else ''}", " & ", " | ")
    return select(searched.c.doc).where(words.op("@@")(cast(query, TSQUERY))).order_by(searched.c.doc.desc())


def _query(items: Iterable[list[str]], term: Callable[[str], str], both: str, either: str) -> str:
    """Each item is met by all of its words or, as an id may be, by these written as one."""
    wanted = []
    for words in items:
        apart = both.join(map(term, words))
        wanted.append(apart if len(words) == 1 else f"(({apart}){either}{term(''.join(words))})")
    return both.join(wanted)


def _is_prefix(word: str) -> bool:
    return len(word) >= _SHORTEST_PREFIX
