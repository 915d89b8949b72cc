"""The breaker: when sends of a channel pause, and when they resume."""

import logging

import pytest

from schemas.effects import SendRequest, SendResult
from streams.effects.breaker import PROBE_EVERY_S, THRESHOLD, Breaker
from streams.effects.contract import Done, Outcome, Postponed, Unknown


class Provider:
    """Answers by a script, and counts."""

    def __init__(self) -> None:
        self.answer: Outcome = Postponed()
        self.calls: list[str] = []

    async def perform(self, request: SendRequest) -> Outcome:
        self.calls.append(request.channel)
        return self.answer


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.provider = Provider()
        self.breaker = Breaker(self.provider.perform, lambda: self.now)

    async def send(self, answer: Outcome, channel: str = "shop") -> bool:
        """Whether the provider was called."""
        self.provider.answer = answer
        calls = len(self.provider.calls)
        outcome = await self.breaker.perform(request(channel))
        called = len(self.provider.calls) > calls
        assert outcome == (answer if called else Postponed())
        return called


def request(channel: str) -> SendRequest:
    return SendRequest(
        effect_id="e1",
        message_id="o1",
        conversation=f"{channel}:4915200000042",
        channel=channel,
        contact="4915200000042",
        kind="reply",
        via="session",
        text="Guten Tag",
    )


def done(result: SendResult) -> Done:
    return Done(result.model_dump(mode="json", exclude_defaults=True))


ACCEPTED = done(SendResult(answer="accepted", provider_message_id="p1", http_status=200))
REFUSED = done(SendResult(answer="refused", code=3002, http_status=400))
BROKEN = done(SendResult(answer="credentials", code=2001, http_status=401))
DOWN = done(SendResult(answer="retry", code=1000, http_status=500))
UNREACHABLE = done(SendResult(answer="retry"))
LIMITED = done(SendResult(answer="retry", http_status=429))
NO_LIST = done(SendResult(answer="template_unavailable"))
NOT_APPROVED = done(SendResult(answer="template_unavailable", code=4001, http_status=200))


async def test_broken_credentials_pause_their_channel_at_once_and_no_other() -> None:
    bench = Bench()
    assert await bench.send(BROKEN)
    assert bench.breaker.open == {"shop": "credentials"}
    assert not await bench.send(ACCEPTED)
    assert await bench.send(ACCEPTED, "office")
    assert bench.breaker.open == {"shop": "credentials"}


@pytest.mark.parametrize("failure", [DOWN, UNREACHABLE, Unknown(), NO_LIST])
async def test_failures_in_a_row_mean_that_the_provider_is_down(failure: Outcome) -> None:
    bench = Bench()
    for _ in range(THRESHOLD):
        assert bench.breaker.open == {}
        assert await bench.send(failure)
    assert bench.breaker.open == {"shop": "provider_down"}
    assert not await bench.send(ACCEPTED)


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, LIMITED, NOT_APPROVED])
async def test_a_provider_that_answers_is_not_down(answer: Outcome) -> None:
    bench = Bench()
    for _ in range(3 * THRESHOLD):
        await bench.send(DOWN)
        assert await bench.send(answer)
    assert bench.breaker.open == {}


async def test_a_call_that_was_not_tried_says_nothing_of_the_provider() -> None:
    bench = Bench()
    for _ in range(2 * THRESHOLD):
        await bench.send(Postponed())
    assert bench.breaker.open == {}


@pytest.mark.parametrize("failure", [BROKEN, DOWN])
async def test_a_pause_lets_one_probe_a_minute_through_and_ends_with_a_success(failure: Outcome) -> None:
    bench = Bench()
    for _ in range(THRESHOLD):
        await bench.send(failure)
    bench.now += PROBE_EVERY_S - 0.1
    assert not await bench.send(failure)
    bench.now += 0.1
    assert await bench.send(failure)
    assert not await bench.send(failure)
    bench.now += PROBE_EVERY_S
    assert await bench.send(ACCEPTED)
    assert bench.breaker.open == {}
    assert await bench.send(ACCEPTED)


async def test_a_provider_that_is_back_but_refuses_the_credentials_stays_paused_for_that() -> None:
    bench = Bench()
    for _ in range(THRESHOLD):
        await bench.send(DOWN)
    bench.now += PROBE_EVERY_S
    await bench.send(BROKEN)
    assert bench.breaker.open == {"shop": "credentials"}


async def test_a_pause_is_logged_once_by_channel_and_cause_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = Bench()
    await bench.send(BROKEN)
    bench.now += PROBE_EVERY_S
    await bench.send(BROKEN)
    bench.now += PROBE_EVERY_S
    await bench.send(ACCEPTED)
    assert [record.getMessage() for record in caplog.records] == [
        "channel shop: sending is paused: credentials",
        "channel shop: sending is resumed",
    ]
