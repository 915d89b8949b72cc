"""The channels and people that the desk knows: fed from the channels and directory topics."""

import logging
from collections import defaultdict
from collections.abc import Callable

from desk.journal import account_of
from schemas.events.people import AgentDeleted, AgentSaved, AiAgentDeleted, AiAgentSaved
from schemas.record import UndecodableRecord, decode
from schemas.settings.ai import GptAgent, HttpAgent, agent_from_stored, parse_ai_agent
from schemas.settings.channel import ChannelSettings, Directory
from schemas.settings.channels_file import Agent
from schemas.settings.memory import SettingsMemory
from schemas.topics import DIRECTORY

logger = logging.getLogger(__name__)


class UnknownChannel(LookupError):
    """There is no channel of that id."""


class UnknownAgent(LookupError):
    """The account has no human agent of that id."""


class UnknownAiAgent(LookupError):
    """The account has no AI agent of that id."""


class DeskDirectory(SettingsMemory):
    """The newest settings of every channel, and the human and AI agents of every account."""

    def __init__(self, decrypt: Callable[[str], str]) -> None:
        super().__init__(decrypt)
        self._agents: defaultdict[str, dict[str, Agent]] = defaultdict(dict)
        self._ai_agents: defaultdict[str, dict[str, GptAgent | HttpAgent]] = defaultdict(dict)

    def apply_person(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the directory topic. Raises OtherKey, once it is loaded."""
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
            case AiAgentSaved():
                with self._perhaps_replaced(b"directory " + key):
                    agent = parse_ai_agent(agent_from_stored(event.settings, self._decrypt))
                    self._ai_agents[event.account][agent.id] = agent
            case AiAgentDeleted():
                self._ai_agents[event.account].pop(event.agent, None)

    def channel(self, channel_id: str) -> ChannelSettings:
        """The channel's newest settings. Raises UnknownChannel."""
        channel = self.find(channel_id)
        if channel is None:
            raise UnknownChannel(channel_id)
        return channel

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

    def find_ai_agent(self, account: str, agent_id: str) -> GptAgent | HttpAgent | None:
        """The account's AI agent of that id."""
        return self._ai_agents[account].get(agent_id)

    def ai_agent(self, account: str, agent_id: str) -> GptAgent | HttpAgent:
        """The account's AI agent of that id. Raises UnknownAiAgent."""
        agent = self.find_ai_agent(account, agent_id)
        if agent is None:
            raise UnknownAiAgent(agent_id)
        return agent

    def ai_agents(self, account: str) -> list[GptAgent | HttpAgent]:
        """The account's AI agents, by id."""
        return sorted(self._ai_agents[account].values(), key=lambda agent: agent.id)

    def people(self, account: str) -> Directory:
        """Whom the account's settings and commands may name."""
        agents = self._agents[account]
        return Directory(frozenset(agents), frozenset(team for agent in agents.values() for team in agent.teams))
