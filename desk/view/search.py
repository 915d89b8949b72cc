"""Searching texts: how each of the two databases finds words that begin with what is asked for, newest first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Select, Table, cast, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from desk.view.schema import TEXT, WORD
from desk.view.words import MAX_FORM, queried

_SHORTEST_PREFIX: Final = 2
"""Characters of a word that stands for all that begin with it."""
_INDEXED_PREFIX: Final = 4
"""Characters of the longest beginning that SQLite's index of texts knows by itself."""
_MAX_FORMS: Final = 200

Items = Sequence[Sequence[str]]


async def matching(connection: AsyncConnection, searched: Table, text: str) -> Select[int] | None:
    """The documents of a table that have the words of a text, newest first. None: the text has no word."""
    items = queried(text)
    if not items:
        return None
    if connection.dialect.name == "postgresql":
        return _in_postgresql(searched, items)
    wanted = {word for words in items for word in (*words, "".join(words))}
    return _in_sqlite(searched, items, await _forms(connection, wanted) if searched is TEXT else {})


async def _forms(connection: AsyncConnection, words: set[str]) -> Mapping[str, Sequence[str]]:
    """All words of texts that begin with each of some words, where they are not too many.

    For a beginning SQLite first makes a list of all hits; those of whole words it reads from the newest on.
    """
    found = {}
    for word in words:
        if _INDEXED_PREFIX < len(word) <= MAX_FORM:
            begins = select(WORD.c.word).where(WORD.c.word >= word, WORD.c.word < word + chr(0x10FFFF))
            forms = (await connection.execute(begins.limit(_MAX_FORMS + 1))).scalars().all()
            if len(forms) <= _MAX_FORMS:
                found[word] = forms or [word]
    return found


def _in_sqlite(searched: Table, items: Items, forms: Mapping[str, Sequence[str]]) -> Select[int]:
    def term(word: str) -> str:
        if word in forms:
            return "(" + " OR ".join(f'"{form}"' for form in forms[word]) + ")"
        return f'"{word}"{"*" if _is_prefix(word) else ""}'

    name = f"{searched.name}_index"
    doc: ColumnElement[int] = column("rowid")
    query = _query(items, term, " AND ", " OR ")
    found = select(doc.label("doc")).select_from(table(name)).where(literal_column(name).op("MATCH")(query))
    return found.order_by(doc.desc())


def _in_postgresql(searched: Table, items: Items) -> Select[int]:
    words = func.array_to_tsvector(func.string_to_array(searched.c.words, literal_column("' '")))
    query = _query(items, lambda word: f"'{word}'{':*' if _is_prefix(word) else ''}", " & ", " | ")
    return select(searched.c.doc).where(words.op("@@")(cast(query, TSQUERY))).order_by(searched.c.doc.desc())


def _query(items: Items, term: Callable[[str], str], both: str, either: str) -> str:
    """Each item is met by all of its words or, as an id may be, by these written as one."""
    wanted = []
    for words in items:
        apart = both.join(map(term, words))
        wanted.append(apart if len(words) == 1 else f"(({apart}){either}{term(''.join(words))})")
    return both.join(wanted)


def _is_prefix(word: str) -> bool:
    return len(word) >= _SHORTEST_PREFIX
