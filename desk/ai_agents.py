"""Writing AI agents of an account. Each channel that lists one has it in its settings, and gets a new revision."""

from collections.abc import Iterable, Mapping

from desk.channel_writer import Changed, follow_agents
from desk.directory import DeskDirectory
from desk.journal import Audited, Change, Journal
from schemas.settings.ai import GptAgent, HttpAgent, change_ai_agent
from schemas.settings.errors import FieldError, InvalidSettings


class InUse(Exception):
    """Channels list the agent."""

    def __init__(self, channels: Iterable[str]) -> None:
        self.channels = tuple(channels)
        super().__init__(f"channels list it: {', '.join(self.channels)}")


class AiAgents:
    """Saves and deletes AI agents. All methods raise NotDurable."""

    def __init__(self, directory: DeskDirectory, journal: Journal) -> None:
        self._directory, self._journal = directory, journal

    def by(self, actor: str, action: str) -> "AiAgents":
        """The same, for changes that the audit is to tell: who makes them, and what they are called."""
        return AiAgents(self._directory, Audited(self._journal, (actor, action)))

    async def create(self, account: str, agent: GptAgent | HttpAgent) -> GptAgent | HttpAgent:
        """Save a new agent. Raises InvalidSettings."""
        if agent.revision != 1:
            raise InvalidSettings((FieldError("revision", "of a new one is 1"),))

        def fill(change: Change) -> None:
            if self._directory.find_ai_agent(account, agent.id) is not None:
                raise InvalidSettings((FieldError("id", "there is an AI agent of that id: choose another"),))
            self._save(change, account, agent, None)

        await self._journal.write(fill)
        return self._directory.ai_agent(account, agent.id)

    async def change(
        self, account: str, id: str, fields: Mapping[str, object], *, based_on: int | None = None
    ) -> GptAgent | HttpAgent:
        """Save the next revision. based_on: the revision that must be the current one.

        Raises UnknownAiAgent, InvalidSettings, Changed.
        """

        def fill(change: Change) -> None:
            current = self._directory.ai_agent(account, id)
            if based_on not in (None, current.revision):
                raise Changed(current.revision)
            self._save(change, account, change_ai_agent(current, fields), current)

        await self._journal.write(fill)
        return self._directory.ai_agent(account, id)

    async def delete(self, account: str, id: str) -> None:
        """Delete an agent that no channel lists. Raises UnknownAiAgent, InUse."""

        def fill(change: Change) -> None:
            agent = self._directory.ai_agent(account, id)
            listing = [
                channel.id
                for channel in self._directory.channels(account)
                if channel.state != "deleted" and id in {one.id for one in channel.ai.agents}
            ]
            if listing:
                raise InUse(listing)
            change.delete_ai_agent(account, agent)

        await self._journal.write(fill)

    def _save(
        self, change: Change, account: str, agent: GptAgent | HttpAgent, before: GptAgent | HttpAgent | None
    ) -> None:
        change.save_ai_agent(account, agent, before)
        others = [one for one in self._directory.ai_agents(account) if one.id != agent.id]
        follow_agents(change, self._directory.channels(account), [*others, agent])
