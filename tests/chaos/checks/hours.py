"""The first words to a customer: the greeting or, while the channel is closed, the unavailable message. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from schemas.events.conversation import (
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.sending import SendGreeting, SendUnavailable
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import CONVERSATIONS, GATED, OUTBOUND
from tests.chaos.history import History
from tests.chaos.violation import Violation


@dataclass
class _Due:
    """greetings: conversation -> key. unavailable: the event that announces a routing while closed -> its key."""

    greetings: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def gather(cls, history: History) -> "_Due":
        due = cls()
        for record in history.records(GATED):
            event = record.event
            if isinstance(event, ConversationGated) and event.event_type == ConversationRouted.type:
                routed = ConversationRouted.model_validate(event.data)
                settings = history.settings(routed.header.channel, record.settings_revision)
                if routed.first and _is_new(routed.header):
                    due._judge(record, routed.header, settings, is_open=event.open)
        return due

    def _judge(self, record: Record, header: Header, settings: ChannelSettings, *, is_open: bool) -> None:
        closed = not is_open and bool(settings.business_hours.unavailable_message)
        if closed and header.last_human_at is None and record.causation_id is not None:
            self.unavailable[record.causation_id] = record.subject
        said = header.messages_out + header.messages_automatic
        if not closed and not said and settings.greeting.enabled and settings.greeting.text:
            self.greetings[header.conversation_id] = record.subject


def _is_new(header: Header) -> bool:
    return header.opened_by == "customer" and header.status is not Status.AI_REPLYING


def check_greetings(history: History) -> Iterator[Violation]:
    """One greeting for each conversation that a customer began, where humans hold it and the channel is open."""
    due = _Due.gather(history).greetings
    greeted = Counter[str]()
    for record in history.records(OUTBOUND, SendGreeting):
        if isinstance(record.event, SendGreeting):
            greeted[record.event.conversation_id] += 1
    for id, key in due.items():
        if not greeted[id]:
            yield Violation("greeting missing", key, f"of conversation {id}")
    for id, count in greeted.items():
        if count > 1 or id not in due:
            yield Violation("greeting not due", due.get(id, ""), f"conversation {id}: {count} greetings")


def check_unavailable(history: History) -> Iterator[Violation]:
    """At most one unavailable message for a conversation and local day, none while the AI agent holds it.

    And one at least when it is first routed to humans while closed.
    """
    due = _Due.gather(history).unavailable
    sent, causes = Counter[tuple[str, str]](), dict[str, str]()
    for record in history.records(OUTBOUND, SendUnavailable):
        if isinstance(record.event, SendUnavailable):
            sent[record.event.conversation_id, record.subject] += 1
            causes[record.causation_id or ""] = record.subject
    for cause, key in due.items():
        if cause not in causes:
            yield Violation("unavailable message missing", key, f"at its routing, {cause}")
    days = _days(history, {id for id, _ in sent})
    for (id, key), count in sent.items():
        if count > len(days.get(id, ())):
            yield Violation("unavailable twice a day", key, f"{id}: {count} in {len(days.get(id, ()))} local days")
    for record in history.records(CONVERSATIONS):
        event = record.event
        if record.id not in causes or not isinstance(event, ConversationEvent):
            continue
        if event.header.status is Status.AI_REPLYING:
            yield Violation("unavailable, but the AI agent answers", record.subject, record.id)


def _days(history: History, wanted: set[str]) -> Mapping[str, set[date]]:
    """The local days on which there was a reason to say that nobody is there."""
    days = defaultdict[str, set[date]](set)
    for record in history.records(CONVERSATIONS, ConversationMessageReceived, ConversationStatusChanged):
        at: datetime
        match record.event:
            case ConversationMessageReceived(at=at, treatment="ordinary", header=header):
                pass
            case ConversationStatusChanged(previous=Status.AI_REPLYING, header=header):
                at = record.time
            case _:
                continue
        if header.conversation_id in wanted:
            hours = history.settings(header.channel, record.settings_revision).business_hours
            days[header.conversation_id].add(at.astimezone(ZoneInfo(hours.timezone)).date())
    return days
