"""Reads EngageLab's WhatsApp callbacks: one request body in, one value per row out.

A body is `{"total": n, "rows": […]}`; a row carries exactly one of `status`, `response` and `notification` (EngageLab
docs, confirmed). `total` is not relied upon. Of duplicate keys the last one counts.
"""

from collections.abc import Mapping
from typing import Final

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
    contact_from,
    contact_in,
    decode_json,
    deeper_than,
    identifier,
    instant,
    label,
    names_in,
    number_from,
    object_of,
    part_of,
    string,
    text_of,
    unusable_contact,
    whole,
)
from providers.rows import (
    BadRow,
    BadRowReason,
    CallbackRow,
    InboundEvent,
    InboundMessage,
    InboundNotice,
    Notification,
    ParsedCallback,
    Quote,
    Receipt,
)
from schemas.contact import canonical_number
from schemas.ids import contact_of

_MESSAGE_EVENTS: Final[Mapping[str, InboundEvent]] = {"received": "received", "reply": "reply", "order": "order"}


def parse_callback(body: bytes, phone_number: str) -> ParsedCallback:
    """Read a callback's body. No body raises.

    phone_number: the channel's own; a row that names another business number is a BadRow.
    Raises InvalidPhoneNumber where phone_number is not a phone number, whatever the body.
    """
    own = canonical_number(phone_number)
    try:
        rows = _rows(body)
    except RowError as error:
        return ParsedCallback((BadRow(error.reason, error.detail, body),))
    return ParsedCallback(tuple([_row(row, own, body) for row in rows]))


def _rows(body: bytes) -> list[object]:
    parsed = decode_json(body)
    if not isinstance(parsed, dict):
        raise RowError(BadRowReason.NOT_AN_OBJECT, "body")
    rows = parsed.get("rows")
    if rows is None:
        raise RowError(BadRowReason.ROWS_MISSING, "rows")
    if not isinstance(rows, list):
        raise RowError(BadRowReason.WRONG_TYPE, "rows")
    if len(rows) > MAX_ROWS:
        raise RowError(BadRowReason.TOO_MANY_ROWS, f"more than {MAX_ROWS}")
    return rows


def _row(row: object, own: str, body: bytes) -> CallbackRow:
    try:
        if not isinstance(row, dict):
            raise RowError(BadRowReason.ROW_NOT_AN_OBJECT, "row")
        server = row.get("server")
        if server and not (isinstance(server, str) and server.lower() == "whatsapp"):
            raise RowError(BadRowReason.WRONG_SERVER, "server")
        kind = _kind(row)
        content = row[kind]
        if not isinstance(content, dict):
            raise RowError(BadRowReason.WRONG_TYPE, kind)
        if kind == "status":
            return _receipt(row, content, own)
        if kind == "response":
            return _inbound(row, content, own)
        return _notification(row, content)
    except RowError as error:
        return error.bad_row(row, body)


def _kind(row: Json) -> str:
    kinds = [kind for kind in ("status", "response", "notification") if row.get(kind) is not None]
    if not kinds:
        raise RowError(BadRowReason.UNKNOWN_ROW_KIND, "row")
    if len(kinds) > 1:
        raise RowError(BadRowReason.AMBIGUOUS_ROW_KIND, "+".join(kinds))
    return kinds[0]


def _receipt(row: Json, content: Json, own: str) -> Receipt:
    _expect_own_number(row, "from", own)
    message_id = identifier(row, "message_id")
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID, "message_id")
    status = label(content, "message_status")
    if status is None:
        raise RowError(BadRowReason.MISSING_STATUS, "message_status")
    args = part_of(row, "custom_args")
    ref_key = text_of(args, "conversation", MAX_ID)
    contact = contact_in(row, "to")
    if contact is None:
        contact = contact_from(contact_of(ref_key)) if ref_key else None
        if ref_key is None:
            raise unusable_contact(row, "to")
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
        error_message=clipped(part_of(content, "error_detail").get("message"), MAX_ERROR),
        channel_message_id=text_of(data, "channel_message_id", MAX_ID),
        loss_step=whole(loss.get("loss_step")),
        loss_source=text_of(loss, "loss_source", MAX_LABEL),
    )


def _inbound(row: Json, content: Json, own: str) -> InboundMessage | InboundNotice:
    _expect_own_number(row, "to", own)
    event = label(content, "event")
    if event is None:
        raise RowError(BadRowReason.MISSING_EVENT, "event")
    data = object_of(content, "response_data")
    # Meta's id comes first: EngageLab's may be blank, and nothing says that it stays the same when a row is repeated.
    channel_message_id = identifier(data, "channel_message_id")
    message_id = channel_message_id or identifier(row, "message_id")
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID, "channel_message_id")
    customer = part_of(data, "contact")
    contact, user_id = names_in(contact_in(customer, "wa_id"), contact_in(row, "from"), contact_in(customer, "user_id"))
    if contact is None:
        raise unusable_contact(customer, "wa_id")
    sent_at = instant(row.get("itime"))
    quotes = _quote(part_of(data, "message_context"))
    message = object_of(data, "message")
    message_event = _MESSAGE_EVENTS.get(event)
    if message_event is None:
        refers_to = (quotes and quotes.channel_message_id) or (channel_message_id if event == "deleted" else None)
        return InboundNotice(event, contact, message_id, refers_to, sent_at, user_id=user_id)
    type_ = message_type(message, "order" if event == "order" else "unknown")
    part = part_of(message, type_)
    text = message_text(type_, part)
    if "referral" in data:
        message = {"referral": data["referral"], **message}
    held = read_content(type_, message, None if quotes is None else quotes.channel_message_id or quotes.message_id)
    if type_ in NOTICES:
        refers_to = text_of(part, "original_message_id", MAX_ID) or text_of(part, "message_id", MAX_ID)
        return InboundNotice(type_, contact, message_id, refers_to, sent_at, held, user_id)
    return InboundMessage(
        event=message_event,
        message_id=message_id,
        provider_message_id=text_of(row, "message_id", MAX_ID),
        contact=contact,
        user_id=user_id,
        name=clipped(part_of(customer, "profile").get("name"), MAX_LABEL),
        type=type_,
        text=text,
        media=read_media(part, type_) if type_ in MEDIA_TYPES else None,
        sent_at=sent_at,
        quotes=quotes,
        content=held,
    )


def _notification(row: Json, content: Json) -> Notification:
    event = label(content, "event")
    if event is None:
        raise RowError(BadRowReason.MISSING_EVENT, "event")
    data = content.get("notification_data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise RowError(BadRowReason.WRONG_TYPE, "notification_data")
    if deeper_than(MAX_DEPTH, data):
        raise RowError(BadRowReason.TOO_DEEP, "notification_data")
    return Notification(event, data, instant(row.get("itime")))


def _quote(context: Json) -> Quote | None:
    message_id = text_of(context, "origin_message_id", MAX_ID)
    channel_message_id = text_of(context, "origin_channel_message_id", MAX_ID)
    return Quote(message_id, channel_message_id) if message_id or channel_message_id else None


def _expect_own_number(row: Json, field: str, own: str) -> None:
    value = row.get(field)
    if value is None or value == "" or value == own:
        return
    number = string(value)
    if number is not None and number_from(number) != own:
        raise RowError(BadRowReason.FOREIGN_NUMBER, field)
    if number is None and not isinstance(value, str):
        raise RowError(BadRowReason.WRONG_TYPE, field)
