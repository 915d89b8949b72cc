"""What a callback is read as: one neutral value per row, whoever the provider is."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from pydantic import JsonValue

from schemas.events.content import Content

InboundEvent: TypeAlias = Literal["received", "reply", "order", "echo"]
"""echo: the business wrote it, in WhatsApp's own app."""


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
    TEXT_TOO_LONG = "text_too_long"
    TOO_DEEP = "too_deep"
    TOO_MANY_ROWS = "too_many_rows"
    GROUP = "group"
    WRONG_TYPE = "wrong_type"


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with a message; `link`, `id` or both. The shape is Meta's; EngageLab publishes no example.

    sha256: in hex. size: in bytes. voice: a voice note.
    """

    link: str | None
    id: str | None
    mime_type: str | None
    filename: str | None
    sha256: str | None = None
    size: int | None = None
    voice: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that a customer's message answers: EngageLab's id of it, Meta's id of it, or both."""

    message_id: str | None
    channel_message_id: str | None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A customer's message, or an echo. `type` is kept as sent: one nobody knows is still a message, without text.

    message_id: Meta's id, with the channel the message's identity; EngageLab's where the row has none of Meta's.
    contact: as contact_id gives it. user_id: where contact is a number and the row names the customer by both.
    sent_at: unix seconds; None where absent or absurd.
    text: a text's body, a file's caption, an order's note, the title of the button or list item that was chosen.
    more_media: where one message has several files, those after the first.
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
    content: Content | None = None
    more_media: tuple[Media, ...] = ()
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewNames:
    """The number, user id or both that a customer has from now on. previous_user_id: the one that they had."""

    phone: str | None
    user_id: str | None
    previous_user_id: str | None


@dataclass(frozen=True, slots=True)
class InboundNotice:
    """Something that happened which is no message: a reaction, an edit, a deletion, a system notice, an unknown event.

    kind: "reaction", "edit", "revoke", "system", "marketing_stopped" or "marketing_resumed" (the customer's choice in
    WhatsApp, under an id made of it), or the event's name. Identity: (channel, kind, message_id): a deletion may carry
    the id of the message it deletes. user_id: as an InboundMessage's. renamed: it says that the customer, who was
    `contact`, has another number or user id.
    """

    kind: str
    contact: str
    message_id: str
    refers_to: str | None
    sent_at: int | None
    content: Content | None = None
    user_id: str | None = None
    renamed: NewNames | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message of ours. Identity: (channel, provider_message_id, status); `status` is kept as sent.

    ref_id, ref_key: `id` and `conversation` of our own custom_args. Callbacks are not signed: check ref_key's channel.
    contact: from `to`, else from ref_key; user_id: as an InboundMessage's. at: unix seconds. error_code: 0 = none.
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
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """News about the account (balance, templates, numbers): `data` as sent. at: unix seconds."""

    event: str
    data: dict[str, JsonValue]
    at: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row, or a whole body, that can't be used. detail: the field, never its value.

    row: the row as JSON; the body, byte for byte, where no single row can be read or written.
    """

    reason: BadRowReason
    detail: str
    row: bytes


CallbackRow: TypeAlias = InboundMessage | InboundNotice | Receipt | Notification | BadRow


@dataclass(frozen=True, slots=True)
class Callback:
    """A stored callback. query: of the address that it was posted to, as it came, without "?".

    elsewhere: numbers and accounts whose rows are in another channel's record of the same request.
    """

    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ParsedCallback:
    """One result per row, in the order of the rows; one BadRow where the body has no rows that can be read."""

    rows: tuple[CallbackRow, ...]
