"""The view's database is stopped, started, and locked: whoever calls meanwhile is told to try again."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from desk.access.permissions import Actor
from desk.access.tables import TableStore
from desk.access.writer import UserFields
from desk.view import database as databases
from desk.view.applier import Applier
from desk.view.database import Database, DatabaseAway, database_url, sqlite_url
from desk.view.queries import Queries
from schemas.events.access import Grant, Role
from tests.support.access import Browser
from tests.support.ingress import Ingress, running
from tests.support.postgres import Server, new_database, postgres_server
from tests.support.view import write
from tests.unit.desk.test_reading_routes import ALL, log

ROOT = Actor("test", "", Grant(role=Role.ADMIN))
AWAY = 503, "database_unavailable", "5"
CALLERS = 6


@pytest.fixture
def server() -> Iterator[Server]:
    with postgres_server() as server:
        yield server


class Callers:
    """Two browsers that call: a person's, who has signed in, and a script's with a token."""

    def __init__(self, ingress: Ingress, person: Browser, script: Browser) -> None:
        self.ingress, self.person, self.script = ingress, person, script

    async def each(self) -> list[tuple[int, str, str]]:
        """Status, code and Retry-After of a call of each."""
        found = []
        for browser, path in ((self.person, "/v1/session"), (self.person, ALL), (self.script, f"{ALL}/c1/thread")):
            status, answer = await browser.call("GET", path)
            found.append((status, answer.get("code", ""), browser.received.get("Retry-After", "")))
        return found


@asynccontextmanager
async def calling(database: Database) -> AsyncIterator[Callers]:
    await database.migrate()
    await write(Applier(database), log())
    async with running(queries=Queries(database), store=TableStore(database)) as (ingress, client):
        fields = UserFields(
            grant=Grant(role=Role.READ, account="main"), password=await ingress.door.passwords.hash("a long password")
        )
        await ingress.door.writer.create_user(ROOT, "marta@example.com", fields)
        person, script = (Browser(client, ingress.control_url) for _ in range(2))
        assert (await person.sign_in("marta@example.com", "a long password"))[0] == 201
        script.headers["Authorization"] = f"Bearer {ingress.token(Role.READ, account='main')}"
        yield Callers(ingress, person, script)
    await database.close()


async def test_while_postgresql_is_stopped_all_are_told_to_try_again(server: Server) -> None:
    database = Database(database_url(await asyncio.to_thread(new_database, server.url)))
    async with calling(database) as callers:
        assert await callers.each() == [(200, "", "")] * 3
        # Some are under way when it stops, and when it comes back.
        seen: Counter[tuple[int, str, str]] = Counter()
        over = asyncio.Event()

        async def call() -> None:
            while not over.is_set():
                seen.update(await callers.each())

        calls = asyncio.gather(*(call() for _ in range(CALLERS)))
        await asyncio.to_thread(server.stop)
        assert await callers.each() == [AWAY] * 3
        with pytest.raises(DatabaseAway):
            await Applier(database).positions()
        await asyncio.to_thread(server.start)
        over.set()
        await calls
        assert seen.keys() <= {(200, "", ""), AWAY}
        assert await callers.each() == [(200, "", "")] * 3


async def test_while_sqlite_is_locked_who_writes_is_told_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_WAIT_S", 0.1)
    file = tmp_path / "desk.db"
    async with calling(Database(sqlite_url(file))) as callers:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, answer = await callers.person.sign_in("marta@example.com", "a long password")
            assert (status, answer["code"], callers.person.received["Retry-After"]) == AWAY
            # Who only reads need not wait.
            assert await callers.each() == [(200, "", "")] * 3
        assert (await callers.person.sign_in("marta@example.com", "a long password"))[0] == 201


async def test_a_wrong_statement_is_no_outage(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "desk.db"))
    with pytest.raises(Exception, match="no such table") as raised:
        await Applier(database).positions()
    assert not isinstance(raised.value, DatabaseAway)
    await database.close()
