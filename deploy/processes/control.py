"""The control API, composed with Kafka, the settings, the secret key and the providers."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import ClientSession, DummyCookieJar, web

from bus.aiokafka_fixes import calm_reconnects, quiet_loggers
from bus.ends import TopicEnds
from bus.follower import TopicFollower
from bus.publisher import NotDurable, Publisher
from deploy.access import oidc
from deploy.errors import LiveDeskError
from deploy.kafka.waiting import when_kafka_is_there
from deploy.media import open_store
from deploy.operations import PipelineOperations
from deploy.ports import listen, open_files
from deploy.processes.ingress import FILES_OF_OURS, SHUTDOWN_SECONDS, random_id
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from desk.access.directory import AccessDirectory
from desk.access.passwords import Passwords
from desk.access.store import AccessStore, MemoryStore
from desk.ai_agents import AiAgents
from desk.api.app import build_api, unreadable
from desk.api.callers import Callers
from desk.api.stream import Streams
from desk.api.table import all_routes
from desk.channel_writer import ChannelWriter
from desk.directory import DeskDirectory
from desk.files import DeskFiles
from desk.freshness import Freshness
from desk.front_door import FrontDoor, Means
from desk.kafka_journal import KafkaJournal
from desk.knowledge import DocumentDirectory, Documents
from desk.office import Office
from desk.outcomes import Outcomes
from desk.people import People
from desk.view.applier import Place
from desk.view.progress import Progress
from desk.view.queries import Queries
from ingress.listener import CONNECTIONS, Listener
from knowledge.extraction import Extraction
from media.serving import FileServer
from providers.provider import Answer, Call
from schemas.record import UndecodableRecord, decode
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import InvalidSettings
from schemas.settings.network import Network, client_address
from schemas.topics import ACCESS, ACCOUNT_INBOX, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE, Topic
from streams.clock import Clock, wall_clock
from streams.effects.http import HttpTransport, NoAnswer, NotSent

CONTROL_HOST: Final = "127.0.0.1"
CHECK_S: Final = 8.0
"""Seconds for each call that tries a channel's credentials."""


class ControlServer:
    """The control API, running inside `async with`: Kafka connected, settings and people read, the file's saved.

    Port 0: any free one. channels: agents and channels, saved where new or different. ingress_url: where ingress
    listens, for webhook addresses where LIVEDESK_PUBLIC_URL says nothing. pages: of its own, beside the API. store: of
    sessions; without it they end with this process. queries: of the view; progress: how far that has read; view_lag:
    how far it is behind. clock and new_id give the time and the ids of whatever is written. While Kafka is not there
    `async with` waits for it. Raises LiveDeskError from `async with`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        channels: ChannelsFile | None = None,
        host: str = CONTROL_HOST,
        port: int = 0,
        ingress_url: str = "http://127.0.0.1:8080",
        pages: Iterable[web.RouteDef] = (),
        store: AccessStore | None = None,
        queries: Queries | None = None,
        progress: Progress | None = None,
        view_lag: Callable[[], Mapping[str, int]] = dict,
        clock: Clock = wall_clock,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._settings, self._channels = settings, channels
        self._host, self._port, self._ingress_url, self._pages = host, port, ingress_url, tuple(pages)
        self._clock, self._new_id = clock, new_id
        self._secrets: Secrets = load_secrets(settings)
        self._directory, self._access = DeskDirectory(self._secrets.decrypt), AccessDirectory()
        self._documents = DocumentDirectory()
        self._store, self._queries, self._view_lag = store or MemoryStore(), queries, view_lag
        self._progress = progress or Progress()
        self._outcomes = Outcomes()
        self._stack = AsyncExitStack()
        self._writer: ChannelWriter | None = None
        self._followers: dict[Topic, TopicFollower] = {}
        self._presences = TopicEnds(settings.kafka, ACCOUNT_INBOX.full_name(settings.topic_prefix))
        self.url = ""

    @property
    def channels(self) -> list[ChannelSettings]:
        """The newest settings of every channel."""
        return self._directory.channels()

    @property
    def headers(self) -> Mapping[str, str]:
        """What a call of the installation's own signs in with."""
        return {"Authorization": f"Bearer {self._secrets.own_token}"}

    @property
    def follows(self) -> bool:
        """Whether what it goes by is up to date."""
        try:
            for follower in self._followers.values():
                follower.check()
        except Exception:  # noqa: BLE001 - whatever stopped one, what it reads would be stale from now on
            return False
        return bool(self._followers)

    async def save(self, channels: ChannelsFile) -> None:
        """Save the agents and channels that are new or different."""
        if self._writer is None:
            raise RuntimeError("not started")
        await _save(self._writer, channels)

    def webhook_url(self, channel: ChannelSettings) -> str:
        """Where the provider posts the channel's callbacks."""
        return self._secrets.webhook_url(self._settings.public_url or self._ingress_url, channel)

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
        publisher = Publisher(settings.kafka, [topic.full_name(prefix) for topic in (INBOX, ACCOUNT_INBOX)])
        self._followers = {
            topic: TopicFollower(settings.kafka, topic.full_name(prefix), apply, from_now=topic is CONVERSATIONS)
            for topic, apply in (
                (CHANNELS, self._directory.apply),
                (DIRECTORY, self._directory.apply_person),
                (ACCESS, self._access.apply),
                (KNOWLEDGE, self._documents.apply),
                (CONVERSATIONS, self._apply_event),
            )
        }
        await self._connect(stack, publisher)
        self._directory.loaded()
        journal = KafkaJournal(
            settings.kafka,
            {topic.full_name(prefix): self._followers[topic] for topic in (CHANNELS, DIRECTORY, ACCESS, KNOWLEDGE)},
            prefix=prefix,
            encrypt=self._secrets.encrypt,
            clock=self._clock,
            new_id=self._new_id,
        )
        self._writer = ChannelWriter(self._directory, journal)
        if self._channels is not None:
            await self.save(self._channels)
        session = await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar()))
        store, freshness = open_store(settings), Freshness(self._progress, self._ends)
        office = Office(
            directory=self._directory,
            writer=self._writer,
            people=People(self._directory, journal, publisher, journal.new_change),
            ai_agents=AiAgents(self._directory, journal),
            documents=Documents(self._documents, journal, Extraction(), self._clock),
            publisher=publisher,
            webhook_url=self.webhook_url,
            call=partial(self._call, HttpTransport(session)),
            reach=partial(_reach, HttpTransport(session)),
            files=DeskFiles(
                store,
                FileServer(store, self._secrets.media_links, self._clock),
                random_id,
                public=settings.public_url is not None,
                max_bytes=settings.media_max_bytes,
            ),
            queries=self._queries,
            freshness=freshness,
            operations=PipelineOperations(settings.kafka, prefix, journal, self._view_lag),
            prefix=prefix,
            clock=self._clock,
            new_id=self._new_id,
        )
        door = FrontDoor(
            self._access,
            journal,
            self._store,
            Means(
                self._secrets.keys, self._secrets.encrypt, self._secrets.decrypt, os.urandom, self._new_id, self._clock
            ),
            passwords=Passwords(),
            oidc=oidc(settings, session),
            address=partial(_address, settings.proxies),
            require_second_factor=settings.require_second_factor,
        )
        callers = Callers(door, self._secrets.own_tokens)
        streams = Streams(freshness.progress, callers.still)
        routes = all_routes(office, self._outcomes, door, streams)
        app = build_api(routes, callers.authenticate, office.visible, self._clock, freshness)
        app.add_routes(self._pages)
        # Without aiohttp's access log, for paths name customers.
        runner = _Runner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback(streams.close)
        await listen(runner, "The control API", self._host, self._port, "Choose another --control-port.")
        bound: int = runner.addresses[0][1]
        self.url = f"http://{'127.0.0.1' if self._host in ('0.0.0.0', '') else self._host}:{bound}"  # noqa: S104 - no binding

    async def _ends(self) -> Mapping[Place, int]:
        """Behind what it has read of what was written, and behind the presences, which it does not read."""
        found = await self._presences.now()
        for topic, follower in self._followers.items():
            # The view does not read who may call.
            found |= await follower.positions() if topic is not ACCESS else {}
        return {Place(*place): end for place, end in found.items()}

    async def _connect(self, stack: AsyncExitStack, publisher: Publisher) -> None:
        stack.push_async_callback(publisher.stop)
        stack.push_async_callback(self._presences.stop)
        for follower in self._followers.values():
            stack.push_async_callback(follower.stop)
        try:
            for start in (publisher.start, self._presences.start, *(one.start for one in self._followers.values())):
                await when_kafka_is_there(self._settings.kafka, start)
        except LookupError as error:
            raise LiveDeskError(
                f"The control API can't start: {error.args[0]}.", "Create the topics: livedesk topics apply"
            ) from error

    def _apply_event(self, _key: bytes, value: bytes | None) -> None:
        if value is None:
            return
        try:
            self._outcomes.apply(decode(value, CONVERSATIONS.types))
        except (UndecodableRecord, orjson.JSONDecodeError):
            return  # a newer version's: whoever waits for it is answered 202

    async def _call(self, transport: HttpTransport, settings: ChannelSettings, call: Call) -> Answer | None:
        name = f"{settings.provider}/{call.service}" if call.service else settings.provider
        return await _reach(transport, self._settings.provider_urls[name], call)


async def _reach(transport: HttpTransport, base_url: str, call: Call) -> Answer | None:
    try:
        return await transport(base_url, call, CHECK_S)
    except (NotSent, NoAnswer):
        return None


class _Runner(web.AppRunner):
    """aiohttp's, with the public listener's bounds on what a client may take, and problems as answers."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Listener(
            made.request_handler,
            count=lambda _: None,
            connections=min(CONNECTIONS, open_files() - FILES_OF_OURS),
            make_request=made.request_factory,
            refusal=unreadable,
        )


def _address(proxies: Sequence[Network], request: web.Request) -> str | None:
    found = client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), proxies)
    return request.remote if found is None else str(found)


async def _save(writer: ChannelWriter, channels: ChannelsFile) -> None:
    try:
        await writer.save_file(channels)
    except InvalidSettings as error:
        wrong = "".join(f"\n  {item}" for item in error.errors)
        raise LiveDeskError(f"The channels file contradicts the channels that there are:{wrong}") from None
    except NotDurable as error:
        raise LiveDeskError(f"The channels could not be saved: {error}.", "Is Kafka healthy? Start again.") from error
