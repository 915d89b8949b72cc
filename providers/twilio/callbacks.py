"""Reads Twilio's callbacks: a form is one message of a customer, or one status of a message of ours (Twilio docs).

What is marked as a practice in the provider's facts is read as it comes, and missed by nobody where it does not.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

from providers.meta import message_text, read_content
from providers.reading import (
    MAX_ERROR,
    MAX_ID,
    MAX_LABEL,
    Json,
    RowError,
    clipped,
    contact_from,
    names_in,
    number_from,
    string,
    text_of,
    whole,
)
from providers.rows import (
    BadRow,
    BadRowReason,
    Callback,
    CallbackRow,
    InboundMessage,
    Media,
    ParsedCallback,
    Quote,
    Receipt,
)
from providers.twilio.sending import instant
from providers.twilio.webhook import MAX_FIELDS
from schemas.contact import canonical_number
from schemas.settings.channel import ChannelSettings

Form = Mapping[str, str]

STATUSES: Final = {
    "accepted": "plan",
    "queued": "plan",
    "scheduled": "plan",
    "sending": "plan",
    "undelivered": "delivered_failed",
    "failed": "sent_failed",
    "canceled": "sent_failed",
}
"""Twilio's words that have another name here."""

_MAX_LINK: Final = 4_096
_MAX_FILES: Final = 10
_PREFIX: Final = "whatsapp:"
_FILE_NAME: Final = re.compile(r"[^\r\n/\\]{1,250}\.[A-Za-z0-9]{1,8}")
_KINDS: Final = {"image": "image", "audio": "audio", "video": "video"}


def parse_callback(callback: Callback, settings: ChannelSettings) -> ParsedCallback:
    """Read a callback for the channel. No body raises."""
    try:
        return ParsedCallback((_row(_form(callback.body), callback, canonical_number(settings.phone_number)),))
    except RowError as error:
        return ParsedCallback((BadRow(error.reason, error.detail, callback.body),))


def _form(body: bytes) -> Form:
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise RowError(BadRowReason.TOO_MANY_ROWS, f"more than {MAX_FIELDS} fields") from None


def _row(form: Form, callback: Callback, own: str) -> CallbackRow:
    message_id = text_of(form, "MessageSid", MAX_ID) or text_of(form, "SmsMessageSid", MAX_ID)
    if message_id is None:
        raise RowError(BadRowReason.MISSING_MESSAGE_ID if form else BadRowReason.NOT_AN_OBJECT, "MessageSid")
    if "MessageStatus" in form:
        return _receipt(form, callback, message_id, own)
    return _inbound(form, message_id, own)


def _receipt(form: Form, callback: Callback, message_id: str, own: str) -> Receipt:
    _expect_own_number(form, "From", own)
    word = string(form.get("MessageStatus"))
    if word is None:
        raise RowError(BadRowReason.MISSING_STATUS, "MessageStatus")
    ours = dict(parse_qsl(callback.query, keep_blank_values=True))
    ref_key = text_of(ours, "conversation", MAX_ID)
    contact, user_id = names_in(_contact(form, "To"), _contact(form, "ExternalUserId"))
    if contact is None and ref_key is None:
        raise RowError(BadRowReason.MISSING_CONTACT, "To")
    return Receipt(
        provider_message_id=message_id,
        status=STATUSES.get(word.lower(), word.lower()),
        at=None,
        contact=contact,
        user_id=user_id,
        ref_id=text_of(ours, "id", MAX_ID),
        ref_key=ref_key,
        error_code=whole(form.get("ErrorCode")) or 0,
        error_message=clipped(form.get("ChannelStatusMessage") or form.get("ErrorMessage"), MAX_ERROR),
        channel_message_id=None,
        loss_step=None,
        loss_source=None,
    )


def _inbound(form: Form, message_id: str, own: str) -> InboundMessage:
    _expect_own_number(form, "To", own)
    contact, user_id = names_in(_contact(form, "From"), _contact(form, "WaId"), _contact(form, "ExternalUserId"))
    if contact is None:
        raise RowError(BadRowReason.MISSING_CONTACT, "From")
    files = _media(form)
    media = files[0] if files else None
    kind = _kind(form, media)
    part, message = _in_meta_s_shape(kind, form)
    body = string(form.get("Body"))
    text = message_text("text", {"body": body}) or message_text(kind, part)
    if kind == "document" and media is not None and text is not None and _FILE_NAME.fullmatch(text):
        media, text = replace(media, filename=clipped(text, MAX_LABEL)), None
    quoted = text_of(form, "OriginalRepliedMessageSid", MAX_ID)
    sent_at = instant(form.get("DateSent"))  # only of a message that was found on the list
    return InboundMessage(
        event="reply" if quoted else "received",
        message_id=message_id,
        provider_message_id=message_id,
        contact=contact,
        user_id=user_id,
        name=clipped(form.get("ProfileName"), MAX_LABEL),
        type=kind,
        text=text,
        media=media,
        sent_at=None if sent_at is None else int(sent_at.timestamp()),
        quotes=Quote(quoted, None) if quoted else None,
        content=read_content(kind, message, quoted),
        more_media=tuple(files[1:]),
    )


def _kind(form: Form, media: Media | None) -> str:
    stated = text_of(form, "MessageType", MAX_LABEL)
    if stated is not None:
        return stated.lower()
    if media is not None:
        return _KINDS.get((media.mime_type or "").partition("/")[0], "document")
    if string(form.get("Latitude")):
        return "location"
    if string(form.get("ListId")) or string(form.get("FlowData")):
        return "interactive"
    return "button" if string(form.get("ButtonText")) else "text"


def _in_meta_s_shape(kind: str, form: Form) -> tuple[Json, Json]:
    """The message's part and the whole message, as Meta would write them: then they are read as Meta's."""
    part: dict[str, object] = {}
    if kind == "location":
        names = {"latitude": "Latitude", "longitude": "Longitude", "name": "Label", "address": "Address"}
        part = {name: form.get(field) for name, field in names.items()}
    elif kind == "button":
        part = {"payload": form.get("ButtonPayload"), "text": form.get("ButtonText")}
    elif kind == "interactive":
        if string(form.get("ListId")):
            part = {"list_reply": {"id": form.get("ListId"), "title": form.get("ListTitle")}}
        elif string(form.get("FlowData")):
            part = {"nfm_reply": {"response_json": form.get("FlowData")}}
        else:
            part = {"button_reply": {"id": form.get("ButtonPayload"), "title": form.get("ButtonText")}}
    elif kind in ("image", "video", "document"):
        part = {"caption": form.get("Body")}
    referral = {
        "source_type": form.get("ReferralSourceType"),
        "source_id": form.get("ReferralSourceId"),
        "source_url": form.get("ReferralSourceUrl"),
        "headline": form.get("ReferralHeadline"),
        "body": form.get("ReferralBody"),
        "ctwa_clid": form.get("ReferralCtwaClid"),
    }
    context = {
        "forwarded": form.get("Forwarded") == "true",
        "frequently_forwarded": form.get("FrequentlyForwarded") == "true",
    }
    message: dict[str, object] = {"type": kind, kind: part}
    if any(referral.values()):
        message["referral"] = referral
    if any(context.values()):
        message["context"] = context
    return part, message


def _media(form: Form) -> list[Media]:
    """The message's files, in order."""
    if "MediaUrl0" not in form:
        return []
    links = [(number, text_of(form, f"MediaUrl{number}", _MAX_LINK)) for number in range(_MAX_FILES)]
    return [
        Media(link, None, text_of(form, f"MediaContentType{number}", MAX_LABEL), None)
        for number, link in links
        if link is not None
    ]


def _contact(form: Form, field: str) -> str | None:
    text = string(form.get(field))
    return contact_from(text.removeprefix(_PREFIX)) if text else None


def _expect_own_number(form: Form, field: str, own: str) -> None:
    text = string(form.get(field))
    if text is None or number_from(text.removeprefix(_PREFIX)) != own:
        raise RowError(BadRowReason.FOREIGN_NUMBER, field)
