"""What became of each message: events of the topics receipts and statuses."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from schemas.event import Event


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


class EchoSent(Event):
    """The business sent the message in WhatsApp's own app: receipts may follow. Written by intake.

    message_id: the provider's, as it has no other.
    """

    type: ClassVar[str] = "echo.sent"

    message_id: str


class SendQueued(Event):
    """The message waits: the provider could not take it yet. Written by delivery, once a message."""

    type: ClassVar[str] = "send.queued"

    message_id: str


class SendAccepted(Event):
    """The provider took the message and gave it an id. Written by delivery."""

    type: ClassVar[str] = "send.accepted"

    message_id: str
    provider_message_id: str
    conversation_id: str | None = None
    kind: str | None = None
    via: Literal["session", "template"] | None = None


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
