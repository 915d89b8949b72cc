"""The schedule and the load repeat with their seed, and every kind of fault has its turn."""

import pytest

from tests.chaos.load import LANES, Rates, callback
from tests.chaos.points import Point
from tests.chaos.schedule import LAST_S, STOP_POINTS, Kind, Limits, draw


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert draw(7, 600, Limits()) == draw(7, 600, Limits())
    assert draw(7, 600, Limits()) != draw(8, 600, Limits())


def test_half_an_hour_has_two_hundred_faults_of_every_kind() -> None:
    schedule = draw(1, 1800, Limits())
    assert len(schedule) >= 200
    assert {fault.kind for fault in schedule} == set(Kind)
    assert {fault.point for fault in schedule if fault.kind is Kind.KILL_AT} == set(Point)
    assert {fault.point for fault in schedule if fault.kind is Kind.STOP_AT} == set(STOP_POINTS)


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
        lanes.setdefault(callback(number)[1], set()).add(number % LANES)
    assert all(len(used) == 1 for used in lanes.values())
    assert len(lanes) > 500


def test_no_load_is_refused() -> None:
    with pytest.raises(ValueError, match="0 callbacks a second"):
        Rates(0)
