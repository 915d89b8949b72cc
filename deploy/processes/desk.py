"""The desk process: the view in its database, what follows the topics into it, and the control API."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client import generate_latest
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from bus.aiokafka_fixes import calm_reconnects, collect_garbage_less, quiet_loggers
from deploy.errors import LiveDeskError
from deploy.folders import DATA, make_folder
from deploy.processes.control import ControlServer
from deploy.settings import Settings
from desk.access.tables import TableStore
from desk.view.applier import Applier
from desk.view.database import Database, DatabaseAway, InvalidDatabase, database_url, sqlite_url
from desk.view.follower import Follower, MissingTopic
from desk.view.metrics import Metrics
from desk.view.progress import Progress
from desk.view.queries import Queries
from schemas.settings.channels_file import ChannelsFile

logger = logging.getLogger(__name__)

FILE: Final = "desk.db"
ALIVE_S: Final = 60.0
"""Seconds since the follower last went round, after which the process is not well."""
STOP_WITHIN_S: Final = 10.0
_AGAIN_S: Final = 0.5


@dataclass(frozen=True)
class View:
    """The read model of an installation: its database, and what brings the topics into it."""

    database: Database
    progress: Progress
    follower: Follower
    metrics: Metrics


@asynccontextmanager
async def open_view(settings: Settings) -> AsyncIterator[View]:
    """The view, its database at this version's schema; waits while the database can't be reached.

    Raises LiveDeskError: the database is none that the view can be kept in.
    """
    quiet_loggers()
    calm_reconnects()
    collect_garbage_less()
    database = None
    try:
        database = Database(_url(settings))
        await _migrate(database)
        progress, metrics = Progress(), Metrics()
        follower = Follower(settings.kafka, settings.topic_prefix, Applier(database), progress, metrics)
        yield View(database, progress, follower, metrics)
    except InvalidDatabase as error:
        raise LiveDeskError(f"LIVEDESK_DATABASE_URL {error}.", "Set the environment variable, or unset it.") from None
    finally:
        if database is not None:
            await database.close()


def _url(settings: Settings) -> URL:
    if settings.database_url is not None:
        return database_url(settings.database_url.get_secret_value())
    make_folder(settings.data_dir, DATA)
    file = settings.data_dir / FILE
    file.touch(mode=0o600)
    return sqlite_url(file)


async def _migrate(database: Database) -> None:
    said = False
    while True:
        try:
            return await database.migrate()
        except DBAPIError as error:
            why = str(error.orig).partition("\n")[0]
            raise LiveDeskError(f"The database can't be used: {why}.", "Check LIVEDESK_DATABASE_URL.") from error
        except DatabaseAway as why:
            if not said:
                logger.warning("The database can't be used (%s): waiting until it can", why)
                said = True
            await asyncio.sleep(_AGAIN_S)


def health_routes(view: View, serves: Callable[[], bool] = lambda: True) -> list[web.RouteDef]:
    """/healthz: the follower went round of late. /readyz: it reads, and the API is up to date. /metrics: Prometheus."""
    follower = view.follower

    async def healthz(_: web.Request) -> web.Response:
        alive = monotonic() - follower.turned_at < ALIVE_S
        return web.json_response({"alive": alive}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        ready = follower.following and serves()
        return web.json_response({"ready": ready, "lag": dict(follower.lag)}, status=200 if ready else 503)

    async def prometheus(_: web.Request) -> web.Response:
        body = generate_latest(view.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)]


@dataclass(frozen=True)
class DeskOptions:
    """Where the control API listens. channels: agents and channels, saved first. ingress_url: for webhook addresses."""

    host: str
    port: int
    ingress_url: str
    channels: ChannelsFile | None = None


async def run_desk(settings: Settings, options: DeskOptions) -> None:
    """Follow the topics and serve the control API until SIGTERM or SIGINT. Raises LiveDeskError."""
    until = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    serving, stopping = asyncio.create_task(_serve(settings, options, until)), asyncio.create_task(until.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    # Where it waits for Kafka or the database it is cut short: what is not committed is read again.
    await asyncio.wait({serving}, timeout=STOP_WITHIN_S)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(settings: Settings, options: DeskOptions, until: asyncio.Event) -> None:
    async with open_view(settings) as view:
        server = ControlServer(
            settings,
            channels=options.channels,
            host=options.host,
            port=options.port,
            ingress_url=options.ingress_url,
            pages=health_routes(view, lambda: server.follows),
            store=TableStore(view.database),
            queries=Queries(view.database),
            progress=view.progress,
            view_lag=lambda: view.follower.lag,
        )
        async with server:
            logger.info("the view is kept in %r; the control API is on %s", view.database.url, server.url)
            with _missing_topics_explained():
                await view.follower.run(until)


async def rebuild(settings: Settings) -> AsyncIterator[int]:
    """Make the view anew. Says how many records are left to be read. Raises LiveDeskError."""
    async with open_view(settings) as view:
        try:
            with _missing_topics_explained():
                async for left in view.follower.rebuild():
                    yield left
        except (KafkaError, DatabaseAway, OSError, TimeoutError) as error:
            raise LiveDeskError(
                f"Kafka or the database can't be reached ({type(error).__name__}): {settings.kafka.bootstrap_servers}.",
                "What was read is in the view. When it is there again: livedesk desk reads on.",
            ) from error


@contextmanager
def _missing_topics_explained() -> Iterator[None]:
    try:
        yield
    except MissingTopic as error:
        raise LiveDeskError(
            f"The desk can't start: topic {error} does not exist.", "Create the topics: livedesk topics apply"
        ) from error
