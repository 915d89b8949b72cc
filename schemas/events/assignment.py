"""Events of the pipeline itself: callbacks as they came, settings, assignment, dead letters, timer positions."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import JsonValue

from schemas.event import Event
from schemas.events.conversation import Assignee, Status


class WebhookReceived(Event):
    """A callback, byte for byte, as the provider posted it. Travels raw, its attributes in Kafka headers."""

    type: ClassVar[str] = "webhook.received"

    provider: str
    body: bytes
    request_headers: dict[str, str] = {}


class ChannelSaved(Event):
    """One revision of a channel's settings; credentials are encrypted text. Key: `{channel id}/{revision}`."""

    type: ClassVar[str] = "channel.saved"

    settings: dict[str, JsonValue]


class NotificationReceived(Event):
    """A notice about the account itself (balance, template, number). Key: channel id. Written by intake."""

    type: ClassVar[str] = "notification.received"

    event: str
    data: dict[str, JsonValue]
    at: datetime | None = None


AssignmentReason = Literal["opened", "reopened", "reopened_by_person", "handed_over", "ai_failed", "unassigned", "team"]
"""Why a conversation needs somebody. Rules and AI agents are tried for opened and reopened (by its customer) only."""


class AssignmentRequested(Event):
    """A conversation needs somebody. Key: account id. Written by conversations.

    at, text, message_kind: of the customer's message that asks, which rules judge; None where there is none. former:
    who held it last. team: a person gave it to that team. replied_by: whose reply reopened it, who has it where the
    former one is not available.
    """

    type: ClassVar[str] = "assignment.requested"

    conversation_id: str
    conversation_key: str
    channel: str
    revision: int
    reason: AssignmentReason
    at: datetime
    text: str | None = None
    message_kind: str | None = None
    contact_name: str | None = None
    returning: bool = False
    labels: tuple[str, ...] = ()
    former: Assignee | None = None
    team: str | None = None
    replied_by: str | None = None


class ConversationChanged(Event):
    """A conversation's status or assignee changed. Key: account id. Written by conversations.

    routed: False: a request for somebody comes with it, or came.
    """

    type: ClassVar[str] = "conversation.changed"

    conversation_id: str
    conversation_key: str
    channel: str
    revision: int
    status: Status
    assignee: Assignee | None = None
    routed: bool = True


class ProposalAnswered(Event):
    """The one answer to a proposal. Key: account id. Written by conversations.

    reason, when refused: unknown_conversation, stale_revision, already_routed.
    """

    type: ClassVar[str] = "proposal.answered"

    proposal_id: str
    conversation_id: str
    revision: int
    accepted: bool
    reason: str | None = None


PresenceState = Literal["online", "busy", "idle", "offline"]


class PresenceChanged(Event):
    """A human agent's state. Key: account id. Written by ingress.

    source: a person's choice stays until it is changed; a desk's heartbeat holds for 90 s.
    """

    type: ClassVar[str] = "presence.changed"

    agent: str
    state: PresenceState
    source: Literal["person", "heartbeat"] = "person"


class AgentSaved(Event):
    """A human agent of the account, as it is from now on. Key: account id. Written by ingress.

    workload: open conversations at most; None: no limit; "default": the channel's workload_default.
    """

    type: ClassVar[str] = "agent.saved"

    agent: str
    name: str = ""
    workload: int | Literal["default"] | None = "default"
    teams: tuple[str, ...] = ()


class AgentDeleted(Event):
    """A human agent left the account, and every channel of it. Key: account id. Written by ingress."""

    type: ClassVar[str] = "agent.deleted"

    agent: str


class ChannelChanged(Event):
    """A channel has new settings, which the record is stamped with. Key: account id. Written by ingress.

    left: the human agents that are no members of the channel any more.
    """

    type: ClassVar[str] = "channel.changed"

    channel: str
    left: tuple[str, ...] = ()


class AssignmentDecided(Event):
    """Somebody was proposed for the conversation. Written by assignment, with the explanation."""

    type: ClassVar[str] = "assignment.decided"

    proposal_id: str
    conversation_id: str
    revision: int
    assignee: Assignee
    explanation: dict[str, JsonValue]


class AssignmentReleased(Event):
    """A place came back. reason: refused (the proposal came too late), moved, ended, removed. Written by assignment."""

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


class DeadLettered(Event):
    """What could not be processed, whole. body: text, or base64 when it is not UTF-8 text.

    topic, partition and offset say where it was read; they are left out by the in-memory driver.
    """

    type: ClassVar[str] = "record.dead_lettered"

    reason: str
    detail: str = ""
    stage: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    body: str
    encoding: Literal["text", "base64"] = "text"
    headers: dict[str, str] = {}


class DeadLetterReplayed(Event):
    """The dead letter was written back to the topic it was read from. Key: as the letter's. Written by operators."""

    type: ClassVar[str] = "dead_letter.replayed"

    letter_id: str


class KeyUnparked(Event):
    """Records of the key are to be processed again. Written by operators, to the input of the stage that parked it.

    letter_id: the key's newest dead letter that the writer knew of; where there is a newer one the key stays parked,
    so that nothing is overtaken. None: unpark it all the same.
    """

    type: ClassVar[str] = "key.unparked"

    letter_id: str | None = None


class TimersFired(Event):
    """The timers due by `due` fired before the input record at `offset`. Key: `{stage}/{partition}`."""

    type: ClassVar[str] = "timers.fired"

    stage: str
    partition: int
    due: datetime
    offset: int
