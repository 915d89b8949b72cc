"""What people query. Every answer holds what the viewer may see alone, and says how far the view has read."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, and_, case, exists, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from desk.view.applier import Place
from desk.view.database import Database
from desk.view.feed import Changes, changes
from desk.view.pages import MAX_PAGE, AsOf, Item, Order, Page, as_of, decode_cursor, encode_cursor, page_of
from desk.view.rows import held_by
from desk.view.schema import (
    AGENT,
    AI_CALL,
    CHANNEL,
    CONVERSATION,
    DEAD_LETTER,
    DECISION,
    ENTRY,
    FILE,
    IS_HELD,
    LABEL,
    PRESENCE,
    RECEIPT,
    REFUSAL,
    REPORT,
    SURVEY,
    TEXT,
)
from desk.view.search import matching
from desk.view.visibility import Viewer, in_channels, visible, visible_letters, visible_reports
from schemas.events.conversation import Assignee, Status

PAGE: Final = 50
SCANNED: Final = 2_000
"""Hits of a search that a page looks at: where few of them may be seen it is short, and another one follows."""
HEARTBEAT_HOLDS: Final = timedelta(seconds=90)
"""A desk's heartbeat says for so long that its agent is there, as assignment has it."""

_SOME: Final = 200
"""Hits of a search that are looked up first."""

_SHOWN: Final = [column for column in CONVERSATION.c if column.name not in ("doc", "words", "partition", "offset")]
_RECENT: Final = Order((CONVERSATION.c.active_at, CONVERSATION.c.id))
_WAITING: Final = Order((CONVERSATION.c.waiting_since, CONVERSATION.c.id), descending=False)
_QUEUE: Final = Order((CONVERSATION.c.unassigned_since, CONVERSATION.c.id), descending=False)
_LABELLED: Final = Order((LABEL.c.active_at, LABEL.c.conversation))
_THREAD: Final = Order((ENTRY.c.at, ENTRY.c.offset))
_DECISIONS: Final = Order((DECISION.c.offset,), descending=False)
_CALLS: Final = Order((AI_CALL.c.offset,), descending=False)
_LETTERS: Final = Order((DEAD_LETTER.c.at, DEAD_LETTER.c.id))


@dataclass(frozen=True)
class Filter:
    """Which conversations are meant: those for which all that is given holds.

    unassigned: it is Open, and no human or AI agent has it. waiting: its customer waits for an answer. key: of a
    contact on a channel.
    """

    status: Status | None = None
    assignee: Assignee | None = None
    unassigned: bool = False
    channel: str | None = None
    label: str | None = None
    waiting: bool = False
    key: str | None = None

    def holds(self) -> ColumnElement[bool]:
        """As a condition on a conversation."""
        conversation = CONVERSATION.c
        wanted: list[ColumnElement[bool]] = []
        if self.status is not None:
            wanted.append(_has_status(self.status))
        if self.assignee is not None:
            wanted.append(conversation.assignee == held_by(self.assignee))
        if self.unassigned:
            wanted.append(conversation.unassigned_since.is_not(None))
        if self.channel is not None:
            wanted.append(conversation.channel == self.channel)
        if self.waiting:
            wanted.append(conversation.waiting_since.is_not(None))
        if self.key is not None:
            wanted.append(conversation.key == self.key)
        if self.label is not None:
            labelled = LABEL.c.conversation == conversation.id, LABEL.c.label == self.label, LABEL.c.present
            wanted.append(exists().where(*labelled))
        return and_(True, *wanted)


ANY: Final = Filter()


class Counted(NamedTuple):
    """How many there are; more: and some beyond."""

    number: int
    more: bool
    as_of: AsOf


class Queries:
    """The queries of the view. limit: items of a page; cursor: where the page before ended (InvalidCursor)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversations(
        self,
        viewer: Viewer,
        wanted: Filter = ANY,
        *,
        order: Literal["recent", "waiting"] = "recent",
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Page:
        """Conversations, those with the newest activity first; or those whose customers have waited longest."""
        query = select(*_SHOWN).where(visible(viewer))
        if order == "waiting":
            return await self._page(query.where(replace(wanted, waiting=True).holds()), _WAITING, cursor, limit)
        if wanted.label is None:
            return await self._page(query.where(wanted.holds()), _RECENT, cursor, limit)
        # From the label on, as few may have it.
        of_label = LABEL.c.label == wanted.label, LABEL.c.present, LABEL.c.conversation == CONVERSATION.c.id
        query = query.add_columns(LABEL.c.conversation).where(*of_label, replace(wanted, label=None).holds())
        return await self._page(query, _LABELLED, cursor, limit)

    async def count(self, viewer: Viewer, wanted: Filter = ANY, *, up_to: int = 1_000) -> Counted:
        """How many conversations there are. up_to: no more are counted."""
        some = select(literal(1)).select_from(CONVERSATION).where(visible(viewer), wanted.holds()).limit(up_to + 1)
        async with self._asked() as (connection, position):
            number = (await connection.execute(select(func.count()).select_from(some.subquery()))).scalar_one()
            return Counted(min(number, up_to), number > up_to, position)

    async def conversation(self, viewer: Viewer, id: str) -> Page:
        """One conversation, with its surveys; no item where there is none that the viewer may see."""
        async with self._asked() as (connection, position):
            query = select(*_SHOWN).where(CONVERSATION.c.id == id, visible(viewer))
            found = [dict(row) for row in (await connection.execute(query)).mappings()]
            surveys = _of_conversation(SURVEY, viewer, id).order_by(SURVEY.c.resolution, SURVEY.c.id)
            for item in found:
                item["surveys_asked"] = [dict(row) for row in (await connection.execute(surveys)).mappings()]
            return Page(found, None, position)

    async def thread(self, viewer: Viewer, id: str, *, cursor: str | None = None, limit: int = PAGE) -> Page:
        """A conversation's thread, its newest entries first: each with its receipts, and what else is about it.

        about: reactions, edits, what became of its files.
        """
        receipts = and_(RECEIPT.c.key == CONVERSATION.c.key, RECEIPT.c.message == ENTRY.c.message)
        shown = [column.label(f"receipt_{column.name}") for column in RECEIPT.c if column.name in _RECEIPT]
        query = _of_conversation(ENTRY, viewer, id).add_columns(*shown).outerjoin(RECEIPT, receipts)
        async with self._asked() as (connection, position):
            items, following = await page_of(connection, query, _THREAD, cursor, limit)
            messages = {item["message"] for item in items} - {None}
            referring = _of_conversation(ENTRY, viewer, id).where(ENTRY.c.refers_to.in_(sorted(messages)))
            about = defaultdict[str, list[Item]](list)
            for row in (await connection.execute(referring.order_by(ENTRY.c.offset))).mappings() if messages else ():
                about[row["refers_to"]].append(dict(row))
            return Page([{**item, "about": about[item["message"]]} for item in items], following, position)

    async def explanation(self, viewer: Viewer, id: str, *, cursor: str | None = None, limit: int = PAGE) -> Page:
        """Assignment's decisions about a conversation, in order."""
        return await self._page(_of_conversation(DECISION, viewer, id), _DECISIONS, cursor, limit)

    async def ai_calls(self, viewer: Viewer, id: str, *, cursor: str | None = None, limit: int = PAGE) -> Page:
        """The calls for a conversation's AI agents, in order: of models and tools, and what they came to."""
        return await self._page(_of_conversation(AI_CALL, viewer, id), _CALLS, cursor, limit)

    async def queue(self, viewer: Viewer, *, cursor: str | None = None, limit: int = PAGE) -> Page:
        """Open conversations that nobody has, those first that have waited longest for somebody."""
        wanted = Filter(unassigned=True).holds(), CONVERSATION.c.routed
        return await self._page(select(*_SHOWN).where(visible(viewer), *wanted), _QUEUE, cursor, limit)

    async def find(
        self, viewer: Viewer, text: str, wanted: Filter = ANY, *, cursor: str | None = None, limit: int = PAGE
    ) -> Page:
        """Conversations whose contact, labels or ids have all words of a text, those first that were opened last."""
        query = select(*_SHOWN, CONVERSATION.c.doc).where(visible(viewer), wanted.holds())
        return await self._search(CONVERSATION, query, text, cursor, limit)

    async def search(
        self, viewer: Viewer, text: str, wanted: Filter = ANY, *, cursor: str | None = None, limit: int = PAGE
    ) -> Page:
        """Messages, notes and notices that have all words of a text, the newest first, with their conversations."""
        entry = and_(
            ENTRY.c.conversation == TEXT.c.conversation, ENTRY.c.at == TEXT.c.at, ENTRY.c.offset == TEXT.c.offset
        )
        shown = [column.label(f"conversation_{column.name}") for column in _SHOWN]
        query = select(TEXT.c.doc, *ENTRY.c, *shown).join_from(TEXT, ENTRY, entry)
        query = query.join(CONVERSATION, CONVERSATION.c.id == TEXT.c.conversation)
        return await self._search(TEXT, query.where(visible(viewer), wanted.holds()), text, cursor, limit)

    async def agents(self, viewer: Viewer, now: datetime) -> Page:
        """The account's human agents: their state at an instant, and how many Open conversations they hold.

        Of these the ones that the viewer may see count. A state from before account-inbox's retention is not known.
        """
        counted = select(CONVERSATION.c.assignee, func.count().label("number")).where(IS_HELD)
        # What may be seen depends on these two alone, so that it need not be asked of every conversation.
        seen = counted.group_by(CONVERSATION.c.assignee, CONVERSATION.c.channel).having(visible(viewer)).subquery()
        held = select(seen.c.assignee, func.sum(seen.c.number).label("load")).group_by(seen.c.assignee).subquery()
        beats = and_(PRESENCE.c.heartbeat.is_not(None), PRESENCE.c.heartbeat_at > now - HEARTBEAT_HOLDS)
        state = case(
            (PRESENCE.c.chosen.is_not(None), PRESENCE.c.chosen), (beats, PRESENCE.c.heartbeat), else_="offline"
        )
        present = and_(PRESENCE.c.account == AGENT.c.account, PRESENCE.c.agent == AGENT.c.id)
        query = (
            select(AGENT.c.id, AGENT.c.name, AGENT.c.workload, AGENT.c.teams, AGENT.c.deleted, state.label("state"))
            .add_columns(func.coalesce(held.c.load, 0).label("load"))
            .outerjoin(PRESENCE, present)
            .outerjoin(held, held.c.assignee == "human/" + AGENT.c.id)
            .where(AGENT.c.account == viewer.account)
        )
        return await self._all(query.order_by(AGENT.c.id))

    async def channels(self, viewer: Viewer) -> Page:
        """The newest settings of each channel that the viewer may know of, without credentials."""
        channel = CHANNEL.alias()
        shown = [column for column in channel.c if column.name not in ("partition", "offset")]
        return await self._all(select(*shown).where(in_channels(viewer, channel.c.id)).order_by(channel.c.id))

    async def dead_letters(
        self, viewer: Viewer, *, replayed: bool = False, cursor: str | None = None, limit: int = PAGE
    ) -> Page:
        """What could not be processed, the newest first: all but its body."""
        shown = [column for column in DEAD_LETTER.c if column.name not in ("partition", "offset")]
        query = select(*shown).where(visible_letters(viewer), DEAD_LETTER.c.stage.is_not(None))
        return await self._page(query.where(DEAD_LETTER.c.replayed == replayed), _LETTERS, cursor, limit)

    async def positions(self) -> Mapping[Place, int]:
        """How far the view has read: the offset of the next record of each partition."""
        async with self._asked() as (_, position):
            return position.positions

    async def shows_file(self, viewer: Viewer, file: str) -> bool:
        """Whether a file of the media store is in a conversation that the viewer may see."""
        found = select(FILE.c.file).join(CONVERSATION, CONVERSATION.c.id == FILE.c.conversation)
        async with self._database.reading() as connection:
            seen = await connection.execute(found.where(FILE.c.file == file, visible(viewer)).limit(1))
            return seen.first() is not None

    async def changes(self, viewer: Viewer, since: str | None) -> Changes:
        """What changed since an id that was answered before. None: nothing, but where to read on from."""
        async with self._database.reading() as connection:
            return await changes(connection, viewer, since, _SHOWN)

    async def reports(self, viewer: Viewer, channel: str | None, first: date, last: date) -> Page:
        """The partial sums of figures of days, both included, by their keys: see desk/figures.py."""
        shown = (REPORT.c.key, REPORT.c.kind, REPORT.c.channel, REPORT.c.day, REPORT.c.agent, REPORT.c.counts)
        query = select(*shown).where(visible_reports(viewer), REPORT.c.day.between(first, last))
        return await self._all(query if channel is None else query.where(REPORT.c.channel == channel))

    async def letter(self, viewer: Viewer, id: str) -> Page:
        """One dead letter that was not replayed; no item where there is none that the viewer may see."""
        return await self._all(
            select(DEAD_LETTER.c.id).where(visible_letters(viewer), DEAD_LETTER.c.id == id, ~DEAD_LETTER.c.replayed)
        )

    async def refusal(self, viewer: Viewer, command: str) -> Page:
        """Why a command was refused; no item where it was not, or was about no conversation that the viewer may see."""
        theirs = exists().where(CONVERSATION.c.key == REFUSAL.c.key, visible(viewer))
        return await self._all(select(REFUSAL).where(REFUSAL.c.command == command, theirs))

    async def _search(self, searched: Table, query: Select[Any], text: str, cursor: str | None, limit: int) -> Page:
        order, limit = Order((searched.c.doc,)), max(1, min(limit, MAX_PAGE))
        async with self._asked() as (connection, position):
            hits = await matching(connection, searched, text)
            if hits is None:
                return Page([], None, position)
            if cursor is not None:
                hits = hits.where(hits.selected_columns[0] < decode_cursor(order, cursor)[0])
            docs = (await connection.execute(hits.limit(SCANNED))).scalars().all()
            found: list[Item] = []
            # Mostly the first few may be seen, else all of them at once.
            for some in (docs[:_SOME], docs[_SOME:]):
                within = query.where(searched.c.doc.in_(some)).order_by(searched.c.doc.desc())
                rows = await connection.execute(within.limit(limit + 1 - len(found))) if some else None
                found += [dict(row) for row in rows.mappings()] if rows else []
                if len(found) > limit:
                    return Page(found[:limit], encode_cursor([found[limit - 1]["doc"]]), position)
            return Page(found, encode_cursor([docs[-1]]) if len(docs) == SCANNED else None, position)

    async def _page(self, query: Select[Any], order: Order, cursor: str | None, limit: int) -> Page:
        async with self._asked() as (connection, position):
            items, following = await page_of(connection, query, order, cursor, limit)
            return Page([dict(item) for item in items], following, position)

    async def _all(self, query: Select[Any]) -> Page:
        async with self._asked() as (connection, position):
            found = (await connection.execute(query)).mappings()
            return Page([dict(row) for row in found], None, position)

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[tuple[AsyncConnection, AsOf]]:
        async with self._database.reading() as connection:
            yield connection, await as_of(connection)


_RECEIPT: Final = frozenset({"status", "timestamps", "error_code", "error_message", "provider_message", "anomaly"})


def _has_status(status: Status) -> ColumnElement[bool]:
    # Not as a parameter, so that SQLite sees that the index of the Open ones has it.
    return CONVERSATION.c.status == literal_column(f"'{status.value}'")


def _of_conversation(table: Table, viewer: Viewer, id: str) -> Select[Any]:
    """Rows of a table that are about one conversation, which the viewer may see."""
    shown = [column for column in table.c if column.name != "partition"]
    joined = select(*shown).join_from(table, CONVERSATION, CONVERSATION.c.id == table.c.conversation)
    return joined.where(table.c.conversation == id, visible(viewer))
