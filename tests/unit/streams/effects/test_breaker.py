"""The breaker: when sends of a channel pause, and when they resume."""

import asyncio
import logging
from itertools import pairwise

import pytest

from schemas.effects import SendRequest, SendResult
from streams.effects.breaker import Breaker
from streams.effects.circuits import PROBE_EVERY_S, THRESHOLD
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
        assert outcome == answer if called else isinstance(outcome, Postponed)
        return called


def request(channel: str, id: str = "o1") -> SendRequest:
    return SendRequest(
        effect_id="e1",
        message_id=id,
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
LIMITED = done(SendResult(answer="retry", throttled="number", http_status=429))
RECIPIENT_LIMITED = done(SendResult(answer="retry", throttled="recipient", code=131056, http_status=400))
NO_LIST = done(SendResult(answer="template_unavailable", http_status=403))
TOO_LATE = done(SendResult(answer="window_closed"))


async def test_broken_credentials_pause_their_channel_at_once_and_no_other() -> None:
    bench = Bench()
    assert await bench.send(BROKEN)
    assert bench.breaker.open == {"shop": "credentials"}
    assert not await bench.send(ACCEPTED)
    assert await bench.send(ACCEPTED, "office")
    assert bench.breaker.open == {"shop": "credentials"}


@pytest.mark.parametrize("failure", [DOWN, UNREACHABLE, Unknown()])
async def test_failures_in_a_row_mean_that_the_provider_is_down(failure: Outcome) -> None:
    bench = Bench()
    for _ in range(THRESHOLD):
        assert bench.breaker.open == {}
        assert await bench.send(failure)
    assert bench.breaker.open == {"shop": "provider_down"}
    assert not await bench.send(ACCEPTED)


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, RECIPIENT_LIMITED])
async def test_a_provider_that_answers_is_not_down(answer: Outcome) -> None:
    bench = Bench()
    for _ in range(3 * THRESHOLD):
        await bench.send(DOWN)
        assert await bench.send(answer)
    assert bench.breaker.open == {}


@pytest.mark.parametrize("answer", [Postponed(), NO_LIST, TOO_LATE])
async def test_a_send_that_was_not_tried_says_nothing_of_the_provider(answer: Outcome) -> None:
    bench = Bench()
    for _ in range(2 * THRESHOLD):
        assert await bench.send(answer)
    assert bench.breaker.open == {}


async def test_a_number_that_is_refused_for_its_speed_sends_one_message_at_a_time() -> None:
    bench = Bench()
    for _ in range(THRESHOLD - 1):
        await bench.send(DOWN)
    assert await bench.send(LIMITED)
    assert bench.breaker.open == {"shop": "throttled"}, "it is not down"
    assert await bench.send(ACCEPTED, "office")
    for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
        bench.now += seconds - 0.1
        assert not await bench.send(LIMITED)
        bench.now += 0.1
        assert await bench.send(LIMITED)
        assert not await bench.send(LIMITED)
    assert bench.breaker.open == {"shop": "throttled"}


async def test_a_number_gets_faster_while_its_messages_are_taken_and_then_is_paced_no_longer() -> None:
    bench = Bench()
    await bench.send(LIMITED)
    taken = []
    for _ in range(10_000):
        bench.now += 0.01
        if await bench.send(ACCEPTED):
            taken.append(bench.now)
    distances = [later - earlier for earlier, later in pairwise(taken)]
    assert distances[:3] == pytest.approx([0.5, 0.25, 0.13], abs=0.02)
    assert distances[1000] == pytest.approx(0.02)
    assert bench.breaker.open == {}
    assert distances[-1] == pytest.approx(0.01), "as fast as they come"


async def test_what_was_under_way_when_a_number_was_slowed_down_slows_it_no_further() -> None:
    bench = Bench()
    held, under_way = asyncio.Event(), []

    async def perform(_request: SendRequest) -> Outcome:
        await held.wait()
        return LIMITED

    breaker = Breaker(perform, lambda: bench.now)
    under_way = [asyncio.create_task(breaker.perform(request("shop"))) for _ in range(20)]
    await asyncio.sleep(0)
    bench.now += 1
    held.set()
    await asyncio.gather(*under_way)
    bench.now += 1
    assert await breaker.perform(request("shop")) == LIMITED


async def test_a_retry_after_holds_the_whole_channel_and_says_when_to_come_back() -> None:
    bench = Bench()
    await bench.send(done(SendResult(answer="retry", throttled="number", retry_after_s=30, http_status=429)))
    waits = [await bench.breaker.perform(request("shop", f"o{number}")) for number in range(40)]
    seconds = [wait.after_s for wait in waits if isinstance(wait, Postponed) and wait.after_s is not None]
    assert len(seconds) == 40
    assert min(seconds) >= 30
    assert len({round(one) for one in seconds}) > 10, "they do not come back together"
    bench.now += 30
    assert await bench.send(ACCEPTED)


async def test_a_paced_number_that_sends_nothing_for_long_is_paced_no_longer() -> None:
    bench = Bench()
    await bench.send(LIMITED)
    bench.now += 302
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
