"""What GPT agents have spent today: by the records of all processes, and by this one's before they are there."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.effects import GptResult
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.record import Record, encode
from schemas.settings.ai import AiLimits
from streams.effects.runner import end_id
from streams.effects.spending import STAGE, Spending
from streams.topology import TOPOLOGY
from tests.support.ai_calls import NOW, asking


class Bench:
    def __init__(self) -> None:
        self.now = NOW
        self.spending = Spending(lambda: self.now)

    def read(
        self,
        tokens: int,
        cost: int = 0,
        *,
        effect: str = "x",
        channel: str = "kiosk",
        agent: str = "helper",
        at: datetime | None = None,
        replayed_for: str | None = None,
    ) -> None:
        """A record of ai-calls comes."""
        event: Event = AiCallEnded(
            request_id="q1",
            conversation_id="t1",
            agent=agent,
            call="model",
            name="m",
            outcome="answered",
            tokens_in=tokens,
            cost_micros=cost,
            at=at or self.now,
        )
        record = Record(
            "r",
            "/livedesk/ai",
            self.now,
            f"{channel}:34600",
            event,
            causation_id=end_id(STAGE, effect),
            replayed_for=replayed_for,
        )
        self.spending.apply(record.subject.encode(), encode(record))

    def spend(self, tokens: int, cost: int = 0, *, number: int = 1) -> None:
        """A call of this process ends."""
        self.spending.add(asking(number), GptResult(answer="answered", tokens_out=tokens, cost_micros=cost))

    def left(self, tokens: int) -> bool:
        """Whether there are some left of a budget of so many tokens."""
        return not self.spending.is_used_up(("kiosk", "shop"), "helper", AiLimits(tokens_a_day=tokens))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_calls_of_all_processes_and_all_channels_of_the_account_count(bench: Bench) -> None:
    bench.read(30)
    bench.read(20, channel="shop")
    bench.read(1000, channel="of-another-account")
    bench.read(1000, agent="another")
    assert (bench.left(51), bench.left(50)) == (True, False)


def test_a_call_counts_once_before_and_after_its_record_comes(bench: Bench) -> None:
    bench.spend(30)
    assert (bench.left(31), bench.left(30)) == (True, False)
    bench.read(30, effect="e1")
    assert (bench.left(31), bench.left(30)) == (True, False)


def test_a_cost_is_compared_in_the_currency_of_the_prices(bench: Bench) -> None:
    bench.read(1, 1_500_000)
    limits = [AiLimits(cost_a_day=Decimal(limit)) for limit in ("1.500001", "1.5")]
    assert [bench.spending.is_used_up(("kiosk",), "helper", limit) for limit in limits] == [False, True]


def test_a_day_begins_at_midnight_utc(bench: Bench) -> None:
    assert bench.spending.begin() == datetime(2026, 6, 1, tzinfo=UTC)
    bench.read(30, at=NOW - timedelta(days=1))
    assert bench.left(1)
    bench.read(30)
    bench.spend(30)
    bench.now = datetime(2026, 6, 2, tzinfo=UTC)
    assert bench.left(1)
    bench.read(5, at=NOW)
    assert bench.left(1)


def test_what_was_replayed_or_can_not_be_read_does_not_count(bench: Bench) -> None:
    bench.read(30, replayed_for="reports")
    bench.spending.apply(b"kiosk:34600", b"nonsense")
    bench.spending.apply(b"kiosk:34600", None)
    assert bench.left(1)


def test_without_limits_nothing_is_used_up(bench: Bench) -> None:
    bench.read(10**9, 10**9)
    assert not bench.spending.is_used_up(("kiosk",), "helper", AiLimits())


def test_the_stage_is_one_of_ours() -> None:
    assert STAGE in {stage.name for stage in TOPOLOGY}
