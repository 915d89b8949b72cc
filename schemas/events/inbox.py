"""What happened to a conversation or is asked of it: events of the inbox topic."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import JsonValue

from schemas.event import Event
from schemas.events.content import Citation, Content, Outgoing
from schemas.events.conversation import Assignee, Media
from schemas.events.template import Template


class MessageReceived(Event):
    """A customer's message. Written by intake. sent_at is the provider's clock, whole seconds.

    quotes, quotes_provider_message_id: the message that it answers, by Meta's id or ours, and by the provider's.
    more_media: where one message has several files, those after the first.
    phone (digits), user_id: how the customer can be reached, where the callback says both or the key says neither.
    """

    type: ClassVar[str] = "message.received"

    message_id: str
    provider_message_id: str | None = None
    event: str = "received"
    name: str | None = None
    kind: str = "text"
    text: str | None = None
    media: Media | None = None
    more_media: tuple[Media, ...] = ()
    sent_at: datetime | None = None
    quotes: str | None = None
    quotes_provider_message_id: str | None = None
    content: Content | None = None
    phone: str | None = None
    user_id: str | None = None


MARKETING_STOPPED = "marketing_stopped"
MARKETING_RESUMED = "marketing_resumed"
"""Notices: the customer told WhatsApp whether they want the business's marketing messages."""


class NoticeReceived(Event):
    """Something that is no message: a reaction, an edit, a deletion, a system notice, an event not known yet.

    It starts and reopens no conversation. Written by intake. refers_to: the message that it is about.
    """

    type: ClassVar[str] = "notice.received"

    kind: str
    message_id: str | None = None
    refers_to: str | None = None
    sent_at: datetime | None = None
    content: Content | None = None
    phone: str | None = None
    user_id: str | None = None


class MessageEchoed(MessageReceived):
    """The business wrote to the customer in WhatsApp's own app. Never sent by us. Written by intake."""

    type: ClassVar[str] = "message.echoed"


class ContactJoined(Event):
    """The key's contact is another name of `contact`, who has one thread, under its own key. Written by intake."""

    type: ClassVar[str] = "contact.joined"

    contact: str


class CommandForwarded(Event):
    """A command for a contact under another of its names: data, of the type `command`. Written by conversations."""

    type: ClassVar[str] = "command.forwarded"

    command: str
    data: dict[str, JsonValue]


class Command(Event):
    """Something a person asks of the contact's latest conversation. Written by ingress."""

    command_id: str
    by: str


class Reply(Command):
    """Send something to the customer: a text, other content with or without one, or a template."""

    type: ClassVar[str] = "command.reply"

    text: str | None = None
    template: Template | None = None
    content: Outgoing | None = None


class Resolve(Command):
    """The problem is solved."""

    type: ClassVar[str] = "command.resolve"


class AddNote(Command):
    """A note for the agents."""

    type: ClassVar[str] = "command.note"

    text: str


class Reopen(Command):
    """It is not solved, or not over."""

    type: ClassVar[str] = "command.reopen"


class Snooze(Command):
    """Put it aside until an instant, or until the customer writes."""

    type: ClassVar[str] = "command.snooze"

    until: datetime | None = None


class Assign(Command):
    """Give it to a human agent, to a team (assignment finds one of its members) or to an AI agent."""

    type: ClassVar[str] = "command.assign"

    to: Assignee


class HandOver(Command):
    """Take it from the AI agent: a human is found for it."""

    type: ClassVar[str] = "command.hand_over"


class Label(Command):
    """Add and remove labels; one that is in both is removed."""

    type: ClassVar[str] = "command.label"

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Block(Command):
    """Keep the contact's messages, but let them trigger nothing."""

    type: ClassVar[str] = "command.block"


class Unblock(Command):
    """The contact's messages count again."""

    type: ClassVar[str] = "command.unblock"


class Mute(Command):
    """Keep what the customer writes here, but let it reopen nothing."""

    type: ClassVar[str] = "command.mute"


class Seen(Command):
    """An agent opened the conversation: the customer's messages count as read, where the channel shows that."""

    type: ClassVar[str] = "command.seen"


class ProposeAssignee(Event):
    """Assignment's proposal for a conversation as it was at `revision`; assignee None: nobody can take it now.

    reason: why it needs an assignee: as in assignment.requested, or removed or offline (its agent).
    """

    type: ClassVar[str] = "assignment.propose"

    proposal_id: str
    conversation_id: str
    revision: int
    assignee: Assignee | None = None
    reason: str | None = None
    explanation: dict[str, JsonValue] = {}


class ProposeSurvey(Event):
    """csat's proposal to ask for a rating of the resolution at `revision`. survey_id: also of the message."""

    type: ClassVar[str] = "survey.propose"

    survey_id: str
    conversation_id: str
    revision: int


class AiEnd(Event):
    """Base: how the AI agent ended a request. Written by ai.

    also: other requests of the conversation that this is the answer to, too. labels, notes: what it adds to the
    conversation.
    """

    request_id: str
    conversation_id: str
    also: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class AiAnswered(AiEnd):
    """What the AI agent answers. citations: what it rests on. resolve: the customer said that nothing else is open."""

    type: ClassVar[str] = "ai.answered"

    text: str
    citations: tuple[Citation, ...] = ()
    resolve: bool = False


class AiHandedOver(AiEnd):
    """The AI agent wants a human to take over.

    reason: asked_for_person, low_confidence, anger, topic, cannot_help (the model's); phrase, answers, limit, budget,
    media, ungrounded, loop, tools (by rule). summary: for the human. text: what the customer is told.
    """

    type: ClassVar[str] = "ai.handed_over"

    reason: str | None = None
    summary: str | None = None
    text: str | None = None


class AiFailed(AiEnd):
    """The AI agent could not be asked, or gave no answer.

    reason: of a GPT agent: no_answer (none in several tries, or none soon), failed (the service refuses), empty,
    switched_off. text: what the customer is told.
    """

    type: ClassVar[str] = "ai.failed"

    reason: str | None = None
    text: str | None = None


class MediaEnd(Event):
    """Base: what became of a file of a customer's message. Written by media. index: which of its files, from 0."""

    conversation_id: str
    message_id: str
    index: int


class MediaStored(MediaEnd):
    """It is in the media store under `file`. mime_type: from its bytes. sha256: in hex. preview: a small WebP of it."""

    type: ClassVar[str] = "media.stored"

    file: str
    mime_type: str
    size: int
    sha256: str
    preview: str | None = None


class MediaFailed(MediaEnd):
    """It could not be fetched (reasons: conversation.media_failed). final: no more is tried; else it is told once."""

    type: ClassVar[str] = "media.failed"

    reason: str
    final: bool


class DeliverySent(Event):
    """The provider accepted a message. Written by delivery."""

    type: ClassVar[str] = "delivery.sent"

    message_id: str
    provider_message_id: str | None = None
    conversation_id: str
    kind: str
    by: str | None = None
    text: str | None = None
    via: Literal["session", "template"]
    repeat: bool = False
    content: Outgoing | None = None
    citations: tuple[Citation, ...] = ()


class DeliveryFailed(Event):
    """A receipt says that an accepted message did not reach the customer. Written by status, once a message.

    It comes after delivery's own report, whatever the receipts' order. status: the provider's word. conversation_id,
    kind, via: as delivery sent it.
    """

    type: ClassVar[str] = "delivery.failed"

    message_id: str
    status: str
    code: int | None = None
    conversation_id: str | None = None
    kind: str | None = None
    via: Literal["session", "template"] | None = None


class DeliveryUnsent(Event):
    """A message was not sent, for good. Written by delivery.

    reason: window_closed, template_unavailable, refused, provider_unavailable, throttled, unknown.
    """

    type: ClassVar[str] = "delivery.unsent"

    message_id: str
    conversation_id: str
    kind: str
    reason: str
    code: int | None = None
