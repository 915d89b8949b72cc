"""The figures are what a recount of conversations, csat and statuses gives, whatever the days. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    Status,
)
from schemas.events.csat import SurveyAnswered, SurveyCommented, SurveyFailed, SurveySent
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.ids import channel_of
from schemas.topics import CONVERSATIONS, CSAT, REPORTS, STATUSES
from tests.chaos.history import History
from tests.chaos.violation import Violation

Figure = tuple[str, str | None, str, str]
"""Channel, agent, kind, measure. Of times only how many there are: kinds `first_response` and `resolution`."""


def check_reports(history: History) -> Iterator[Violation]:
    """Sums over all days, by channel and agent."""
    expected = Counter[Figure]()
    for counting in (_count_conversations, _count_satisfaction, _count_messages):
        expected.update(counting(history))
    found = Counter[Figure]()
    for update in _latest(history):
        for measure, count in update.counts.items():
            is_time = update.kind.startswith(("first_response", "resolution"))
            kind, reported = (update.kind.rpartition("_")[0], "all") if is_time else (str(update.kind), measure)
            found[update.channel, update.agent, kind, reported] += count
    for figure in sorted(expected.keys() | found.keys(), key=str):
        if expected[figure] != found[figure]:
            detail = f"{figure}: {found[figure]}, recounted {expected[figure]}"
            yield Violation("report differs from a recount", "", detail)


def _latest(history: History) -> list[ReportUpdated]:
    latest = {record.subject: record.event for record in history.records(REPORTS)}
    return [event for event in latest.values() if isinstance(event, ReportUpdated)]


@dataclass
class _Round:
    """A conversation until it is final. waits: its first response is still to come; wrote: the customer did.

    standing: what the last resolution and the closing counted.
    """

    waits: bool
    wrote: bool = False
    resolver: str | None = None
    standing: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False
    surveys: int = 0

    @property
    def final(self) -> bool:
        return self.closed and not self.surveys


def _count_conversations(history: History) -> Counter[Figure]:
    counts, rounds = Counter[Figure](), dict[str, _Round]()
    for record in history.records(CONVERSATIONS):
        event = record.event
        if not isinstance(event, ConversationEvent):
            continue
        id, channel = event.header.conversation_id, event.header.channel
        round = rounds.get(id)
        for agent, kind, measure, by in _changes(event, round):
            counts[channel, agent, kind, measure] += by
        after = _after(event, round)
        if after is None or after.final:
            rounds.pop(id, None)
        else:
            rounds[id] = after
    return counts


def _changes(event: ConversationEvent, round: _Round | None) -> Iterator[tuple[str | None, str, str, int]]:
    """Agent, kind, measure and by how much."""
    match event:
        case ConversationOpened():
            yield None, "conversations", "opened", 1
        case ConversationStatusChanged(header=header) if header.status is Status.RESOLVED:
            outcome = "resolved_automatically" if event.reason == "auto_resolved" else "resolved"
            yield event.by, "conversations", outcome, 1
            yield event.by, "resolution", "all", 1
        case ConversationStatusChanged(header=header) if header.status is Status.CLOSED and round is not None:
            yield round.resolver, "conversations", "closed", 1
        case ConversationStatusChanged(header=header) if header.status in LIVE and event.previous not in LIVE:
            if round is None:
                yield None, "conversations", "opened", 1
                return
            for kind, measure in round.standing:
                yield round.resolver, kind, measure, -1
            yield round.resolver, "conversations", "reopened", 1
        case ConversationMessageSent(kind="reply" | "ai") if round is not None and round.waits and round.wrote:
            yield event.by if event.kind == "reply" else None, "first_response", "all", 1


def _after(event: ConversationEvent, round: _Round | None) -> _Round | None:
    match event:
        case ConversationOpened(header=header):
            return _Round(waits=header.opened_by == "customer")
        case ConversationStatusChanged(header=header) if header.status in LIVE and event.previous not in LIVE:
            if round is None:
                return _Round(waits=event.by is None)
            round.resolver, round.standing, round.closed = None, [], False
        case ConversationStatusChanged(header=header) if header.status is Status.RESOLVED:
            round = round or _Round(waits=False)
            outcome = "resolved_automatically" if event.reason == "auto_resolved" else "resolved"
            round.resolver, round.standing = event.by, [("conversations", outcome), ("resolution", "all")]
        case ConversationStatusChanged(header=header) if header.status is Status.CLOSED and round is not None:
            round.standing.append(("conversations", "closed"))
            round.closed = True
        case ConversationMessageReceived(treatment="ordinary") if round is not None:
            round.wrote = True
        case ConversationMessageSent(kind="reply" | "ai") if round is not None:
            round.waits = False
        case ConversationSurveyRequested() if round is not None:
            round.surveys += 1
        case ConversationSurveyEnded() if round is not None:
            round.surveys -= 1
    return round


def _count_satisfaction(history: History) -> Counter[Figure]:
    counts, ratings = Counter[Figure](), dict[str, Figure]()
    for record in history.records(CSAT):
        match record.event:
            case SurveySent(channel=channel, agent=agent):
                counts[channel, agent, "satisfaction", "sent"] += 1
            case SurveyFailed(channel=channel, agent=agent, was_sent=True):
                counts[channel, agent, "satisfaction", "sent"] -= 1
            case SurveyCommented(channel=channel, agent=agent, replaces=False):
                counts[channel, agent, "satisfaction", "comments"] += 1
            case SurveyAnswered(survey_id=id, channel=channel, agent=agent, rating=rating):
                ratings[id] = (channel, agent, "satisfaction", f"rating_{rating}")
    counts.update(ratings.values())
    return counts


def _count_messages(history: History) -> Counter[Figure]:
    standing: dict[tuple[str, str], str] = {}
    for record in history.records(STATUSES):
        if isinstance(record.event, MessageStatusChanged):
            standing[channel_of(record.subject), record.event.message_id] = record.event.status
    return Counter((channel, None, "messages", status) for (channel, _), status in standing.items())
