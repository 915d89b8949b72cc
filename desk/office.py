"""What the handlers of the control API work with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bus.publisher import Publish
from desk.access.permissions import Actor
from desk.ai_agents import AiAgents
from desk.ai_services import Reach
from desk.channel_writer import ChannelWriter
from desk.credentials import Make
from desk.directory import DeskDirectory
from desk.files import DeskFiles
from desk.freshness import Freshness
from desk.knowledge import Documents
from desk.people import People
from desk.view.queries import Queries
from schemas.settings.channel import ChannelSettings


@dataclass(frozen=True)
class Behind:
    """How many records of a topic a reader, a stage or the view, has still to read."""

    reader: str
    topic: str
    records: int


@dataclass(frozen=True)
class GivenBack:
    """Dead letters that were written back: all of one stage and key. unreadable: ids of those that stay, as no version
    that runs can read them.
    """

    stage: str
    key: str
    letters: tuple[str, ...]
    unreadable: tuple[str, ...]


class NotGivenBack(Exception):
    """Dead letters could not be written back now, and why. Nothing was written."""


class NotAsked(Exception):
    """Kafka can't be asked now."""


class Operations(Protocol):
    """What is done to the pipeline itself."""

    async def lag(self) -> Sequence[Behind]:
        """How far every stage and the view are behind, as Kafka says. Raises NotAsked."""
        ...

    async def replay(self, letter: str, account: str, by: str) -> GivenBack:
        """Write a dead letter back, with all others of its stage and key, in order. account: whose it is, and by: who
        wants it, for the audit.

        Raises NotGivenBack, and NotDurable.
        """
        ...


@dataclass(frozen=True)
class Office:
    """The desk's parts.

    webhook_url: where a channel's provider posts its callbacks. call: makes a call to a channel's provider; reach: to
    an AI agent's service. files: of the media store. queries: of the view; operations: on the pipeline; None: this
    process has none. freshness: what the view may not have read yet. prefix: of the topics' names.
    """

    directory: DeskDirectory
    writer: ChannelWriter
    people: People
    ai_agents: AiAgents
    documents: Documents
    publisher: Publish
    webhook_url: Callable[[ChannelSettings], str]
    call: Make
    reach: Reach
    files: DeskFiles
    queries: Queries | None
    operations: Operations | None
    freshness: Freshness
    prefix: str
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def visible(self, actor: Actor, path: dict[str, str]) -> bool:
        """Whether the actor may know of the account and the channel in a path. If not, there is none."""
        account, channel = path.get("account"), path.get("channel")
        if account is not None and not actor.sees_account(account):
            return False
        return channel is None or self.shows(actor, self.directory.find(channel))

    def shows(self, actor: Actor, channel: ChannelSettings | None) -> bool:
        """Whether there is such a channel for the actor."""
        return channel is not None and channel.state != "deleted" and actor.sees_channel(channel.account, channel.id)

    def channels(self, actor: Actor) -> list[ChannelSettings]:
        """Those that the actor may see, by id."""
        return [channel for channel in self.directory.channels() if self.shows(actor, channel)]
