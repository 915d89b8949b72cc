"""The feed of changes: what of the view changed, numbered in the order of commits, so that a stream can read on.

The numbers are given in the transaction of the rows, so the feed is right whoever writes to the database and reads it.
Only the newest changes are kept: whoever is further behind reads everything again.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, ColumnElement, Connection, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from desk.view.rows import Row, Values
from desk.view.schema import (
    AGENT,
    AI_CALL,
    CHANGE,
    CHANNEL,
    CONVERSATION,
    DECISION,
    ENTRY,
    FEED,
    PRESENCE,
    RECEIPT,
    SURVEY,
)
from desk.view.visibility import Viewer, in_channels, visible

KEPT: Final = 10_000
"""Changes that can be read again."""
AT_ONCE: Final = 500
"""Changes that are looked at together."""


@dataclass(frozen=True)
class Changes:
    """What changed of what the viewer may see, as it is now. id: to read on from; more: there is more to read now.

    conversations: as lists show them; agents: ids, of the account. reload: what the viewer has read before may be wrong
    in ways that nothing here says: a conversation has left what they may see, or the feed does not go back so far.
    """

    id: str
    conversations: Sequence[Values] = ()
    agents: Sequence[str] = ()
    reload: bool = False
    more: bool = False


def tell(connection: Connection, rows: Iterable[Row]) -> None:
    """Write what the rows change. To be called before they are written, in their transaction."""
    rows = list(rows)
    ids = [row.key["id"] for row in rows if row.table is CONVERSATION]
    holders = select(CONVERSATION.c.id, CONVERSATION.c.assignee).where(CONVERSATION.c.id.in_(ids))
    held = {row.id: row.assignee for row in connection.execute(holders)} if ids else {}
    changes = _changes(rows, held)
    if not changes:
        return
    # Whoever writes at once waits here for the commit, so that no number is seen before a lower one.
    counted = update(FEED).values(last=FEED.c.last + len(changes)).returning(FEED.c.last)
    last = connection.execute(counted).scalar_one()
    numbered = [{**change, "number": last - place} for place, change in enumerate(reversed(changes))]
    connection.execute(insert(CHANGE), numbered)
    connection.execute(delete(CHANGE).where(CHANGE.c.number <= last - KEPT))


def begin_anew(connection: Connection) -> None:
    """Let everybody read everything again."""
    connection.execute(update(FEED).values(epoch=secrets.token_hex(4)))
    connection.execute(delete(CHANGE))


def _changes(rows: Iterable[Row], held: Mapping[object, object]) -> list[dict[str, object]]:
    found: dict[tuple[object, ...], dict[str, object]] = {}

    def add(kind: str, subject: object, **more: object) -> None:
        key = kind, subject, more.get("message"), more.get("account")
        empty = {"message": None, "account": None, "channel": None, "assignee": None}
        found[key] = {**empty, **found.get(key, {}), "kind": kind, "subject": subject, **more}

    for row in rows:
        key, values = row.key, row.values
        if row.table is CONVERSATION:
            before, channel = held.get(key["id"]), values.get("channel")
            left = {"channel": channel, "assignee": before} if before != values.get("assignee") else {}
            add("conversation", key["id"], **left)
        elif row.table in (DECISION, AI_CALL):
            add("conversation", key["conversation"])
        elif row.table is SURVEY:
            add("conversation", values.get("conversation"))
        elif row.table is RECEIPT:
            add("receipt", key["key"], message=key["message"])
        elif row.table is AGENT:
            add("agent", key["id"], account=key["account"])
        elif row.table is PRESENCE:
            add("presence", key["agent"], account=key["account"])
        elif row.table is CHANNEL:
            add("channel", key["id"])
    return list(found.values())


async def changes(
    connection: AsyncConnection, viewer: Viewer, since: str | None, shown: Sequence[Column[object]]
) -> Changes:
    """What changed since an id. since: None: nothing, but where to read on from. shown: columns of a conversation."""
    epoch, last = (await connection.execute(select(FEED.c.epoch, FEED.c.last))).one()
    place = last if since is None else _place(since, epoch)
    if place is None or not max(0, last - KEPT) <= place <= last:
        return Changes(f"{epoch}-{last}", reload=True)
    newer = select(CHANGE).where(CHANGE.c.number > place, CHANGE.c.number <= last)
    found = (await connection.execute(newer.order_by(CHANGE.c.number).limit(AT_ONCE))).all()
    if not found:
        return Changes(f"{epoch}-{last}")
    end = found[-1].number
    ids = {change.subject for change in found if change.kind == "conversation"}
    receipts = {(change.subject, change.message) for change in found if change.kind == "receipt"}
    if receipts:
        keys, messages = (sorted(set(part)) for part in zip(*receipts, strict=True))
        of_message = and_(ENTRY.c.conversation == CONVERSATION.c.id, ENTRY.c.message.in_(messages))
        had = select(CONVERSATION.c.id, CONVERSATION.c.key, ENTRY.c.message).join(ENTRY, of_message)
        had = had.where(CONVERSATION.c.key.in_(keys), visible(viewer))
        ids |= {row.id for row in await connection.execute(had) if (row.key, row.message) in receipts}
    query = select(*shown).where(CONVERSATION.c.id.in_(sorted(ids)), visible(viewer))
    conversations = tuple(dict(row) for row in (await connection.execute(query)).mappings()) if ids else ()
    people = [change for change in found if change.account is not None and change.account == viewer.account]
    within = and_(CHANGE.c.number > place, CHANGE.c.number <= end)
    seen = {item["id"] for item in conversations}
    reload = await _has_left(connection, viewer, within, seen)
    # Which teams an agent is in decides what others see of theirs.
    reload |= viewer.scope == "team" and any(change.kind == "agent" for change in people)
    agents = tuple(sorted({change.subject for change in people}))
    return Changes(f"{epoch}-{end}", conversations, agents, reload, more=end < last)


async def _has_left(
    connection: AsyncConnection, viewer: Viewer, within: ColumnElement[bool], seen: Collection[object]
) -> bool:
    """Whether the viewer no longer sees what they saw before; or sees, with a channel, what is not told here."""
    had = select(CHANGE.c.subject).where(within, CHANGE.c.assignee.is_not(None), visible(viewer, CHANGE))
    if any(id not in seen for id in (await connection.execute(had)).scalars()):
        return True
    channels = select(CHANGE.c.subject).where(within, CHANGE.c.kind == "channel", in_channels(viewer, CHANGE.c.subject))
    return (await connection.execute(channels.limit(1))).first() is not None


def _place(since: str, epoch: str) -> int | None:
    """The number in an id; None: it is none of this feed's."""
    of, _, number = since.partition("-")
    return int(number) if of == epoch and number.isascii() and number.isdecimal() and len(number) < 19 else None
