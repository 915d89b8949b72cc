"""The figures are what a recount of conversations, csat, statuses and ai-calls gives, whatever the days. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.events.ai import AiCallEnded
from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationRated,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Status,
    SurveyEvent,
)
from schemas.events.csat import SurveyAnswered, SurveyCommented, SurveyFailed, SurveySent
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.ids import channel_of
from schemas.topics import AI_CALLS, CONVERSATIONS, CSAT, REPORTS, STATUSES
from tests.chaos.history import History
from tests.chaos.violation import Violation

Figure = tuple[str, str | None, str, str]
"""Channel, agent, kind, measure. Of times only how many there are: kinds `first_response` and `resolution`, and
`ai_first_response`."""


def check_reports(history: History) -> Iterator[Violation]:
    """Sums over all days, by channel and agent."""
    expected = Counter[Figure]()
    for counting in (_count_conversations, _count_satisfaction, _count_messages, _count_calls):
        expected.update(counting(history))
    found = Counter[Figure]()
    for update in _latest(history):
        for measure, count in update.counts.items():
            kind, reported = str(update.kind), measure
            if kind.startswith(("first_response", "resolution")):
                kind, reported = kind.rpartition("_")[0], "all"
            elif kind == "ai_first_response":
                reported = "all"
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

    standing: what the last resolution and the closing counted. ai: who of the AI agents held it after the customer
    wrote, the last one last; people: a person wrote; ended_by_ai: AI agent and outcome of the last resolution that it
    held; asked_of: surveys, and the AI agent that they are about.
    """

    waits: bool
    wrote: bool = False
    resolver: str | None = None
    standing: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False
    surveys: int = 0
    ai: list[str] = field(default_factory=list)
    people: bool = False
    ended_by_ai: tuple[str, str] | None = None
    asked_of: dict[str, str] = field(default_factory=dict)

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
        if after is not None:
            for agent, kind, measure, by in _of_ai(event, after):
                counts[channel, agent, kind, measure] += by
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
            outcome, resolver = _resolution(event)
            yield resolver, "conversations", outcome, 1
            yield resolver, "resolution", "all", 1
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
            if event.kind == "ai" and event.by is not None:
                yield event.by, "ai_first_response", "all", 1


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
            outcome, resolver = _resolution(event)
            round.resolver, round.standing = resolver, [("conversations", outcome), ("resolution", "all")]
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


def _resolution(event: ConversationStatusChanged) -> tuple[str, str | None]:
    match event.reason:
        case "auto_resolved":
            return "resolved_automatically", event.by
        case "ai_resolved":
            return "resolved_by_ai", None
    return "resolved", event.by


def _of_ai(event: ConversationEvent, round: _Round) -> Iterator[tuple[str, str, str, int]]:
    """What AI agents are counted for, as _changes; the round takes it down."""
    if isinstance(event, ConversationMessageSent):
        if event.kind == "ai" and event.by is not None:
            yield event.by, "ai", "answers", 1
        round.people = round.people or event.kind == "reply"
    holder, status = event.header.assignee, event.header.status
    ai = holder.id if holder is not None and holder.kind == "ai" else None
    if ai is not None and status is Status.AI_REPLYING and round.wrote:
        if ai not in round.ai:
            yield ai, "ai", "held", 1
        round.ai = [*(agent for agent in round.ai if agent != ai), ai]
    if not round.ai:
        return
    match event:
        case ConversationStatusChanged(reason=reason) if (
            status is Status.RESOLVED and ai in round.ai and ai is not None
        ):
            alone = "resolved_with_people" if round.people else "resolved"
            named = {"ai_resolved": alone, "auto_resolved": "resolved_automatically"}
            round.ended_by_ai = ai, named.get(reason, "resolved_by_people")
            yield ai, "ai", round.ended_by_ai[1], 1
        case ConversationStatusChanged(previous=previous) if status in LIVE and previous not in LIVE:
            if round.ended_by_ai is not None:
                yield round.ended_by_ai[0], "ai", round.ended_by_ai[1], -1
            round.ended_by_ai = None
        case ConversationStatusChanged(previous=Status.AI_REPLYING, reason=reason) if status is Status.OPEN:
            whys = {"ai_handed_over": f"handed_over:{event.why or 'unsaid'}", "ai_failed": "handed_over:failed"}
            yield round.ai[-1], "ai", whys.get(reason, "taken_over"), 1
        case ConversationSurveyRequested(survey_id=id):
            round.asked_of[id] = round.ai[-1]
        case SurveyEvent(survey_id=id) if id in round.asked_of:
            for measure, by in _of_survey(event):
                yield round.asked_of[id], "ai_satisfaction", measure, by


def _of_survey(event: SurveyEvent) -> Iterator[tuple[str, int]]:
    match event:
        case ConversationSurveySent():
            yield "sent", 1
        case ConversationRated(rating=rating, previous=previous):
            yield f"rating_{rating}", 1
            if previous is not None:
                yield f"rating_{previous}", -1
        case ConversationSurveyEnded(outcome="failed", was_sent=True):
            yield "sent", -1


def _count_calls(history: History) -> Counter[Figure]:
    counts = Counter[Figure]()
    for record in history.records(AI_CALLS):
        call = record.event
        if isinstance(call, AiCallEnded):
            channel = channel_of(record.subject)
            counts[channel, call.agent, "ai_calls", f"{call.call}_calls"] += call.outcome != "budget"
            for measure in ("tokens_in", "tokens_out", "cost_micros"):
                counts[channel, call.agent, "ai_calls", measure] += getattr(call, measure)
    return counts


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
