"""Human agents: who belongs to an account, and whether they are there."""

from collections.abc import Callable
from typing import Literal

from bus.publisher import Publish
from desk.channel_writer import change_member
from desk.directory import DeskDirectory
from desk.journal import Audited, Change, Journal
from schemas.events.people import PresenceState
from schemas.settings.channels_file import Agent
from schemas.settings.types import SettingsModel


class PresenceRequest(SettingsModel):
    """An agent's state. source: a person's choice stays until it is changed; a desk's heartbeat holds for 90 s."""

    state: PresenceState
    source: Literal["person", "heartbeat"] = "person"


class People:
    """Saves and deletes agents, and publishes their state. All methods raise NotDurable.

    new_change: makes an empty one.
    """

    def __init__(
        self, directory: DeskDirectory, journal: Journal, publisher: Publish, new_change: Callable[[], Change]
    ) -> None:
        self._directory, self._journal, self._publisher, self._new_change = directory, journal, publisher, new_change

    def by(self, actor: str, action: str) -> "People":
        """The same, for changes that the audit is to tell: who makes them, and what they are called."""
        return People(self._directory, Audited(self._journal, (actor, action)), self._publisher, self._new_change)

    async def save(self, account: str, agent: Agent) -> None:
        """Save an agent, who is new or replaces the one of that id."""

        def fill(change: Change) -> None:
            before = self._directory.find_agent(account, agent.id)
            if before != agent:
                change.save_agent(account, agent, before)

        await self._journal.write(fill)

    async def delete(self, account: str, agent: str) -> None:
        """Delete an agent, who leaves every channel. Raises UnknownAgent."""

        def fill(change: Change) -> None:
            known = self._directory.agent(account, agent)
            # First, so that nothing which becomes free when they leave a channel is given to them.
            change.delete_agent(account, known)
            for channel in self._directory.channels(account):
                change_member(change, channel, agent, member=False)

        await self._journal.write(fill)

    async def set_presence(self, account: str, agent: str, presence: PresenceRequest) -> None:
        """Tell an agent's state. Raises UnknownAgent."""
        self._directory.agent(account, agent)
        change = self._new_change()
        change.set_presence(account, agent, presence.state, presence.source)
        # No transaction: one record needs none, and desks send heartbeats all the time.
        for message in change.messages:
            await self._publisher.publish(*message)
