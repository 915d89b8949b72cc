"""The database of the view: SQLite or PostgreSQL by its URL, opened, and brought to this version's schema."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import orjson
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

READERS: Final = 4
"""Queries at a time."""
_WAIT_S: Final = 10.0
"""For a connection, and for a lock in SQLite."""
_MIGRATING: Final = 7_240_117
"""PostgreSQL's advisory lock, so that of two processes one migrates."""
_WRITING_SQLITE: Final = "sqlite+pysqlite"
_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

_T = TypeVar("_T")


_AWAY: Final = (
    OSError,
    TimeoutError,
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class InvalidDatabase(ValueError):
    """The database's URL names none that the view can be kept in. The message holds no password."""


def database_url(text: str) -> URL:
    """The URL of a database, with the driver that we use. Raises InvalidDatabase."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidDatabase("is no URL of a database, such as postgresql://user:password@host/name") from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise InvalidDatabase(f"{url.get_backend_name()} is neither sqlite nor postgresql")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise InvalidDatabase("SQLite needs a file: sqlite:////path/to/desk.db")
    return url.set(drivername=driver)


def sqlite_url(file: Path) -> URL:
    """The URL of a database in a file."""
    return URL.create(_DRIVERS["sqlite"], database=str(file))


class DatabaseAway(Exception):
    """The database can't be reached, or is busy: what was asked of it is to be tried again. The message says why."""


class Database:
    """Two engines for one database: one connection that writes, and some that only read.

    SQLite is written to in a thread, a transaction at a time: its asynchronous driver would change to a thread and back
    for each statement, which takes longer than most statements do.

    What is written last may be lost when the machine loses its power, never a part of it: the positions go with the
    rows, so it is read again.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._readers = create_async_engine(url, **self._options(READERS, writes=False))
        self._writer: Engine | AsyncEngine
        if self.is_sqlite:
            self._thread = _thread()
            self._writer = create_engine(url.set(drivername=_WRITING_SQLITE), **self._options(1, writes=True))
            _prepare_sqlite(self._readers.sync_engine, writes=False)
            _prepare_sqlite(self._writer, writes=True)
        else:
            self._writer = create_async_engine(url, **self._options(1, writes=True))

    def _options(self, connections: int, *, writes: bool) -> dict[str, Any]:
        # Without the parameters: an error's text may be logged.
        options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "hide_parameters": True}
        options |= {"json_serializer": _to_json, "json_deserializer": orjson.loads}
        # The one that was used last has the most in its cache.
        options |= {"pool_use_lifo": True, "pool_timeout": _WAIT_S}
        if not self.is_sqlite:
            settings = {"application_name": "livedesk desk", "timezone": "UTC"}
            settings |= {"synchronous_commit": "off"} if writes else {"default_transaction_read_only": "on"}
            options |= {"connect_args": {"server_settings": settings, "timeout": _WAIT_S}, "pool_pre_ping": True}
        return options

    async def migrate(self) -> None:
        """Bring the database to this version's schema: alembic's migrations, in one transaction.

        Raises DatabaseAway, and InvalidDatabase: it is of a later version.
        """
        try:
            await self.write(_upgrade)
        except CommandError:
            raise InvalidDatabase("names a database of a later version of LiveDesk") from None

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Do some statements as one transaction. In a thread, where the database is SQLite.

        Raises DatabaseAway: it may be committed or not.
        """
        with _outages():
            if isinstance(self._writer, Engine):
                return await asyncio.get_running_loop().run_in_executor(self._thread, _transact, self._writer, work)
            async with self._writer.begin() as connection:
                return await connection.run_sync(work)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """For queries that belong together: in SQLite they see one state of the view. Raises DatabaseAway."""
        with _outages():
            async with self._readers.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Disconnect. Whoever uses it again connects again."""
        await self._readers.dispose()
        if isinstance(self._writer, Engine):
            await asyncio.to_thread(self._thread.shutdown)
            self._thread = _thread()
            self._writer.dispose()
        else:
            await self._writer.dispose()


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "desk-writer")


@contextmanager
def _outages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = (error.orig or error) if isinstance(error, DBAPIError) else error
        if _is_outage(error, cause):
            # Only its first line: what follows may be a statement.
            raise DatabaseAway(str(cause).partition("\n")[0] or type(cause).__name__) from error
        raise


def _is_outage(error: Exception, cause: BaseException) -> bool:
    """Whether the database, not what was asked of it, is the matter."""
    if isinstance(cause, sqlite3.Error):
        # SQLITE_ERROR is what a wrong statement leads to.
        return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode != sqlite3.SQLITE_ERROR
    if isinstance(error, DBAPIError):
        lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
        return lost or isinstance(cause.__cause__, _AWAY)
    # asyncpg's own where it can't connect, the pool's where all connections are in use.
    return isinstance(error, _AWAY)


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _transact(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    with engine.begin() as connection:
        return work(connection)


def _prepare_sqlite(engine: Engine, *, writes: bool) -> None:
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        # The driver's own BEGIN comes too late for a reader's snapshot, and does not take the writer's lock.
        connection.isolation_level = None
        pragmas = [f"busy_timeout={_WAIT_S * 1_000:.0f}", "journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536"]
        pragmas += [] if writes else ["query_only=1"]
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration: our migrations, on the connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
    command.upgrade(alembic_config(connection), "head")
