"""What AI agents did: in conversations, as reports-conversations counts it, and what their calls came to (reports-ai).

Their days are UTC's, as those of their budgets and of the services' bills.
"""

from datetime import UTC, datetime

from agents.reports.books import Books, Figure, Partial, drop_yesterdays
from agents.stage import NOTHING, Context, Decision, Row, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageSent,
    ConversationRated,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Header,
    Status,
)
from schemas.events.reports import ReportKind
from schemas.ids import channel_of
from schemas.topics import AI_CALLS, REPORTS


class Held(Row):
    """`ai/{conversation id}`: what AI agents have to do with a conversation, as long as its round.

    agents: those that held it while its customer had written, the last one last. standing: what its last resolution
    counted. surveys: the AI agents that open ones are about, by id.
    """

    agents: tuple[str, ...]
    standing: tuple[Figure, ...] = ()
    surveys: dict[str, str] = {}


def held_after(held: Held | None, event: ConversationEvent, books: Books, *, wrote: bool, people: bool) -> Held | None:
    """What an event changes, counted.

    wrote: the customer has written: who only was written to is in no figure. people: a person has written to them.
    """
    holder = _holder(event.header)
    if holder is not None and wrote and (held is None or held.agents[-1] != holder):
        held = _holds(held or Held(agents=()), holder, books)
    match event:
        case ConversationMessageSent(kind="ai", by=str(agent)):
            _count(books, "ai", agent, "answers")
    if held is None:
        return None
    match event:
        case ConversationStatusChanged(header=Header(status=Status.RESOLVED)):
            return _resolved(held, event, books, alone=not people)
        case ConversationStatusChanged(header=header) if header.status in LIVE and event.previous not in LIVE:
            for figure in held.standing:
                books.count(figure, by=-1)
            return held.model_copy(update={"standing": ()})
        case ConversationStatusChanged(previous=Status.AI_REPLYING, header=Header(status=Status.OPEN)):
            _count(books, "ai", held.agents[-1], _why_given(event))
        case ConversationSurveyRequested(survey_id=id):
            return held.model_copy(update={"surveys": {**held.surveys, id: held.agents[-1]}})
        case ConversationSurveySent(survey_id=id) if id in held.surveys:
            _count(books, "ai_satisfaction", held.surveys[id], "sent", at=event.asked_at)
        case ConversationRated(survey_id=id, previous=previous) if id in held.surveys:
            _count(books, "ai_satisfaction", held.surveys[id], f"rating_{event.rating}", at=event.asked_at)
            if previous is not None:
                _count(books, "ai_satisfaction", held.surveys[id], f"rating_{previous}", at=event.asked_at, by=-1)
        case ConversationSurveyEnded(survey_id=id) if id in held.surveys:
            if event.outcome == "failed" and event.was_sent:
                _count(books, "ai_satisfaction", held.surveys[id], "sent", at=event.asked_at, by=-1)
            others = {survey: agent for survey, agent in held.surveys.items() if survey != id}
            return held.model_copy(update={"surveys": others})
    return held


def utc_day(kind: ReportKind, agent: str, measure: str, at: datetime) -> Figure:
    """A figure of an AI agent's."""
    return Figure(kind=kind, day=at.astimezone(UTC).date(), agent=agent, measure=measure)


def _holder(header: Header) -> str | None:
    ai = header.assignee is not None and header.assignee.kind == "ai" and header.status is Status.AI_REPLYING
    return header.assignee.id if ai and header.assignee is not None else None


def _holds(held: Held, holder: str, books: Books) -> Held:
    if holder not in held.agents:
        _count(books, "ai", holder, "held")
    others = tuple(agent for agent in held.agents if agent != holder)
    return held.model_copy(update={"agents": (*others, holder)})


def _resolved(held: Held, event: ConversationStatusChanged, books: Books, *, alone: bool) -> Held:
    """Counted where an AI agent holds it to the end; what was handed over or taken is counted as that."""
    holder = event.header.assignee
    if holder is None or holder.kind != "ai" or holder.id not in held.agents:
        return held
    match event.reason:
        case "ai_resolved":
            outcome = "resolved" if alone else "resolved_with_people"
        case "auto_resolved":
            outcome = "resolved_automatically"
        case _:
            outcome = "resolved_by_people"
    figure = utc_day("ai", holder.id, outcome, books.now)
    books.count(figure)
    return held.model_copy(update={"standing": (figure,)})


def _why_given(event: ConversationStatusChanged) -> str:
    match event.reason:
        case "ai_handed_over":
            return f"handed_over:{event.why or 'unsaid'}"
        case "ai_failed":
            return "handed_over:failed"
    return "taken_over"


def _count(
    books: Books, kind: ReportKind, agent: str, measure: str, *, at: datetime | None = None, by: int = 1
) -> None:
    books.count(utc_day(kind, agent, measure, at or books.now), by=by)


def decide_calls(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What each call came to, also where its answer was dropped. Key: the partition."""
    match event:
        case TimerFired():
            return drop_yesterdays(rows, ctx)
        case AiCallEnded():
            books = Books(rows, ctx, channel_of(ctx.key))
            # A call that the budget forbade was not made.
            made = {} if event.outcome == "budget" else {f"{event.call}_calls": 1}
            spent = {name: getattr(event, name) for name in ("tokens_in", "tokens_out", "cost_micros")}
            for measure, number in {**made, **spent}.items():
                _count(books, "ai_calls", event.agent, measure, at=event.at, by=number)
            return books.decision()
    return NOTHING


REPORTS_AI = Stage(
    "reports-ai",
    input=AI_CALLS,
    outputs=(REPORTS,),
    decide=decide_calls,
    state=(Partial,),
    parks=False,
    shared=True,
    unhurried=True,
)
