"""Events of the pipeline itself: callbacks as they came, settings, assignment, dead letters, timer positions."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.event import Event
from schemas.events.conversation import Assignee, Status

AssignmentReason = Literal[
    "opened", "reopened", "reopened_by_person", "handed_over", "ai_failed", "unassigned", "team", "unanswered"
]
"""Why a conversation needs an assignee. Rules and AI agents are tried for opened and reopened (by its customer) only.

unanswered: its customer has waited too long for the assignee, who keeps it where nobody else can take it.
"""


class AssignmentNeed(BaseModel):
    """Why a conversation needs an assignee, and what routing rules look at.

    at, text, message_kind: of the customer's message that asks, where there is one. former: the last assignee.
    team: a person gave it to that team. replied_by: the agent whose reply reopened it, who gets it where the former
    assignee is not available. passed: the agents who had it while its customer waited. phone: the customer's number
    (digits), where the conversation's key does not say it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str
    at: datetime
    text: str | None = None
    message_kind: str | None = None
    contact_name: str | None = None
    phone: str | None = None
    returning: bool = False
    labels: tuple[str, ...] = ()
    former: Assignee | None = None
    team: str | None = None
    replied_by: str | None = None
    passed: tuple[str, ...] = ()


class AssignmentRequested(AssignmentNeed, Event):
    """A conversation needs an assignee. Key: account id. Written by conversations."""

    type: ClassVar[str] = "assignment.requested"

    conversation_id: str
    conversation_key: str
    channel: str
    revision: int
    reason: AssignmentReason

    @property
    def need(self) -> AssignmentNeed:
        """The need alone."""
        return AssignmentNeed.model_validate(self, from_attributes=True)


class ConversationChanged(Event):
    """A conversation's status or assignee changed. Key: account id. Written by conversations.

    routed: False: a request for somebody comes with it, or came. automatic: no person chose the assignee.
    """

    type: ClassVar[str] = "conversation.changed"

    conversation_id: str
    conversation_key: str
    channel: str
    revision: int
    status: Status
    assignee: Assignee | None = None
    routed: bool = True
    automatic: bool = False


class ProposalAnswered(Event):
    """The one answer to a proposal. Key: account id. Written by conversations.

    reason, when refused: unknown_conversation, stale_revision, already_routed, answered (it was too late).
    """

    type: ClassVar[str] = "proposal.answered"

    proposal_id: str
    conversation_id: str
    revision: int
    accepted: bool
    reason: str | None = None


class AssignmentDecided(Event):
    """Somebody was proposed for the conversation. Written by assignment, with the explanation."""

    type: ClassVar[str] = "assignment.decided"

    proposal_id: str
    conversation_id: str
    revision: int
    assignee: Assignee
    explanation: dict[str, JsonValue]


class AssignmentReleased(Event):
    """A slot came back. reason: refused (the proposal came too late), moved, ended, removed, offline.

    Written by assignment.
    """

    type: ClassVar[str] = "assignment.released"

    conversation_id: str
    agent: str
    reason: str


class AssignmentWaiting(Event):
    """Nobody can take the conversation now. Written by assignment, with the explanation."""

    type: ClassVar[str] = "assignment.waiting"

    conversation_id: str
    revision: int
    explanation: dict[str, JsonValue]
