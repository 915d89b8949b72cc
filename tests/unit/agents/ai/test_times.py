"""Times inside business hours that may be proposed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ai.times import propose_times
from schemas.settings.business_hours import BusinessHours

MADRID = BusinessHours.model_validate(
    {
        "enabled": True,
        "timezone": "Europe/Madrid",
        "week": {"mon": [["09:00", "11:00"]], "wed": [["16:00", "18:00"]]},
        "holidays": ["2026-06-08"],
    }
)
MONDAY = datetime(2026, 6, 1, 6, 10, tzinfo=UTC)


def test_the_next_times_are_inside_business_hours() -> None:
    assert propose_times(MADRID, MONDAY, None) == (
        "Inside business hours (Europe/Madrid): Monday 2026-06-01 09:00, Monday 2026-06-01 10:00,"
        " Wednesday 2026-06-03 16:00."
    )


@pytest.mark.parametrize(
    ("wanted", "first", "fits"),
    [
        ("2026-06-03T16:30", "Wednesday 2026-06-03 16:30", True),
        ("2026-06-03T14:30:00+00:00", "Wednesday 2026-06-03 16:30", True),
        ("2026-06-04T10:00", "Wednesday 2026-06-10 16:00", False),
        ("2026-06-08T09:00", "Wednesday 2026-06-10 16:00", False),
        ("2020-01-01T10:00", "Monday 2026-06-01 09:00", False),
        ("9999-12-31T23:59", "Monday 2026-06-01 09:00", False),
        ("tomorrow", "Monday 2026-06-01 09:00", True),
    ],
)
def test_a_wanted_time_is_taken_where_it_can_be_had(wanted: str, first: str, fits: bool) -> None:
    said = propose_times(MADRID, MONDAY, wanted)
    assert f"(Europe/Madrid): {first}" in said
    assert ("can not be had" in said) is not fits


def test_a_channel_that_never_opens_has_no_times() -> None:
    assert (
        propose_times(BusinessHours(enabled=True), MONDAY, None) == "There are no business hours to propose a time in."
    )


def test_a_channel_that_never_closes_has_any() -> None:
    assert "Monday 2026-06-01 07:00" in propose_times(BusinessHours(), MONDAY, None)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400 * 24 * 60), st.text(max_size=20))
def test_whatever_is_wanted_there_are_times(minutes: int, wanted: str) -> None:
    assert "Inside business hours" in propose_times(MADRID, MONDAY + timedelta(minutes=minutes), wanted)
