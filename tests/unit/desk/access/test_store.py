"""What every AccessStore must do: the one in memory, and the one in each database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from desk.access.store import AccessStore, MemoryStore, Session, Tries
from desk.access.tables import TableStore
from desk.view.database import Database, database_url, sqlite_url
from tests.support.postgres import new_database

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccessStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = sqlite_url(tmp_path / "desk.db")
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgres")
        url = database_url(await asyncio.to_thread(new_database, server))
    database = Database(url)
    await database.migrate()
    yield TableStore(database)
    await database.close()


def session(hash: str = "h", began_at: datetime = NOW) -> Session:
    return Session(hash, "marta", 3, began_at, began_at, strong=True)


async def test_a_session_is_there_until_it_ends(store: AccessStore) -> None:
    assert await store.session("h") is None
    await store.add_session(session())
    await store.session_seen("h", NOW + timedelta(minutes=5))
    assert await store.session("h") == Session("h", "marta", 3, NOW, NOW + timedelta(minutes=5), strong=True)
    await store.session_seen("other", NOW)
    await store.end_session("other")
    await store.end_session("h")
    await store.end_session("h")
    assert await store.session("h") is None


async def test_tries_are_replaced_only_as_they_were(store: AccessStore) -> None:
    one, two = Tries(1, NOW), Tries(2, NOW + timedelta(seconds=1))
    assert not await store.replace_tries("a", one, two)
    assert await store.replace_tries("a", None, one)
    assert not await store.replace_tries("a", None, two)
    assert not await store.replace_tries("a", two, one)
    assert await store.tries("a") == one
    assert await store.tries("b") is None
    assert await store.replace_tries("a", one, two)
    assert not await store.replace_tries("a", one, None)
    assert await store.replace_tries("a", two, None)
    assert await store.tries("a") is None


async def test_of_many_at_once_one_replaces(store: AccessStore) -> None:
    done = await asyncio.gather(*(store.replace_tries("a", None, Tries(number, NOW)) for number in range(1, 21)))
    assert done.count(True) == 1


async def test_a_step_counts_once_and_none_before_it(store: AccessStore) -> None:
    assert await store.use_step("marta", 100)
    assert not await store.use_step("marta", 100)
    assert not await store.use_step("marta", 99)
    assert await store.use_step("paul", 100)
    assert sum(await asyncio.gather(*(store.use_step("marta", 101) for _ in range(20)))) == 1


async def test_who_was_last_seen(store: AccessStore) -> None:
    await store.used("token/a", NOW)
    await store.used("token/a", NOW + timedelta(hours=1))
    await store.used("user/b", NOW)
    assert await store.last_used() == {"token/a": NOW + timedelta(hours=1), "user/b": NOW}


async def test_what_is_old_is_forgotten(store: AccessStore) -> None:
    await store.add_session(session("old", NOW - timedelta(days=2)))
    await store.add_session(session("new"))
    await store.replace_tries("old", None, Tries(1, NOW - timedelta(days=2)))
    await store.replace_tries("new", None, Tries(1, NOW))
    await store.purge(NOW - timedelta(days=1))
    assert await store.session("old") is None
    assert await store.session("new") is not None
    assert await store.tries("old") is None
    assert await store.tries("new") is not None
