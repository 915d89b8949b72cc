"""reports: the figures, as partial sums that only ever add up; three stages, one for each topic that they come from.

A partial is what one partition counted on one UTC day of its own clock under one report key: channel, local day, agent
and kind. When its day is over it is final: its row goes, and a later correction is the partial of a later
day, negative where it takes something back. So rows are today's alone, and no correction comes too late.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from agents.opening import is_open
from agents.stage import NOTHING, Context, Decision, Emit, Row, Rows, Stage, TimerFired
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
from schemas.events.csat import CsatEvent, SurveyAnswered, SurveyCommented, SurveyFailed, SurveySent
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportKind, ReportUpdated, bucket_of
from schemas.ids import channel_of
from schemas.topics import CONVERSATIONS, CSAT, REPORTS, STATUSES

_MIDNIGHT: Final = "midnight"
_ZONES_KEPT: Final = 50


class Figure(BaseModel):
    """One number of a report: where it is counted."""

    model_config = ConfigDict(frozen=True)

    kind: ReportKind
    day: date
    agent: str | None = None
    measure: str


class Partial(Row):
    """`partial/{UTC day}/{report key}`: what was counted on that UTC day."""

    counts: dict[str, int] = {}


class Zones(Row):
    """`zones/{channel}`: its zone, and those before it, each with the instant up to which it was in force.

    An answer must count on its survey's day, though the zone was changed in between.
    """

    zone: str
    earlier: tuple[tuple[datetime, str], ...] = ()

    def day(self, at: datetime) -> date:
        """The local day of an instant, as it was judged at the time."""
        zone = next((zone for until, zone in self.earlier if at <= until), self.zone)
        return at.astimezone(ZoneInfo(zone)).date()


# --- conversations: outcomes and times -----------------------------------------------------------------------------


class Round(Row):
    """`round/{conversation id}`: a conversation from its opening until it is final: Closed, and its surveys ended.

    A final one that is reopened begins another round, as a new conversation would. first_message_at: the customer's.
    first_response_due: an agent's next message is the first response. standing: what the last resolution and the
    closing counted, to be taken back when it is reopened; resolver: who is credited with them. surveys: open ones.
    """

    began: datetime
    first_message_at: datetime | None = None
    in_hours: bool | None = None
    first_response_due: bool = True
    resolver: str | None = None
    standing: tuple[Figure, ...] = ()
    closed: bool = False
    surveys: int = 0


def decide_conversations(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What happened to a conversation, counted. Key: the partition.

    The first response is the first message of an agent, human or AI, after the customer wrote; it is the human's, and
    nobody's where the AI answered. A round that a person began has none.
    """
    match event:
        case TimerFired():
            return _drop_yesterdays(rows, ctx)
        case ConversationEvent(header=header):
            name = f"round/{header.conversation_id}"
            before = rows.get(name, Round)
            books = _Books(rows, ctx, header.channel)
            after = _after(before, event, books)
            return books.decision({} if after == before else {name: after})
    return NOTHING


def _after(before: Round | None, event: ConversationEvent, books: "_Books") -> Round | None:
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
        case ConversationMessageSent(kind="reply" | "ai") if before.first_response_due:
            return _agent_wrote(before, event, books)
        case ConversationSurveyRequested():
            return before.model_copy(update={"surveys": before.surveys + 1})
        case ConversationSurveyEnded():
            return _unless_final(before.model_copy(update={"surveys": max(0, before.surveys - 1)}))
    return before


def _begin(at: datetime, books: "_Books", *, by_person: bool) -> Round:
    books.count(Figure(kind="conversations", day=books.day(at), measure="opened"))
    return Round(began=at, first_response_due=not by_person)


def _customer_wrote(round: Round, at: datetime, books: "_Books") -> Round:
    # Messages may come out of their order: the first is the earliest, as in the thread.
    if round.first_message_at is not None and round.first_message_at <= at:
        return round
    return round.model_copy(update={"first_message_at": at, "in_hours": books.in_hours(at)})


def _agent_wrote(round: Round, event: ConversationMessageSent, books: "_Books") -> Round:
    if round.first_message_at is not None:
        took = _bucket(event.at - round.first_message_at)
        kind: ReportKind = "first_response_open" if round.in_hours else "first_response_closed"
        agent = event.by if event.kind == "reply" else None
        books.count(Figure(kind=kind, day=books.day(event.at), agent=agent, measure=took))
    return round.model_copy(update={"first_response_due": False})


def _resolved(round: Round | None, event: ConversationStatusChanged, books: "_Books") -> Round:
    if round is None:  # it was opened before there were reports
        round = Round(began=event.header.opened_at, first_response_due=False)
    in_hours = books.in_hours(round.began) if round.in_hours is None else round.in_hours
    kind: ReportKind = "resolution_open" if in_hours else "resolution_closed"
    outcome = "resolved_automatically" if event.reason == "auto_resolved" else "resolved"
    today = books.day(books.now)
    standing = (
        Figure(kind="conversations", day=today, agent=event.by, measure=outcome),
        Figure(kind=kind, day=today, agent=event.by, measure=_bucket(books.now - round.began)),
    )
    books.count(*standing)
    return round.model_copy(update={"resolver": event.by, "standing": standing})


def _closed(round: Round, books: "_Books") -> Round | None:
    closed = Figure(kind="conversations", day=books.day(books.now), agent=round.resolver, measure="closed")
    books.count(closed)
    return _unless_final(round.model_copy(update={"standing": (*round.standing, closed), "closed": True}))


def _unless_final(round: Round) -> Round | None:
    return None if round.closed and not round.surveys else round


def _reopened(round: Round | None, event: ConversationStatusChanged, books: "_Books") -> Round:
    if round is None:
        return _begin(books.now, books, by_person=event.by is not None)
    for figure in round.standing:
        books.count(figure, by=-1)
    # Whose resolution did not last.
    books.count(Figure(kind="conversations", day=books.day(books.now), agent=round.resolver, measure="reopened"))
    return round.model_copy(update={"resolver": None, "standing": (), "closed": False})


def _bucket(took: timedelta) -> str:
    return str(bucket_of(took))


# --- csat: satisfaction --------------------------------------------------------------------------------------------


def decide_csat(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Surveys sent and their answers, both under the survey's day and agent. Key: the partition."""
    match event:
        case TimerFired():
            return _drop_yesterdays(rows, ctx)
        case SurveySent():
            return _rate(rows, event, ctx, {"sent": 1})
        case SurveyFailed(was_sent=True):
            return _rate(rows, event, ctx, {"sent": -1})
        case SurveyCommented(replaces=False):
            return _rate(rows, event, ctx, {"comments": 1})
        case SurveyAnswered(rating=rating, previous=None):
            return _rate(rows, event, ctx, {f"rating_{rating}": 1})
        case SurveyAnswered(rating=rating, previous=previous) if rating != previous:
            return _rate(rows, event, ctx, {f"rating_{rating}": 1, f"rating_{previous}": -1})
    return NOTHING


def _rate(rows: Rows, event: CsatEvent, ctx: Context, changes: Mapping[str, int]) -> Decision:
    books = _Books(rows, ctx, event.channel)
    day = books.day(event.asked_at)
    for measure, by in changes.items():
        books.count(Figure(kind="satisfaction", day=day, agent=event.agent, measure=measure), by=by)
    return books.decision()


# --- statuses: messages to customers -------------------------------------------------------------------------------


def decide_statuses(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Each message once, under the status that stands, on the day of what was first known of it. Key: the partition.

    The event itself has that day: its timestamps are in the order in which they became known.
    """
    match event:
        case TimerFired():
            return _drop_yesterdays(rows, ctx)
        case MessageStatusChanged(status=status, previous=previous, timestamps=known) if known and status != previous:
            books = _Books(rows, ctx, channel_of(ctx.key))
            day = books.day(next(iter(known.values())))
            books.count(Figure(kind="messages", day=day, measure=status))
            if previous is not None:
                books.count(Figure(kind="messages", day=day, measure=previous), by=-1)
            return books.decision()
    return NOTHING


# --- the books -----------------------------------------------------------------------------------------------------


class _Books:
    """What one event changes in one channel's figures."""

    def __init__(self, rows: Rows, ctx: Context, channel: str) -> None:
        self.now = ctx.now
        self._rows, self._ctx, self._channel = rows, ctx, channel
        self._sums: dict[tuple[date, str | None, ReportKind], Counter[str]] = {}
        self._writes: dict[str, Row | None] = {}

    def in_hours(self, at: datetime) -> bool:
        return is_open(self._ctx.settings(self._channel).business_hours, at)

    def day(self, at: datetime) -> date:
        """The local day of an instant: in the zone of the business hours, ticked or not; without one, of UTC."""
        name = f"zones/{self._channel}"
        zone = self._ctx.settings(self._channel).business_hours.timezone
        zones = self._rows.get(name, Zones)
        if zones is None:
            zones = self._writes[name] = Zones(zone=zone)
        elif zones.zone != zone:
            earlier = (*zones.earlier, (self.now, zones.zone))
            zones = self._writes[name] = Zones(zone=zone, earlier=earlier[-_ZONES_KEPT:])
        return zones.day(at)

    def count(self, *figures: Figure, by: int = 1) -> None:
        for figure in figures:
            self._sums.setdefault((figure.day, figure.agent, figure.kind), Counter())[figure.measure] += by

    def decision(self, writes: Mapping[str, Row | None] | None = None) -> Decision:
        """The writes, and each partial that the counts change: its row, and the event that publishes it."""
        today = self.now.date()
        emit = tuple(self._updates(today))
        changed = {**self._writes, **(writes or {})}
        midnight = datetime.combine(today + timedelta(days=1), time(), UTC)
        return Decision(writes=changed, emit=emit, timers={_MIDNIGHT: midnight} if emit else {})

    def _updates(self, today: date) -> Iterator[Emit]:
        for (day, agent, kind), changes in self._sums.items():
            # An agent's id begins with a letter or a digit.
            key = f"{self._channel}/{day}/{agent or '-'}/{kind}"
            name = f"partial/{today}/{key}"
            before = self._rows.get(name, Partial) or Partial()
            changes.update(before.counts)
            after = Partial(counts={measure: number for measure, number in changes.items() if number})
            if after == before:
                continue
            self._writes[name] = after
            update = ReportUpdated(kind=kind, channel=self._channel, day=day, agent=agent, counts=after.counts)
            yield Emit(REPORTS, f"{key}/{self._ctx.partition}/{today}", update)


def _drop_yesterdays(rows: Rows, ctx: Context) -> Decision:
    today = f"partial/{ctx.now.date()}"
    over = takewhile(lambda entry: entry[0] < today, rows.scan("partial/", Partial))
    return Decision(writes={name: None for name, _ in over})


REPORTS_CONVERSATIONS = Stage(
    "reports-conversations",
    input=CONVERSATIONS,
    outputs=(REPORTS,),
    decide=decide_conversations,
    state=(Round, Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
REPORTS_CSAT = Stage(
    "reports-csat",
    input=CSAT,
    outputs=(REPORTS,),
    decide=decide_csat,
    state=(Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
REPORTS_STATUSES = Stage(
    "reports-statuses",
    input=STATUSES,
    outputs=(REPORTS,),
    decide=decide_statuses,
    state=(Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
