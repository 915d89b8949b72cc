"""The schedule and the load repeat with their seed, and every kind of fault has its turn."""

import random
from pathlib import Path

import pytest

from tests.chaos.administration import draw_change
from tests.chaos.load import LANES, Rates, message
from tests.chaos.points import CALLS, Point
from tests.chaos.reading import broker_errors
from tests.chaos.schedule import LAST_S, STAGES, STOP_POINTS, Kind, Limits, draw


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert draw(7, 600, Limits()) == draw(7, 600, Limits())
    assert draw(7, 600, Limits()) != draw(8, 600, Limits())


def test_half_an_hour_has_two_hundred_faults_of_every_kind() -> None:
    schedule = draw(1, 1800, Limits())
    assert len(schedule) >= 200
    assert {fault.kind for fault in schedule} == set(Kind)
    assert {fault.point for fault in schedule if fault.kind is Kind.KILL_AT} == set(Point)
    assert {fault.point for fault in schedule if fault.kind is Kind.STOP_AT} == set(STOP_POINTS)


def test_every_stage_has_its_turn_and_calls_are_interrupted_where_calls_are_made() -> None:
    schedule = draw(1, 3600, Limits(per_minute=20))
    assert {fault.stage for fault in schedule if fault.point is not None} == set(STAGES)
    assert {fault.stage for fault in schedule if fault.point in CALLS} == {"delivery", "ai"}


def test_faults_come_in_order_and_end_before_the_load() -> None:
    times = [fault.at for fault in draw(3, 300, Limits(per_minute=20))]
    assert times == sorted(times)
    assert times[-1] < 300 - LAST_S


def test_an_outage_is_as_long_as_allowed() -> None:
    outages = [fault.seconds for fault in draw(5, 3600, Limits(outage_s=60)) if fault.kind is Kind.PAUSE_BROKER]
    assert max(outages) <= 60
    assert min(outages) >= 20


def test_a_customers_callbacks_are_posted_in_order_by_one_lane() -> None:
    lanes: dict[str, set[int]] = {}
    for number in range(5_000):
        lanes.setdefault(message(number)[1].customer.contact, set()).add(number % LANES)
    assert all(len(used) == 1 for used in lanes.values())
    assert len(lanes) > 500


def test_no_load_is_refused() -> None:
    with pytest.raises(ValueError, match="0 callbacks a second"):
        Rates(0)


def test_the_administrator_changes_everything_that_there_is_to_change() -> None:
    rng = random.Random(1)
    paths = {change.path for _ in range(500) for change in draw_change(rng)}
    assert {f"/channels/wa{number}/settings" for number in range(4)} <= paths
    assert {"/channels/wa4/settings", "/accounts/acme1/ai-agents/gpt"} <= paths
    assert {"/accounts/acme1/agents/a6", "/accounts/acme0/agents/a6/memberships", "/channels/wa0/agents/a4"} <= paths


def test_errors_in_kafka_s_logs_are_counted_by_what_they_say(tmp_path: Path) -> None:
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    first.write_text(
        "2026-04-07 10:00:00.001 [main] WARN k.Log - careful\n2026-04-07 10:00:00.002 [main] ERROR k.Log - id 17\n"
    )
    second.write_text("2026-04-07 10:00:09.000 [main] ERROR k.Log - id 4\n\tat kafka.Log\n")
    assert broker_errors([first, second]) == {"k.Log - id #": 2}
