"""The ingress process: both listeners, composed with Kafka, the settings and the secret key."""

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
from bus.publisher import NotDurable, Publisher
from deploy.errors import LiveDeskError
from deploy.folders import reason
from deploy.kafka.waiting import when_kafka_is_there
from deploy.media import open_store
from deploy.ports import listen, open_files
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from ingress.app import build_server
from ingress.channel_writer import ChannelWriter
from ingress.control import build_control_app
from ingress.directory import ChannelDirectory, Recheck
from ingress.kafka_journal import KafkaJournal
from ingress.listener import CONNECTIONS
from ingress.media import MediaFiles
from ingress.metrics import Metrics
from ingress.people import People
from ingress.spool.channels import KeptChannels
from ingress.spool.folder import SpoolFolder
from ingress.spool.publisher import SpooledPublisher
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import InvalidSettings
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, WEBHOOKS
from streams.clock import Clock, wall_clock

CONTROL_HOST = "127.0.0.1"
FILES_OF_OURS = 100
"""Of the files that may be open: for Kafka, the spool and Python. The rest can be connections."""
SHUTDOWN_SECONDS = 5.0
"""For requests in flight: longer than any of them waits for Kafka."""


def random_id() -> str:
    """An id for a callback or command: 128 bits in hexadecimal."""
    return os.urandom(16).hex()


class IngressServer:
    """Ingress, running inside `async with`: Kafka connected, channels and agents read, the file's saved.

    Port 0: any free one. control_port: None: no control API. pages_port: on 127.0.0.1, for this process' own /healthz,
    /readyz and /metrics, where several share `port`. channels: agents and channels, saved where new or different.
    clock and new_id give the time and the ids of whatever is written. While Kafka is not there `async with` waits for
    it, and callbacks are taken meanwhile, if the channels are known from the last run. Raises LiveDeskError from
    `async with`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        channels: ChannelsFile | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int | None = 0,
        pages_port: int | None = None,
        clock: Clock = wall_clock,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._settings, self._channels = settings, channels
        self._host, self._port, self._control_port, self._pages_port = host, port, control_port, pages_port
        self._clock, self._new_id = clock, new_id
        self._secrets: Secrets = load_secrets(settings)
        self._directory = ChannelDirectory(self._secrets.decrypt, self._secrets.webhook_token)
        self._stack = AsyncExitStack()
        self._writer: ChannelWriter | None = None
        self._started = self._waits = False
        self.url = ""
        self.control_url = ""

    @property
    def channels(self) -> list[ChannelSettings]:
        """The newest settings of every channel."""
        return self._directory.channels()

    async def save(self, channels: ChannelsFile) -> None:
        """Save the agents and channels that are new or different."""
        if self._writer is None:
            raise RuntimeError("not started")
        await _save(self._writer, channels)

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

        publisher = Publisher(settings.kafka, [topic.full_name(prefix) for topic in (INBOX, ACCOUNT_INBOX)])
        channels = TopicFollower(settings.kafka, CHANNELS.full_name(prefix), apply)
        people = TopicFollower(settings.kafka, DIRECTORY.full_name(prefix), self._directory.apply_person)
        metrics = Metrics()
        metrics.watch_spool(callbacks)

        def ready() -> bool:
            """Whether callbacks can be taken: to Kafka, or to the spool by the channels of the last run."""
            knows = _follows(channels) and _follows(people) if self._started else self._waits and knows_channels
            return knows and (callbacks.connected or callbacks.size_bytes < settings.spool_max_bytes)

        media = MediaFiles(
            open_store(settings),
            self._secrets.media_links,
            self._clock,
            random_id,
            public=settings.public_url is not None,
            max_bytes=settings.media_max_bytes,
        )
        public = build_server(
            self._directory,
            callbacks,
            Recheck(channels.caught_up),
            ready=ready,
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
            max_body_bytes=settings.max_body_bytes,
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
            await listen(listener, "Ingress", CONTROL_HOST, self._pages_port, "Choose another --pages-port.")
        await self._connect(stack, callbacks.connect, publisher, channels, people)
        journal = KafkaJournal(
            settings.kafka,
            {CHANNELS.full_name(prefix): channels, DIRECTORY.full_name(prefix): people},
            prefix=prefix,
            encrypt=self._secrets.encrypt,
            clock=self._clock,
            new_id=self._new_id,
        )
        writer = ChannelWriter(self._directory, journal)
        self._writer = writer
        if self._channels is not None:
            await self.save(self._channels)
        control = build_control_app(
            self._directory,
            publisher,
            writer,
            People(self._directory, journal, publisher, journal.new_change),
            media,
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
        )
        if self._control_port is not None:
            # Without aiohttp's access log, for commands name customers.
            runner = web.AppRunner(control, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
            hint = "Choose another --control-port."
            self.control_url = await _listen(stack, runner, "The control API", CONTROL_HOST, self._control_port, hint)
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
        publisher: Publisher,
        *followers: TopicFollower,
    ) -> None:
        stack.push_async_callback(publisher.stop)
        for follower in followers:
            stack.push_async_callback(follower.stop)

        async def watched(start: Callable[[], Awaitable[None]]) -> None:
            try:
                await start()
            except BaseException:
                self._waits = True
                raise

        try:
            for start in (connect, publisher.start, *(follower.start for follower in followers)):
                await when_kafka_is_there(self._settings.kafka, partial(watched, start))
        except LookupError as error:
            raise LiveDeskError(
                f"Ingress can't start: {error.args[0]}.", "Create the topics: livedesk topics apply"
            ) from error


def _follows(follower: TopicFollower) -> bool:
    try:
        follower.check()
    except Exception:  # noqa: BLE001 - whatever stopped it, settings would be stale from now on
        return False
    return True


async def _save(writer: ChannelWriter, channels: ChannelsFile) -> None:
    try:
        await writer.save_file(channels)
    except InvalidSettings as error:
        wrong = "".join(f"\n  {item}" for item in error.errors)
        raise LiveDeskError(f"The channels file contradicts the channels that there are:{wrong}") from None
    except NotDurable as error:
        raise LiveDeskError(f"The channels could not be saved: {error}.", "Is Kafka healthy? Start again.") from error


async def _listen(
    stack: AsyncExitStack,
    runner: web.ServerRunner | web.AppRunner,
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
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{bound}"
