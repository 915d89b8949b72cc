"""intake: splits a callback into its rows and sends each to its place."""

from datetime import UTC, datetime
from typing import Final

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from providers.provider import (
    BadRow,
    Callback,
    CallbackRow,
    InboundMessage,
    InboundNotice,
    Notification,
    ParsedCallback,
    Receipt,
)
from providers.provider import Media as FoundMedia
from providers.registry import PROVIDERS
from schemas.contact import InvalidContact, contact_id
from schemas.event import Event
from schemas.events.callbacks import NotificationReceived, WebhookReceived
from schemas.events.conversation import Media
from schemas.events.inbox import MessageReceived, NoticeReceived
from schemas.events.operations import DeadLettered
from schemas.events.receipts import ReceiptReceived
from schemas.ids import channel_of, contact_of, conversation_key
from schemas.record import body_text
from schemas.topics import DEAD_LETTERS, INBOX, NOTIFICATIONS, RECEIPTS, WEBHOOKS

MAX_BYTES: Final = 3 * 2**20
"""What a callback may become, as JSON: its largest record must fit into a batch of Kafka's producer."""

_SMALL: Final = 2**16
"""Bytes of a callback that can't become too much: JSON escapes and base64 grow a text at most sixfold."""


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - it keeps no state
    """Every row of the callback on its topic, in the order of the rows; one that can't be used is a dead letter."""
    match event:
        case WebhookReceived(provider=name) if provider := PROVIDERS.get(name):
            callback = Callback(event.body, event.query, frozenset(event.elsewhere))
            return Decision(emit=_split(provider.parse(callback, ctx.settings(ctx.key)), event, ctx.key))
        case WebhookReceived():
            return Decision(emit=(_dead_letter("unknown_provider", "provider", event.body, event, ctx.key),))
    return NOTHING


def _split(parsed: ParsedCallback, callback: WebhookReceived, channel: str) -> tuple[Emit, ...]:
    """What each row becomes; all of it is one transaction. What would become too much is one dead letter, whole."""
    emits = []
    left = MAX_BYTES
    for row in parsed.rows:
        emit = _emit(row, callback, channel)
        if len(callback.body) > _SMALL:
            left -= len(emit.event.model_dump_json().encode())
            if left < 0:
                return (_dead_letter("too_large", "rows", callback.body, callback, channel),)
        emits.append(emit)
    return tuple(emits)


def _emit(row: CallbackRow, callback: WebhookReceived, channel: str) -> Emit:
    match row:
        case InboundMessage():
            return Emit(INBOX, conversation_key(channel, row.contact), _message(row))
        case InboundNotice():
            notice = NoticeReceived(
                kind=row.kind,
                message_id=row.message_id,
                refers_to=row.refers_to,
                sent_at=_instant(row.sent_at),
                content=row.content,
            )
            return Emit(INBOX, conversation_key(channel, row.contact), notice)
        case Receipt():
            return _receipt(row, callback, channel)
        case Notification():
            notification = NotificationReceived(event=row.event, data=row.data, at=_instant(row.at))
            return Emit(NOTIFICATIONS, channel, notification)
        case BadRow():
            return _dead_letter(row.reason, row.detail, row.row, callback, channel)


def _message(row: InboundMessage) -> MessageReceived:
    media, quotes = row.media, row.quotes
    return MessageReceived(
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


def _receipt(row: Receipt, callback: WebhookReceived, channel: str) -> Emit:
    # Callbacks are not signed: custom_args that name another channel's conversation prove nothing about this one's.
    ours = row.ref_key is None or _is_conversation_of(channel, row.ref_key)
    key = row.ref_key if ours else None
    if key is None:
        if row.contact is None:
            return _dead_letter("missing_contact", "to", callback.body, callback, channel)
        key = conversation_key(channel, row.contact)
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
    outputs=(INBOX, RECEIPTS, NOTIFICATIONS, DEAD_LETTERS),
    decide=decide,
    parks=False,
)
