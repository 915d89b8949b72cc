"""The ingress process: both listeners, composed with Kafka, the settings and the secret key."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web
from aiokafka.errors import KafkaError
from ingress.channel_writer import ChannelWriter
from ingress.control import build_control_app
from ingress.kafka_journal import KafkaJournal
from ingress.people import People

from bus.aiokafka_fixes import calm_reconnects, quiet_loggers
from bus.follower import TopicFollower
from bus.publisher import NotDurable, Publisher
from deploy.errors import LiveDeskError
from deploy.ports import listen
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from ingress.app import build_server
from ingress.directory import ChannelDirectory, Recheck
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import InvalidSettings
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, WEBHOOKS
from streams.clock import Clock, wall_clock

CONTROL_HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 5.0
"""For requests in flight: longer than any of them waits for Kafka."""


def random_id() -> str:
    """An id for a callback or command: 128 bits in hexadecimal."""
    return os.urandom(16).hex()


class IngressServer:
    """Ingress, running inside `async with`: Kafka connected, channels and agents read, the file's saved.

    Port 0: any free one. channels: agents and channels, saved where new or different. clock and new_id give the
    time and the ids of whatever is written. Raises LiveDeskError from `async with`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        channels: ChannelsFile | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        clock: Clock = wall_clock,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._settings, self._channels = settings, channels
        self._host, self._port, self._control_port = host, port, control_port
        self._clock, self._new_id = clock, new_id
        self._secrets: Secrets = load_secrets(settings)
        self._directory = ChannelDirectory(self._secrets.decrypt, self._secrets.webhook_token)
        self._stack = AsyncExitStack()
        self._writer: ChannelWriter | None = None
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
        prefix = self._settings.topic_prefix
        publisher, channels, people = await self._connect(stack)
        journal = KafkaJournal(
            self._settings.kafka,
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
        public = build_server(
            self._directory,
            publisher,
            Recheck(channels.caught_up),
            ready=lambda: publisher.connected and _follows(channels) and _follows(people),
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
            max_body_bytes=self._settings.max_body_bytes,
            public_url=self._settings.public_url,
        )
        control = build_control_app(
            self._directory,
            publisher,
            writer,
            People(self._directory, journal, publisher, journal.new_change),
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
        )
        callbacks = web.ServerRunner(public, shutdown_timeout=SHUTDOWN_SECONDS)
        hint = "Choose another --port or --host."
        self.url = await _listen(stack, callbacks, "Ingress", self._host, self._port, hint)
        # Without aiohttp's access log, for commands name customers.
        runner = web.AppRunner(control, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        hint = "Choose another --control-port."
        self.control_url = await _listen(stack, runner, "The control API", CONTROL_HOST, self._control_port, hint)

    async def _connect(self, stack: AsyncExitStack) -> tuple[Publisher, TopicFollower, TopicFollower]:
        connection, prefix = self._settings.kafka, self._settings.topic_prefix
        topics = [topic.full_name(prefix) for topic in (WEBHOOKS, INBOX, ACCOUNT_INBOX)]
        publisher = Publisher(connection, topics)
        channels = TopicFollower(connection, CHANNELS.full_name(prefix), self._directory.apply)
        people = TopicFollower(connection, DIRECTORY.full_name(prefix), self._directory.apply_person)
        try:
            await publisher.start()
            stack.push_async_callback(publisher.stop)
            for follower in (channels, people):
                stack.push_async_callback(follower.stop)
                await follower.start()
        except LookupError as error:
            raise LiveDeskError(
                f"Ingress can't start: {error.args[0]}.", "Create the topics: livedesk topics apply"
            ) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise LiveDeskError(
                f"Kafka can't be reached at {connection.bootstrap_servers} ({type(error).__name__}).",
                "Start it (on a laptop: livedesk broker start), or set KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ "
                "variables.",
            ) from error
        return publisher, channels, people


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
    stack: AsyncExitStack, runner: web.ServerRunner | web.AppRunner, what: str, host: str, port: int, hint: str
) -> str:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await listen(runner, what, host, port, hint)
    bound: int = runner.addresses[0][1]
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{bound}"  # noqa: S104 - no binding
