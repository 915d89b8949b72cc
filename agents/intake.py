"""intake: splits a callback into its rows and sends each to its place. It knows which names are one customer's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from agents.contacts import Contacts, Name
from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from providers.registry import PROVIDERS
from providers.rows import (
    BadRow,
    Callback,
    CallbackRow,
    InboundMessage,
    InboundNotice,
    Notification,
    ParsedCallback,
    Receipt,
)
from providers.rows import Media as FoundMedia
from schemas.contact import InvalidContact, contact_id, is_number
from schemas.event import Event
from schemas.events.callbacks import CallbackTaken, NotificationReceived, WebhookReceived
from schemas.events.conversation import Media
from schemas.events.inbox import ContactJoined, MessageEchoed, MessageReceived, NoticeReceived
from schemas.events.operations import DeadLettered
from schemas.events.receipts import EchoSent, ReceiptReceived
from schemas.ids import channel_of, contact_of, conversation_key
from schemas.record import body_text
from schemas.topics import DEAD_LETTERS, INBOX, NOTIFICATIONS, RECEIPTS, RECONCILIATIONS, WEBHOOKS

MAX_BYTES: Final = 8 * 2**20
"""What a callback may become, as JSON, in all: it is one transaction."""

MAX_RECORD_BYTES: Final = 4_600_000
"""What one row may become: with its envelope under the topics' max.message.bytes. A dead letter of 3 MiB does."""

UNMATCHED: Final = "unmatched_receipt"
"""The event of a notification: a receipt names neither a recipient nor a conversation."""

_SMALL: Final = 2**16
"""Bytes of a callback that can't become too much: JSON escapes and base64 grow a text at most sixfold."""


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Every row of the callback on its topic, in the order of the rows; one that can't be used is a dead letter."""
    match event:
        case WebhookReceived(provider=name) if provider := PROVIDERS.get(name):
            callback = Callback(event.body, event.query, frozenset(event.elsewhere))
            contacts = Contacts(rows)
            settings = ctx.settings(ctx.key)
            parsed = provider.parse(callback, settings)
            emits = _split(parsed, event, ctx.key, contacts)
            taken = _taken(parsed, ctx.key) if settings.reconcile else ()
            return Decision(contacts.writes, (*_joined(contacts, ctx.key), *emits, *taken))
        case WebhookReceived():
            return Decision(emit=(_dead_letter("unknown_provider", "provider", event.body, event, ctx.key),))
    return NOTHING


def _joined(contacts: Contacts, channel: str) -> Iterator[Emit]:
    for name, contact in contacts.joined:
        yield Emit(INBOX, conversation_key(channel, name), ContactJoined(contact=contact))


def _taken(parsed: ParsedCallback, channel: str) -> Iterator[Emit]:
    for row in parsed.rows:
        if isinstance(row, InboundMessage):
            yield Emit(RECONCILIATIONS, channel, CallbackTaken(message_id=row.message_id))


def _split(parsed: ParsedCallback, callback: WebhookReceived, channel: str, contacts: Contacts) -> tuple[Emit, ...]:
    """What each row becomes; all of it is one transaction. What would become too much is one dead letter, whole."""
    emits = []
    left = MAX_BYTES
    for row in parsed.rows:
        for emit in _emits(row, callback, channel, contacts):
            if len(callback.body) > _SMALL:
                size = len(emit.event.model_dump_json().encode())
                left -= size
                if left < 0 or size > MAX_RECORD_BYTES:
                    return (_dead_letter("too_large", "rows", callback.body, callback, channel),)
            emits.append(emit)
    return tuple(emits)


def _emits(row: CallbackRow, callback: WebhookReceived, channel: str, contacts: Contacts) -> Iterator[Emit]:
    match row:
        case InboundMessage(event="echo"):
            key = conversation_key(channel, contacts.of(row.contact, row.user_id))
            echoed = MessageEchoed.model_validate(_message(row, key), from_attributes=True)
            yield Emit(INBOX, key, echoed)
            yield Emit(RECEIPTS, key, EchoSent(message_id=row.message_id))
        case InboundMessage():
            key = conversation_key(channel, contacts.of(row.contact, row.user_id))
            yield Emit(INBOX, key, _message(row, key))
        case InboundNotice():
            yield _notice(row, channel, contacts)
        case Receipt():
            yield _receipt(row, callback, channel, contacts)
        case Notification():
            notification = NotificationReceived(event=row.event, data=row.data, at=_instant(row.at))
            yield Emit(NOTIFICATIONS, channel, notification)
        case BadRow():
            yield _dead_letter(row.reason, row.detail, row.row, callback, channel)


def _notice(row: InboundNotice, channel: str, contacts: Contacts) -> Emit:
    phone, user_id = row.contact, row.user_id
    if row.renamed is None:
        contact = contacts.of(phone, user_id)
    else:
        renamed = row.renamed
        contact = contacts.renamed(row.contact, renamed.previous_user_id, renamed.phone, renamed.user_id)
        phone, user_id = renamed.phone or phone, renamed.user_id
    notice = NoticeReceived(
        kind=row.kind,
        message_id=row.message_id,
        refers_to=row.refers_to,
        sent_at=_instant(row.sent_at),
        content=row.content,
        **_names(contact, phone, user_id),
    )
    return Emit(INBOX, conversation_key(channel, contact), notice)


def _names(contact: str, name: str, user_id: str | None) -> dict[str, str | None]:
    """How the customer can be reached, where the key does not say all of it."""
    if user_id is None and name == contact:
        return {}
    return {"phone": name, "user_id": user_id} if is_number(name) else {"user_id": name}


def _message(row: InboundMessage, key: str) -> MessageReceived:
    media, quotes = row.media, row.quotes
    return MessageReceived(
        **_names(contact_of(key), row.contact, row.user_id),
        message_id=row.message_id,
        provider_message_id=row.provider_message_id,
        event=row.event,
        name=row.name,
        kind=row.type,
        text=row.text,
        media=media and _file(media),
        more_media=tuple(map(_file, row.more_media)),
        sent_at=_instant(row.sent_at),
        quotes=quotes and (quotes.channel_message_id or quotes.message_id),
        quotes_provider_message_id=quotes and quotes.message_id,
        content=row.content,
    )


def _file(media: FoundMedia) -> Media:
    return Media(
        link=media.link,
        id=media.id,
        mime_type=media.mime_type,
        filename=media.filename,
        sha256=media.sha256,
        size=media.size,
        voice=media.voice,
    )


def _receipt(row: Receipt, callback: WebhookReceived, channel: str, contacts: Contacts) -> Emit:
    # Callbacks are not signed: custom_args that name another channel's conversation prove nothing about this one's.
    ours = row.ref_key is None or _is_conversation_of(channel, row.ref_key)
    key = row.ref_key if ours else None
    contact = None if row.contact is None else contacts.of(row.contact, row.user_id)
    if key is None:
        if contact is None and ours:
            # All that we send names its conversation: something else sends through the number, too.
            data: dict[str, JsonValue] = {"message_id": row.provider_message_id, "status": row.status}
            return Emit(NOTIFICATIONS, channel, NotificationReceived(event=UNMATCHED, data=data, at=_instant(row.at)))
        if contact is None:
            return _dead_letter("missing_contact", "to", callback.body, callback, channel)
        key = conversation_key(channel, contact)
    receipt = ReceiptReceived(
        provider_message_id=row.provider_message_id,
        message_id=row.ref_id if ours else None,
        status=row.status,
        at=_instant(row.at),
        error_code=row.error_code,
        error_message=row.error_message,
        channel_message_id=row.channel_message_id,
    )
    return Emit(RECEIPTS, key, receipt)


def _is_conversation_of(channel: str, key: str) -> bool:
    try:
        return channel_of(key) == channel and contact_id(contact_of(key)) != ""
    except InvalidContact:
        return False


def _dead_letter(reason: str, detail: str, body: bytes, callback: WebhookReceived, channel: str) -> Emit:
    text, encoding = body_text(body)
    letter = DeadLettered(
        reason=reason,
        detail=detail,
        stage="intake",
        topic=WEBHOOKS.name,
        body=text,
        encoding=encoding,
        headers={"provider": callback.provider},
    )
    return Emit(DEAD_LETTERS, channel, letter)


def _instant(unix_seconds: int | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)


INTAKE = Stage(
    "intake",
    input=WEBHOOKS,
    outputs=(INBOX, RECEIPTS, NOTIFICATIONS, RECONCILIATIONS, DEAD_LETTERS),
    decide=decide,
    state=(Name,),
    parks=False,
)
