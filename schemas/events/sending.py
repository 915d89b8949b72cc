"""Sending and its receipts: events of outbound, receipts and statuses."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.event import Event
from schemas.events.conversation import Template

# --- outbound: what is to be sent --------------------------------------------------------------------------------


class SendCommand(Event):
    """Send one message to the key's contact.

    not_after: the end of the 24-hour session window; from then on only the template may go. None: the window is shut.
    """

    message_id: str
    conversation_id: str
    kind: Literal["reply", "greeting", "unavailable", "survey", "ai", "goodbye"]
    text: str | None = None
    template: Template | None = None
    not_after: datetime | None = None
    by: str | None = None


class SendMessage(SendCommand):
    """Written by conversations."""

    type: ClassVar[str] = "message.send"


class SendGreeting(SendCommand):
    """Written by greeting."""

    type: ClassVar[str] = "greeting.send"


class SendUnavailable(SendCommand):
    """Written by hours."""

    type: ClassVar[str] = "unavailable.send"


class SendConfirmed(Event):
    """A receipt proves that a send of unknown outcome reached the provider. Written by status."""

    type: ClassVar[str] = "send.confirmed"

    message_id: str
    provider_message_id: str


class EffectEnded(Event):
    """An effect's end, on the input topic of the stage that asked for it. Written by that stage's runtime.

    outcome: done (result says what came of it); unknown (it may have happened: time-out, crash, take-over);
    postponed (it was not tried, or surely had no effect).
    """

    type: ClassVar[str] = "effect.ended"

    effect_id: str
    outcome: Literal["done", "unknown", "postponed"]
    result: dict[str, JsonValue] = {}


# --- receipts: what the provider says of a message ----------------------------------------------------------------


class ReceiptReceived(Event):
    """One status row of the provider. Written by intake. at: the provider's clock, whole seconds.

    message_id: ours, from custom_args; None where the row carries none.
    """

    type: ClassVar[str] = "receipt.received"

    provider_message_id: str
    message_id: str | None = None
    status: str
    at: datetime | None = None
    error_code: int = 0
    error_message: str | None = None
    channel_message_id: str | None = None


class SendQueued(Event):
    """The message waits: the provider could not take it yet. Written by delivery, once a message."""

    type: ClassVar[str] = "send.queued"

    message_id: str


class SendAccepted(Event):
    """The provider took the message and gave it an id. Written by delivery."""

    type: ClassVar[str] = "send.accepted"

    message_id: str
    provider_message_id: str


class SendRefused(Event):
    """The provider refused the message, or it could not be sent, for good. Written by delivery."""

    type: ClassVar[str] = "send.refused"

    message_id: str
    code: int
    message: str


class SendUnknown(Event):
    """The message may or may not have reached the provider. Written by delivery."""

    type: ClassVar[str] = "send.unknown"

    message_id: str


# --- statuses ------------------------------------------------------------------------------------------------------


class DeliveryError(BaseModel):
    """The provider's error of a failed message."""

    model_config = ConfigDict(frozen=True)

    code: int
    message: str = ""


class MessageStatusChanged(Event):
    """Something new is known of a message. reported: what was just learned; status: what stands (by rank)."""

    type: ClassVar[str] = "message.status_changed"

    message_id: str
    provider_message_id: str | None = None
    reported: str
    status: str
    previous: str | None = None
    timestamps: dict[str, datetime]
    error: DeliveryError | None = None


class MessageAnomaly(Event):
    """A receipt contradicts what stands: a delivery after a failure, or the reverse. It changes nothing."""

    type: ClassVar[str] = "message.anomaly"

    message_id: str
    standing: str
    reported: str
    at: datetime
