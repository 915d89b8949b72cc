"""The read model's tables: one schema for SQLite and PostgreSQL. Those of who signs in are in desk.access.tables.

Nothing but the applier writes to them. Each row of the read model is of one
partition of one topic, so that it is a function of that partition alone. Where two topics say something of one thing (a
message and its receipts, an agent and their presence) there are two tables.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.types import JSON

from desk.view.instant import Instant
from schemas.events.conversation import Status
from schemas.topics import (
    ACCOUNT_INBOX,
    AI_CALLS,
    ASSIGNMENTS,
    CHANNELS,
    CONVERSATIONS,
    CSAT,
    DEAD_LETTERS,
    DIRECTORY,
    NOTIFICATIONS,
    REPORTS,
    STATUSES,
    Topic,
)

METADATA: Final = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})

_ROWID: Final = BigInteger().with_variant(Integer, "sqlite")
"""A key that SQLite takes for the row's own number."""


def _origin() -> tuple[Column[int], Column[int]]:
    """Where the record is that made the row; of a compacted topic, the one that changed it last."""
    return Column("partition", Integer, nullable=False), Column("offset", BigInteger, nullable=False)


CONVERSATION: Final = Table(
    "conversations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("phone", Text),
    Column("user_id", Text),
    Column("contact_name", Text),
    Column("opened_at", Instant, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", Text, nullable=False),
    # `human/lucia`, `team/sales`, `ai/helper`.
    Column("assignee", Text),
    Column("routed", Boolean, nullable=False),
    Column("messages_in", Integer, nullable=False),
    Column("messages_out", Integer, nullable=False),
    Column("messages_automatic", Integer, nullable=False),
    Column("last_customer_at", Instant),
    Column("last_human_at", Instant),
    Column("unread", Integer, nullable=False),
    Column("waiting_since", Instant),
    Column("labels", JSON, nullable=False),
    Column("resolution", Integer, nullable=False),
    Column("surveys", Integer, nullable=False),
    Column("returned", Boolean, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("muted", Boolean, nullable=False),
    # What the header does not say. active_at: of the last message, note, notice or opening: lists are in this order.
    Column("active_at", Instant, nullable=False),
    Column("status_since", Instant, nullable=False),
    # Since when it is Open and has neither a human agent nor an AI agent: its place in the waiting queue.
    Column("unassigned_since", Instant),
    Column("last_text", Text),
    Column("last_kind", Text),
    Column("doc", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
    *_origin(),
    info={"topic": CONVERSATIONS},
)
Index(None, CONVERSATION.c.active_at, CONVERSATION.c.id)
Index(None, CONVERSATION.c.status, CONVERSATION.c.active_at, CONVERSATION.c.id)
Index(None, CONVERSATION.c.assignee, CONVERSATION.c.active_at, CONVERSATION.c.id)
Index(None, CONVERSATION.c.channel, CONVERSATION.c.active_at, CONVERSATION.c.id)
Index(None, CONVERSATION.c.key)
Index(None, CONVERSATION.c.doc, unique=True)
# Those that people work on are few: an agent's, and how many they hold.
_open = text(f"status = '{Status.OPEN}'")
_LISTED = CONVERSATION.c.assignee, CONVERSATION.c.active_at, CONVERSATION.c.id
Index("ix_conversations_open", *_LISTED, sqlite_where=_open, postgresql_where=_open)
# By an expression, as SQLite would rather look each of them up by its status.
IS_HELD: Final = CONVERSATION.c.status.concat(literal_column("''")) == literal_column(f"'{Status.OPEN}'")
_COUNTED = CONVERSATION.c.assignee, CONVERSATION.c.channel
Index("ix_conversations_load", *_COUNTED, sqlite_where=IS_HELD, postgresql_where=IS_HELD)
_waits = CONVERSATION.c.waiting_since.is_not(None)
Index(None, CONVERSATION.c.waiting_since, CONVERSATION.c.id, sqlite_where=_waits, postgresql_where=_waits)
_queued = CONVERSATION.c.unassigned_since.is_not(None)
Index(None, CONVERSATION.c.unassigned_since, CONVERSATION.c.id, sqlite_where=_queued, postgresql_where=_queued)

LABEL: Final = Table(
    "labels",
    METADATA,
    Column("label", Text, primary_key=True),
    Column("conversation", Text, primary_key=True),
    Column("present", Boolean, nullable=False),
    # The conversation's, so that a label's conversations are read in order.
    Column("active_at", Instant, nullable=False),
    *_origin(),
    info={"topic": CONVERSATIONS},
)
Index(None, LABEL.c.label, LABEL.c.present, LABEL.c.active_at, LABEL.c.conversation)

ENTRY: Final = Table(
    "entries",
    METADATA,
    Column("conversation", Text, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("id", Text, nullable=False),
    # The record that led to it: of a command's, the command's.
    Column("cause", Text),
    Column("type", Text, nullable=False),
    Column("time", Instant, nullable=False),
    Column("message", Text),
    Column("refers_to", Text),
    Column("by", Text),
    Column("text", Text),
    # What else the event says.
    Column("data", JSON, nullable=False),
    info={"topic": CONVERSATIONS},
    sqlite_with_rowid=False,
)
_refers = ENTRY.c.refers_to.is_not(None)
Index(None, ENTRY.c.conversation, ENTRY.c.refers_to, sqlite_where=_refers, postgresql_where=_refers)

TEXT: Final = Table(
    "texts",
    METADATA,
    Column("doc", _ROWID, primary_key=True, autoincrement=False),
    Column("conversation", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("words", Text, nullable=False),
    *_origin(),
    info={"topic": CONVERSATIONS},
)

WORD: Final = Table("words", METADATA, Column("word", Text, primary_key=True), sqlite_with_rowid=False)
"""Every word that a text has had, so that SQLite can look for the words that begin so, instead of for a beginning."""

FILE: Final = Table(
    "files",
    METADATA,
    # Its key in the media store.
    Column("file", Text, primary_key=True),
    Column("conversation", Text, primary_key=True),
    *_origin(),
    info={"topic": CONVERSATIONS},
)
"""Which conversations a file is in: a customer's or its preview, or one that was sent."""

REFUSAL: Final = Table(
    "refusals",
    METADATA,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("command", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
    info={"topic": CONVERSATIONS},
)
Index(None, REFUSAL.c.command)

RECEIPT: Final = Table(
    "receipts",
    METADATA,
    # A message of another contact may have the same id at another provider.
    Column("key", Text, primary_key=True),
    Column("message", Text, primary_key=True),
    Column("provider_message", Text),
    Column("status", Text),
    Column("timestamps", JSON),
    Column("error_code", Integer),
    Column("error_message", Text),
    # The last report that contradicted what stands.
    Column("anomaly", Text),
    Column("changed_at", Instant, nullable=False),
    *_origin(),
    info={"topic": STATUSES},
)

DECISION: Final = Table(
    "decisions",
    METADATA,
    Column("conversation", Text, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("revision", Integer),
    Column("assignee", Text),
    Column("reason", Text),
    Column("explanation", JSON, nullable=False),
    info={"topic": ASSIGNMENTS},
)

AI_CALL: Final = Table(
    "ai_calls",
    METADATA,
    Column("conversation", Text, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("request", Text, nullable=False),
    # The customer's message that it was for.
    Column("message", Text),
    Column("agent", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("used", Boolean, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("took_ms", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    info={"topic": AI_CALLS},
)

SURVEY: Final = Table(
    "surveys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("conversation", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("resolution", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("agent", Text),
    Column("asked_at", Instant),
    Column("rating", SmallInteger),
    Column("comment", Text),
    Column("reason", Text),
    Column("changed_at", Instant, nullable=False),
    *_origin(),
    info={"topic": CSAT},
)
Index(None, SURVEY.c.conversation)

REPORT: Final = Table(
    "reports",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("agent", Text),
    Column("counts", JSON, nullable=False),
    *_origin(),
    info={"topic": REPORTS},
)
Index(None, REPORT.c.channel, REPORT.c.day)

CHANNEL: Final = Table(
    "channels",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("phone_number", Text, nullable=False),
    # Without credentials.
    Column("settings", JSON, nullable=False),
    Column("saved_at", Instant, nullable=False),
    *_origin(),
    info={"topic": CHANNELS},
)

AGENT: Final = Table(
    "agents",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    # A number, "default" (the channel's), or null: no limit.
    Column("workload", Text),
    # Each between two line feeds, so that one is found as a part of the text.
    Column("teams", Text, nullable=False),
    # Kept, as threads say who wrote; without a name, as the topic keeps none.
    Column("deleted", Boolean, nullable=False),
    *_origin(),
    info={"topic": DIRECTORY},
)

PRESENCE: Final = Table(
    "presence",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("chosen", Text),
    Column("chosen_at", Instant),
    Column("heartbeat", Text),
    Column("heartbeat_at", Instant),
    *_origin(),
    info={"topic": ACCOUNT_INBOX},
)

NOTIFICATION: Final = Table(
    "notifications",
    METADATA,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", Instant, nullable=False),
    info={"topic": NOTIFICATIONS},
)

DEAD_LETTER: Final = Table(
    "dead_letters",
    METADATA,
    Column("id", Text, primary_key=True),
    # Null where only its replay is known.
    Column("stage", Text),
    Column("key", Text, nullable=False),
    # Whose it is: a channel's or, of assignment's, an account's.
    Column("channel", Text),
    Column("account", Text),
    Column("reason", Text),
    Column("detail", Text),
    Column("source_topic", Text),
    Column("source_partition", Integer),
    Column("source_offset", BigInteger),
    Column("at", Instant),
    Column("replayed", Boolean, nullable=False),
    *_origin(),
    info={"topic": DEAD_LETTERS},
)

FAILURE: Final = Table(
    "failures",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("type", Text),
    # What went wrong, never the data.
    Column("error", Text, nullable=False),
)
"""Records that could not be applied: bugs of ours, or what Kafka had deleted before it was read."""

POSITION: Final = Table(
    "positions",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    # Of the last record that was applied.
    Column("time", Instant),
)
"""How far the view has read: the offset of the next record. Written in the transaction of the rows that it led to."""

FEED: Final = Table(
    "feed", METADATA, Column("epoch", Text, primary_key=True), Column("last", BigInteger, nullable=False)
)
"""The number of the last change (desk.view.feed), in one row. epoch: another one after a rebuild."""

CHANGE: Final = Table(
    "changes",
    METADATA,
    Column("number", _ROWID, primary_key=True, autoincrement=False),
    # conversation, receipt, agent, presence, channel.
    Column("kind", Text, nullable=False),
    # Whose it is: an id; of a receipt, the conversation key.
    Column("subject", Text, nullable=False),
    Column("message", Text),
    Column("account", Text),
    Column("channel", Text),
    # Who held the conversation before, where that changed.
    Column("assignee", Text),
)
"""What changed of late, for streams. No row of the view: it is written with them, and the oldest are deleted."""

VIEW: Final = tuple(table for table in METADATA.sorted_tables if "topic" in table.info)
"""The tables that records lead to."""


def topic_of(table: Table) -> Topic:
    """The one topic that a table of the view is made of."""
    topic: Topic = table.info["topic"]
    return topic


FOLLOWED: Final[Mapping[str, Topic]] = {topic.name: topic for topic in map(topic_of, VIEW)}
"""The topics that the view is made of, by their bare names."""
