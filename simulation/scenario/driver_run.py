"""The world in memory: the driver with ingress' own code before it and the sandbox behind it."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2

from desk.channel_writer import ChannelWriter
from desk.commands import parse_command, unknown_agents
from desk.directory import DeskDirectory, UnknownAgent
from desk.journal import SOURCE, Change, Fill, Message
from desk.people import People, PresenceRequest
from knowledge.index import Index
from providers.address import webhook_path
from providers.provider import WebhookRequest
from providers.registry import PROVIDERS, base_urls
from schemas.codec import INGRESS, Headers, from_kafka
from schemas.effects import (
    AiRequest,
    EffectRequest,
    GptRequest,
    KnowledgeRequest,
    ListRequest,
    MediaRequest,
    SendRequest,
    SettleRequest,
    SignalRequest,
    ToolRequest,
)
from schemas.events.callbacks import WebhookReceived
from schemas.ids import conversation_key
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import InvalidSettings
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, KNOWLEDGE, RECONCILIATIONS, WEBHOOKS
from simulation.sandbox.accounts import Behaviour
from simulation.sandbox.ai import AiBehaviour, AiStandIn
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.gpt.stand_in import GptStandIn, ModelsInMemory, ToolsInMemory, at_sandbox
from simulation.sandbox.happenings import Written
from simulation.sandbox.in_memory import InMemory, store_at_once
from simulation.sandbox.providers import Providers
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Scenario
from simulation.scenario.knowledge import documents
from simulation.scenario.render import StepError
from simulation.scenario.world import PUBLIC_URL, Evidence, Refusal, StepIds
from streams.driver import Driver
from streams.effects.ai import AiClient
from streams.effects.breaker import Breaker
from streams.effects.contract import Done, Outcome, Performers
from streams.effects.gpt import GptClient
from streams.effects.knowledge import find
from streams.effects.sending import Sender
from streams.effects.spending import Spending
from streams.effects.tools import ToolClient
from streams.runtime.settings_store import SettingsStore

_WRITTEN_BY_INGRESS: Final = {
    topic.full_name(""): topic for topic in (CHANNELS, DIRECTORY, ACCOUNT_INBOX, RECONCILIATIONS, KNOWLEDGE)
}

_T = TypeVar("_T")


Outside = Callable[[SettingsStore, Callable[[], datetime]], Performers]
"""Makes performers that take the place of stand-ins, of the settings and the clock of a world."""


class DriverWorld:
    """Runs a scenario in memory. Deterministic: ids are counters. Made by `DriverWorld.build`."""

    def __init__(self, scenario: Scenario, outside: Outside | None = None) -> None:
        vault = _Vault()
        self._provider = Providers([one.provider_account for one in scenario.channels], auto_receipts=False)
        self._ai, self._gpt, self._index = AiStandIn(), GptStandIn(), Index()
        weakref.finalize(self, self._index.close)
        self._store = SettingsStore(vault.decrypt)
        self._directory = DeskDirectory(vault.decrypt)
        self._at = scenario.steps[0].at
        self._ids = StepIds(scenario.channels[0].id)
        sandbox = InMemory(self._provider, self._ai, self._clock)
        sender = Sender(
            sandbox,
            self._store.newest,
            self._clock,
            dict.fromkeys(base_urls(), ""),
            webhook_url=lambda settings: self.webhook_url(settings.id),
        )
        breaker = Breaker(sender.perform, self._seconds)
        models = httpx2.AsyncClient(transport=ModelsInMemory(self._gpt, self._clock))
        self._gpt_client = GptClient(models, self._store, Spending(self._clock), self._clock, self._seconds)
        tools = ToolClient(ToolsInMemory(self._gpt, self._clock), self._store.newest, self._seconds)
        self._performers: Performers = {
            SendRequest: breaker.perform,
            SettleRequest: sender.settle,
            ListRequest: sender.list_messages,
            SignalRequest: breaker.unless_held(sender.signal),
            AiRequest: AiClient(sandbox, self._store.newest, "").perform,
            KnowledgeRequest: self._find,
            GptRequest: self._call_model,
            ToolRequest: tools.perform,
            MediaRequest: store_at_once,
            **({} if outside is None else outside(self._store, self._clock)),
        }
        self._driver = Driver(self._store, self._perform, self._at)
        journal = _Journal(self._publish, lambda: Change("", self._ids(), self._at, vault.encrypt))
        self._journal = journal
        self._writer = ChannelWriter(self._directory, journal)
        self._people = People(self._directory, journal, journal, journal.new_change)

    @classmethod
    async def build(cls, scenario: Scenario, outside: Outside | None = None) -> "DriverWorld":
        """The world with the scenario's agents and channels saved in it."""
        world = cls(scenario, outside)
        channels = tuple(channel.settings for channel in scenario.channels)
        ai_agents = scenario.ai_agents
        if outside is None:
            ai_agents = tuple(at_sandbox(agent, PUBLIC_URL) for agent in ai_agents)
        await world._writer.save_file(ChannelsFile(agents=scenario.agents, ai_agents=ai_agents, channels=channels))

        def fill(change: Change) -> None:
            for saved in documents(scenario, world._at):
                change.change_document(saved, None, None)

        await world._journal.write(fill)
        return world

    @property
    def now(self) -> datetime:
        """The instant that it has come to."""
        return self._driver.now

    def next_deadline(self) -> datetime | None:
        """The earliest timer of any stage."""
        return self._driver.next_deadline()

    async def advance(self, to: datetime) -> None:
        self._driver.advance(to)

    async def settle(self, at: datetime) -> None:
        self._driver.now = max(self._driver.now, at)
        self._driver.run()

    async def begin(self, step: int, at: datetime) -> None:
        self._ids.begin(step)
        self._at = at

    def webhook_url(self, channel: str) -> str:
        return PUBLIC_URL + webhook_path(self._store.newest(channel).provider, channel)

    async def provider_keeps(self, channel: str, message: Written) -> None:
        self._provider.keep(channel, message, self._at)

    async def hand_in_callback(self, channel: str, request: CallbackRequest) -> None:
        settings = self._store.newest(channel)
        url = request.to or self.webhook_url(channel)
        signature = STAND_INS[settings.provider].sign(settings, url, request, self._at)
        headers = {name.lower(): value for name, value in signature.items()} | {"content-type": request.content_type}
        called = WebhookRequest("POST", url, headers, request.body)
        screened = PROVIDERS[settings.provider].screen(called, settings)
        if screened is not None:
            raise StepError(f"ingress does not take the callback: {screened.outcome}")
        query = urlsplit(url).query
        event = WebhookReceived(provider=settings.provider, body=request.body, query=query)
        self._driver.write(WEBHOOKS, Record(self._ids(), INGRESS, self._at, channel, event, channel, settings.revision))

    async def hand_in_command(
        self, channel: str, contact: str, body: Mapping[str, object], command_id: str
    ) -> Refusal | None:
        try:
            asked = parse_command({**body, "id": command_id})
        except InvalidSettings as error:
            return Refusal("invalid_settings", str(error))
        settings = self._store.newest(channel)
        unknown = unknown_agents(asked, settings, self._directory.people(settings.account))
        if unknown:
            return Refusal("unknown_agent", "; ".join(map(str, unknown)))
        key, event = conversation_key(channel, contact), asked.command(command_id)
        self._driver.write(INBOX, Record(self._ids(), SOURCE, self._at, key, event, channel, settings.revision))
        return None

    async def change_settings(self, channel: str, change: Mapping[str, object]) -> Refusal | None:
        return await _refused(self._writer.change(channel, change))

    async def set_presence(self, account: str, agent: str, presence: PresenceRequest) -> Refusal | None:
        return await _refused(self._people.set_presence(account, agent, presence))

    async def set_member(self, account: str, channel: str | None, agent: str, member: bool) -> Refusal | None:
        if channel is None:
            return await _refused(self._writer.set_member_of_all(account, agent, member))
        return await _refused(self._writer.set_member(channel, agent, member))

    async def delete_agent(self, account: str, agent: str) -> Refusal | None:
        return await _refused(self._people.delete(account, agent))

    async def set_provider(self, channel: str, behaviour: Behaviour) -> None:
        self._provider.set_behaviour(behaviour, channel)

    async def set_ai(self, channel: str, answer: str) -> None:
        self._ai.set_behaviour(AiBehaviour(answer=answer, channel=channel))

    async def set_gpt(self, script: GptScript) -> None:
        self._gpt.service.set_script(script)

    async def set_tool(self, script: ToolScript) -> None:
        self._gpt.tools.set_script(script)

    async def settings(self, channel: str) -> ChannelSettings:
        return self._store.newest(channel)

    async def evidence(self) -> Evidence:
        return Evidence(tuple(self._driver.records), self._provider.log, tuple(self._gpt.service.requests))

    def _publish(self, message: Message) -> None:
        name, key, value, headers = message
        topic = _WRITTEN_BY_INGRESS[name]
        self._driver.write(topic, from_kafka(topic, value, headers))
        if topic is CHANNELS:
            self._directory.apply(key, value)
            self._store.apply(key, value)
        elif topic is DIRECTORY:
            self._directory.apply_person(key, value)
        elif topic is KNOWLEDGE:
            self._index.apply(key, value)

    def _clock(self) -> datetime:
        return self._driver.now

    def _seconds(self) -> float:
        return self._driver.now.timestamp()

    async def _find(self, request: KnowledgeRequest) -> Outcome:
        found = find(self._index, self._store.newest(request.channel), request)
        return Done(found.model_dump(mode="json", exclude_defaults=True))

    async def _call_model(self, request: GptRequest) -> Outcome:
        return meanwhile(self._gpt_client.perform(request))

    def _perform(self, request: EffectRequest, _now: datetime) -> Outcome:
        return at_once(self._performers[type(request)](request))


async def _refused(change: Awaitable[object]) -> Refusal | None:
    try:
        await change
    except InvalidSettings as error:
        return Refusal("invalid_settings", str(error))
    except UnknownAgent:
        return Refusal("unknown_agent", "there is no such human agent")
    return None


class _Journal:
    """Ingress' journal and publisher in memory: what is written is known at once."""

    connected = True

    def __init__(self, publish: Callable[[Message], None], new_change: Callable[[], Change]) -> None:
        self._publish, self.new_change = publish, new_change

    async def write(self, fill: Fill) -> None:
        change = self.new_change()
        fill(change)
        for message in change.messages:
            self._publish(message)

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        self._publish((topic, key, value, headers))


class _Vault:
    """In place of encryption: a name for each secret, so that none shows in the records and all runs are alike."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def encrypt(self, secret: str) -> str:
        self._secrets.append(secret)
        return f"secret {len(self._secrets) - 1}"

    def decrypt(self, name: str) -> str:
        return self._secrets[int(name.removeprefix("secret "))]


def at_once(coroutine: Awaitable[_T]) -> _T:
    """The result of a coroutine that waits for nothing: the driver's effects end where they begin."""
    try:
        next(iter(coroutine.__await__()))
    except StopIteration as stopped:
        result: _T = stopped.value
        return result
    raise RuntimeError("it waits")


def meanwhile(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that does wait, on a loop of its own: the official client looks its platform up."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
