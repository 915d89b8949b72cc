"""Open hours and the next opening, across midnight, holidays and changes of the clock."""

from datetime import UTC, date, datetime, timedelta

import pytest

from agents.opening import is_open, local_time, next_opening
from schemas.settings.business_hours import BusinessHours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def hours(
    zone: str = "UTC",
    *,
    enabled: bool = True,
    holidays: tuple[str, ...] = (),
    special: dict[str, list[list[str]]] | None = None,
    daily: list[list[str]] | None = None,
    **week: list[list[str]],
) -> BusinessHours:
    """Opening hours; daily: the intervals of every day."""
    week = dict.fromkeys(DAYS, daily) if daily else week
    return BusinessHours.model_validate(
        {"enabled": enabled, "timezone": zone, "week": week, "holidays": holidays, "special": special or {}}
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


WEEKDAY = hours("Europe/Berlin", tue=[["08:30", "12:15"], ["13:00", "17:45"]])
NIGHT = hours("Europe/Lisbon", fri=[["21:00", "03:30"]])
ALL_DAY = [["00:00", "24:00"]]


@pytest.mark.parametrize(
    ("value", "instant", "expected"),
    [
        # 2026-03-10 is a Tuesday; Berlin is an hour ahead.
        (WEEKDAY, "2026-03-10T08:29:59.999999+01:00", False),
        (WEEKDAY, "2026-03-10T08:30:00+01:00", True),
        (WEEKDAY, "2026-03-10T12:14:59.999999+01:00", True),
        (WEEKDAY, "2026-03-10T12:15:00+01:00", False),
        (WEEKDAY, "2026-03-10T13:00:00+01:00", True),
        (WEEKDAY, "2026-03-10T17:45:00+01:00", False),
        (WEEKDAY, "2026-03-11T10:00:00+01:00", False),
        # 2026-03-13 is a Friday; Lisbon is at UTC.
        (NIGHT, "2026-03-13T20:59:59+00:00", False),
        (NIGHT, "2026-03-13T23:59:59+00:00", True),
        (NIGHT, "2026-03-14T00:00:00+00:00", True),
        (NIGHT, "2026-03-14T03:29:59+00:00", True),
        (NIGHT, "2026-03-14T03:30:00+00:00", False),
        (NIGHT, "2026-03-13T02:00:00+00:00", False),
        (hours(sun=[["22:00", "01:00"]]), "2026-03-16T00:30:00+00:00", True),
        (hours(thu=[["00:00", "24:00"]]), "2026-03-12T23:59:59.999999+00:00", True),
        (hours(thu=[["00:00", "24:00"]]), "2026-03-13T00:00:00+00:00", False),
        (hours(thu=[["18:00", "00:00"]]), "2026-03-12T23:59:59+00:00", True),
        (hours(thu=[["09:00", "12:00"], ["11:00", "15:00"]]), "2026-03-12T11:59:00+00:00", True),
        (hours(thu=[["11:00", "15:00"], ["09:00", "12:00"]]), "2026-03-12T14:00:00+00:00", True),
        (hours(wed=[["20:00", "08:00"]], thu=[["06:00", "07:00"]]), "2026-03-12T07:30:00+00:00", True),
        (hours("Asia/Kathmandu", mon=[["09:00", "10:00"]]), "2026-03-09T03:15:00+00:00", True),
        (hours("Asia/Kathmandu", mon=[["09:00", "10:00"]]), "2026-03-09T03:14:00+00:00", False),
        (hours("Pacific/Kiritimati", sun=[["00:00", "01:00"]]), "2026-03-07T10:30:00+00:00", True),
        (hours(), "2026-03-09T12:00:00+00:00", False),
        (hours(enabled=False), "2026-03-09T12:00:00+00:00", True),
        (hours(enabled=False, holidays=("2026-03-09",)), "2026-03-09T12:00:00+00:00", True),
    ],
)
def test_the_wall_clock_of_the_zone_decides(value: BusinessHours, instant: str, expected: bool) -> None:
    assert is_open(value, at(instant)) is expected


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-05-01T08:59:00+09:00", False),
        ("2026-05-01T20:00:00+09:00", False),
        ("2026-05-01T00:30:00+09:00", True),  # what began on the eve goes on
        ("2026-05-02T00:30:00+09:00", False),  # what would have begun on the holiday does not come
        ("2026-05-02T20:00:00+09:00", True),
        ("2026-04-30T20:00:00+09:00", True),
    ],
)
def test_an_interval_that_begins_on_a_holiday_is_left_out(instant: str, expected: bool) -> None:
    nightly = hours("Asia/Tokyo", holidays=("2026-05-01",), daily=[["09:00", "12:00"], ["19:00", "02:00"]])
    assert is_open(nightly, at(instant)) is expected


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-12-24T01:30:00+01:00", True),  # what began on the eve runs on
        ("2026-12-24T08:59:59+01:00", False),
        ("2026-12-24T09:00:00+01:00", True),
        ("2026-12-24T12:00:00+01:00", False),
        ("2026-12-24T20:00:00+01:00", False),  # the week's own night does not come
        ("2026-12-25T01:00:00+01:00", False),
        ("2026-12-25T20:00:00+01:00", False),  # none: closed
        ("2026-12-26T01:00:00+01:00", False),
        ("2026-12-26T19:00:00+01:00", True),
        ("2026-12-31T23:59:59.999999+01:00", True),  # from 22:00 past midnight, into a holiday
        ("2027-01-01T03:59:59+01:00", True),
        ("2027-01-01T04:00:00+01:00", False),
        ("2025-12-24T20:00:00+01:00", True),  # only that year's
    ],
)
def test_a_special_date_replaces_what_the_week_would_begin_on_it(instant: str, expected: bool) -> None:
    special = {"2026-12-24": [["09:00", "12:00"]], "2026-12-25": [], "2026-12-31": [["22:00", "04:00"]]}
    nightly = hours("Europe/Madrid", daily=[["19:00", "02:00"]], holidays=("2027-01-01",), special=special)
    assert is_open(nightly, at(instant)) is expected


def test_of_a_holiday_and_a_special_date_the_special_one_counts() -> None:
    value = hours(holidays=("2026-12-24",), special={"2026-12-24": [["09:00", "12:00"]]}, daily=ALL_DAY)
    assert is_open(value, at("2026-12-24T10:00:00+00:00"))
    assert not is_open(value, at("2026-12-24T13:00:00+00:00"))


@pytest.mark.parametrize("instant", ["2026-03-28T23:59:30+00:00", "2026-03-29T00:00:00+00:00"])
def test_a_day_that_ends_at_23_59_leaves_no_gap_before_the_next(instant: str) -> None:
    value = hours(sat=[["09:00", "23:59"]], sun=[["00:00", "23:59"]])
    assert is_open(value, at(instant))
    assert next_opening(value, at("2026-03-28T10:00:00+00:00")) == at("2026-04-04T09:00:00+00:00")


@pytest.mark.parametrize(
    ("value", "instant", "expected"),
    [
        # Paris skips 02:00 to 03:00 on 2026-03-29, at 01:00Z, and repeats it on 2026-10-25.
        (hours("Europe/Paris", sun=[["02:15", "04:00"]]), "2026-03-29T00:59:59+00:00", False),
        (hours("Europe/Paris", sun=[["02:15", "04:00"]]), "2026-03-29T01:00:00+00:00", True),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-03-29T01:00:00+00:00", False),
        (hours("Europe/Paris", sun=[["01:00", "02:30"]]), "2026-03-29T00:59:59+00:00", True),
        (hours("Europe/Paris", sun=[["01:00", "02:30"]]), "2026-03-29T01:00:00+00:00", False),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-25T00:20:00+00:00", True),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-25T00:50:00+00:00", False),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-25T01:10:00+00:00", False),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-25T01:20:00+00:00", True),
    ],
)
def test_a_skipped_time_never_comes_and_a_repeated_one_comes_twice(
    value: BusinessHours, instant: str, expected: bool
) -> None:
    assert is_open(value, at(instant)) is expected


@pytest.mark.parametrize(
    ("value", "instant", "expected"),
    [
        (WEEKDAY, "2026-03-10T07:00:00+01:00", "2026-03-10T08:30:00+01:00"),
        (WEEKDAY, "2026-03-10T12:15:00+01:00", "2026-03-10T13:00:00+01:00"),
        (WEEKDAY, "2026-03-10T17:45:00+01:00", "2026-03-17T08:30:00+01:00"),
        (WEEKDAY, "2026-03-24T17:45:00+01:00", "2026-03-31T08:30:00+02:00"),
        # Open now: when it opens again.
        (WEEKDAY, "2026-03-10T08:30:00+01:00", "2026-03-10T13:00:00+01:00"),
        (NIGHT, "2026-03-14T01:00:00+00:00", "2026-03-20T21:00:00+00:00"),
        # One interval that begins where another ends opens nothing, not at midnight either.
        (hours(mon=[["08:00", "12:00"], ["12:00", "15:00"]]), "2026-03-09T09:00:00+00:00", "2026-03-16T08:00:00+00:00"),
        (
            hours(mon=[["08:00", "24:00"]], tue=[["00:00", "15:00"]]),
            "2026-03-09T07:00:00+00:00",
            "2026-03-09T08:00:00+00:00",
        ),
        (
            hours(mon=[["08:00", "24:00"]], tue=[["00:00", "15:00"]]),
            "2026-03-09T09:00:00+00:00",
            "2026-03-16T08:00:00+00:00",
        ),
        # In a gap: its end. Of a fold both times, and the setting back where that leads into an interval.
        (hours("Europe/Paris", sun=[["02:15", "04:00"]]), "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-03-28T12:00:00+00:00", "2026-04-05T00:15:00+00:00"),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-24T12:00:00+00:00", "2026-10-25T00:15:00+00:00"),
        (hours("Europe/Paris", sun=[["02:15", "02:45"]]), "2026-10-25T00:15:00+00:00", "2026-10-25T01:15:00+00:00"),
        (hours("Europe/Paris", sun=[["01:00", "02:20"]]), "2026-10-25T00:30:00+00:00", "2026-10-25T01:00:00+00:00"),
        # Holidays.
        (
            hours(holidays=("2026-03-10", "2026-03-11"), tue=[["09:00", "10:00"]], wed=[["09:00", "10:00"]]),
            "2026-03-09T12:00:00+00:00",
            "2026-03-17T09:00:00+00:00",
        ),
        (hours(holidays=("2026-08-15",), daily=ALL_DAY), "2026-03-09T12:00:00+00:00", "2026-08-16T00:00:00+00:00"),
        (hours(holidays=("2160-01-01",), daily=ALL_DAY), "2026-03-09T12:00:00+00:00", "2160-01-02T00:00:00+00:00"),
        # Special dates.
        (
            hours(special={"2026-03-10": [["11:00", "12:00"]], "2026-03-17": []}, tue=[["09:00", "10:00"]]),
            "2026-03-09T12:00:00+00:00",
            "2026-03-10T11:00:00+00:00",
        ),
        (
            hours(special={"2026-03-17": []}, tue=[["09:00", "10:00"]]),
            "2026-03-10T12:00:00+00:00",
            "2026-03-24T09:00:00+00:00",
        ),
        (hours(special={"2031-05-01": [["10:00", "23:59"]]}), "2026-03-09T12:00:00+00:00", "2031-05-01T10:00:00+00:00"),
        (hours(special={"2026-03-08": ALL_DAY}), "2026-03-09T12:00:00+00:00", None),
        (hours(special={"2026-08-15": ALL_DAY}, daily=ALL_DAY), "2026-03-09T12:00:00+00:00", None),
        (
            hours("Europe/Paris", special={"2026-03-29": [["02:15", "04:00"]]}),
            "2026-03-09T12:00:00+00:00",
            "2026-03-29T01:00:00+00:00",
        ),
        # Never, or always open.
        (hours(), "2026-03-09T12:00:00+00:00", None),
        (hours(daily=ALL_DAY), "2026-03-09T12:00:00+00:00", None),
        (hours(holidays=("2026-03-01",), daily=ALL_DAY), "2026-03-09T12:00:00+00:00", None),
        (hours(holidays=("9999-12-31",), daily=ALL_DAY), "2026-03-09T12:00:00+00:00", None),
        (hours(enabled=False, tue=[["09:00", "10:00"]]), "2026-03-09T12:00:00+00:00", None),
    ],
)
def test_the_next_opening(value: BusinessHours, instant: str, expected: str | None) -> None:
    found = next_opening(value, at(instant))
    assert found == (None if expected is None else at(expected))
    assert found is None or found.tzinfo is UTC


def test_a_year_of_holidays_is_waited_for() -> None:
    closed = tuple((date(2026, 1, 1) + timedelta(days=n)).isoformat() for n in range(365))
    value = hours("America/Lima", holidays=closed, mon=[["07:00", "09:00"]])
    assert next_opening(value, at("2025-12-30T00:00:00+00:00")) == at("2027-01-04T07:00:00-05:00")


def test_the_local_time() -> None:
    local = local_time(hours("Asia/Kolkata"), at("2026-03-09T20:00:00+00:00"))
    assert local.isoformat() == "2026-03-10T01:30:00+05:30"
