"""Sending: events of outbound, and the end of an effect."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import JsonValue

from schemas.event import Event
from schemas.events.content import Citation, Outgoing
from schemas.events.template import Template


class SendCommand(Event):
    """Send one message to the key's contact.

    not_after: the end of the 24-hour session window; from then on only the template may go. None: the window is shut.
    to: the number (digits) or user id that it goes to, where that is not the key's contact. no_marketing: the contact
    wants none: a template that turns out to be marketing does not go. citations: of an AI agent's answer.
    """

    message_id: str
    conversation_id: str
    kind: Literal["reply", "reaction", "greeting", "unavailable", "survey", "comment", "ai", "goodbye"]
    text: str | None = None
    template: Template | None = None
    not_after: datetime | None = None
    by: str | None = None
    content: Outgoing | None = None
    to: str | None = None
    no_marketing: bool = False
    citations: tuple[Citation, ...] = ()


class SendMessage(SendCommand):
    """Written by conversations."""

    type: ClassVar[str] = "message.send"


class SendGreeting(SendCommand):
    """Written by greeting."""

    type: ClassVar[str] = "greeting.send"


class SendUnavailable(SendCommand):
    """Written by hours."""

    type: ClassVar[str] = "unavailable.send"


class MarkRead(Event):
    """Show the customer that their message was read; typing: and that an answer is coming. Written by conversations."""

    type: ClassVar[str] = "message.mark_read"

    provider_message_id: str
    typing: bool = False


class SendConfirmed(Event):
    """A receipt proves that a send of unknown outcome reached the provider. Written by status."""

    type: ClassVar[str] = "send.confirmed"

    message_id: str
    provider_message_id: str


class EffectEnded(Event):
    """An effect's end, on the input topic of the stage that asked for it. Written by that stage's runtime.

    outcome: done (result says what came of it); unknown (it may have happened: time-out, crash, take-over);
    postponed (it was not tried, or surely had no effect; result may say after how many seconds to try: retry_after_s).
    """

    type: ClassVar[str] = "effect.ended"

    effect_id: str
    outcome: Literal["done", "unknown", "postponed"]
    result: dict[str, JsonValue] = {}
