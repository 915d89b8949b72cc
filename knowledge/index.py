"""The index of passages: SQLite's FTS5, built from the records of the topic `knowledge`."""

import heapq
import logging
import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import orjson

from knowledge.grams import grams
from schemas.effects import Passage
from schemas.events.knowledge import DocumentDeleted, DocumentSaved
from schemas.record import UndecodableRecord, decode
from schemas.topics import KNOWLEDGE

logger = logging.getLogger(__name__)

MOST: Final = 10_000
"""Places in the index that a search looks at, so that it takes no longer where there are many passages."""
CANDIDATES: Final = 50
"""Passages that are then looked at whole."""
MAX_QUERY: Final = 2_000
"""Characters of a question that count."""
_CACHE_KIB: Final = 64 << 10
_LENGTHS_COUNT: Final = 0.75
"""How far a passage's length counts against it: 0 not at all, 1 in full. BM25's b."""
_SATURATION: Final = 1.2
"""BM25's k1."""


class _Shelf:
    """A collection of an account: nothing but its own passages is in its table, so nothing else can be found there."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.counts: Counter[str] = Counter()
        self.passages = 0
        self.parts = 0

    def count(self, parts: Sequence[str], by: Literal[1, -1]) -> str:
        """Count a passage in (1) or out (-1). Its parts, as the table takes them."""
        once = set(parts)
        if by == 1:
            self.counts.update(once)
        else:
            self.counts.subtract(once)
        self.passages += by
        self.parts += by * len(parts)
        return " ".join(once)


class Index:
    """Passages, found by questions. For one thread at a time.

    In a temporary file that SQLite alone sees: what is not used for long leaves the memory.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for line in (f"cache_size = -{_CACHE_KIB}", "journal_mode = off", "synchronous = off"):
            self._database.execute(f"PRAGMA {line}")
        self._database.execute(
            "CREATE TABLE passages (id INTEGER PRIMARY KEY, key TEXT, name TEXT, title TEXT, text TEXT)"
        )
        self._database.execute("CREATE INDEX by_key ON passages (key)")
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._made = 0

    def close(self) -> None:
        """Let it go."""
        self._database.close()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the topic. One that can't be read is left out, with a line in the log."""
        if value is None:
            return
        try:
            event = decode(value, KNOWLEDGE.types).event
        except UndecodableRecord as error:
            logger.error("a record of the knowledge topic was left out (key %s): %s", key.decode(), error)
            return
        if not isinstance(event, DocumentSaved | DocumentDeleted):
            return
        shelf = self._shelf(event.account, event.collection)
        name = f"{event.collection}/{event.document}"
        self._database.execute("BEGIN")
        self._remove(shelf, f"{event.account}/{name}")
        if isinstance(event, DocumentSaved):
            self._add(shelf, f"{event.account}/{name}", name, event)
        self._database.execute("COMMIT")

    def search(self, account: str, collections: Iterable[str], query: str, most: int) -> list[Passage]:
        """The passages of the account's collections that have most in common with the query, the best first."""
        names = dict.fromkeys(collections)
        shelves = [self._shelves[account, name] for name in names if (account, name) in self._shelves]
        wanted = self._weighted(shelves, grams(query[:MAX_QUERY]))
        ids = self._candidates(shelves, wanted)
        mean = sum(shelf.parts for shelf in shelves) / max(1, sum(shelf.passages for shelf in shelves))
        found = []
        for name, title, text in self._database.execute(
            f"SELECT name, title, text FROM passages WHERE id IN ({','.join('?' * len(ids))})",  # noqa: S608
            ids,
        ):
            score = _score(wanted, grams(title, text), mean)
            found.append((-score, name, Passage(id=name, title=title, text=text)))
        return [passage for _, _, passage in sorted(found)[:most]]

    def _weighted(self, shelves: Sequence[_Shelf], parts: Iterable[str]) -> dict[str, float]:
        """The parts that are in some passage, the rarest first: how much each says. What most have says little."""
        counts = {gram: sum(shelf.counts[gram] for shelf in shelves) for gram in set(parts)}
        passages = sum(shelf.passages for shelf in shelves)
        return {
            gram: math.log(1 + (passages - counts[gram] + 0.5) / (counts[gram] + 0.5))
            for gram in sorted(counts, key=lambda gram: (counts[gram], gram))
            if counts[gram]
        }

    def _candidates(self, shelves: Sequence[_Shelf], wanted: Mapping[str, float]) -> list[int]:
        """The passages that have most of the rarest parts.

        What is in too many passages is not looked at: each language's stop words, without a list of them.
        """
        scores: defaultdict[int, float] = defaultdict(float)
        left = MOST
        for gram, weight in wanted.items():
            left -= sum(shelf.counts[gram] for shelf in shelves)
            if left < 0 and scores:
                break
            for shelf in shelves:
                for id in self._places(shelf, gram):
                    scores[id] += weight
        return heapq.nsmallest(CANDIDATES, scores, key=lambda id: (-scores[id], id))

    def _places(self, shelf: _Shelf, gram: str) -> list[int]:
        if gram not in shelf.counts:
            return []
        # As one text: a row each would give the interpreter's lock away as often.
        (ids,) = self._database.execute(
            f"SELECT group_concat(rowid) FROM {shelf.table} WHERE {shelf.table} MATCH ?",  # noqa: S608
            (f'"{gram}"',),
        ).fetchone()
        places: list[int] = orjson.loads(f"[{ids or ''}]")
        return places

    def _shelf(self, account: str, collection: str) -> _Shelf:
        shelf = self._shelves.get((account, collection))
        if shelf is None:
            self._made += 1
            shelf = self._shelves[account, collection] = _Shelf(f"shelf_{self._made}")
            self._database.execute(
                f"CREATE VIRTUAL TABLE {shelf.table} USING fts5"
                """(parts, content = '', detail = none, columnsize = 0, tokenize = "unicode61 tokenchars '_'")"""
            )
        return shelf

    def _add(self, shelf: _Shelf, key: str, name: str, document: DocumentSaved) -> None:
        for number, text in enumerate(document.passages, start=1):
            row = (key, f"{name}/{number}", document.title, text)
            id = self._database.execute(
                "INSERT INTO passages (key, name, title, text) VALUES (?, ?, ?, ?)", row
            ).lastrowid
            self._database.execute(
                f"INSERT INTO {shelf.table} (rowid, parts) VALUES (?, ?)",  # noqa: S608
                (id, shelf.count(grams(document.title, text), 1)),
            )

    def _remove(self, shelf: _Shelf, key: str) -> None:
        rows = self._database.execute("SELECT id, title, text FROM passages WHERE key = ?", (key,)).fetchall()
        for id, title, text in rows:
            self._database.execute(
                f"INSERT INTO {shelf.table} ({shelf.table}, rowid, parts) VALUES ('delete', ?, ?)",  # noqa: S608
                (id, shelf.count(grams(title, text), -1)),
            )
        if rows:
            shelf.counts = +shelf.counts  # without those that are in no passage any more
        self._database.execute("DELETE FROM passages WHERE key = ?", (key,))


def _score(wanted: Mapping[str, float], parts: Sequence[str], mean: float) -> float:
    """BM25 of a passage."""
    often = Counter(part for part in parts if part in wanted)
    long = 1 - _LENGTHS_COUNT + _LENGTHS_COUNT * len(parts) / mean
    return sum(wanted[gram] * times / (times + _SATURATION * long) for gram, times in often.items())
