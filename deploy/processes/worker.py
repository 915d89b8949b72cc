"""The worker process: composes stages, Kafka, the clients of provider and AI agent, and the health page."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing

from aiohttp import ClientSession, TCPConnector, web
from aiokafka.errors import KafkaConnectionError
from prometheus_client import generate_latest

from agents.media import MEDIA
from agents.stage import Stage
from deploy.kafka.waiting import until_kafka_answers
from deploy.media import delete_old_files, open_store
from deploy.ports import listen
from deploy.secrets import Secrets
from deploy.settings import Settings
from schemas.effects import (
    AiRequest,
    GptRequest,
    KnowledgeRequest,
    ListRequest,
    MediaRequest,
    SendRequest,
    SettleRequest,
    SignalRequest,
    ToolRequest,
)
from schemas.events.content import Attachment
from schemas.settings.channel import ChannelSettings
from streams.clock import Clock, wall_clock
from streams.effects.ai import AiClient
from streams.effects.attachments import Attachments
from streams.effects.breaker import Breaker
from streams.effects.contract import Performers
from streams.effects.gpt import GptClient, model_connections
from streams.effects.http import HttpTransport
from streams.effects.knowledge import KnowledgeFinder
from streams.effects.media import MediaFetcher, media_session
from streams.effects.outside import Outside, outside_session
from streams.effects.sending import TOTAL_S, Sender
from streams.effects.spending import Spending
from streams.effects.tools import MAX_TEXT, ToolClient
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker

logger = logging.getLogger(__name__)

CONNECTIONS = 200
"""Calls that may be under way at once in this process: to providers, AI agents, models and tools each."""


@asynccontextmanager
async def open_environment(
    settings: Settings, secrets: Secrets, *, clock: Clock = wall_clock, send_seconds: float = TOTAL_S
) -> AsyncIterator[Environment]:
    """What the tasks share, for as long as the block runs. send_seconds: until a send counts as unknown."""
    store, metrics = SettingsStore(secrets.decrypt), Metrics()

    def now() -> float:
        return time.monotonic() if clock is wall_clock else clock().timestamp()

    def webhook_url(channel: ChannelSettings) -> str | None:
        return None if settings.public_url is None else secrets.webhook_url(settings.public_url, channel)

    def media_link(attachment: Attachment) -> str | None:
        if settings.public_url is None or attachment.file is None:
            return None
        return settings.public_url.rstrip("/") + links.path(attachment.file, attachment.filename, clock())

    files, links, outside = open_store(settings), secrets.media_links, Outside(settings.provider_urls.values())
    tools_outside = Outside(settings.tool_urls)
    async with (
        _session() as session,
        _session() as ai_session,
        media_session(outside) as file_session,
        outside_session(tools_outside, CONNECTIONS) as tool_session,
        model_connections(CONNECTIONS) as models,
    ):
        transport = HttpTransport(session)
        sender = Sender(
            transport,
            store.newest,
            clock,
            settings.provider_urls,
            webhook_url=webhook_url,
            attachments=Attachments(transport, files, media_link),
            total_s=send_seconds,
        )
        breaker = Breaker(sender.perform, now)
        ai = AiClient(HttpTransport(ai_session), store.newest, settings.ai_url)
        spending = Spending(clock)
        gpt = GptClient(models, store, spending, clock, now, count=metrics.count_ai_call)
        tools = ToolClient(
            HttpTransport(tool_session, tools_outside, MAX_TEXT + 1), store.newest, now, count=metrics.count_ai_call
        )
        metrics.watch_paused(lambda: breaker.open, lambda: gpt.paused)
        fetcher = MediaFetcher(
            file_session,
            outside,
            store.newest,
            files,
            settings.provider_urls,
            max_bytes=settings.media_max_bytes,
        )
        performers: Performers = {
            SendRequest: breaker.perform,
            SettleRequest: sender.settle,
            ListRequest: sender.list_messages,
            SignalRequest: breaker.unless_held(sender.signal),
            AiRequest: ai.perform,
            GptRequest: gpt.perform,
            ToolRequest: tools.perform,
            MediaRequest: fetcher.perform,
        }
        notices = sender.templates.apply
        with closing(KnowledgeFinder(store.newest, models)) as finder:
            yield Environment(
                settings.kafka,
                settings.topic_prefix,
                store,
                clock,
                metrics,
                {**performers, KnowledgeRequest: finder.perform},
                notices=notices,
                spending=spending,
                knowledge=finder.apply,
            )


def _session() -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=CONNECTIONS))


def health_app(current: Callable[[], Worker | None], metrics: Metrics) -> web.Application:
    """/healthz: every loop went round of late. /readyz: assigned and restored. /metrics: Prometheus.

    current: gives the worker; None while it waits for Kafka, when it is alive and not ready.
    """

    async def healthz(_: web.Request) -> web.Response:
        worker = current()
        alive = worker is None or worker.alive
        return web.json_response({"alive": alive}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        worker = current()
        stages = {} if worker is None else {runner.stage.name: runner.ready for runner in worker.runners}
        ready = worker is not None and worker.ready
        return web.json_response({"ready": ready, "stages": stages}, status=200 if ready else 503)

    async def prometheus(_: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)])
    return app


async def run_worker(
    settings: Settings, secrets: Secrets, stages: Sequence[Stage], *, instance_id: str | None, host: str, port: int
) -> None:
    """Run the stages until SIGTERM or SIGINT; while Kafka is not there, wait for it.

    Raises StageCrashed; LookupError: topics are missing; LiveDeskError: the health page has no port.
    """
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    at_work = AtWork()
    async with open_environment(settings, secrets) as env, _sweeping(settings, stages):
        runner = web.AppRunner(health_app(lambda: at_work.worker, env.metrics), access_log=None)
        await runner.setup()
        try:
            await listen(runner, "The worker's health page", host, port, "Choose another --port or --host.")
            names = ", ".join(stage.name for stage in stages)
            logger.info("worker %s runs %s; health on http://%s:%d", instance_id or "(unnamed)", names, host, port)
            await at_work.until(stop, env, stages, instance_id)
        finally:
            await runner.cleanup()


class AtWork:
    """Runs stages, and waits for Kafka while it is not there. worker: None while it waits."""

    def __init__(self) -> None:
        self.worker: Worker | None = None

    async def until(
        self, stop: asyncio.Event, env: Environment, stages: Sequence[Stage], instance_id: str | None
    ) -> None:
        """Run the stages until the event is set. Raises StageCrashed, LookupError."""
        while not await _comes_first(stop, until_kafka_answers(env.connection)):
            self.worker = Worker(env, stages, instance_id=instance_id)
            try:
                await self.worker.run(stop)
                return
            except KafkaConnectionError as error:  # it has gone again before the worker had started
                logger.warning("Kafka can't be reached: %s", type(error).__name__)
                self.worker = None


async def _comes_first(stop: asyncio.Event, other: Coroutine[object, object, None]) -> bool:
    """Whether the event is set before the other is done. Raises what that raises."""
    stopping, waiting = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(other)
    try:
        await asyncio.wait((stopping, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            waiting.result()
        return stop.is_set()
    finally:
        for task in (stopping, waiting):
            task.cancel()
        await asyncio.gather(stopping, waiting, return_exceptions=True)


@asynccontextmanager
async def _sweeping(settings: Settings, stages: Sequence[Stage]) -> AsyncIterator[None]:
    """Whoever stores files deletes the old ones."""
    days = settings.media_retention_days
    if days is None or MEDIA not in stages:
        yield
        return
    sweeper = asyncio.create_task(delete_old_files(open_store(settings), days, wall_clock))
    try:
        yield
    finally:
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
