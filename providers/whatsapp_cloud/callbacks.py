"""Reads WhatsApp Cloud API callbacks: one request body in, one value per update out (Meta docs, confirmed).

A body is `{"object", "entry": [{"id": WABA, "changes": [{"field", "value"}]}]}`. An update is one message, status,
error or echo of a value; of another field the whole value. Each is read on its own.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from providers.meta import MEDIA_TYPES, NOTICES, message_text, message_type, read_content, read_media
from providers.reading import (
    MAX_DEPTH,
    MAX_ERROR,
    MAX_ID,
    MAX_LABEL,
    MAX_ROWS,
    Json,
    RowError,
    clipped,
    contact_in,
    decode_json,
    deeper_than,
    identifier,
    instant,
    label,
    names_in,
    number_from,
    object_in,
    part_of,
    string,
    text_of,
    unusable_contact,
    whole,
)
from providers.rows import (
    BadRow,
    BadRowReason,
    Callback,
    CallbackRow,
    InboundEvent,
    InboundMessage,
    InboundNotice,
    NewNames,
    Notification,
    ParsedCallback,
    Quote,
    Receipt,
)
from schemas.events.inbox import MARKETING_RESUMED, MARKETING_STOPPED
from schemas.settings.channel import ChannelSettings

STATUSES: Final = {"failed": "delivered_failed", "played": "read"}
"""Meta's words that have another name here. It fails what it accepted; a voice note that was played was also read."""

_NUMBER_FOLLOWS: Final = b"\x1c\x18"
"""What Meta's ids begin with, before the length of a number in digits."""
_PREFERENCES: Final = {"stop": MARKETING_STOPPED, "resume": MARKETING_RESUMED}
_RENAMES: Final = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})

_LISTS: Final = ("messages", "statuses", "errors", "message_echoes", "user_preferences")


@dataclass(frozen=True, slots=True)
class _Update:
    """kind: the list of the value that holds it, or the field where the value is one update as a whole."""

    account: str | None
    kind: str
    value: Json
    content: object


def parse_callback(callback: Callback, settings: ChannelSettings) -> ParsedCallback:
    """Read a callback for the channel. No body raises. What is another channel's, by `elsewhere`, is left out."""
    try:
        updates = list(_updates(callback.body))
        if len(updates) > MAX_ROWS:
            raise RowError(BadRowReason.TOO_MANY_ROWS, f"more than {MAX_ROWS}")
    except RowError as error:
        return ParsedCallback((BadRow(error.reason, error.detail, callback.body),))
    rows = (_row(update, callback, settings) for update in updates)
    return ParsedCallback(tuple(row for row in rows if row is not None))


def addressees(body: bytes) -> frozenset[str]:
    """The phone number ids, and the accounts' ids, of all that the body is about."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return frozenset()
    found = set()
    for entry in _objects(parsed, "entry"):
        for change in _objects(entry, "changes"):
            addressee = _addressee(clipped(entry.get("id"), MAX_ID), part_of(change, "value"))
            if addressee is not None:
                found.add(addressee)
    return frozenset(found)


def addresses(settings: ChannelSettings) -> frozenset[str]:
    """What of it is the channel's."""
    return frozenset(filter(None, (settings.phone_number_id, settings.business_account_id)))


def _addressee(account: str | None, value: Json) -> str | None:
    return text_of(part_of(value, "metadata"), "phone_number_id", MAX_ID) or account


def _objects(part: object, field: str) -> Iterator[Json]:
    entries = part.get(field) if isinstance(part, dict) else None
    return (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else iter(())


def _updates(body: bytes) -> Iterator[_Update]:
    parsed = decode_json(body)
    if not isinstance(parsed, dict):
        raise RowError(BadRowReason.NOT_AN_OBJECT, "body")
    for entry in _listed(parsed, "entry"):
        if not isinstance(entry, dict):
            yield _Update(None, "entry", {}, entry)
            continue
        account = clipped(entry.get("id"), MAX_ID)
        for change in _listed(entry, "changes"):
            yield from _of_change(account, change)


def _listed(part: Json, field: str) -> list[object]:
    entries = part.get(field)
    if entries is None:
        raise RowError(BadRowReason.ROWS_MISSING, field)
    if not isinstance(entries, list):
        raise RowError(BadRowReason.WRONG_TYPE, field)
    return entries


def _of_change(account: str | None, change: object) -> Iterator[_Update]:
    if not isinstance(change, dict) or not isinstance(value := change.get("value"), dict):
        yield _Update(account, "change", {}, change)
        return
    lists = [name for name in _LISTS if value.get(name) is not None]
    for name in lists:
        entries = value[name]
        for content in entries if isinstance(entries, list) else [entries]:
            yield _Update(account, name, value, content)
    if not lists:
        yield _Update(account, clipped(change.get("field"), MAX_LABEL) or "unknown", value, value)


def _row(update: _Update, callback: Callback, settings: ChannelSettings) -> CallbackRow | None:
    addressee = _addressee(update.account, update.value)
    if addressee in callback.elsewhere:
        return None
    try:
        if not isinstance(update.content, dict):
            raise RowError(BadRowReason.ROW_NOT_AN_OBJECT, update.kind)
        if _is_foreign(update, addressee, settings):
            raise RowError(BadRowReason.FOREIGN_NUMBER, "phone_number_id" if "metadata" in update.value else "entry.id")
        match update.kind:
            case "messages":
                return _inbound(update.content, update.value)
            case "message_echoes":
                return _echo(update.content)
            case "statuses":
                return _receipt(update.content, update.value)
            case "user_preferences" if kind := _marketing(update.content):
                return _preference(kind, update.content, update.value)
            case kind:
                return _notification(kind, update.content)
    except RowError as error:
        return error.bad_row(update.content, callback.body)


def _is_foreign(update: _Update, addressee: str | None, settings: ChannelSettings) -> bool:
    if addressee is None or addressee in addresses(settings):
        return False
    # A channel that does not say its account takes what is said of the account whose address it is.
    return "metadata" in update.value or settings.business_account_id is not None


def _inbound(message: Json, value: Json) -> InboundMessage | InboundNotice:
    message_id = identifier(message, "id")
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID, "id")
    if message.get("group_id") is not None:
        raise RowError(BadRowReason.GROUP, "group_id")
    type_ = message_type(message)
    sender = _customer(message, value)
    contact, user_id = names_in(
        contact_in(message, "from"),
        contact_in(message, "from_user_id"),
        contact_in(sender, "wa_id"),
        contact_in(sender, "user_id"),
        contact_in(part_of(message, type_), "previous_user_id"),
        _number_asked_for(message),
    )
    if contact is None:
        raise unusable_contact(message, "from")
    if type_ in NOTICES:
        return _notice(type_, message, message_id, contact, user_id)
    event: InboundEvent = "order" if type_ == "order" else "received"
    return _message(message, message_id, contact, user_id, event, _name(sender))


def _number_asked_for(message: Json) -> str | None:
    """The customer's own number, where the message answers a request for it (Meta docs, confirmed)."""
    card = next(_objects(message, "contacts"), {})
    phone = next(_objects(card, "phones"), {})
    return contact_in(phone, "wa_id") if card.get("origin") == "contact_request" else None


def _echo(message: Json) -> InboundMessage | InboundNotice:
    """What the business typed in its app: `from` is its own number, `to` the customer."""
    message_id = identifier(message, "id")
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID, "id")
    contact, user_id = names_in(contact_in(message, "to"), contact_in(message, "to_user_id"))
    if contact is None:
        raise unusable_contact(message, "to")
    type_ = message_type(message)
    if type_ in NOTICES:
        return _notice(type_, message, message_id, contact, user_id)
    return _message(message, message_id, contact, user_id, "echo", None)


def _notice(type_: str, message: Json, message_id: str, contact: str, user_id: str | None) -> InboundNotice:
    part = part_of(message, type_)
    quoted = text_of(part_of(message, "context"), "id", MAX_ID)
    return InboundNotice(
        kind=type_,
        contact=contact,
        message_id=message_id,
        refers_to=text_of(part, "original_message_id", MAX_ID) or text_of(part, "message_id", MAX_ID),
        sent_at=instant(message.get("timestamp")),
        content=read_content(type_, message, quoted),
        user_id=user_id,
        renamed=_renamed(part) if type_ == "system" else None,
    )


def _renamed(part: Json) -> NewNames | None:
    """Of a system message: the customer's new number and user id. An identity that only changed its keys has none."""
    phone = contact_in(part, "wa_id") or contact_in(part, "new_wa_id")
    user_id = contact_in(part, "user_id")
    word = text_of(part, "type", MAX_LABEL) or ""
    if word not in _RENAMES or (phone is None and user_id is None):
        return None
    return NewNames(phone, user_id, contact_in(part, "previous_user_id"))


def _message(
    message: Json, message_id: str, contact: str, user_id: str | None, event: InboundEvent, name: str | None
) -> InboundMessage:
    type_ = message_type(message)
    part = part_of(message, type_)
    quoted = text_of(part_of(message, "context"), "id", MAX_ID)
    return InboundMessage(
        event="reply" if event == "received" and quoted else event,
        message_id=message_id,
        provider_message_id=message_id,
        contact=contact,
        user_id=user_id,
        name=name,
        type="audio" if type_ == "voice" else type_,
        text=message_text(type_, part),
        media=read_media(part, type_) if type_ in MEDIA_TYPES else None,
        sent_at=instant(message.get("timestamp")),
        quotes=Quote(quoted, quoted) if quoted else None,
        content=read_content(type_, message, quoted),
    )


def _name(sender: Json) -> str | None:
    return clipped(part_of(sender, "profile").get("name"), MAX_LABEL)


def _customer(message: Json, value: Json) -> Json:
    """The entry of the value's contacts that is the message's sender; the only one where nothing tells."""
    contacts = list(_objects(value, "contacts"))
    for field, ours in (("wa_id", "from"), ("user_id", "from_user_id")):
        for contact in contacts:
            if contact.get(field) is not None and contact.get(field) == message.get(ours):
                return contact
    return contacts[0] if len(contacts) == 1 else {}


def _receipt(status: Json, value: Json) -> Receipt:
    message_id = identifier(status, "id")
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID, "id")
    word = label(status, "status")
    if word is None:
        raise RowError(BadRowReason.MISSING_STATUS, "status")
    recipient = next(_objects(value, "contacts"), {})
    error = next(_objects(status, "errors"), {})
    details = part_of(error, "error_data").get("details")
    ref_id, ref_key = _ours(status)
    contact, user_id = names_in(
        contact_in(status, "recipient_id"),
        contact_in(status, "recipient_user_id"),
        contact_in(recipient, "wa_id"),
        contact_in(recipient, "user_id"),
    )
    if contact is None and ref_key is None:
        contact = _number_in(message_id)
    return Receipt(
        provider_message_id=message_id,
        status=STATUSES.get(word, word),
        at=instant(status.get("timestamp")),
        contact=contact,
        user_id=user_id,
        ref_id=ref_id,
        ref_key=ref_key,
        error_code=whole(error.get("code")) or 0,
        error_message=clipped(details or error.get("message") or error.get("title"), MAX_ERROR),
        channel_message_id=message_id,
        loss_step=None,
        loss_source=None,
    )


def _number_in(message_id: str) -> str | None:
    """The recipient's number, which Meta's ids hold (a practice, in all its published examples)."""
    try:
        packed = base64.b64decode(message_id.removeprefix("wamid."), validate=True)
    except ValueError:
        return None
    if packed[:2] != _NUMBER_FOLLOWS:
        return None
    number = packed[3 : 3 + packed[2]] if len(packed) > 2 else b""
    return number_from(number.decode(errors="replace")) if number.isdigit() else None


def _marketing(chosen: Json) -> str | None:
    is_marketing = chosen.get("category") in (None, "marketing_messages")
    return _PREFERENCES.get(string(chosen.get("value")) or "") if is_marketing else None


def _preference(kind: str, chosen: Json, value: Json) -> InboundNotice:
    """Whether the customer wants marketing messages. A later choice has another time, so another id."""
    customer = _customer({"from": chosen.get("wa_id"), "from_user_id": chosen.get("user_id")}, value)
    contact, user_id = names_in(
        contact_in(chosen, "wa_id"),
        contact_in(chosen, "user_id"),
        contact_in(customer, "wa_id"),
        contact_in(customer, "user_id"),
    )
    if contact is None:
        raise unusable_contact(chosen, "wa_id")
    at = instant(chosen.get("timestamp"))
    return InboundNotice(kind, contact, f"preferences/{at}", None, at, user_id=user_id)


def _ours(status: Json) -> tuple[str | None, str | None]:
    """Our id of the message, and its conversation, as they were sent along: it may be the id alone."""
    data = text_of(status, "biz_opaque_callback_data", 2 * MAX_ID)
    if data is None:
        return None, None
    ours = object_in(data.encode(errors="replace"))
    return (text_of(ours, "id", MAX_ID), text_of(ours, "conversation", MAX_ID)) if ours else (data[:MAX_ID], None)


def _notification(event: str, data: dict[str, Any]) -> Notification:
    if deeper_than(MAX_DEPTH, data):
        raise RowError(BadRowReason.TOO_DEEP, event)
    return Notification(event, data, instant(data.get("timestamp")))
