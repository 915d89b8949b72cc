"""What changed of late, for streams; and which conversations a file is in."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    feed = op.create_table(
        "feed",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_feed"),
    )
    op.bulk_insert(feed, [{"epoch": secrets.token_hex(4), "last": 0}])
    op.create_table(
        "changes",
        sa.Column("number", _ROWID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("account", sa.Text()),
        sa.Column("channel", sa.Text()),
        sa.Column("assignee", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_changes"),
    )
    op.create_table(
        "files",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("file", "conversation", name="pk_files"),
    )
