"""The channels and people that ingress knows: fed from the channels and directory topics."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable

from ingress.journal import account_of
from providers.address import token_hash
from providers.provider import Provider, WebhookRequest
from providers.registry import PROVIDERS
from schemas.events.people import AgentDeleted, AgentSaved
from schemas.record import UndecodableRecord, decode
from schemas.settings.channel import ChannelSettings, Directory
from schemas.settings.channels_file import Agent
from schemas.settings.memory import SettingsMemory
from schemas.topics import DIRECTORY

logger = logging.getLogger(__name__)

SAY_EVERY_SECONDS = 60.0


class UnknownChannel(LookupError):
    """There is no channel of that id."""


class UnknownAgent(LookupError):
    """The account has no human agent of that id."""


class ChannelDirectory(SettingsMemory):
    """The newest settings of every channel, and the human agents of every account. token_of: channel id -> token."""

    def __init__(self, decrypt: Callable[[str], str], token_of: Callable[[str], str]) -> None:
        super().__init__(decrypt)
        self.token_of = token_of
        self._by_token: dict[bytes, str] = {}
        self._by_address: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._agents: defaultdict[str, dict[str, Agent]] = defaultdict(dict)

    def add(self, settings: ChannelSettings) -> None:
        """Store one revision; the channel's token leads to it from its first one on."""
        before = self.find(settings.id)
        super().add(settings)
        for address in () if before is None else _addresses(before):
            self._by_address[address].discard(settings.id)
        for address in _addresses(self.channel(settings.id)):
            self._by_address[address].add(settings.id)
        self._by_token.setdefault(token_hash(self.token_of(settings.id)), settings.id)

    def apply_person(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the directory topic."""
        if value is None:
            return
        try:
            event = decode(value, DIRECTORY.types).event
        except UndecodableRecord as error:
            logger.error("a record of the directory topic was left out (key %s): %s", key.decode(), error)
            return
        agents = self._agents[account_of(key.decode())]
        match event:
            case AgentSaved():
                agents[event.agent] = Agent(id=event.agent, name=event.name, workload=event.workload, teams=event.teams)
            case AgentDeleted():
                agents.pop(event.agent, None)

    def find(self, channel_id: str) -> ChannelSettings | None:
        """The channel's newest settings."""
        return self._newest.get(channel_id)

    def channel(self, channel_id: str) -> ChannelSettings:
        """The channel's newest settings. Raises UnknownChannel."""
        channel = self.find(channel_id)
        if channel is None:
            raise UnknownChannel(channel_id)
        return channel

    def find_by_token(self, provider: str, token: str) -> ChannelSettings | None:
        """The provider's channel that the webhook token belongs to."""
        settings = self._newest.get(self._by_token.get(token_hash(token), ""))
        return settings if settings is not None and settings.provider == provider else None

    def addressed(
        self, provider: Provider, channel: ChannelSettings, request: WebhookRequest
    ) -> list[tuple[ChannelSettings, frozenset[str]]]:
        """The channels that a callback of the channel's address is about, each with what is another's of it.

        One that the provider did not sign for, too, gets nothing: it is somebody else's.
        """
        named = provider.addressees(request.body)
        if not named:
            return [(channel, frozenset())]
        ids = set[str]().union(*(self._by_address.get((provider.name, one), ()) for one in named)) - {channel.id}
        others = [one for id in sorted(ids) if provider.screen(request, one := self.channel(id)) is None]
        known = named & frozenset[str]().union(*map(provider.addresses, others))
        found = [(channel, known - provider.addresses(channel))]
        return found + [(other, named - provider.addresses(other)) for other in others]

    def find_agent(self, account: str, agent_id: str) -> Agent | None:
        """The account's human agent of that id."""
        return self._agents[account].get(agent_id)

    def agent(self, account: str, agent_id: str) -> Agent:
        """The account's human agent of that id. Raises UnknownAgent."""
        agent = self.find_agent(account, agent_id)
        if agent is None:
            raise UnknownAgent(agent_id)
        return agent

    def agents(self, account: str) -> list[Agent]:
        """The account's human agents, by id."""
        return sorted(self._agents[account].values(), key=lambda agent: agent.id)

    def people(self, account: str) -> Directory:
        """Whom the account's settings and commands may name."""
        agents = self._agents[account]
        return Directory(frozenset(agents), frozenset(team for agent in agents.values() for team in agent.teams))


def _addresses(settings: ChannelSettings) -> list[tuple[str, str]]:
    return [(settings.provider, address) for address in PROVIDERS[settings.provider].addresses(settings)]


class Recheck:
    """Brings the directory up to date before a token is called unknown: another process may have just saved it.

    All who ask share one look at Kafka every `interval` seconds, so that guessing tokens costs next to nothing.
    """

    def __init__(
        self, catch_up: Callable[[], Awaitable[None]], *, interval: float = 0.25, deadline: float = 1.0
    ) -> None:
        self._catch_up, self._interval, self._deadline = catch_up, interval, deadline
        self._last = self._said = float("-inf")
        self._next: asyncio.Task[bool] | None = None

    async def __call__(self) -> bool:
        """Wait until all that was written before the call has been read; False when that is not known in time."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> bool:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._last + self._interval - loop.time())
        # From here on whoever asks needs a later look than this one.
        self._next, self._last = None, loop.time()
        try:
            async with asyncio.timeout(self._deadline - self._interval):
                await self._catch_up()
        except Exception as error:  # noqa: BLE001 - whatever keeps the channels from being read, the token is not known to be wrong
            if loop.time() - self._said >= SAY_EVERY_SECONDS:
                self._said = loop.time()
                logger.warning("the channels can't be read up to their end: %s", type(error).__name__)
            return False
        return True
