"""What happens in a conversation: events of the conversations topic, and what is asked of it through inbox."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.contact import address
from schemas.event import Event
from schemas.events.content import Citation, Content, Outgoing

SESSION_WINDOW: Final = timedelta(hours=24)
"""For how long after the customer's last message free text may be sent (WhatsApp's rule; Meta's docs)."""


class Status(StrEnum):
    """The five statuses (docs/design.md, 6)."""

    OPEN = "Open"
    AI_REPLYING = "AI-Replying"
    SNOOZED = "Snoozed"
    RESOLVED = "Resolved"
    CLOSED = "Closed"


LIVE = frozenset({Status.OPEN, Status.AI_REPLYING, Status.SNOOZED})


class Assignee(BaseModel):
    """Who holds a conversation, or is proposed to."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["human", "ai", "team"]
    id: str


class Header(BaseModel):
    """What every conversation event says of its conversation, so that those downstream keep next to no state.

    revision counts changes of status or assignee, not messages. messages_in and messages_out are the customer's
    and the agents' so far; automatic ones (greeting, survey …) are counted apart. resolution: how often it was
    resolved. surveys: how many were asked in it and not failed. unread: the customer's messages since an agent's last,
    human or AI; waiting_since: the time of the first of them. returning: the contact had a conversation before.
    contact: the key's; phone (digits), user_id: the customer's, as last heard, where contact does not say all.
    """

    model_config = ConfigDict(frozen=True)

    conversation_id: str
    channel: str
    contact: str
    phone: str | None = None
    user_id: str | None = None
    contact_name: str | None = None
    opened_at: datetime
    opened_by: Literal["customer", "agent"] = "customer"
    revision: int
    status: Status
    assignee: Assignee | None = None
    routed: bool = False
    messages_in: int = 0
    messages_out: int = 0
    messages_automatic: int = 0
    last_customer_at: datetime | None = None
    last_human_at: datetime | None = None
    unread: int = 0
    waiting_since: datetime | None = None
    labels: tuple[str, ...] = ()
    resolution: int = 0
    surveys: int = 0
    returning: bool = False
    blocked: bool = False
    muted: bool = False

    @property
    def address(self) -> str:
        """Where the customer is reached: a number's digits, or a user id."""
        return address(self.contact, self.phone, self.user_id)

    @property
    def session_ends(self) -> datetime | None:
        """The end of the session window, itself outside it; None when the customer never wrote."""
        return None if self.last_customer_at is None else self.last_customer_at + SESSION_WINDOW


class Media(BaseModel):
    """A file of the customer's: a link, or the provider's id of it. What the provider says of it proves nothing.

    sha256: in hex. size: in bytes. voice: a voice note.
    """

    model_config = ConfigDict(frozen=True)

    link: str | None = None
    id: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    sha256: str | None = None
    size: int | None = None
    voice: bool = False


class ConversationEvent(Event):
    """Base of the events of one conversation."""

    header: Header


class ConversationOpened(ConversationEvent):
    """A conversation began."""

    type: ClassVar[str] = "conversation.opened"


Treatment = Literal["ordinary", "quiet", "rating", "comment"]


class ConversationMessageReceived(ConversationEvent):
    """A customer's message joined the conversation. `at`: the provider's time, never after its receipt.

    treatment: quiet: it triggers nothing (blocked, muted); rating: it answers a survey; comment: it says why.
    more_media: where one message has several files, those after the first. What became of each file is told by a
    conversation.media_stored or .media_failed: index 0 is media, 1 the first of more_media.
    """

    type: ClassVar[str] = "conversation.message_received"

    message_id: str
    at: datetime
    kind: str
    text: str | None = None
    media: Media | None = None
    more_media: tuple[Media, ...] = ()
    quotes: str | None = None
    content: Content | None = None
    treatment: Treatment = "ordinary"


class ConversationMediaStored(ConversationEvent):
    """A file of a message is in the media store: of a customer's, or of one written in WhatsApp's own app.

    index: which of the message's files, from 0.
    file: its key in the store; preview: that of a small WebP picture of it. mime_type: from its bytes. sha256: in hex.
    """

    type: ClassVar[str] = "conversation.media_stored"

    message_id: str
    index: int
    file: str
    mime_type: str
    size: int
    sha256: str
    preview: str | None = None


class ConversationMediaFailed(ConversationEvent):
    """A file of such a message could not be fetched. final: nor will it be; else it is being tried on, told once.

    reason: unsupported (the provider offers no way), too_large, not_found, wrong_hash, empty, forbidden (its address is
    not public, or the provider refuses us), unreachable, store (ours could not take it).
    """

    type: ClassVar[str] = "conversation.media_failed"

    message_id: str
    index: int
    reason: str
    final: bool


class ConversationMessageSent(ConversationEvent):
    """The provider accepted a message to the customer, or the business sent one in WhatsApp's own app.

    kind: reply, reaction (an agent's, which is no message of the thread), greeting, unavailable, survey, comment (asks
    for one), ai, goodbye. in_app: in WhatsApp's own app; media: its file, then. citations: of an AI
    agent's answer.
    """

    type: ClassVar[str] = "conversation.message_sent"

    message_id: str
    at: datetime
    kind: str
    by: str | None = None
    text: str | None = None
    via: Literal["session", "template"] = "session"
    repeat: bool = False
    content: Outgoing | None = None
    in_app: bool = False
    media: Media | None = None
    citations: tuple[Citation, ...] = ()


class ConversationNoticeReceived(ConversationEvent):
    """A reaction, an edit, a deletion, a system notice, a choice about marketing, an unknown event: nothing follows.

    refers_to: the message that it is about. An edited message keeps its old text, its new one is in content.edit.
    """

    type: ClassVar[str] = "conversation.notice_received"

    kind: str
    message_id: str | None = None
    refers_to: str | None = None
    content: Content | None = None
    at: datetime


class ConversationRouted(ConversationEvent):
    """The conversation has its first assignee, or waits for one: assignment's proposal was accepted, or a person chose.

    first: this conversation's first routing; reopenings by the customer give later ones.
    """

    type: ClassVar[str] = "conversation.routed"

    first: bool
    explanation: dict[str, JsonValue] = {}


class ConversationStatusChanged(ConversationEvent):
    """The status moved. by: an agent's id, or None for the customer or the pipeline.

    reason: customer_message, assigned, taken_over, handed_over (by a person), ai_handed_over, ai_failed, resolved,
    ai_resolved (by: the AI agent), auto_resolved, reopened, snoozed, woken, close_after, survey_answered,
    survey_expired. why: a GPT agent handed over or failed: its reason, as in ai.handed_over and ai.failed. told: the
    customer was told by it that a human takes over.
    """

    type: ClassVar[str] = "conversation.status_changed"

    previous: Status
    by: str | None = None
    reason: str
    why: str | None = None
    told: bool = False


class ConversationAssigned(ConversationEvent):
    """The assignee changed. by: the agent who assigned it; None: the pipeline, which says why in explanation."""

    type: ClassVar[str] = "conversation.assigned"

    previous: Assignee | None = None
    by: str | None = None
    explanation: dict[str, JsonValue] = {}


class ConversationNoteAdded(ConversationEvent):
    """A note for the agents. by: who wrote it; None: the pipeline. reason: note (by), or why the pipeline wrote it."""

    type: ClassVar[str] = "conversation.note_added"

    note_id: str
    text: str
    reason: str
    by: str | None = None


class ConversationLabelled(ConversationEvent):
    """Its labels changed; the header has them all."""

    type: ClassVar[str] = "conversation.labelled"

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    by: str


class ConversationBlockChanged(ConversationEvent):
    """The contact was blocked or unblocked; the header says which."""

    type: ClassVar[str] = "conversation.block_changed"

    by: str


class ConversationMuted(ConversationEvent):
    """It was muted. Reopening by a person unmutes it."""

    type: ClassVar[str] = "conversation.muted"

    by: str


class SurveyEvent(ConversationEvent):
    """Base: of one survey. resolution: which of the conversation's resolutions it asks about.

    agent: who is credited with it (csat.credit); None: nobody. asked_at: when it was requested or, once it is known
    to be sent, when it was sent: the day that it counts on.
    """

    survey_id: str
    resolution: int
    agent: str | None = None
    asked_at: datetime


class ConversationSurveyRequested(SurveyEvent):
    """csat's proposal was accepted; the survey is on its way."""

    type: ClassVar[str] = "conversation.survey_requested"


class ConversationSurveyRefused(ConversationEvent):
    """csat's proposal came too late. reason: stale_revision, unknown_conversation."""

    type: ClassVar[str] = "conversation.survey_refused"

    survey_id: str
    reason: str


class ConversationSurveySent(SurveyEvent):
    """The provider accepted the survey, or its answer proves it. Once a survey."""

    type: ClassVar[str] = "conversation.survey_sent"


class ConversationRated(SurveyEvent):
    """The customer answered a survey. rating: 1 to 5; previous: the one it replaces."""

    type: ClassVar[str] = "conversation.rated"

    rating: int
    previous: int | None = None
    message_id: str


class ConversationRatingCommented(SurveyEvent):
    """The customer said why, with the rating or within csat.comment's window. replaces: an earlier comment."""

    type: ClassVar[str] = "conversation.rating_commented"

    rating: int
    comment: str
    message_id: str
    replaces: bool = False


class ConversationSurveyEnded(SurveyEvent):
    """A survey is over: no answer counts from now on. rating: the last one.

    reason: of a failed one, as delivery's. was_sent: a failed one was reported as sent before.
    """

    type: ClassVar[str] = "conversation.survey_ended"

    outcome: Literal["answered", "expired", "failed"]
    rating: int | None = None
    reason: str | None = None
    was_sent: bool = False


class ConversationCommandRefused(Event):
    """A command changed nothing. code is one of the refusal codes of docs/scenarios.md."""

    type: ClassVar[str] = "conversation.command_refused"

    command_id: str
    command: str
    code: str
    reason: str


class ConversationGated(Event):
    """A conversation event with the business-hours verdict at the event's own time. Written by hours.

    open: of conversation.routed, the verdict on the first customer message that waited for it.
    """

    type: ClassVar[str] = "conversation.gated"

    event_type: str
    # As JsonValue, without looking at each value: it is an event that was checked as what it is.
    data: dict[str, Any]
    open: bool
