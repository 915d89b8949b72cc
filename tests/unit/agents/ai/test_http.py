"""The stage, with an AI agent that the account runs itself."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ai.decide import AI
from agents.ai.http import ATTEMPTS
from agents.queue import KEEP
from schemas.effects import AiMessage, AiQuestion, AiRequest, AiResult
from schemas.event import Event
from schemas.events.ai import AiRequested
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import EffectEnded
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import INBOX
from streams.state import Changes, TaskState
from streams.step import Due, Step, step

KEY = "kiosk:4915200000077"
NOON = datetime(2026, 4, 14, 12, 0, tzinfo=UTC)
HANDOFF, ERROR = AiResult(answer="handoff"), AiResult(answer="error")

Answer = AiResult | Literal["unknown", "postponed"]


def no_agents(channel: str, revision: int) -> ChannelSettings:
    """A channel that lists no agent of the account."""
    return ChannelSettings(id=channel, phone_number="+4930901820")


def requested(number: int, conversation: str = "c1") -> AiRequested:
    return AiRequested(
        request_id=f"q{number}",
        conversation_id=conversation,
        agent="robot",
        message_id=f"m{number}",
        kind="text",
        text=f"question {number}",
        at=NOON,
    )


def text(answer: str) -> AiResult:
    return AiResult(answer="text", text=answer)


class Bench:
    """The stage on one key; time passes only when asked."""

    def __init__(self) -> None:
        self.state = TaskState()
        self.now = NOON
        self.records = 0
        self.attempts: list[AiRequest] = []
        self.in_flight: AiRequest | None = None
        self.reported: list[Event] = []

    def take(self, event: Event) -> list[Event]:
        """What the stage wrote about the event."""
        self.records += 1
        return self._commit(step(AI, self.state, Record(f"r{self.records}", "/test", self.now, KEY, event), no_agents))

    def end(self, answer: Answer) -> list[Event]:
        """End the attempt in flight."""
        assert self.in_flight is not None
        effect, self.in_flight = self.in_flight.effect_id, None
        if isinstance(answer, AiResult):
            return self.take(EffectEnded(effect_id=effect, outcome="done", result=answer.model_dump(mode="json")))
        return self.take(EffectEnded(effect_id=effect, outcome=answer))

    def wait(self, time: timedelta) -> list[Event]:
        """Let time pass: due timers fire."""
        self.now += time
        return self._commit(step(AI, self.state, Due(KEY, self.now), no_agents))

    def _commit(self, made: Step) -> list[Event]:
        assert made.failure is None
        changes = Changes(self.state)
        for name, value in made.rows.items():
            changes.write(KEY, name, value)
        changes.commit(self.state)
        for requested in made.effects:
            assert isinstance(requested.effect.request, AiRequest)
            assert requested.effect.id == requested.effect.request.effect_id
            self.in_flight = requested.effect.request
            self.attempts.append(self.in_flight)
        assert all((outgoing.topic, outgoing.key) == (INBOX, KEY) for outgoing in made.outgoing)
        reported = [outgoing.record.event for outgoing in made.outgoing]
        self.reported += reported
        return reported

    @property
    def asked(self) -> list[str]:
        """The request of each attempt."""
        return [attempt.question.request_id for attempt in self.attempts]

    def rows(self) -> list[str]:
        return [name for name in self.state.names(KEY, "") if name and not name.startswith("seen/")]


def test_a_request_is_asked_and_its_answer_reported() -> None:
    bench = Bench()
    assert bench.take(requested(1)) == []
    assert [attempt.question for attempt in bench.attempts] == [
        AiQuestion(
            request_id="q1",
            conversation="c1",
            channel="kiosk",
            agent="robot",
            message=AiMessage(id="m1", kind="text", text="question 1"),
        )
    ]
    assert bench.end(text("It opens at nine.")) == [
        AiAnswered(request_id="q1", conversation_id="c1", text="It opens at nine.")
    ]
    assert bench.rows() == []


@pytest.mark.parametrize(
    ("result", "end"),
    [
        (HANDOFF, AiHandedOver(request_id="q1", conversation_id="c1")),
        (ERROR, AiFailed(request_id="q1", conversation_id="c1")),
    ],
)
def test_a_hand_over_and_a_failure_are_reported_at_once(result: AiResult, end: AiEnd) -> None:
    bench = Bench()
    bench.take(requested(1))
    assert bench.end(result) == [end]
    assert bench.rows() == []


def test_questions_are_asked_one_at_a_time_and_in_order() -> None:
    bench = Bench()
    for number in range(1, 13):
        bench.take(requested(number))
    assert bench.asked == ["q1"]
    for number in range(1, 13):
        bench.end(text(f"answer {number}"))
    assert bench.asked == [f"q{number}" for number in range(1, 13)]
    assert [end.text for end in bench.reported if isinstance(end, AiAnswered)] == [f"answer {n}" for n in range(1, 13)]
    assert bench.rows() == []


@pytest.mark.parametrize("doubt", ["unknown", "postponed"])
def test_a_question_without_an_answer_is_asked_again_with_a_growing_pause(
    doubt: Literal["unknown", "postponed"],
) -> None:
    bench = Bench()
    bench.take(requested(1))
    assert bench.end(doubt) == []
    bench.wait(timedelta(seconds=1.9))
    assert bench.asked == ["q1"]
    bench.wait(timedelta(seconds=0.1))
    bench.end(doubt)
    bench.wait(timedelta(seconds=3.9))
    assert bench.asked == ["q1", "q1"]
    bench.wait(timedelta(seconds=0.1))
    assert bench.asked == ["q1", "q1", "q1"]
    assert len({attempt.effect_id for attempt in bench.attempts}) == ATTEMPTS
    assert bench.end(text("At last.")) == [AiAnswered(request_id="q1", conversation_id="c1", text="At last.")]


def test_after_three_attempts_it_has_failed() -> None:
    bench = Bench()
    bench.take(requested(1))
    for _ in range(ATTEMPTS - 1):
        assert bench.end("unknown") == []
        bench.wait(timedelta(minutes=1))
    assert bench.end("postponed") == [AiFailed(request_id="q1", conversation_id="c1")]
    assert bench.rows() == []
    bench.wait(timedelta(hours=1))
    assert len(bench.attempts) == ATTEMPTS


def test_each_request_has_its_own_three_attempts() -> None:
    bench = Bench()
    bench.take(requested(1))
    bench.take(requested(2))
    bench.end("unknown")
    bench.wait(timedelta(minutes=1))
    bench.end(text("One."))
    for _ in range(ATTEMPTS - 1):
        assert bench.end("unknown") == []
        bench.wait(timedelta(minutes=1))
    assert bench.end(text("Two.")) == [AiAnswered(request_id="q2", conversation_id="c1", text="Two.")]


def test_a_question_that_comes_during_a_pause_does_not_overtake() -> None:
    bench = Bench()
    bench.take(requested(1))
    bench.end("unknown")
    bench.take(requested(2))
    assert bench.asked == ["q1"]
    bench.wait(timedelta(minutes=1))
    bench.end(text("One."))
    assert bench.asked == ["q1", "q1", "q2"]


@pytest.mark.parametrize("result", [HANDOFF, ERROR])
def test_a_conversation_that_goes_to_a_human_has_no_more_questions(result: AiResult) -> None:
    bench = Bench()
    for number, conversation in ((1, "c1"), (2, "c1"), (3, "c2"), (4, "c1"), (5, "c2")):
        bench.take(requested(number, conversation))
    bench.end(result)
    bench.end(text("Three."))
    bench.end(text("Five."))
    assert bench.asked == ["q1", "q3", "q5"]
    assert bench.rows() == []


def test_a_conversation_that_is_given_back_to_it_is_answered_again() -> None:
    bench = Bench()
    bench.take(requested(1))
    bench.end(HANDOFF)
    bench.take(requested(2))
    assert bench.end(text("Here I am.")) == [AiAnswered(request_id="q2", conversation_id="c1", text="Here I am.")]


def test_a_request_that_is_doubled_is_asked_once() -> None:
    bench = Bench()
    bench.take(requested(1))
    bench.take(requested(1))
    bench.take(requested(2))
    bench.take(requested(2))
    bench.end(text("One."))
    bench.end(text("Two."))
    bench.take(requested(1))
    assert bench.asked == ["q1", "q2"]


def test_an_end_that_nobody_waits_for_is_ignored() -> None:
    bench = Bench()
    bench.take(requested(1))
    assert bench.take(EffectEnded(effect_id="another", outcome="unknown")) == []
    assert bench.end(text("One.")) != []


def test_the_ai_queue_is_empty_in_the_end() -> None:
    bench = Bench()
    bench.take(requested(1))
    bench.end(text("One."))
    bench.wait(KEEP + timedelta(days=1))
    assert list(bench.state.names(KEY, "")) == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2), st.lists(st.sampled_from([text("Yes."), HANDOFF, ERROR, "unknown", "postponed"])))
    )
)
def test_every_request_is_asked_in_order_until_it_ends_or_its_conversation_goes(
    script: list[tuple[int, list[Answer]]],
) -> None:
    bench = Bench()

    def drive(answer: Answer) -> None:
        if bench.in_flight is None:
            bench.wait(timedelta(minutes=1))
        if bench.in_flight is not None:
            bench.end(answer)

    for number, (conversation, answers) in enumerate(script):
        bench.take(requested(number, f"c{conversation}"))
        for answer in answers:
            drive(answer)
    while bench.rows():
        drive(text("Yes."))
    first = list(dict.fromkeys(bench.asked))
    ended = [end.request_id for end in bench.reported if isinstance(end, AiEnd)]
    assert ended == first == sorted(first, key=lambda id: int(id[1:]))
    assert all(bench.asked.count(id) <= ATTEMPTS for id in first)
    left = {end.conversation_id for end in bench.reported if isinstance(end, AiHandedOver | AiFailed)}
    unasked = {n for n in range(len(script)) if f"q{n}" not in first}
    assert all(f"c{script[number][0]}" in left for number in unasked)
