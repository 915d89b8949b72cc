"""The provider's callbacks as they came, and its notices about the account."""

from datetime import datetime
from typing import ClassVar

from pydantic import JsonValue

from schemas.event import Event


class WebhookReceived(Event):
    """A callback, byte for byte, as the provider posted it. Travels raw, its attributes in Kafka headers.

    query: of the address that it was posted to. elsewhere: ids of numbers and accounts whose rows are in another
    channel's record of the same request.
    """

    type: ClassVar[str] = "webhook.received"

    provider: str
    body: bytes
    request_headers: dict[str, str] = {}
    query: str = ""
    elsewhere: tuple[str, ...] = ()


class CallbackTaken(Event):
    """A customer's message came by its callback. Key: channel id. Written by intake, where the channel reconciles."""

    type: ClassVar[str] = "callback.taken"

    message_id: str


class NotificationReceived(Event):
    """A notice about the account itself (balance, template, number). Key: channel id. Written by intake."""

    type: ClassVar[str] = "notification.received"

    event: str
    data: dict[str, JsonValue]
    at: datetime | None = None
