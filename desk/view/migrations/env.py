"""Alembic runs this file for every command. The connection is given by desk.view.database."""

from alembic import context

from desk.view.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
