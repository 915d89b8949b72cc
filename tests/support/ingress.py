"""Both ingress listeners over real HTTP, with a list in place of Kafka."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from aiohttp import ClientSession, web

from bus.publisher import NotDurable
from ingress.app import build_server
from ingress.channel_writer import ChannelWriter
from ingress.control import build_control_app
from ingress.directory import ChannelDirectory, Recheck
from ingress.journal import Change, Fill
from ingress.media import MediaFiles
from ingress.people import People
from media.links import Links
from media.store import MediaStore
from providers.address import webhook_path, webhook_token
from schemas.codec import Headers, from_kafka
from schemas.events.callbacks import WebhookReceived
from schemas.record import Record
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, WEBHOOKS, Topic

NOW = datetime(2026, 3, 9, 8, 30, 15, 250000, UTC)
MAX_BODY = 64 * 1024
MAX_FILE = 3 << 20
FILE = parse_channels_file(
    {
        "agents": [{"id": "irene", "state": "online", "teams": ["front"]}, {"id": "paul", "workload": 3}],
        "channels": [
            {
                "id": "desk",
                "phone_number": "+34611000111",
                "dev_key": "k-desk",
                "dev_secret": "s-desk",
                "human_agents": ["irene", "paul"],
                "ai": {"enabled": True, "agents": [{"id": "bot"}]},
            },
            {
                "id": "cloud",
                "phone_number": "+34611000112",
                "provider": "whatsapp_cloud",
                "human_agents": ["paul"],
                "assignment": {"rules": [{"name": "all", "when": [], "to": {"kind": "human", "id": "paul"}}]},
            },
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
    """Both applications; `catch_up` lets the directory read what was written to its topics."""

    def __init__(self, public_url: str | None = None) -> None:
        self.kafka = Written()
        self.links = Links(b"unit")
        self.store = MediaStore("memory:///")
        self.lookups = 0
        self._applied = 0
        self.directory = ChannelDirectory(unscramble, lambda id_: webhook_token(b"unit", id_))
        ids = (f"id-{number}" for number in count(1))

        def new_id() -> str:
            return next(ids)

        self.new_change: Callable[[], Change] = lambda: Change("t.", new_id(), NOW, scramble)
        self.writer = ChannelWriter(self.directory, self)
        self.people = People(self.directory, self, self.kafka, self.new_change)
        media = MediaFiles(
            self.store,
            self.links,
            lambda: self.now,
            lambda: uuid4().hex,
            public=public_url is not None,
            max_bytes=MAX_FILE,
        )
        self.now = NOW
        self.public = build_server(
            self.directory,
            self.kafka,
            Recheck(self.catch_up, interval=0.01),
            ready=lambda: self.kafka.connected,
            prefix="t.",
            clock=lambda: NOW,
            new_id=new_id,
            max_body_bytes=MAX_BODY,
            public_url=public_url,
            media=media,
        )
        self.control_app = build_control_app(
            self.directory,
            self.kafka,
            self.writer,
            self.people,
            media,
            prefix="t.",
            clock=lambda: NOW,
            new_id=new_id,
        )
        self.url = ""
        self.control_url = ""

    async def write(self, fill: Fill) -> None:
        """The journal: what was written is known at once."""
        await self.catch_up()
        change = self.new_change()
        fill(change)
        if self.kafka.down:
            raise NotDurable("down")
        self.kafka.records += change.messages
        await self.catch_up()

    async def catch_up(self) -> None:
        self.lookups += 1
        fed = {CHANNELS.full_name("t."): self.directory.apply, DIRECTORY.full_name("t."): self.directory.apply_person}
        for topic, key, value, _ in self.kafka.records[self._applied :]:
            if topic in fed:
                fed[topic](key, value)
        self._applied = len(self.kafka.records)

    def forget(self) -> None:
        """Leave out of the lists what was written so far."""
        self.kafka.records.clear()
        self._applied = 0

    def webhook(self, channel: str = "desk", provider: str = "engagelab") -> str:
        return self.url + webhook_path(provider, webhook_token(b"unit", channel))

    def records(self, topic: Topic) -> list[Record]:
        """What was written to a topic, as a stage reads it."""
        name = topic.full_name("t.")
        return [from_kafka(topic, value, headers) for at, _, value, headers in self.kafka.records if at == name]

    @property
    def callbacks(self) -> list[Record]:
        return self.records(WEBHOOKS)

    @property
    def bodies(self) -> list[bytes]:
        events = [record.event for record in self.callbacks]
        return [event.body for event in events if isinstance(event, WebhookReceived)]

    @property
    def inbox(self) -> list[Record]:
        return self.records(INBOX)

    @property
    def account_inbox(self) -> list[Record]:
        return self.records(ACCOUNT_INBOX)


@asynccontextmanager
async def running(public_url: str | None = None) -> AsyncIterator[tuple[Ingress, ClientSession]]:
    """Ingress with the channels of FILE, and a client."""
    ingress = Ingress(public_url)
    await ingress.writer.save_file(FILE)
    public = web.ServerRunner(ingress.public, shutdown_timeout=1)
    control = web.AppRunner(ingress.control_app, access_log=None, shutdown_timeout=1)
    async with _served(public) as url, _served(control) as control_url:
        ingress.url, ingress.control_url = url, control_url
        async with ClientSession() as client:
            yield ingress, client


@asynccontextmanager
async def _served(runner: web.ServerRunner | web.AppRunner) -> AsyncIterator[str]:
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
