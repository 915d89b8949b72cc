"""reports-conversations: outcomes and times of conversations, and what AI agents did in them."""

from datetime import datetime
from typing import Final

from agents.reports.ai import Held, held_after, utc_day
from agents.reports.books import Books, Figure, Partial, Zones, bucket, drop_yesterdays
from agents.stage import NOTHING, Context, Decision, Row, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    Header,
    Status,
)
from schemas.events.reports import ReportKind
from schemas.topics import CONVERSATIONS, REPORTS


class Round(Row):
    """`round/{conversation id}`: a conversation from its opening until it is final: Closed, and its surveys ended.

    A final one that is reopened begins another round, as a new conversation would. first_message_at: the customer's.
    first_response_due: an agent's next message is the first response. standing: what the last resolution and the
    closing counted, to be taken back when it is reopened; resolver: who is credited with them. surveys: open ones.
    reopened_at: since then its first response is waited for anew, as it was resolved without one. people: a person
    wrote to the customer.
    """

    began: datetime
    first_message_at: datetime | None = None
    in_hours: bool | None = None
    first_response_due: bool = True
    resolver: str | None = None
    standing: tuple[Figure, ...] = ()
    closed: bool = False
    surveys: int = 0
    reopened_at: datetime | None = None
    people: bool = False


def decide_conversations(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What happened to a conversation, counted. Key: the partition.

    The first response is the first message of an agent, human or AI, after the customer wrote; it is the human's, and
    nobody's where the AI answered. A round that a person began has none.
    """
    match event:
        case TimerFired():
            return drop_yesterdays(rows, ctx)
        case ConversationEvent(header=header):
            name = f"round/{header.conversation_id}"
            before = rows.get(name, Round)
            books = Books(rows, ctx, header.channel)
            after = _after(before, event, books)
            writes: dict[str, Row | None] = {} if after == before else {name: after}
            return books.decision(writes | _of_ai(rows, event, books, before, after))
    return NOTHING


def _of_ai(
    rows: Rows, event: ConversationEvent, books: Books, before: Round | None, after: Round | None
) -> dict[str, Row | None]:
    name = f"ai/{event.header.conversation_id}"
    held = rows.get(name, Held)
    round = after or before
    if round is None:
        return {}
    then = held_after(held, event, books, wrote=round.first_message_at is not None, people=round.people)
    then = None if after is None else then
    return {} if then == held else {name: then}


def _after(before: Round | None, event: ConversationEvent, books: Books) -> Round | None:
    match event:
        case ConversationOpened(header=header):
            return _begin(header.opened_at, books, by_person=header.opened_by == "agent")
        case ConversationStatusChanged(header=Header(status=Status.RESOLVED)):
            return _resolved(before, event, books)
        case ConversationStatusChanged(header=Header(status=Status.CLOSED)) if before is not None:
            return _closed(before, books)
        case ConversationStatusChanged(header=header) if header.status in LIVE and event.previous not in LIVE:
            return _reopened(before, event, books)
    if before is None:
        return None
    match event:
        case ConversationMessageReceived(treatment="ordinary", at=at):
            return _customer_wrote(before, at, books)
        case ConversationMessageSent(kind="reply" | "ai"):
            return _agent_wrote(before, event, books)
        case ConversationSurveyRequested():
            return before.model_copy(update={"surveys": before.surveys + 1})
        case ConversationSurveyEnded():
            return _unless_final(before.model_copy(update={"surveys": max(0, before.surveys - 1)}))
    return before


def _begin(at: datetime, books: Books, *, by_person: bool) -> Round:
    books.count(Figure(kind="conversations", day=books.day(at), measure="opened"))
    return Round(began=at, first_response_due=not by_person)


def _customer_wrote(round: Round, at: datetime, books: Books) -> Round:
    # Messages may come out of their order: the first is the earliest, as in the thread.
    if round.first_message_at is not None and round.first_message_at <= at:
        return round
    return round.model_copy(update={"first_message_at": at, "in_hours": books.in_hours(at)})


def _agent_wrote(round: Round, event: ConversationMessageSent, books: Books) -> Round:
    if round.first_response_due and round.first_message_at is not None:
        took = bucket(event.at - max(round.first_message_at, round.reopened_at or round.first_message_at))
        kind: ReportKind = "first_response_open" if round.in_hours else "first_response_closed"
        agent = event.by if event.kind == "reply" else None
        if event.kind == "ai" and event.by is not None:
            books.count(utc_day("ai_first_response", event.by, took, event.at))
        books.count(Figure(kind=kind, day=books.day(event.at), agent=agent, measure=took))
    people = round.people or event.kind == "reply"
    return round.model_copy(update={"first_response_due": False, "people": people})


_OUTCOMES: Final = {"auto_resolved": "resolved_automatically", "ai_resolved": "resolved_by_ai"}


def _resolved(round: Round | None, event: ConversationStatusChanged, books: Books) -> Round:
    if round is None:  # it was opened before there were reports
        round = Round(began=event.header.opened_at, first_response_due=False)
    in_hours = books.in_hours(round.began) if round.in_hours is None else round.in_hours
    kind: ReportKind = "resolution_open" if in_hours else "resolution_closed"
    outcome, resolver = _OUTCOMES.get(event.reason, "resolved"), event.by
    if event.reason == "ai_resolved":
        resolver = None  # nobody's, as what it answers
    today = books.day(books.now)
    standing = (
        Figure(kind="conversations", day=today, agent=resolver, measure=outcome),
        Figure(kind=kind, day=today, agent=resolver, measure=bucket(books.now - round.began)),
    )
    books.count(*standing)
    return round.model_copy(update={"resolver": resolver, "standing": standing})


def _closed(round: Round, books: Books) -> Round | None:
    closed = Figure(kind="conversations", day=books.day(books.now), agent=round.resolver, measure="closed")
    books.count(closed)
    return _unless_final(round.model_copy(update={"standing": (*round.standing, closed), "closed": True}))


def _unless_final(round: Round) -> Round | None:
    return None if round.closed and not round.surveys else round


def _reopened(round: Round | None, event: ConversationStatusChanged, books: Books) -> Round:
    if round is None:
        return _begin(books.now, books, by_person=event.by is not None)
    for figure in round.standing:
        books.count(figure, by=-1)
    # Whose resolution did not last.
    books.count(Figure(kind="conversations", day=books.day(books.now), agent=round.resolver, measure="reopened"))
    again = books.now if round.first_response_due else None
    return round.model_copy(update={"resolver": None, "standing": (), "closed": False, "reopened_at": again})


REPORTS_CONVERSATIONS = Stage(
    "reports-conversations",
    input=CONVERSATIONS,
    outputs=(REPORTS,),
    decide=decide_conversations,
    state=(Round, Held, Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
