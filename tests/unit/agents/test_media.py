"""The stage that fetches customers' files."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.media import GIVE_UP, MEDIA, TELL_AFTER
from agents.queue import KEEP
from schemas.effects import MediaRequest, MediaResult
from schemas.event import Event
from schemas.events.conversation import Media
from schemas.events.inbox import MediaEnd, MediaFailed, MediaStored
from schemas.events.media import MediaRequested
from schemas.events.sending import EffectEnded
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import INBOX
from streams.state import Changes, TaskState
from streams.step import Due, Step, step

KEY = "kiosk:4915200000077"
NOON = datetime(2026, 4, 14, 12, 0, tzinfo=UTC)
STORED = MediaResult(answer="stored", file="in/kiosk/a.jpg", mime_type="image/jpeg", size=9, sha256="0" * 64)
NOT_FOUND = MediaResult(answer="missing", reason="not_found")
UNREACHABLE = MediaResult(answer="later", reason="unreachable")
UNSUPPORTED = MediaResult(answer="refused", reason="unsupported")

Answer = MediaResult | Literal["unknown", "postponed"]


def no_settings(channel: str, revision: int) -> ChannelSettings:
    raise LookupError(channel)


def requested(message: str, index: int = 0) -> MediaRequested:
    return MediaRequested(conversation_id="c1", message_id=message, index=index, media=Media(id=f"{message}-{index}"))


class Bench:
    """The stage on one key; time passes only when asked."""

    def __init__(self) -> None:
        self.state = TaskState()
        self.now = NOON
        self.records = 0
        self.attempts: list[str] = []
        self.in_flight: MediaRequest | None = None
        self.reported: list[MediaEnd] = []

    def take(self, event: Event) -> list[MediaEnd]:
        """What the stage wrote about the event."""
        self.records += 1
        record = Record(f"r{self.records}", "/test", self.now, KEY, event)
        return self._commit(step(MEDIA, self.state, record, no_settings))

    def end(self, answer: Answer) -> list[MediaEnd]:
        """End the attempt in flight."""
        assert self.in_flight is not None
        effect, self.in_flight = self.in_flight.effect_id, None
        if isinstance(answer, MediaResult):
            return self.take(EffectEnded(effect_id=effect, outcome="done", result=answer.model_dump(mode="json")))
        return self.take(EffectEnded(effect_id=effect, outcome=answer))

    def wait(self, time: timedelta) -> list[MediaEnd]:
        """Let time pass: due timers fire."""
        self.now += time
        return self._commit(step(MEDIA, self.state, Due(KEY, self.now), no_settings))

    def retry(self) -> list[MediaEnd]:
        """Let time pass until the next attempt."""
        ends: list[MediaEnd] = []
        while self.in_flight is None:
            deadline = self.state.next_deadline()
            assert deadline is not None
            ends += self.wait(max(timedelta(), deadline - self.now))
        return ends

    def _commit(self, made: Step) -> list[MediaEnd]:
        assert made.failure is None
        changes = Changes(self.state)
        for name, value in made.rows.items():
            changes.write(KEY, name, value)
        changes.commit(self.state)
        for one in made.effects:
            request = one.effect.request
            assert isinstance(request, MediaRequest)
            assert (one.effect.id, request.channel) == (request.effect_id, "kiosk")
            self.in_flight = request
            self.attempts.append(f"{request.message_id}/{request.index}")
        assert all((outgoing.topic, outgoing.key) == (INBOX, KEY) for outgoing in made.outgoing)
        reported = [outgoing.record.event for outgoing in made.outgoing]
        ends = [event for event in reported if isinstance(event, MediaEnd)]
        assert len(ends) == len(reported)
        self.reported += ends
        return ends

    def rows(self) -> list[str]:
        return [name for name in self.state.names(KEY, "") if name and not name.startswith("seen/")]


def failed(message: str, reason: str, *, final: bool, index: int = 0) -> MediaFailed:
    return MediaFailed(conversation_id="c1", message_id=message, index=index, reason=reason, final=final)


def test_a_file_is_fetched_and_its_storing_reported() -> None:
    bench = Bench()
    assert bench.take(requested("m1")) == []
    assert bench.in_flight is not None
    assert bench.in_flight.media == Media(id="m1-0")
    assert bench.end(STORED) == [
        MediaStored(
            conversation_id="c1",
            message_id="m1",
            index=0,
            file="in/kiosk/a.jpg",
            mime_type="image/jpeg",
            size=9,
            sha256="0" * 64,
        )
    ]
    assert bench.rows() == []


def test_what_can_t_be_fetched_is_reported_at_once() -> None:
    bench = Bench()
    bench.take(requested("m1"))
    assert bench.end(UNSUPPORTED) == [failed("m1", "unsupported", final=True)]
    assert bench.rows() == []


def test_a_file_that_is_not_there_yet_is_asked_for_again_soon() -> None:
    """Twilio answers 404 in the first seconds."""
    bench = Bench()
    bench.take(requested("m1", 0))
    bench.take(requested("m1", 1))
    assert bench.end(NOT_FOUND) == []
    assert bench.attempts == ["m1/0", "m1/1"]
    assert [end.index for end in bench.end(STORED)] == [1]
    bench.retry()
    bench.end(NOT_FOUND)
    bench.retry()
    assert bench.now - NOON < timedelta(seconds=10)
    assert [type(end) for end in bench.end(STORED)] == [MediaStored]
    assert bench.attempts == ["m1/0", "m1/1", "m1/0", "m1/0"]
    assert bench.rows() == []


@pytest.mark.parametrize(("answer", "limit"), [(NOT_FOUND, GIVE_UP["missing"]), (UNREACHABLE, GIVE_UP["later"])])
def test_a_file_that_stays_away_is_told_to_be_missing_once_and_given_up_in_the_end(
    answer: MediaResult, limit: timedelta
) -> None:
    bench = Bench()
    bench.take(requested("m1"))
    told_after = None
    while bench.in_flight is not None:
        for end in bench.end(answer):
            told_after = told_after or bench.now - NOON
            assert end == failed("m1", answer.reason, final=end is bench.reported[-1] and len(bench.reported) == 2)
        if bench.rows():
            bench.retry()
    assert told_after is not None
    assert TELL_AFTER <= told_after <= 3 * TELL_AFTER
    assert limit <= bench.now - NOON <= 2 * limit
    assert [end.final for end in bench.reported if isinstance(end, MediaFailed)] == [False, True]
    assert bench.rows() == []


def test_a_file_that_was_told_to_be_missing_may_still_come() -> None:
    bench = Bench()
    bench.take(requested("m1"))
    while not bench.end(UNREACHABLE):
        bench.retry()
    bench.retry()
    assert [type(end) for end in bench.end(STORED)] == [MediaStored]


@pytest.mark.parametrize("answer", ["unknown", "postponed"])
def test_an_attempt_of_which_nothing_is_known_is_made_again(answer: Answer) -> None:
    bench = Bench()
    bench.take(requested("m1"))
    assert bench.end(answer) == []
    bench.retry()
    assert len(bench.end(STORED)) == 1


def test_what_is_postponed_is_never_given_up() -> None:
    bench = Bench()
    bench.take(requested("m1"))
    bench.now += timedelta(days=30)
    bench.end("postponed")
    assert all(not end.final for end in bench.reported if isinstance(end, MediaFailed))
    assert bench.rows() != []


def test_a_request_that_is_doubled_is_fetched_once() -> None:
    bench = Bench()
    for _ in range(2):
        bench.take(requested("m1"))
        bench.take(requested("m2"))
    bench.end(STORED)
    bench.end(STORED)
    bench.take(requested("m1"))
    assert bench.attempts == ["m1/0", "m2/0"]


def test_an_end_that_nobody_waits_for_is_ignored() -> None:
    bench = Bench()
    bench.take(requested("m1"))
    assert bench.take(EffectEnded(effect_id="another", outcome="unknown")) == []
    assert bench.end(STORED) != []


def test_nothing_is_left_of_a_file_in_the_end() -> None:
    bench = Bench()
    bench.take(requested("m1"))
    bench.end(STORED)
    bench.wait(KEEP + timedelta(days=1))
    assert list(bench.state.names(KEY, "")) == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([STORED, NOT_FOUND, UNREACHABLE, UNSUPPORTED, "unknown", "postponed"]), max_size=6),
        max_size=6,
    )
)
def test_every_file_is_stored_or_given_up_exactly_once(script: list[list[Answer]]) -> None:
    bench = Bench()
    for number, answers in enumerate(script):
        bench.take(requested(f"m{number}"))
        for answer in answers:
            if bench.in_flight is None and bench.rows():
                bench.retry()
            if bench.in_flight is not None:
                bench.end(answer)
    while bench.rows():
        if bench.in_flight is None:
            bench.retry()
        else:
            bench.end(STORED)
    over = [end.message_id for end in bench.reported if isinstance(end, MediaStored) or getattr(end, "final", False)]
    assert sorted(over) == sorted(f"m{number}" for number in range(len(script)))
    told = [end.message_id for end in bench.reported if isinstance(end, MediaFailed) and not end.final]
    assert len(told) == len(set(told))
