"""The worker process: composes stages, Kafka, the clients of provider and AI agent, and the health page."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import ClientSession, TCPConnector, web
from prometheus_client import generate_latest

from agents.media import MEDIA
from agents.stage import Stage
from deploy.media import delete_old_files, open_store
from deploy.ports import listen
from deploy.secrets import Secrets
from deploy.settings import Settings
from schemas.effects import AiRequest, MediaRequest, SendRequest, SettleRequest, SignalRequest
from schemas.events.content import Attachment
from schemas.settings.channel import ChannelSettings
from streams.clock import Clock, wall_clock
from streams.effects.ai import AiClient
from streams.effects.attachments import Attachments
from streams.effects.breaker import Breaker
from streams.effects.contract import Performers
from streams.effects.http import HttpTransport
from streams.effects.media import MediaFetcher, Outside, media_session
from streams.effects.sending import TOTAL_S, Sender
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker

logger = logging.getLogger(__name__)

CONNECTIONS = 200
"""Calls that may be under way at once in this process, to the provider and to the AI agent each."""


@asynccontextmanager
async def open_environment(
    settings: Settings, secrets: Secrets, *, clock: Clock = wall_clock, send_seconds: float = TOTAL_S
) -> AsyncIterator[Environment]:
    """What the tasks share, for as long as the block runs. send_seconds: until a send counts as unknown."""
    store, metrics = SettingsStore(secrets.decrypt), Metrics()

    def webhook_url(channel: ChannelSettings) -> str | None:
        return None if settings.public_url is None else secrets.webhook_url(settings.public_url, channel)

    def media_link(attachment: Attachment) -> str | None:
        if settings.public_url is None or attachment.file is None:
            return None
        return settings.public_url.rstrip("/") + links.path(attachment.file, attachment.filename, clock())

    files, links, outside = open_store(settings), secrets.media_links, Outside(settings.provider_urls)
    async with _session() as session, _session() as ai_session, media_session(outside) as file_session:
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
        breaker = Breaker(sender.perform, time.monotonic if clock is wall_clock else lambda: clock().timestamp())
        metrics.watch_paused(lambda: breaker.open)
        ai = AiClient(HttpTransport(ai_session), settings.ai_url)
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
            SignalRequest: breaker.unless_held(sender.signal),
            AiRequest: ai.perform,
            MediaRequest: fetcher.perform,
        }
        notices = sender.templates.apply
        yield Environment(settings.kafka, settings.topic_prefix, store, clock, metrics, performers, notices)


def _session() -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=CONNECTIONS))


def health_app(worker: Worker, metrics: Metrics) -> web.Application:
    """/healthz: every loop went round of late. /readyz: assigned and restored. /metrics: Prometheus."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"alive": worker.alive}, status=200 if worker.alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        stages = {runner.stage.name: runner.ready for runner in worker.runners}
        return web.json_response({"ready": worker.ready, "stages": stages}, status=200 if worker.ready else 503)

    async def prometheus(_: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)])
    return app


async def run_worker(
    settings: Settings, secrets: Secrets, stages: Sequence[Stage], *, instance_id: str | None, host: str, port: int
) -> None:
    """Run the stages until SIGTERM or SIGINT. Raises StageCrashed; LiveDeskError: the health page has no port."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with open_environment(settings, secrets) as env:
        worker = Worker(env, stages, instance_id=instance_id)
        runner = web.AppRunner(health_app(worker, env.metrics), access_log=None)
        await runner.setup()
        try:
            await listen(runner, "The worker's health page", host, port, "Choose another --port or --host.")
            names = ", ".join(stage.name for stage in stages)
            logger.info("worker %s runs %s; health on http://%s:%d", instance_id or "(unnamed)", names, host, port)
            async with _sweeping(settings, stages):
                await worker.run(stop)
        finally:
            await runner.cleanup()


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
