"""What the events of a conversation change in the view: its header, its thread, its labels and the search index."""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

from desk.view.rows import Logged, Row, Values, held_by, origin
from desk.view.schema import CONVERSATION, ENTRY, FILE, LABEL, REFUSAL, TEXT
from desk.view.words import id_word, joined, number_words, words_of
from schemas.events.content import Attachment, Outgoing, SentReaction
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationLabelled,
    ConversationMediaFailed,
    ConversationMediaStored,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.ids import channel_of

MAX_PREVIEW: Final = 200
"""Characters of the last message that a list shows."""

_IN_COLUMNS: Final = {"header", "at", "message_id", "refers_to", "by", "text"}
_SEARCHED: Final = frozenset(
    {"filename", "name", "title", "address", "organization", "body", "headline", "note", "text"}
)
"""Names of the parts of a content that hold words of people."""


def project_conversation(event: ConversationEvent, logged: Logged) -> Iterator[Row]:
    """The rows of one event of a conversation."""
    header, time = event.header, logged.record.time
    values = {**_of_header(header, logged.record.subject), **_of_event(event, time)}
    initial: dict[str, object] = {
        "active_at": time,
        "status_since": time,
        "unassigned_since": time if _is_queued(header) else None,
        "doc": _doc(logged),
        **origin(logged),
    }
    yield Row(CONVERSATION, {"id": header.conversation_id}, values, initial)
    if "active_at" in values:
        yield from _labels(event, time, logged)
    yield from _entry(event, logged)
    for file in _files(event):
        yield Row(FILE, {"file": file, "conversation": header.conversation_id}, origin(logged))


def project_refusal(event: ConversationCommandRefused, logged: Logged) -> Iterator[Row]:
    """A command that changed nothing."""
    record = logged.record
    values = {
        "command": event.command_id,
        "key": record.subject,
        "channel": channel_of(record.subject),
        "type": event.command,
        "code": event.code,
        "reason": event.reason,
        "at": record.time,
    }
    yield Row(REFUSAL, origin(logged), values)


def _of_header(header: Header, key: str) -> Values:
    return {
        "key": key,
        "channel": header.channel,
        "contact": header.contact,
        "phone": header.phone,
        "user_id": header.user_id,
        "contact_name": header.contact_name,
        "opened_at": header.opened_at,
        "opened_by": header.opened_by,
        "revision": header.revision,
        "status": header.status.value,
        "assignee": held_by(header.assignee),
        "routed": header.routed,
        "messages_in": header.messages_in,
        "messages_out": header.messages_out,
        "messages_automatic": header.messages_automatic,
        "last_customer_at": header.last_customer_at,
        "last_human_at": header.last_human_at,
        "unread": header.unread,
        "waiting_since": header.waiting_since,
        "labels": list(header.labels),
        "resolution": header.resolution,
        "surveys": header.surveys,
        "returned": header.returning,
        "blocked": header.blocked,
        "muted": header.muted,
        "words": _words(
            header.contact_name, header.labels, header.contact, header.phone, header.user_id, header.conversation_id
        ),
    }


@lru_cache(maxsize=20_000)
def _words(
    name: str | None, labels: tuple[str, ...], contact: str, phone: str | None, user_id: str | None, id: str
) -> str:
    """What a conversation is found by. Kept, as most events change nothing of it."""
    numbers = sorted({contact.partition("~")[0], phone or ""} - {""})
    return joined(
        words_of(name, *labels).split(),
        (word for number in numbers for word in number_words(number)),
        (id_word(id) for id in (user_id, id) if id),
    )


def _of_event(event: ConversationEvent, time: datetime) -> dict[str, object]:
    """What the header does not say."""
    moved: dict[str, object] = {"active_at": time}
    match event:
        case ConversationMessageSent(kind="reaction"):
            return {}
        case ConversationMessageReceived() | ConversationMessageSent():
            preview = None if event.text is None else event.text[:MAX_PREVIEW]
            return moved | {"last_text": preview, "last_kind": event.kind}
        case ConversationStatusChanged():
            since = time if _is_queued(event.header) else None
            changed: dict[str, object] = {"status_since": time, "unassigned_since": since}
            return changed if event.header.status is Status.CLOSED else moved | changed
        case ConversationAssigned():
            if not _is_queued(event.header):
                return moved | {"unassigned_since": None}
            # From nobody to a team it keeps its place.
            return moved if _is_nobody(event.previous) else moved | {"unassigned_since": time}
        case ConversationOpened() | ConversationNoticeReceived() | ConversationNoteAdded() | ConversationLabelled():
            return moved
    return {}


def _is_queued(header: Header) -> bool:
    return header.status is Status.OPEN and _is_nobody(header.assignee)


def _is_nobody(assignee: Assignee | None) -> bool:
    return assignee is None or assignee.kind == "team"


def _labels(event: ConversationEvent, time: datetime, logged: Logged) -> Iterator[Row]:
    there = dict.fromkeys(event.header.labels, True)
    removed = event.removed if isinstance(event, ConversationLabelled) else ()
    for label, present in {**dict.fromkeys(removed, False), **there}.items():
        key = {"label": label, "conversation": event.header.conversation_id}
        yield Row(LABEL, key, {"present": present, "active_at": time}, origin(logged))


def _entry(event: ConversationEvent, logged: Logged) -> Iterator[Row]:
    record, conversation, fields = logged.record, event.header.conversation_id, vars(event)
    message, refers_to = _messages(event)
    at, text = fields.get("at", record.time), fields.get("text")
    data = event.model_dump(mode="json", exclude=_IN_COLUMNS, exclude_defaults=True)
    if isinstance(event, ConversationMessageReceived) and event.treatment == "quiet":
        data["quiet_because"] = "blocked" if event.header.blocked else "muted"
    values = {
        "partition": logged.partition,
        "id": record.id,
        "cause": record.causation_id,
        "type": event.type,
        "time": record.time,
        "message": message,
        "refers_to": refers_to,
        "by": fields.get("by"),
        "text": text,
        "data": data,
    }
    yield Row(ENTRY, {"conversation": conversation, "at": at, "offset": logged.offset}, values)
    match event:
        case (
            ConversationMessageReceived()
            | ConversationMessageSent()
            | ConversationNoteAdded()
            | ConversationNoticeReceived()
        ):
            words = words_of(text, *_texts_in({name: data.get(name) for name in ("content", "media", "more_media")}))
            if message:
                words = f"{words} {id_word(message)}".strip()
            if words:
                found = {"conversation": conversation, "at": at, "words": words}
                yield Row(TEXT, {"doc": _doc(logged)}, found, origin(logged))


def _messages(event: ConversationEvent) -> tuple[str | None, str | None]:
    """The message that an event is, and the one that it is about."""
    match event:
        case ConversationMediaStored() | ConversationMediaFailed():
            return None, event.message_id
        case ConversationMessageSent(content=Outgoing(reaction=SentReaction(message_id=about))):
            return event.message_id, about
    return vars(event).get("message_id"), vars(event).get("refers_to")


def _files(event: ConversationEvent) -> Iterator[str]:
    """The keys of the stored files that it tells of."""
    match event:
        case ConversationMediaStored(file=file, preview=preview):
            yield from (key for key in (file, preview) if key is not None)
        case ConversationMessageSent(content=Outgoing(media=Attachment(file=str(file)))):
            yield file


def _texts_in(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, part in value.items():
                if isinstance(part, str):
                    if name in _SEARCHED:
                        yield part
                else:
                    yield from _texts_in(part)
        case list():
            for part in value:
                yield from _texts_in(part)


def _doc(logged: Logged) -> int:
    """The number of a text in the search index, by which hits are in order: 33 bits of the second, 10 of the partition.

    The last 20 bits are the offset's: a partition would need a million records of one second for two to be the same.
    """
    second = max(0, int(logged.record.time.timestamp()))
    return second << 30 | logged.partition << 20 | logged.offset & 0xFFFFF
