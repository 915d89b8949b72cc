"""Both databases of the view: each test that asks for one runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from desk.view.applier import Applier
from desk.view.database import Database, database_url, sqlite_url
from tests.support.postgres import new_database, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "desk.db").render_as_string()
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(database_url(url))
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def applier(database: Database) -> Applier:
    return Applier(database)
