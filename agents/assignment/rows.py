"""The rows of assignment, and the books that one decision keeps of them: slots, turns, fair windows, the queue.

Rows of an account, by name:
    agent/{agent}                        a human agent, with how many slots they have taken
    conversation/{id}                    one that is Open, or that a proposal is in flight for
    held/{agent}/{channel}/{id}          an Open conversation that the agent holds
    gone/{ms}/{agent}/{channel}          when the agent's automatic conversations go to others, as they are offline
    waiting/{channel}/{team or -}/{n}    one that waits, in order: of a queue only the head is read
    channel/{channel}                    how many wait in each of the channel's queues
    turn/{channel}/{agent}               when the agent was last served, as a number that grows
    took/{n}                             a turn whose proposal is in flight
    grant/{channel}/{ms}/{n}             an assignment that counts in the channel's fair window, by time
    fair/{channel}/{agent}               how many of those are the agent's
    heartbeat/{ms}/{agent}               when an agent's presence expires
    removal/{agent}/{channel}            conversations are being taken from the agent (of every channel where it is "")
    numbers                              the last number given to a turn or to a place in a queue
"""

from datetime import datetime
from typing import Final, Literal

from agents.stage import Row
from schemas.events.assignment import AssignmentNeed
from schemas.events.conversation import Assignee
from schemas.events.people import PresenceState


class Agent(Row):
    """A human agent. load: slots taken, by conversations and proposals. expires: of a presence by heartbeat.

    offline_since: when they went offline. gone: the names of their gone/ rows.
    """

    state: PresenceState = "offline"
    by_person: bool = False
    expires: datetime | None = None
    workload: int | Literal["default"] | None = "default"
    teams: tuple[str, ...] = ()
    deleted: bool = False
    load: int = 0
    offline_since: datetime | None = None
    gone: tuple[str, ...] = ()


class Proposal(Row):
    """The one in flight. turn, before, grant: what it took, to be given back. settings: the revision it was made by."""

    id: str
    revision: int
    settings: int
    assignee: Assignee | None = None
    turn: int | None = None
    grant: str | None = None


class Conversation(Row):
    """What is known of a conversation. number: its rank among those that wait, from when it first needed an assignee.

    need.reason: as requested, or removed or offline (its agent). automatic: no person chose the assignee. left: it was
    taken from its agent, who left or is offline, so it uses no slot of theirs until it has another assignee.
    """

    id: str
    key: str
    channel: str
    revision: int
    open: bool = True
    routed: bool = False
    assignee: Assignee | None = None
    automatic: bool = False
    left: bool = False
    need: AssignmentNeed | None = None
    number: int | None = None
    waiting: bool = False
    proposal: Proposal | None = None

    @property
    def holder(self) -> str | None:
        """The human agent that it is assigned to, while it is Open and they are here."""
        if self.assignee is None or self.assignee.kind != "human" or self.left or not self.open:
            return None
        return self.assignee.id

    @property
    def slots(self) -> frozenset[str]:
        """The agents whose load includes this conversation: the assignee and the proposed assignee."""
        proposed = None if self.proposal is None else self.proposal.assignee
        taken = {self.holder, proposed.id if proposed is not None and proposed.kind == "human" else None}
        return frozenset(agent for agent in taken if agent is not None)

    @property
    def queue(self) -> str | None:
        """The queue that it waits in: a team's, or `-`."""
        return (self.need.team or "-") if self.waiting and self.need is not None else None


class Mark(Row):
    """A row whose name says it all."""


class Waiting(Row):
    """A place in a queue."""

    conversation: str


class Channel(Row):
    """How many wait in each queue."""

    waiting: dict[str, int] = {}


class Turn(Row):
    """When the agent was last served in the channel."""

    last: int


class Took(Row):
    """A turn in flight. before, after: the agent's turns around it in the channel."""

    channel: str
    agent: str
    before: int
    after: int | None = None


class Grant(Row):
    """An assignment that counts in the fair window."""

    agent: str
    at: datetime


class Count(Row):
    """How many."""

    count: int = 0


STATE: Final = (Agent, Conversation, Mark, Waiting, Channel, Turn, Took, Grant, Count)
