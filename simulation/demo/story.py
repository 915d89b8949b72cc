"""The life of one conversation, line by line. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationEvent,
    ConversationLabelled,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveySent,
)
from schemas.record import Record

_SENT = {
    "greeting": "greeting",
    "unavailable": "told that it is closed",
    "survey": "survey",
    "comment": "asked for a comment",
    "goodbye": "goodbye",
}
_WHY = {
    "assigned": "the AI agent takes it",
    "ai_handed_over": "the AI agent hands it over",
    "close_after": "its time has passed",
    "survey_answered": "the survey is answered",
}


@dataclass(frozen=True)
class Moment:
    """Something that happened, so long after the conversation began."""

    after: timedelta
    text: str


def pick(records: Iterable[Record]) -> Sequence[Record]:
    """The records of the conversation in which most different things happened; of several the first."""
    by_conversation: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if isinstance(record.event, ConversationEvent):
            by_conversation[record.event.header.conversation_id].append(record)
    return max(by_conversation.values(), key=_variety, default=())


def _variety(records: Sequence[Record]) -> int:
    events = (record.event for record in records)
    return len({(event.type, getattr(event, "kind", ""), getattr(event, "reason", "")) for event in events})


def tell(records: Sequence[Record]) -> list[Moment]:
    """What happened to one conversation, from its records in order."""
    moments = []
    for record in records:
        text = _text(record.event) if isinstance(record.event, ConversationEvent) else None
        if text is not None:
            moments.append(Moment(record.time - records[0].time, text))
    return moments


def _text(event: ConversationEvent) -> str | None:
    header = event.header
    who = header.contact_name or header.contact
    match event:
        case ConversationOpened():
            return f"{who} begins a conversation with {header.channel}"
        case ConversationMessageReceived(text=text):
            return f"{who}: {text}"
        case ConversationMessageSent(kind="reply", by=by, text=text):
            return f"{by}: {text}"
        case ConversationMessageSent(kind="ai", by=by, text=text):
            cited = ", ".join(citation.title for citation in event.citations)
            return f"{by} (AI): {text}{f' (cites: {cited})' if cited else ''}"
        case ConversationMessageSent(kind=kind, text=text):
            return f"{_SENT.get(kind, kind)}: {text}"
        case ConversationAssigned():
            return f"given to {_name(header.assignee)}" if header.assignee else None
        case ConversationRouted() if header.assignee is None:
            return "nobody can take it: it waits"
        case ConversationStatusChanged(by=by, reason=reason):
            return f"{header.status}: {f'{reason} by {by}' if by else _WHY.get(reason, reason)}"
        case ConversationNoteAdded(by=by, text=text):
            return f"note{f' of {by}' if by else ''}: {text}"
        case ConversationLabelled(by=by):
            return f"{by} labels it: {', '.join(header.labels)}"
        case ConversationSurveySent():
            return None  # the message says it
        case ConversationRated(rating=rating, agent=agent):
            return f"the answer counts: {rating} of 5{f', for {agent}' if agent else ''}"
    return None


def _name(assignee: Assignee) -> str:
    return f"{assignee.id} (AI)" if assignee.kind == "ai" else assignee.id
