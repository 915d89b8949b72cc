"""What a change of settings or people writes, and where: on the topic that keeps it, and on its account's inbox."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel

from desk.access.audit import shown
from schemas.codec import Headers, to_kafka
from schemas.event import Event
from schemas.events.access import AuditRecorded, TokenRevoked, TokenSaved, UserDeleted, UserSaved
from schemas.events.channels import ChannelChanged, ChannelSaved, ReconciliationSet
from schemas.events.knowledge import DocumentDeleted, DocumentSaved
from schemas.events.people import (
    AgentDeleted,
    AgentSaved,
    AiAgentDeleted,
    AiAgentSaved,
    PresenceChanged,
    PresenceState,
)
from schemas.record import Record
from schemas.settings.ai import GptAgent, HttpAgent, agent_to_stored
from schemas.settings.channel import ChannelSettings, to_stored
from schemas.settings.channels_file import Agent
from schemas.topics import ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, DIRECTORY, KNOWLEDGE, RECONCILIATIONS, Topic

SOURCE = "/livedesk/desk"

Message = tuple[str, bytes, bytes, Headers]
"""Topic (its full name), key, value, headers."""


def agent_key(account: str, agent: str) -> str:
    """The agent's key on the directory topic."""
    return f"agent/{account}/{agent}"


def ai_agent_key(account: str, agent: str) -> str:
    """The AI agent's key on the directory topic."""
    return f"ai/{account}/{agent}"


def account_of(key: str) -> str:
    """The account in a key of the directory topic."""
    return key.split("/")[1]


@dataclass(frozen=True)
class Change:
    """The messages of one change, in order. prefix: of the topics' names; id: of the change, numbered in its records.

    encrypt: for secrets. by: who makes it, and what it is called, for the audit; None: nobody of the API.
    """

    prefix: str
    id: str
    time: datetime
    encrypt: Callable[[str], str]
    messages: list[Message] = field(default_factory=list)
    by: tuple[str, str] | None = None

    def save_channel(self, settings: ChannelSettings, before: ChannelSettings | None) -> None:
        """A channel's next revision, and which agents have left it. before: the last revision."""
        members = () if before is None else before.human_agents
        left = tuple(agent for agent in members if agent not in settings.human_agents)
        saved = ChannelSaved.model_validate({"settings": to_stored(settings, self.encrypt)})
        self._add(CHANNELS, f"{settings.id}/{settings.revision}", saved, settings)
        self._add(ACCOUNT_INBOX, settings.account, ChannelChanged(channel=settings.id, left=left), settings)
        if settings.reconcile or (before is not None and before.reconcile):
            self._add(RECONCILIATIONS, settings.id, ReconciliationSet(), settings)
        self._audit_by(f"channels/{settings.id}", before, settings, settings.account)

    def reseal_channel(self, settings: ChannelSettings) -> None:
        """A revision as it is, encrypted anew."""
        saved = ChannelSaved.model_validate({"settings": to_stored(settings, self.encrypt)})
        self._add(CHANNELS, f"{settings.id}/{settings.revision}", saved, settings)

    def reseal_agent(self, key: str, event: AiAgentSaved) -> None:
        """An AI agent as it is, encrypted anew. key: its key."""
        self._add(DIRECTORY, key, event)

    def save_agent(self, account: str, agent: Agent, before: Agent | None = None) -> None:
        """An agent, new or as it is from now on. before: as it was."""
        saved = AgentSaved(agent=agent.id, name=agent.name, workload=agent.workload, teams=agent.teams)
        self._add_person(account, agent.id, saved)
        self._audit_by(f"agents/{agent.id}", before, agent, account)

    def delete_agent(self, account: str, agent: Agent) -> None:
        """An agent who is gone."""
        self._add_person(account, agent.id, AgentDeleted(agent=agent.id))
        self._audit_by(f"agents/{agent.id}", agent, None, account)

    def save_ai_agent(
        self, account: str, agent: GptAgent | HttpAgent, before: GptAgent | HttpAgent | None = None
    ) -> None:
        """An AI agent's next revision. before: the last one."""
        saved = AiAgentSaved(account=account, settings=agent_to_stored(agent, self.encrypt))
        self._add(DIRECTORY, ai_agent_key(account, agent.id), saved)
        self._audit_by(f"ai-agents/{agent.id}", before, agent, account)

    def delete_ai_agent(self, account: str, agent: GptAgent | HttpAgent) -> None:
        """An AI agent that is gone."""
        self._add(DIRECTORY, ai_agent_key(account, agent.id), AiAgentDeleted(account=account, agent=agent.id))
        self._audit_by(f"ai-agents/{agent.id}", agent, None, account)

    def set_presence(
        self, account: str, agent: str, state: PresenceState, source: Literal["person", "heartbeat"] = "person"
    ) -> None:
        """An agent's state."""
        self._add(ACCOUNT_INBOX, account, PresenceChanged(agent=agent, state=state, source=source))

    def change_document(
        self, event: DocumentSaved | DocumentDeleted, before: BaseModel | None, after: BaseModel | None
    ) -> None:
        """A document, as it is from now on or that is gone. before, after: what the audit shows of it."""
        name = f"{event.collection}/{event.document}"
        self._add(KNOWLEDGE, f"{event.account}/{name}", event)
        self._audit_by(f"knowledge/{name}", before, after, event.account)

    def save_token(self, token: TokenSaved) -> None:
        """A new token."""
        self._add(ACCESS, f"token/{token.id}", token)

    def revoke_token(self, id: str) -> None:
        """A token that counts no more."""
        self._add(ACCESS, f"token/{id}", TokenRevoked(id=id))

    def save_user(self, user: UserSaved) -> None:
        """A user, new or as they are from now on."""
        self._add(ACCESS, f"user/{user.id}", user)

    def delete_user(self, id: str) -> None:
        """A user who is gone."""
        self._add(ACCESS, f"user/{id}", UserDeleted(id=id))

    def audit(
        self,
        actor: str,
        action: str,
        target: str,
        before: BaseModel | None,
        after: BaseModel | None,
        account: str | None,
    ) -> None:
        """What was done, for the audit topic. account: None: it concerns all. See AuditRecorded for the rest."""
        event = AuditRecorded(actor=actor, action=action, target=target, before=shown(before), after=shown(after))
        self._add(AUDIT, account or "*", event)

    def _audit_by(self, target: str, before: BaseModel | None, after: BaseModel | None, account: str) -> None:
        if self.by is not None:
            actor, action = self.by
            self.audit(actor, action, target, before, after, account)

    def _add_person(self, account: str, agent: str, event: Event) -> None:
        self._add(DIRECTORY, agent_key(account, agent), event)
        self._add(ACCOUNT_INBOX, account, event)

    def _add(self, topic: Topic, key: str, event: Event, settings: ChannelSettings | None = None) -> None:
        # The audit's own are numbered apart, so that the others' ids do not depend on who asked.
        mine = topic is AUDIT
        audited = AUDIT.full_name(self.prefix)
        before = sum((message[0] == audited) is mine for message in self.messages)
        id = f"{self.id}.{'audit.' if mine else ''}{before + 1}"
        stamp = (None, 0) if settings is None else (settings.id, settings.revision)
        value, headers = to_kafka(topic, Record(id, SOURCE, self.time, key, event, *stamp))
        self.messages.append((topic.full_name(self.prefix), key.encode(), value, headers))


Fill = Callable[[Change], None]


class Journal(Protocol):
    """What keeps settings and people."""

    async def write(self, fill: Fill) -> None:
        """Write what `fill` puts into the change: all of it or nothing, and nothing where it puts nothing.

        fill sees in the directory all that was written before, may be called several times, and what it raises is
        raised. When write returns, the directory has what was written. Raises NotDurable.
        """
        ...


class Audited:
    """A journal whose changes say who makes them. by: who, and what it is called."""

    def __init__(self, journal: Journal, by: tuple[str, str]) -> None:
        self._journal, self._by = journal, by

    async def write(self, fill: Fill) -> None:
        """See Journal."""
        await self._journal.write(lambda change: fill(replace(change, by=self._by)))
