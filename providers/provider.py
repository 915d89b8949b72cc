"""What EngageLab's WhatsApp callbacks say, as values: messages, notices, receipts, notifications, bad rows.

Names and meanings are confirmed by EngageLab's documentation unless said otherwise.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

KNOWN_STATUSES: Final = frozenset(
    {
        "plan",
        "target_valid",
        "target_invalid",
        "sent",
        "sent_failed",
        "delivered",
        "delivered_failed",
        "delivered_timeout",
        "read",
    }
)
"""Every `message_status` that the documentation names."""

InboundEvent: TypeAlias = Literal["received", "reply", "order"]


class BadRowReason(StrEnum):
    """Why a row was refused: stable codes, fit for metric labels."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    ROWS_MISSING = "rows_missing"
    ROW_NOT_AN_OBJECT = "row_not_an_object"
    UNKNOWN_ROW_KIND = "unknown_row_kind"
    AMBIGUOUS_ROW_KIND = "ambiguous_row_kind"
    WRONG_SERVER = "wrong_server"
    FOREIGN_NUMBER = "foreign_number"
    MISSING_CONTACT = "missing_contact"
    MISSING_EVENT = "missing_event"
    MISSING_MESSAGE_ID = "missing_message_id"
    MISSING_STATUS = "missing_status"
    TOO_DEEP = "too_deep"
    WRONG_TYPE = "wrong_type"


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with a message; `link`, `id` or both. The shape is Meta's; EngageLab publishes no example."""

    link: str | None
    id: str | None
    mime_type: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that a customer's message answers: EngageLab's id of it, Meta's id of it, or both."""

    message_id: str | None
    channel_message_id: str | None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A customer's message. `type` is kept as sent: one nobody knows is still a message, without text.

    message_id: Meta's id, with the channel the message's identity; EngageLab's where the row has none of Meta's.
    contact: the customer's wa_id in digits. sent_at: unix seconds; None where absent or absurd.
    text: a text's body, a file's caption, the title of the button or list item that was chosen.
    """

    event: InboundEvent
    message_id: str
    provider_message_id: str | None
    contact: str
    name: str | None
    type: str
    text: str | None
    media: Media | None
    sent_at: int | None
    quotes: Quote | None


@dataclass(frozen=True, slots=True)
class InboundNotice:
    """Something that a customer did which is no message: a reaction, a deletion, an event not known yet.

    kind: "reaction" or the event's name. Identity: (channel, kind, message_id), as a deletion may carry the id of the
    message it deletes.
    """

    kind: str
    contact: str
    message_id: str
    refers_to: str | None
    sent_at: int | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message of ours. Identity: (channel, provider_message_id, status); `status` is kept as sent.

    ref_id, ref_key: `id` and `conversation` of our own custom_args. Callbacks are not signed: check ref_key's channel.
    contact: the customer's wa_id in digits, from `to`, else from ref_key. at: unix seconds. error_code: 0 = none.
    """

    provider_message_id: str
    status: str
    at: int | None
    contact: str | None
    ref_id: str | None
    ref_key: str | None
    error_code: int
    error_message: str | None
    channel_message_id: str | None
    loss_step: int | None
    loss_source: str | None


@dataclass(frozen=True, slots=True)
class Notification:
    """News about the account (balance, templates, numbers): `data` as sent. at: unix seconds."""

    event: str
    data: dict[str, JsonValue]
    at: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row, or a whole body, that can't be used. detail: the field, never its value.

    row: the row as JSON; the body, byte for byte, where no single row can be told or written.
    """

    reason: BadRowReason
    detail: str
    row: bytes


CallbackRow: TypeAlias = InboundMessage | InboundNotice | Receipt | Notification | BadRow


@dataclass(frozen=True, slots=True)
class ParsedCallback:
    """One result per row, in the order of the rows; one BadRow where the body has no rows to tell apart."""

    rows: tuple[CallbackRow, ...]
