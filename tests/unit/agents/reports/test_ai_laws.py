"""reports: what AI agents did, whatever happened, is what the chaos check counts anew from the same events."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from hypothesis import given
from hypothesis import strategies as st

from agents.reports.ai import REPORTS_AI
from agents.reports.conversations import REPORTS_CONVERSATIONS
from schemas.codec import to_kafka
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.conversation import (
    LIVE,
    Assignee,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Status,
)
from schemas.record import Record
from schemas.topics import AI_CALLS, CONVERSATIONS, REPORTS, Topic
from tests.chaos.checks.reports import check_reports
from tests.chaos.history import Acknowledged, History, Message
from tests.support.reports import KEY, MONDAY, Reports, channel

Act = Literal[
    "write", "take", "give", "fail", "grab", "reply", "answer", "resolve", "reopen", "close", "ask", "rate", "end"
]


class AiLife:
    """A conversation in AI agents' hands and people's: tells reports what may happen next, and remembers it."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.events: list[Event] = []
        self.status, self.holder = Status.OPEN, ""
        self.surveys: dict[str, int | None] = {}

    def tell(self, model: type[ConversationEvent], now: datetime, **values: object) -> None:
        header: dict[str, object] = {"conversation_id": "c1", "channel": "shop", "contact": "34655010400"}
        header |= {"opened_at": MONDAY, "revision": 1, "status": self.status}
        header["assignee"] = Assignee(kind="ai", id=self.holder) if self.holder else None
        event = model.model_validate({"header": header, **values})
        self.events.append(event)
        self.reports.tell(event, now)

    def move(self, to: Status, now: datetime, reason: str, by: str | None = None, why: str | None = None) -> None:
        previous, self.status = self.status, to
        if to is Status.OPEN:
            self.holder = ""
        self.tell(ConversationStatusChanged, now, previous=previous, reason=reason, by=by, why=why)

    def act(self, what: Act, number: int, now: datetime) -> None:
        bot, live, id = f"bot{number % 2}", self.status in LIVE, f"s{number}"
        match what:
            case "write":
                self.tell(ConversationMessageReceived, now, message_id="m", at=now, kind="text")
            case "take" if live:
                self.status, self.holder = Status.AI_REPLYING, bot
                self.tell(ConversationRouted, now, first=True)
            case "give" | "fail" | "grab" if self.status is Status.AI_REPLYING:
                reason = {"give": "ai_handed_over", "fail": "ai_failed", "grab": "taken_over"}[what]
                self.move(Status.OPEN, now, reason, why="anger" if number % 2 else None)
            case "reply" | "answer" if live:
                by, kind = ("nadia", "reply") if what == "reply" else (bot, "ai")
                self.tell(ConversationMessageSent, now, message_id="o", at=now, kind=kind, by=by)
            case "resolve" if live:
                own = self.status is Status.AI_REPLYING and self.holder and number % 3 == 0
                resolver = self.holder if own else (None, "nadia")[number % 2]
                reason = "ai_resolved" if own else "resolved" if resolver else "auto_resolved"
                self.move(Status.RESOLVED, now, reason, resolver)
            case "reopen" if not live:
                self.move(Status.OPEN if number % 2 else Status.AI_REPLYING, now, "customer_message")
            case "close" if self.status is Status.RESOLVED:
                self.move(Status.CLOSED, now, "close_after")
            case "ask" if self.status is Status.RESOLVED and id not in self.surveys:
                self.surveys[id] = None
                self.survey(ConversationSurveyRequested, id, now)
                self.survey(ConversationSurveySent, id, now)
            case "rate" if id in self.surveys:
                self.survey(ConversationRated, id, now, rating=number + 1, previous=self.surveys[id], message_id="m")
                self.surveys[id] = number + 1
            case "end" if id in self.surveys:
                self.surveys.pop(id)
                failed = number % 2 == 0
                ended = {"outcome": "failed" if failed else "expired", "was_sent": failed}
                self.survey(ConversationSurveyEnded, id, now, **ended)

    def survey(self, model: type[ConversationEvent], id: str, now: datetime, **values: object) -> None:
        self.tell(model, now, survey_id=id, resolution=1, asked_at=MONDAY, **values)


@given(
    st.lists(
        st.tuples(st.sampled_from(get_args(Act)), st.integers(0, 3), st.timedeltas(timedelta(), timedelta(hours=30))),
        max_size=50,
    ),
    st.lists(st.tuples(st.sampled_from(["model", "tool"]), st.sampled_from(["answered", "budget"]), st.integers(0, 9))),
)
def test_what_ai_agents_did_is_what_the_chaos_check_counts_anew(
    history: list[tuple[Act, int, timedelta]], calls: list[tuple[str, str, int]]
) -> None:
    reports, spent, now = Reports(REPORTS_CONVERSATIONS, channel()), Reports(REPORTS_AI, channel()), MONDAY
    life = AiLife(reports)
    life.tell(ConversationOpened, MONDAY)
    for what, number, later in history:
        now += later
        life.act(what, number, now)
    values = {"request_id": "r", "conversation_id": "c1", "name": "n", "at": MONDAY}
    ended = [
        AiCallEnded.model_validate(
            {**values, "agent": f"bot{n % 2}", "call": call, "outcome": outcome, "tokens_in": n, "cost_micros": n * n}
        )
        for call, outcome, n in calls
    ]
    for call in ended:
        spent.tell(call, MONDAY)
    written: dict[Topic, list[tuple[str, Event]]] = {
        CONVERSATIONS: [(KEY, event) for event in life.events],
        AI_CALLS: [(KEY, event) for event in ended],
        REPORTS: [*reports.partials, *spent.partials],
    }
    assert list(check_reports(log_of(written))) == []


def log_of(written: Mapping[Topic, Sequence[tuple[str, Event]]]) -> History:
    """What a run would have left in Kafka."""
    messages: dict[Topic, list[Message]] = {}
    for topic, entries in written.items():
        for offset, (key, event) in enumerate(entries):
            value, headers = to_kafka(topic, Record(f"r{offset}", "/test", MONDAY, key, event))
            messages.setdefault(topic, []).append(Message(0, offset, 0, key.encode(), value, tuple(headers)))
    return History((), messages, {}, lambda _channel, _revision: channel(), Acknowledged({}, {}, {}), ())
