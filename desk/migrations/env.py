"""Alembic runs this file for every command. The connection is given by desk.database."""

from alembic import context

from desk.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
