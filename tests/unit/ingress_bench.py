"""Both ingress listeners over real HTTP, with a list in place of Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from aiohttp import ClientSession, web

from ingress.app import build_app
from ingress.channel_writer import ChannelWriter
from ingress.control import build_control_app
from ingress.directory import ChannelDirectory, Recheck
from ingress.publisher import NotDurable
from ingress.tokens import webhook_path, webhook_token
from schemas.channels_file import parse_channels_file
from schemas.codec import Headers, from_kafka
from schemas.record import Record
from schemas.system import WebhookReceived
from schemas.topics import CHANNELS, INBOX, WEBHOOKS

NOW = datetime(2026, 3, 9, 8, 30, 15, 250000, UTC)
MAX_BODY = 64 * 1024
FILE = parse_channels_file(
    {
        "agents": [{"id": "irene"}, {"id": "paul"}],
        "channels": [
            {"id": "desk", "phone_number": "+34611000111", "dev_key": "k-desk", "dev_secret": "s-desk"},
            {"id": "cloud", "phone_number": "+34611000112", "provider": "whatsapp_cloud"},
        ],
    }
)


@dataclass
class Written:
    """A list in place of Kafka. down: nothing is acknowledged."""

    records: list[tuple[str, bytes, bytes, Headers]] = field(default_factory=list)
    connected: bool = True
    down: bool = False

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        if self.down:
            raise NotDurable("down")
        self.records.append((topic, key, value, headers))


def scramble(text: str) -> str:
    return "enc:" + text[::-1]


def unscramble(text: str) -> str:
    return text.removeprefix("enc:")[::-1]


class Ingress:
    """Both applications; `catch_up` lets the directory read what was written to the channels topic."""

    def __init__(self) -> None:
        self.kafka = Written()
        self.lookups = 0
        self._applied = 0
        self.directory = ChannelDirectory(unscramble, lambda id_: webhook_token(b"unit", id_), FILE.directory)
        ids = (f"id-{number}" for number in count(1))
        self.writer = ChannelWriter(
            self.directory,
            self.kafka,
            self.catch_up,
            prefix="t.",
            encrypt=scramble,
            clock=lambda: NOW,
            new_id=lambda: next(ids),
        )
        self.public_app = build_app(
            self.directory,
            self.kafka,
            Recheck(self.catch_up, interval=0.01),
            ready=lambda: self.kafka.connected,
            prefix="t.",
            clock=lambda: NOW,
            new_id=lambda: next(ids),
            max_body_bytes=MAX_BODY,
        )
        self.control_app = build_control_app(
            self.directory, self.kafka, self.writer, prefix="t.", clock=lambda: NOW, new_id=lambda: next(ids)
        )
        self.url = ""
        self.control_url = ""

    async def catch_up(self) -> None:
        self.lookups += 1
        channels = [record for record in self.kafka.records if record[0] == CHANNELS.full_name("t.")]
        for _, key, value, _ in channels[self._applied :]:
            self.directory.apply(key, value)
        self._applied = len(channels)

    def webhook(self, channel: str = "desk", provider: str = "engagelab") -> str:
        return self.url + webhook_path(provider, webhook_token(b"unit", channel))

    @property
    def callbacks(self) -> list[Record]:
        """What was recorded of callbacks, as a stage reads it."""
        topic = WEBHOOKS.full_name("t.")
        return [from_kafka(WEBHOOKS, value, headers) for name, _, value, headers in self.kafka.records if name == topic]

    @property
    def bodies(self) -> list[bytes]:
        events = [record.event for record in self.callbacks]
        return [event.body for event in events if isinstance(event, WebhookReceived)]

    @property
    def inbox(self) -> list[Record]:
        topic = INBOX.full_name("t.")
        return [from_kafka(INBOX, value, headers) for name, _, value, headers in self.kafka.records if name == topic]


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Ingress, ClientSession]]:
    """Ingress with the channels of FILE, and a client."""
    ingress = Ingress()
    await ingress.writer.save_file(FILE)
    async with _served(ingress.public_app) as url, _served(ingress.control_app) as control_url:
        ingress.url, ingress.control_url = url, control_url
        async with ClientSession() as client:
            yield ingress, client


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
