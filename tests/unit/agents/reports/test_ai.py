"""reports: what AI agents did in conversations, and what their calls came to."""

from datetime import datetime, timedelta

import pytest

from agents.reports.ai import REPORTS_AI, Held
from agents.reports.conversations import REPORTS_CONVERSATIONS, Round
from agents.stage import SHARED_ROWS
from schemas.events.ai import AiCallEnded
from schemas.events.conversation import (
    Assignee,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Header,
    Status,
)
from schemas.events.reports import bucket_of
from tests.support.reports import DAY, MONDAY, Reports, Talk, channel, minutes

BOT = Assignee(kind="ai", id="bot")
HUMAN = Assignee(kind="human", id="nadia")


class AiTalk(Talk):
    """A conversation that `bot` holds while it is AI-Replying, and keeps when it is resolved."""

    assignee: Assignee | None = None

    def header(self, status: Status | None = None, **values: object) -> Header:
        return super().header(status, **{"assignee": self.assignee, **values})

    def taken(self, at: datetime, bot: str = "bot") -> "AiTalk":
        """The AI agent takes it."""
        self.assignee = Assignee(kind="ai", id=bot)
        self.tell(ConversationRouted(header=self.header(Status.AI_REPLYING), first=True), at)
        return self

    def given(
        self, at: datetime, reason: str, by: str | None = None, to: Assignee | None = None, why: str | None = None
    ) -> "AiTalk":
        """It leaves the AI agent."""
        self.assignee = to
        values = {"previous": Status.AI_REPLYING, "by": by, "reason": reason, "why": why}
        self.tell(ConversationStatusChanged.model_validate({"header": self.header(Status.OPEN), **values}), at)
        return self

    def resolve_itself(self, at: datetime) -> None:
        """The AI agent that holds it resolves it."""
        assert self.assignee is not None
        self.move(Status.RESOLVED, at, self.assignee.id, "ai_resolved")


@pytest.fixture
def reports() -> Reports:
    return Reports(REPORTS_CONVERSATIONS, channel())


def held(reports: Reports, number: int) -> AiTalk:
    """A conversation whose customer has written, and that the AI agent holds."""
    talk = AiTalk(reports, f"c{number}")
    talk.open(MONDAY)
    talk.write(MONDAY)
    return talk.taken(MONDAY)


def of_ai(reports: Reports) -> dict[tuple[str | None, str], int]:
    return {(agent, measure): number for (day, agent, measure), number in reports.of("ai").items() if day == DAY}


def test_who_resolved_is_told_apart_and_who_never_answered_is_in_no_denominator(reports: Reports) -> None:
    """X03."""
    held(reports, 1).resolve(MONDAY + minutes(5), None)
    held(reports, 2).resolve(MONDAY + minutes(5), "nadia")
    held(reports, 3).resolve_itself(MONDAY + minutes(5))
    begun = AiTalk(reports, "c4")
    begun.open(MONDAY, by="agent")
    begun.send(MONDAY, "nadia")
    begun.taken(MONDAY).resolve(MONDAY + minutes(5), None)
    assert of_ai(reports) == {
        ("bot", "held"): 3,
        ("bot", "resolved_automatically"): 1,
        ("bot", "resolved_by_people"): 1,
        ("bot", "resolved"): 1,
    }
    assert {m: n for (_, agent, m), n in reports.of("conversations").items() if agent is None} == {
        "opened": 4,
        "resolved_automatically": 2,
        "resolved_by_ai": 1,
    }
    assert {m: n for (_, agent, m), n in reports.of("conversations").items() if agent == "nadia"} == {"resolved": 1}


def test_it_is_not_alone_where_a_person_wrote(reports: Reports) -> None:
    talk = held(reports, 1)
    talk.given(MONDAY, "taken_over", "nadia", HUMAN)
    talk.send(MONDAY)
    talk.taken(MONDAY).resolve_itself(MONDAY)
    assert of_ai(reports) == {("bot", "held"): 1, ("bot", "taken_over"): 1, ("bot", "resolved_with_people"): 1}
    first = AiTalk(reports, "c2")
    first.open(MONDAY)
    first.write(MONDAY)
    first.send(MONDAY)
    first.taken(MONDAY).resolve_itself(MONDAY)
    assert of_ai(reports)["bot", "resolved_with_people"] == 2


def test_a_hand_over_counts_with_its_reason_and_the_end_is_people_s(reports: Reports) -> None:
    held(reports, 1).given(MONDAY, "ai_handed_over", why="anger").resolve(MONDAY, "nadia")
    held(reports, 2).given(MONDAY, "ai_handed_over")
    held(reports, 3).given(MONDAY, "ai_failed", why="no_answer")
    held(reports, 4).given(MONDAY, "handed_over", by="nadia")
    held(reports, 5).given(MONDAY, "assigned", by="nadia", to=HUMAN).resolve(MONDAY, None)
    assert of_ai(reports) == {
        ("bot", "held"): 5,
        ("bot", "handed_over:anger"): 1,
        ("bot", "handed_over:unsaid"): 1,
        ("bot", "handed_over:failed"): 1,
        ("bot", "taken_over"): 2,
    }


def test_a_reopening_takes_the_resolution_back_and_each_agent_holds_a_conversation_once(reports: Reports) -> None:
    talk = held(reports, 1)
    talk.resolve_itself(MONDAY)
    talk.move(Status.AI_REPLYING, MONDAY, reason="customer_message")
    assert of_ai(reports) == {("bot", "held"): 1}
    talk.taken(MONDAY, "echo").resolve_itself(MONDAY)
    assert of_ai(reports) == {("bot", "held"): 1, ("echo", "held"): 1, ("echo", "resolved"): 1}


def test_it_holds_a_conversation_only_from_its_customer_s_first_message_on(reports: Reports) -> None:
    talk = AiTalk(reports, "c1")
    talk.open(MONDAY, by="agent")
    talk.taken(MONDAY)
    assert of_ai(reports) == {}
    talk.write(MONDAY + minutes(1))
    assert of_ai(reports) == {("bot", "held"): 1}


def test_answers_and_its_first_responses_count_for_it(reports: Reports) -> None:
    talk = held(reports, 1)
    for later in (2, 3):
        talk.send(MONDAY + minutes(later), "bot", "ai")
    late = held(reports, 2)
    late.send(MONDAY + minutes(1))
    late.send(MONDAY + minutes(2), "bot", "ai")
    assert of_ai(reports) == {("bot", "held"): 2, ("bot", "answers"): 3}
    assert reports.of("ai_first_response") == {(DAY, "bot", str(bucket_of(minutes(2)))): 1}


def test_its_days_are_utc_s_whatever_the_channel_s_zone() -> None:
    reports = Reports(REPORTS_CONVERSATIONS, channel("Asia/Tokyo"))
    evening = MONDAY.replace(hour=20)
    talk = held(reports, 1)
    talk.send(evening, "bot", "ai")
    talk.resolve_itself(evening)
    assert {day for day, _, _ in reports.of("ai")} == {DAY}
    assert {day for day, _, _ in reports.of("conversations")} == {DAY, DAY + timedelta(days=1)}


def test_a_rating_is_of_the_agent_that_held_it_when_the_survey_was_asked(reports: Reports) -> None:
    talk = held(reports, 1)
    talk.resolve_itself(MONDAY)
    survey = {"survey_id": "s", "resolution": 1, "asked_at": MONDAY}

    def tell(model: type, at: datetime, **values: object) -> None:
        talk.tell(model.model_validate({"header": talk.header(), **survey, **values}), at)  # type: ignore[attr-defined]

    tell(ConversationSurveyRequested, MONDAY)
    tell(ConversationSurveySent, MONDAY)
    talk.move(Status.AI_REPLYING, MONDAY, reason="customer_message")
    tomorrow = MONDAY + timedelta(days=1)
    talk.taken(tomorrow, "echo").resolve_itself(tomorrow)
    tell(ConversationRated, tomorrow, rating=2, message_id="m")
    tell(ConversationRated, tomorrow, rating=5, previous=2, message_id="m")
    assert reports.of("ai_satisfaction") == {(DAY, "bot", "sent"): 1, (DAY, "bot", "rating_5"): 1}
    talk.close(tomorrow)
    tell(ConversationSurveyEnded, tomorrow, outcome="failed", was_sent=True)
    assert reports.of("ai_satisfaction") == {(DAY, "bot", "rating_5"): 1}
    assert reports.benches[0].row(SHARED_ROWS, "ai/c1", Held) is None


def test_a_conversation_of_people_alone_keeps_no_row_and_counts_nothing(reports: Reports) -> None:
    Talk(reports).open(MONDAY).write(MONDAY).send(MONDAY).resolve(MONDAY)
    assert reports.of("ai") == {}
    assert reports.benches[0].row(SHARED_ROWS, "ai/c1", Held) is None
    assert reports.benches[0].row(SHARED_ROWS, "round/c1", Round) is not None


def call(**values: object) -> AiCallEnded:
    ended = {"request_id": "r", "conversation_id": "c1", "agent": "bot", "call": "model", "name": "m-1", "at": MONDAY}
    return AiCallEnded.model_validate({**ended, "outcome": "answered", **values})


def test_calls_add_up_exactly_also_those_whose_answer_was_dropped() -> None:
    reports = Reports(REPORTS_AI, channel("Asia/Tokyo"))
    late = MONDAY.replace(hour=23)
    reports.tell(call(tokens_in=1200, tokens_out=80, cost_micros=333), MONDAY)
    reports.tell(call(tokens_in=1, tokens_out=2, cost_micros=1, used=False), MONDAY, partition=1)
    reports.tell(call(call="tool", name="order", outcome="unknown"), MONDAY)
    reports.tell(call(outcome="budget"), MONDAY)
    reports.tell(call(tokens_in=7, cost_micros=10**12, at=late), late + timedelta(hours=2))
    assert reports.of("ai_calls") == {
        (DAY, "bot", "model_calls"): 3,
        (DAY, "bot", "tool_calls"): 1,
        (DAY, "bot", "tokens_in"): 1208,
        (DAY, "bot", "tokens_out"): 82,
        (DAY, "bot", "cost_micros"): 10**12 + 334,
    }
