"""Ingress and the control API over real HTTP, with a list in place of Kafka."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from aiohttp import ClientSession, web

from bus.publisher import NotDurable
from desk.access.admission import AdmissionRules
from desk.access.directory import AccessDirectory
from desk.access.oidc import OidcClient
from desk.access.store import AccessStore, MemoryStore
from desk.access.tokens import new_token, token_hash
from desk.ai_agents import AiAgents
from desk.api.app import build_api
from desk.api.callers import Callers
from desk.api.stream import Streams
from desk.api.table import all_routes
from desk.channel_writer import ChannelWriter
from desk.directory import DeskDirectory
from desk.files import DeskFiles
from desk.freshness import Freshness
from desk.front_door import FrontDoor, Means
from desk.journal import Change, Fill
from desk.knowledge import DocumentDirectory, Documents
from desk.office import Office
from desk.outcomes import Outcomes
from desk.people import People
from desk.view.applier import Place
from desk.view.progress import Progress
from desk.view.queries import Queries
from ingress.app import build_server
from ingress.directory import ChannelDirectory, Recheck
from ingress.metrics import Metrics
from knowledge.extraction import Extraction
from media.links import Links
from media.serving import FileServer
from media.store import MediaStore
from providers.address import webhook_path, webhook_token
from providers.provider import Answer, Call
from schemas.codec import Headers, from_kafka
from schemas.events.access import Grant, Role, TokenSaved
from schemas.events.callbacks import WebhookReceived
from schemas.record import Record, encode
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import parse_channels_file
from schemas.settings.network import Network
from schemas.topics import ACCESS, ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, KNOWLEDGE, WEBHOOKS, Topic
from tests.support.access import cheap_passwords, scramble, unscramble

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


class Ingress:
    """Both applications; `catch_up` lets the directory read what was written to its topics."""

    def __init__(
        self,
        public_url: str | None = None,
        oidc: tuple[OidcClient, AdmissionRules] | None = None,
        *,
        require_second_factor: bool = False,
        queries: Queries | None = None,
        store: AccessStore | None = None,
        trusted: Sequence[Network] = (),
    ) -> None:
        self.kafka = Written()
        self.links = Links(lambda: [b"unit"])
        self.store = MediaStore("memory:///")
        self.now = NOW
        self.lookups = 0
        self._applied = 0
        self.channels = ChannelDirectory(unscramble, lambda id, rotation: [webhook_token(b"unit", id, rotation)])
        self.directory = DeskDirectory(unscramble)
        self.access = AccessDirectory()
        self.documents = DocumentDirectory()
        self.outcomes = Outcomes()
        self.answers: list[Answer | None] = []
        self.calls: list[Call] = []
        self.reached: list[tuple[str, Call]] = []
        ids = (f"id-{number}" for number in count(1))

        def new_id() -> str:
            return next(ids)

        self.new_change: Callable[[], Change] = lambda: Change("t.", new_id(), self.now, scramble)
        self.writer = ChannelWriter(self.directory, self)
        self.ai_agents = AiAgents(self.directory, self)
        self.people = People(self.directory, self, self.kafka, self.new_change)
        media = FileServer(self.store, self.links, lambda: self.now)
        files = DeskFiles(self.store, media, lambda: uuid4().hex, public=public_url is not None, max_bytes=MAX_FILE)
        self.public = build_server(
            self.channels,
            self.kafka,
            Recheck(self.catch_up, interval=0.01),
            ready=lambda: self.kafka.connected,
            prefix="t.",
            clock=lambda: self.now,
            new_id=new_id,
            max_body_bytes=MAX_BODY,
            metrics=Metrics(),
            public_url=public_url,
            media=media,
            trusted=trusted,
        )
        self.freshness = Freshness(Progress(), self._ends)
        self.ends: dict[Place, int] = {}
        office = Office(
            directory=self.directory,
            writer=self.writer,
            people=self.people,
            ai_agents=self.ai_agents,
            documents=Documents(self.documents, self, Extraction(), lambda: self.now),
            publisher=self.kafka,
            webhook_url=lambda settings: self.url + self._path(settings),
            call=self._call,
            reach=self._reach,
            files=files,
            queries=queries,
            freshness=self.freshness,
            operations=None,
            prefix="t.",
            clock=lambda: self.now,
            new_id=new_id,
        )
        means = Means(lambda: [b"unit"], scramble, unscramble, os.urandom, new_id, lambda: self.now)
        self.door = FrontDoor(
            self.access,
            self,
            store or MemoryStore(),
            means,
            passwords=cheap_passwords(),
            oidc=oidc,
            require_second_factor=require_second_factor,
        )
        callers = Callers(self.door)
        self.streams = Streams(self.freshness.progress, callers.still, heartbeat=0.0)
        self.routes = all_routes(office, self.outcomes, self.door, self.streams)
        self.control_app = build_api(
            self.routes, callers.authenticate, office.visible, lambda: self.now, self.freshness
        )
        self.url = ""
        self.control_url = ""

    @staticmethod
    def _path(settings: ChannelSettings) -> str:
        return webhook_path(settings.provider, webhook_token(b"unit", settings.id, settings.webhook_rotation))

    async def _ends(self) -> Mapping[Place, int]:
        return self.ends

    async def _call(self, _settings: ChannelSettings, call: Call) -> Answer | None:
        """The provider, which gives the answers that it was told."""
        self.calls.append(call)
        return self.answers.pop(0)

    async def _reach(self, base_url: str, call: Call) -> Answer | None:
        """An AI agent's service, which gives the answers that it was told."""
        self.reached.append((base_url, call))
        return self.answers.pop(0)

    def token(self, role: Role = Role.ADMIN, **grant: object) -> str:
        """A new token with that role."""
        id = f"t{len(self.access.tokens())}"
        token = new_token(lambda count: id.encode().ljust(count))
        given = Grant.model_validate({"role": role, **grant})
        saved = TokenSaved(id=id, name=id, hash=token_hash(token), grant=given, created_at=NOW, created_by="test")
        self.access.apply(f"token/{id}".encode(), encode(Record(id, "/test", NOW, f"token/{id}", saved)))
        return token

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
        fed = {
            CHANNELS.full_name("t."): (self.directory.apply, self.channels.apply),
            DIRECTORY.full_name("t."): (self.directory.apply_person,),
            ACCESS.full_name("t."): (self.access.apply,),
            KNOWLEDGE.full_name("t."): (self.documents.apply,),
        }
        for topic, key, value, _ in self.kafka.records[self._applied :]:
            for apply in fed.get(topic, ()):
                apply(key, value)
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
async def running(
    public_url: str | None = None,
    oidc: tuple[OidcClient, AdmissionRules] | None = None,
    *,
    require_second_factor: bool = False,
    queries: Queries | None = None,
    store: AccessStore | None = None,
    trusted: Sequence[Network] = (),
) -> AsyncIterator[tuple[Ingress, ClientSession]]:
    """Ingress with the channels of FILE, and a client."""
    ingress = Ingress(
        public_url,
        oidc,
        require_second_factor=require_second_factor,
        queries=queries,
        store=store,
        trusted=trusted,
    )
    await ingress.writer.save_file(FILE)
    public = web.ServerRunner(ingress.public, shutdown_timeout=1)
    control = web.AppRunner(ingress.control_app, access_log=None, shutdown_timeout=1)
    async with _served(public) as url, _served(control) as control_url:
        ingress.url, ingress.control_url = url, control_url
        try:
            async with ClientSession() as client:
                yield ingress, client
        finally:
            ingress.streams.close()


@asynccontextmanager
async def _served(runner: web.ServerRunner | web.AppRunner) -> AsyncIterator[str]:
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
