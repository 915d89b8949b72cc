"""Reads EngageLab's WhatsApp callbacks: one request body in, one value per row out.

A body is `{"total": n, "rows": […]}`; a row carries exactly one of `status`, `response` and `notification` (EngageLab
docs, confirmed). `total` is not relied upon. Of duplicate keys the last one counts.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Final

import orjson

from providers.meta import read_content
from providers.provider import (
    BadRow,
    BadRowReason,
    CallbackRow,
    InboundEvent,
    InboundMessage,
    InboundNotice,
    Media,
    Notification,
    ParsedCallback,
    Quote,
    Receipt,
)
from providers.reading import MAX_LABEL, Json, clipped, deeper_than, instant, part_of, string, text_of, whole
from schemas.contact import InvalidContact, canonical_number, contact_id
from schemas.ids import contact_of
from schemas.settings.phone import InvalidPhoneNumber

MAX_ID: Final = 256
MAX_DEPTH: Final = 64
"""How deep a notification's data may nest: it is written inside other records, and JSON writers give up past 200."""

MAX_TEXT: Final = 65_536
"""Characters that WhatsApp lets a customer write in one message."""

_MAX_LINK: Final = 4_096
_MAX_ERROR: Final = 1_024
MAX_ROWS: Final = 1_000
"""Rows of one callback: each may become a record of the one transaction. A body with more is put aside whole."""
_MEDIA_TYPES: Final = frozenset({"image", "audio", "video", "document", "sticker"})
_NOTICES: Final = frozenset({"reaction", "edit", "revoke", "system"})
"""Types of message that are no message of the customer's."""

_MESSAGE_EVENTS: Final[Mapping[str, InboundEvent]] = {"received": "received", "reply": "reply", "order": "order"}


def parse_callback(body: bytes, phone_number: str) -> ParsedCallback:
    """Read a callback's body. No body raises.

    phone_number: the channel's own; a row that names another business number is a BadRow.
    Raises InvalidPhoneNumber where phone_number is not a phone number, whatever the body.
    """
    own = canonical_number(phone_number)
    try:
        rows = _rows(body)
    except _RowError as error:
        return ParsedCallback((BadRow(error.reason, error.detail, body),))
    return ParsedCallback(tuple([_row(row, own, body) for row in rows]))


class _RowError(Exception):
    def __init__(self, reason: BadRowReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def _rows(body: bytes) -> list[object]:
    parsed = _decode(body)
    if not isinstance(parsed, dict):
        raise _RowError(BadRowReason.NOT_AN_OBJECT, "body")
    rows = parsed.get("rows")
    if rows is None:
        raise _RowError(BadRowReason.ROWS_MISSING, "rows")
    if not isinstance(rows, list):
        raise _RowError(BadRowReason.WRONG_TYPE, "rows")
    if len(rows) > MAX_ROWS:
        raise _RowError(BadRowReason.TOO_MANY_ROWS, f"more than {MAX_ROWS}")
    return rows


_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # Half an emoji, a stray byte, NaN or a control character must not cost the customers their messages: the standard
    # library's parser reads what orjson refuses. Numbers too big for 64 bits become floats, as orjson makes them.
    text = _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], body.decode("utf-8-sig", "replace"))
    try:
        return json.loads(text, strict=False, parse_constant=_no_number, parse_int=_integer, parse_float=_float)
    except (ValueError, RecursionError):
        raise _RowError(BadRowReason.INVALID_JSON, "body") from None


def _no_number(_name: str) -> None:
    return None


def _integer(literal: str) -> int | float | None:
    if len(literal) > 20:
        return _float(literal)
    number = int(literal)
    return number if -(2**63) <= number < 2**64 else float(number)


def _float(literal: str) -> float | None:
    number = float(literal)
    return number if math.isfinite(number) else None


def _row(row: object, own: str, body: bytes) -> CallbackRow:
    try:
        if not isinstance(row, dict):
            raise _RowError(BadRowReason.ROW_NOT_AN_OBJECT, "row")
        server = row.get("server")
        if server and not (isinstance(server, str) and server.lower() == "whatsapp"):
            raise _RowError(BadRowReason.WRONG_SERVER, "server")
        kind = _kind(row)
        content = row[kind]
        if not isinstance(content, dict):
            raise _RowError(BadRowReason.WRONG_TYPE, kind)
        if kind == "status":
            return _receipt(row, content, own)
        if kind == "response":
            return _inbound(row, content, own)
        return _notification(row, content)
    except _RowError as error:
        return BadRow(error.reason, error.detail, _dump(row, body))


def _kind(row: Json) -> str:
    kinds = [kind for kind in ("status", "response", "notification") if row.get(kind) is not None]
    if not kinds:
        raise _RowError(BadRowReason.UNKNOWN_ROW_KIND, "row")
    if len(kinds) > 1:
        raise _RowError(BadRowReason.AMBIGUOUS_ROW_KIND, "+".join(kinds))
    return kinds[0]


def _receipt(row: Json, content: Json, own: str) -> Receipt:
    _expect_own_number(row, "from", own)
    message_id = _id(row, "message_id")
    if message_id is None:
        raise _RowError(BadRowReason.MISSING_MESSAGE_ID, "message_id")
    status = _label(content, "message_status")
    if status is None:
        raise _RowError(BadRowReason.MISSING_STATUS, "message_status")
    args = part_of(row, "custom_args")
    ref_key = text_of(args, "conversation", MAX_ID)
    contact = _contact(row, "to")
    if contact is None:
        contact = _contact_of(ref_key)
        if ref_key is None:
            raise _unusable_contact(row, "to")
    data = part_of(content, "status_data")
    loss = part_of(content, "loss")
    return Receipt(
        provider_message_id=message_id,
        status=status,
        at=instant(row.get("itime")),
        contact=contact,
        ref_id=text_of(args, "id", MAX_ID),
        ref_key=ref_key,
        error_code=whole(content.get("error_code")) or 0,
        error_message=clipped(part_of(content, "error_detail").get("message"), _MAX_ERROR),
        channel_message_id=text_of(data, "channel_message_id", MAX_ID),
        loss_step=whole(loss.get("loss_step")),
        loss_source=text_of(loss, "loss_source", MAX_LABEL),
    )


def _inbound(row: Json, content: Json, own: str) -> InboundMessage | InboundNotice:
    _expect_own_number(row, "to", own)
    event = _label(content, "event")
    if event is None:
        raise _RowError(BadRowReason.MISSING_EVENT, "event")
    data = _object(content, "response_data")
    # Meta's id comes first: EngageLab's may be blank, and nothing says that it stays the same when a row is repeated.
    channel_message_id = _id(data, "channel_message_id")
    message_id = channel_message_id or _id(row, "message_id")
    if message_id is None:
        raise _RowError(BadRowReason.MISSING_MESSAGE_ID, "channel_message_id")
    customer = part_of(data, "contact")
    contact = _contact(customer, "wa_id") or _contact(row, "from") or _contact(customer, "user_id")
    if contact is None:
        raise _unusable_contact(customer, "wa_id")
    sent_at = instant(row.get("itime"))
    quotes = _quote(part_of(data, "message_context"))
    message = _object(data, "message")
    message_event = _MESSAGE_EVENTS.get(event)
    if message_event is None:
        refers_to = (quotes and quotes.channel_message_id) or (channel_message_id if event == "deleted" else None)
        return InboundNotice(event, contact, message_id, refers_to, sent_at)
    type_ = _type(message, event)
    part = part_of(message, type_)
    text = _body(type_, part)
    if text is not None and len(text) > MAX_TEXT:
        raise _RowError(BadRowReason.TEXT_TOO_LONG, type_)
    if "referral" in data:
        message = {"referral": data["referral"], **message}
    held = read_content(type_, message, None if quotes is None else quotes.channel_message_id or quotes.message_id)
    if type_ in _NOTICES:
        refers_to = text_of(part, "original_message_id", MAX_ID) or text_of(part, "message_id", MAX_ID)
        return InboundNotice(type_, contact, message_id, refers_to, sent_at, held)
    return InboundMessage(
        event=message_event,
        message_id=message_id,
        provider_message_id=text_of(row, "message_id", MAX_ID),
        contact=contact,
        name=clipped(part_of(customer, "profile").get("name"), MAX_LABEL),
        type=type_,
        text=text,
        media=_media(part) if type_ in _MEDIA_TYPES else None,
        sent_at=sent_at,
        quotes=quotes,
        content=held,
    )


def _type(message: Json, event: str) -> str:
    """The message's type. What is not supported may say what it is: an edit then is no message either."""
    type_ = _label(message, "type") or ("order" if event == "order" else "unknown")
    if type_ in ("unsupported", "unknown"):
        meant = string(part_of(message, type_).get("type"))
        return meant if meant in _NOTICES else type_
    return type_


def _notification(row: Json, content: Json) -> Notification:
    event = _label(content, "event")
    if event is None:
        raise _RowError(BadRowReason.MISSING_EVENT, "event")
    data = content.get("notification_data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _RowError(BadRowReason.WRONG_TYPE, "notification_data")
    if deeper_than(MAX_DEPTH, data):
        raise _RowError(BadRowReason.TOO_DEEP, "notification_data")
    return Notification(event, data, instant(row.get("itime")))


def _body(type_: str, part: Json) -> str | None:
    if type_ == "text":
        body = part.get("body")
        if body is None or isinstance(body, str):
            return body
        if isinstance(body, int | float) and not isinstance(body, bool):
            return str(body)
        # A text is all that such a message has: better put aside than shown empty.
        raise _RowError(BadRowReason.WRONG_TYPE, "body")
    if type_ in _MEDIA_TYPES:
        return string(part.get("caption"))
    if type_ == "button":
        return string(part.get("text"))
    if type_ == "interactive":
        return string(part_of(part, "button_reply").get("title")) or string(part_of(part, "list_reply").get("title"))
    if type_ == "order":
        return string(part.get("text"))
    return None


def _media(part: Json) -> Media | None:
    link = text_of(part, "link", _MAX_LINK) or text_of(part, "url", _MAX_LINK)
    id_ = text_of(part, "id", MAX_ID)
    if link is None and id_ is None:
        return None
    return Media(link, id_, text_of(part, "mime_type", MAX_LABEL), clipped(part.get("filename"), MAX_LABEL))


def _quote(context: Json) -> Quote | None:
    message_id = text_of(context, "origin_message_id", MAX_ID)
    channel_message_id = text_of(context, "origin_channel_message_id", MAX_ID)
    return Quote(message_id, channel_message_id) if message_id or channel_message_id else None


def _expect_own_number(row: Json, field: str, own: str) -> None:
    value = row.get(field)
    if value is None or value == "" or value == own:
        return
    number = string(value)
    if number is not None and _canonical(number) != own:
        raise _RowError(BadRowReason.FOREIGN_NUMBER, field)
    if number is None and not isinstance(value, str):
        raise _RowError(BadRowReason.WRONG_TYPE, field)


def _unusable_contact(part: Json, field: str) -> _RowError:
    blank = part.get(field) is None or (isinstance(part[field], str) and string(part[field]) is None)
    return _RowError(BadRowReason.MISSING_CONTACT if blank else BadRowReason.WRONG_TYPE, field)


def _contact_of(ref_key: str | None) -> str | None:
    return _contact_id(contact_of(ref_key)) if ref_key else None


def _contact(part: Json, field: str) -> str | None:
    text = string(part.get(field))
    return _contact_id(text) if text else None


def _contact_id(text: str) -> str | None:
    try:
        return contact_id(text)
    except InvalidContact:
        return None


def _canonical(number: str) -> str | None:
    try:
        return canonical_number(number)
    except InvalidPhoneNumber:
        return None


def _id(part: Json, field: str) -> str | None:
    """An id that an identity rests on: refused where present but unusable. "0" means no id (EngageLab's OTP)."""
    value = part.get(field)
    if value is None or value == "" or value == "0" or (value == 0 and type(value) is int):
        return None
    return _label(part, field)


def _label(part: Json, field: str) -> str | None:
    value = part.get(field)
    if value is None:
        return None
    label = string(value)
    if (label is None and not isinstance(value, str)) or (label is not None and len(label) > MAX_ID):
        raise _RowError(BadRowReason.WRONG_TYPE, field)
    return label


def _object(part: Json, field: str) -> Json:
    value = part.get(field)
    if value is not None and not isinstance(value, dict):
        raise _RowError(BadRowReason.WRONG_TYPE, field)
    return value or {}


def _dump(row: object, body: bytes) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # nested deeper than orjson writes
        return body
