"""The migrations give the schema, in both databases."""

from operator import methodcaller

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from desk.access.tables import SESSION
from desk.view.database import Database, InvalidDatabase
from desk.view.schema import VIEW, topic_of

METADATA = SESSION.metadata
"""With the tables of who signs in."""
SEARCH = ("texts_index", "conversations_index")
"""What each database has for searching in its own way: the migrations alone make it."""


def _is_compared(thing: object, name: str | None, kind: str, *_: object) -> bool:
    return not (name or "").startswith(SEARCH) and name != "alembic_version"


def _differences(connection: Connection) -> list[object]:
    options = {"target_metadata": METADATA, "compare_type": True, "include_object": _is_compared}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def _searchable(connection: Connection) -> set[str]:
    found = inspect(connection)
    indexes = {index["name"] for table in ("texts", "conversations") for index in found.get_indexes(table)}
    return {*found.get_table_names(), *(name for name in indexes if name)} & set(SEARCH)


async def test_the_migrations_give_the_schema(database: Database) -> None:
    assert await database.write(_differences) == []
    assert await database.write(_searchable) == set(SEARCH)


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await database.migrate()
    assert await database.write(_differences) == []


async def test_a_database_of_a_later_version_is_refused(database: Database) -> None:
    await database.write(methodcaller("exec_driver_sql", "UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidDatabase, match="later version"):
        await database.migrate()


def test_every_row_says_which_record_made_it() -> None:
    for table in VIEW:
        assert {"partition", "offset"} <= set(table.c.keys()), table.name
        assert topic_of(table).name
