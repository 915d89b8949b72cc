"""The ingress process: the listener for callbacks, composed with Kafka, the spool, the settings and the secret key."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from bus.aiokafka_fixes import calm_reconnects, quiet_loggers
from bus.follower import TopicFollower
from deploy.errors import LiveDeskError
from deploy.folders import reason
from deploy.kafka.waiting import when_kafka_is_there
from deploy.media import open_store
from deploy.ports import listen, open_files
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from ingress.app import build_server
from ingress.directory import ChannelDirectory, Recheck
from ingress.listener import CONNECTIONS
from ingress.metrics import Metrics
from ingress.spool.channels import KeptChannels
from ingress.spool.folder import SpoolFolder
from ingress.spool.publisher import SpooledPublisher
from media.serving import FileServer
from schemas.settings.channel import ChannelSettings
from schemas.topics import CHANNELS, WEBHOOKS
from streams.clock import Clock, wall_clock

PAGES_HOST = "127.0.0.1"
FILES_OF_OURS = 100
"""Of the files that may be open: for Kafka, the spool and Python. The rest can be connections."""
SHUTDOWN_SECONDS = 5.0
"""For requests in flight: longer than any of them waits for Kafka."""


def random_id() -> str:
    """An id for a callback or command: 128 bits in hexadecimal."""
    return os.urandom(16).hex()


class IngressServer:
    """Ingress, running inside `async with`: Kafka connected, channels read.

    Port 0: any free one. pages_port: on 127.0.0.1, for this process' own /healthz, /readyz and /metrics, where several
    share `port`. clock and new_id give the time and the ids of whatever is written. While Kafka is not there
    `async with` waits for it, and callbacks are taken meanwhile, if the channels are known from the last run. Raises
    LiveDeskError from `async with`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pages_port: int | None = None,
        clock: Clock = wall_clock,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._settings = settings
        self._host, self._port, self._pages_port = host, port, pages_port
        self._clock, self._new_id = clock, new_id
        self._secrets: Secrets = load_secrets(settings)
        self._directory = ChannelDirectory(self._secrets.decrypt, self._secrets.webhook_tokens)
        self._stack = AsyncExitStack()
        self._started = self._waits = False
        self._caught_up: Callable[[], Awaitable[None]] = _nothing
        self.url = ""

    @property
    def channels(self) -> list[ChannelSettings]:
        """The newest settings of every channel."""
        return self._directory.channels()

    async def caught_up(self) -> None:
        """Wait until every change of a channel that was saved before the call is known."""
        await self._caught_up()

    def webhook_url(self, channel: ChannelSettings) -> str:
        """Where the provider posts the channel's callbacks, as seen from this machine."""
        return self._secrets.webhook_url(self.url, channel)

    def public_webhook_url(self, channel: ChannelSettings) -> str:
        """The same, as seen by the provider where LIVEDESK_PUBLIC_URL says it."""
        return self._secrets.webhook_url(self._settings.public_url or self.url, channel)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening, finish the requests in flight, write what is under way, disconnect."""
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        quiet_loggers()
        calm_reconnects()
        settings, prefix = self._settings, self._settings.topic_prefix
        callbacks = self._open_spool()
        stack.push_async_callback(callbacks.stop)
        callbacks.start()
        kept = KeptChannels(settings.spool_root / "channels.json")
        stack.push_async_callback(kept.stop)
        knows_channels = await asyncio.to_thread(kept.load, self._directory.apply)

        def apply(key: bytes, value: bytes | None) -> None:
            self._directory.apply(key, value)
            kept.keep(key, value)

        channels = TopicFollower(settings.kafka, CHANNELS.full_name(prefix), apply)
        self._caught_up = channels.caught_up
        metrics = Metrics()
        metrics.watch_spool(callbacks)

        def ready() -> bool:
            """Whether callbacks can be taken: to Kafka, or to the spool by the channels of the last run."""
            knows = _follows(channels) if self._started else self._waits and knows_channels
            return knows and (callbacks.connected or callbacks.size_bytes < settings.spool_max_bytes)

        media = FileServer(open_store(settings), self._secrets.media_links, self._clock)
        public = build_server(
            self._directory,
            callbacks,
            Recheck(channels.caught_up),
            ready=ready,
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
            max_body_bytes=settings.max_body_bytes,
            trusted=settings.proxies,
            metrics=metrics,
            connections=min(CONNECTIONS, open_files() - FILES_OF_OURS),
            public_url=settings.public_url,
            media=media,
        )
        listener = web.ServerRunner(public, shutdown_timeout=SHUTDOWN_SECONDS)
        hint = "Choose another --port or --host."
        # Before Kafka is there: what comes meanwhile for a channel of the last run goes to the spool.
        shared = self._pages_port is not None
        self.url = await _listen(stack, listener, "Ingress", self._host, self._port, hint, shared=shared)
        if self._pages_port is not None:
            await listen(listener, "Ingress", PAGES_HOST, self._pages_port, "Choose another --pages-port.")
        await self._connect(stack, callbacks.connect, channels)
        # The first to stop: requests in flight need everything else.
        stack.push_async_callback(listener.cleanup)
        self._started = True

    def _open_spool(self) -> SpooledPublisher:
        settings = self._settings
        try:
            folder = SpoolFolder.open(settings.spool_root)
        except OSError as error:
            raise LiveDeskError(
                f"The spool in {settings.spool_root} can't be used: {reason(error)}.",
                "Set LIVEDESK_DATA_DIR to a folder of yours, with room on its disk.",
            ) from error
        topic = WEBHOOKS.full_name(settings.topic_prefix)
        return SpooledPublisher(settings.kafka, topic, folder, max_bytes=settings.spool_max_bytes, clock=time.time)

    async def _connect(
        self,
        stack: AsyncExitStack,
        connect: Callable[[], Awaitable[None]],
        channels: TopicFollower,
    ) -> None:
        stack.push_async_callback(channels.stop)

        async def watched(start: Callable[[], Awaitable[None]]) -> None:
            try:
                await start()
            except BaseException:
                self._waits = True
                raise

        try:
            for start in (connect, channels.start):
                await when_kafka_is_there(self._settings.kafka, partial(watched, start))
            self._directory.loaded()
        except LookupError as error:
            raise LiveDeskError(
                f"Ingress can't start: {error.args[0]}.", "Create the topics: livedesk topics apply"
            ) from error


async def _nothing() -> None:
    return None


def _follows(follower: TopicFollower) -> bool:
    try:
        follower.check()
    except Exception:  # noqa: BLE001 - whatever stopped it, settings would be stale from now on
        return False
    return True


async def _listen(
    stack: AsyncExitStack,
    runner: web.ServerRunner,
    what: str,
    host: str,
    port: int,
    hint: str,
    *,
    shared: bool = False,
) -> str:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await listen(runner, what, host, port, hint, shared=shared)
    bound: int = runner.addresses[0][1]
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{bound}"  # noqa: S104 - no binding
