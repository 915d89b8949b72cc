"""The view's tables, and the search index, which each database has in its own way."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# All words of a table by row. It keeps no copy of the texts, and follows the table by itself.
_SQLITE: Final = (
    """CREATE VIRTUAL TABLE {table}_index
    USING fts5(words, content='', columnsize=0, detail=none, tokenize='ascii', prefix='{prefixes}')""",
    """CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN
    INSERT INTO {table}_index(rowid, words) VALUES (new.doc, new.words); END""",
    """CREATE TRIGGER {table}_changed AFTER UPDATE OF words ON {table} WHEN old.words <> new.words BEGIN
    INSERT INTO {table}_index({table}_index, rowid, words) VALUES ('delete', old.doc, old.words);
    INSERT INTO {table}_index(rowid, words) VALUES (new.doc, new.words); END""",
    """CREATE TRIGGER {table}_deleted AFTER DELETE ON {table} BEGIN
    INSERT INTO {table}_index({table}_index, rowid, words) VALUES ('delete', old.doc, old.words); END""",
)
_POSTGRESQL: Final = (
    "CREATE INDEX {table}_index ON {table} USING gin (array_to_tsvector(string_to_array(words, ' ')))",
)
# table -> how long the beginnings are that are indexed by themselves. Numbers have thousands of ends that begin alike.
_SEARCHED: Final = {"conversations": "2 3 4 5 6", "texts": "2 3 4"}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "agents",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text()),
        sa.Column("teams", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "id", name="pk_agents"),
    )
    op.create_table(
        "channels",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_channels"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text()),
        sa.Column("user_id", sa.Text()),
        sa.Column("contact_name", sa.Text()),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text()),
        sa.Column("routed", sa.Boolean(), nullable=False),
        sa.Column("messages_in", sa.Integer(), nullable=False),
        sa.Column("messages_out", sa.Integer(), nullable=False),
        sa.Column("messages_automatic", sa.Integer(), nullable=False),
        sa.Column("last_customer_at", sa.BigInteger()),
        sa.Column("last_human_at", sa.BigInteger()),
        sa.Column("unread", sa.Integer(), nullable=False),
        sa.Column("waiting_since", sa.BigInteger()),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("resolution", sa.Integer(), nullable=False),
        sa.Column("surveys", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Boolean(), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("active_at", sa.BigInteger(), nullable=False),
        sa.Column("status_since", sa.BigInteger(), nullable=False),
        sa.Column("unassigned_since", sa.BigInteger()),
        sa.Column("last_text", sa.Text()),
        sa.Column("last_kind", sa.Text()),
        sa.Column("doc", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_active_at_id", "conversations", ["active_at", "id"])
    op.create_index("ix_conversations_assignee_active_at_id", "conversations", ["assignee", "active_at", "id"])
    op.create_index("ix_conversations_channel_active_at_id", "conversations", ["channel", "active_at", "id"])
    for name, columns, condition in (
        ("ix_conversations_open", ["assignee", "active_at", "id"], sa.text("status = 'Open'")),
        ("ix_conversations_load", ["assignee", "channel"], sa.text("status || '' = 'Open'")),
    ):
        op.create_index(name, "conversations", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_index("ix_conversations_doc", "conversations", ["doc"], unique=True)
    op.create_index("ix_conversations_key", "conversations", ["key"])
    op.create_index("ix_conversations_status_active_at_id", "conversations", ["status", "active_at", "id"])
    op.create_index(
        "ix_conversations_unassigned_since_id",
        "conversations",
        ["unassigned_since", "id"],
        sqlite_where=sa.text("unassigned_since IS NOT NULL"),
        postgresql_where=sa.text("unassigned_since IS NOT NULL"),
    )
    op.create_index(
        "ix_conversations_waiting_since_id",
        "conversations",
        ["waiting_since", "id"],
        sqlite_where=sa.text("waiting_since IS NOT NULL"),
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text()),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text()),
        sa.Column("account", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("source_topic", sa.Text()),
        sa.Column("source_partition", sa.Integer()),
        sa.Column("source_offset", sa.BigInteger()),
        sa.Column("at", sa.BigInteger()),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    op.create_table(
        "decisions",
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer()),
        sa.Column("assignee", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("explanation", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("conversation", "offset", name="pk_decisions"),
    )
    op.create_table(
        "entries",
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text()),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("refers_to", sa.Text()),
        sa.Column("by", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("conversation", "at", "offset", name="pk_entries"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_entries_conversation_refers_to",
        "entries",
        ["conversation", "refers_to"],
        sqlite_where=sa.text("refers_to IS NOT NULL"),
        postgresql_where=sa.text("refers_to IS NOT NULL"),
    )
    op.create_table(
        "failures",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", name="pk_failures"),
    )
    op.create_table(
        "labels",
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("active_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("label", "conversation", name="pk_labels"),
    )
    op.create_index(
        "ix_labels_label_present_active_at_conversation", "labels", ["label", "present", "active_at", "conversation"]
    )
    op.create_table(
        "notifications",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "offset", name="pk_notifications"),
    )
    op.create_table(
        "positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_positions"),
    )
    op.create_table(
        "presence",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Text()),
        sa.Column("chosen_at", sa.BigInteger()),
        sa.Column("heartbeat", sa.Text()),
        sa.Column("heartbeat_at", sa.BigInteger()),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "agent", name="pk_presence"),
    )
    op.create_table(
        "receipts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("provider_message", sa.Text()),
        sa.Column("status", sa.Text()),
        sa.Column("timestamps", sa.JSON()),
        sa.Column("error_code", sa.Integer()),
        sa.Column("error_message", sa.Text()),
        sa.Column("anomaly", sa.Text()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "message", name="pk_receipts"),
    )
    op.create_table(
        "refusals",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "offset", name="pk_refusals"),
    )
    op.create_index("ix_refusals_command", "refusals", ["command"])
    op.create_table(
        "reports",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_reports"),
    )
    op.create_index("ix_reports_channel_day", "reports", ["channel", "day"])
    op.create_table(
        "surveys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("asked_at", sa.BigInteger()),
        sa.Column("rating", sa.SmallInteger()),
        sa.Column("comment", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_surveys"),
    )
    op.create_index("ix_surveys_conversation", "surveys", ["conversation"])
    op.create_table(
        "texts",
        sa.Column("doc", _ROWID, nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("doc", name="pk_texts"),
    )
    op.create_table(
        "words",
        sa.Column("word", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("word", name="pk_words"),
        sqlite_with_rowid=False,
    )
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
    for table, prefixes in _SEARCHED.items():
        for statement in statements[op.get_context().dialect.name]:
            op.execute(statement.format(table=table, prefixes=prefixes))
