"""When a channel is open: what the settings say. Judging an instant by them is the hours stage's."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator

from schemas.settings.types import Flag, SettingsModel, Template, Text

MINUTES_A_DAY = 24 * 60
LAST_MINUTE = MINUTES_A_DAY - 1
"""23:59, which as a closing time means the end of the day: a form that offers minutes has no 24:00."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{1,2}):([0-5][0-9])")


class Interval(NamedTuple):
    """Open from `open` up to, not including, `close`: minutes since the midnight that begins its day.

    `close` lies after `open` always: past 1,440 it reaches into the next day (22:00 to 02:00 is 1320 to 1560).
    """

    open: int
    close: int


def parse_interval(value: object) -> Interval:
    """Read `["09:00", "17:30"]`. Raises ValueError."""
    if isinstance(value, Interval):
        return value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError('must be a pair of opening and closing time, such as ["09:00", "17:30"]')
    opening, closing = (_minutes(time) for time in value)
    if closing == LAST_MINUTE:
        closing = MINUTES_A_DAY
    if opening == MINUTES_A_DAY:
        raise ValueError("can't open at 24:00: open the next day at 00:00")
    if opening == closing:
        raise ValueError('opens and closes at the same time (the whole day is ["00:00", "24:00"])')
    return Interval(opening, closing if closing > opening else closing + MINUTES_A_DAY)


def format_interval(interval: Interval) -> list[str]:
    """The inverse of parse_interval, with midnight at the end written 24:00."""
    closing = interval.close if interval.close <= MINUTES_A_DAY else interval.close - MINUTES_A_DAY
    return [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (interval.open, closing)]


def _minutes(value: object) -> int:
    form = _TIME.fullmatch(value) if isinstance(value, str) else None
    minutes = int(form[1]) * 60 + int(form[2]) if form else None
    if minutes is None or minutes > MINUTES_A_DAY:
        raise ValueError('a time must be text from "00:00" to "24:00"')
    return minutes


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # OSError: the name of a directory, such as "Europe"
        raise ValueError(f"unknown time zone {name!r}: give an IANA name, such as Europe/Madrid") from None
    return name


def _local_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    # fromisoformat alone would take week dates, too.
    if isinstance(value, str) and _DATE.fullmatch(value):
        return date.fromisoformat(value)
    raise ValueError("must be a date, such as 2026-05-25")


TimeZone = Annotated[str, AfterValidator(_zone)]
LocalDate = Annotated[
    date,
    PlainValidator(_local_date, json_schema_input_type=str),
    PlainSerializer(date.isoformat, return_type=str),
]
Intervals = tuple[
    Annotated[
        Interval,
        PlainValidator(parse_interval, json_schema_input_type=tuple[str, str]),
        PlainSerializer(format_interval, return_type=list[str]),
    ],
    ...,
]


class Week(SettingsModel):
    """The intervals of each weekday, in the order given; they may overlap. A day without any is closed."""

    mon: Intervals = ()
    tue: Intervals = ()
    wed: Intervals = ()
    thu: Intervals = ()
    fri: Intervals = ()
    sat: Intervals = ()
    sun: Intervals = ()

    def of(self, weekday: int) -> tuple[Interval, ...]:
        """The intervals that begin on a weekday: 0 is Monday, as in `date.weekday()`."""
        return (self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun)[weekday]


def _without_nulls(special: object) -> object:
    """A change may take a date back by null, as objects are merged."""
    if not isinstance(special, dict):
        return special
    return {day: intervals for day, intervals in special.items() if intervals is not None}


class BusinessHours(SettingsModel):
    """Local opening hours. Not enabled: always open.

    special: the intervals of single local dates, in place of their weekday's; none: closed. holidays: local dates that
    are closed, unless they are special. unavailable_template: goes in the message's place where the 24-hour window is
    closed.
    """

    enabled: Flag = False
    timezone: TimeZone = "UTC"
    week: Week = Week()
    holidays: tuple[LocalDate, ...] = ()
    special: Annotated[dict[LocalDate, Intervals], BeforeValidator(_without_nulls)] = {}
    unavailable_message: Text = ""
    unavailable_template: Template | None = None

    def of(self, day: date) -> tuple[Interval, ...]:
        """The intervals that begin on a local date."""
        if day in self.special:
            return self.special[day]
        return () if day in self.holidays else self.week.of(day.weekday())

    @property
    def exceptions(self) -> Iterator[date]:
        """The local dates that may differ from their weekday."""
        yield from self.holidays
        yield from self.special
