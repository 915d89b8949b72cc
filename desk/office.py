"""What the handlers of the control API work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bus.publisher import Publish
from desk.access.permissions import Actor
from desk.ai_agents import AiAgents
from desk.ai_services import Reach
from desk.channel_writer import ChannelWriter
from desk.credentials import Make
from desk.directory import DeskDirectory
from desk.files import DeskFiles
from desk.knowledge import Documents
from desk.people import People
from desk.view.queries import Queries
from schemas.settings.channel import ChannelSettings


@dataclass(frozen=True)
class Office:
    """The desk's parts.

    webhook_url: where a channel's provider posts its callbacks. call: makes a call to a channel's provider; reach: to
    an AI agent's service. files: of the media store. queries: of the view; None: this process has none. prefix: of the
    topics' names.
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
