"""Durations as the settings write them: a whole number and s, m, h or d."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, PlainValidator

MAX_DURATION = timedelta(days=3650)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM = re.compile(r"([0-9]{1,9})([smhd])")
_EXPECTED = "must be a whole number and s, m, h or d, such as 90s, 30m, 24h or 3d"


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `24h`, `3d`. Raises ValueError."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(_EXPECTED)
    return _checked(timedelta(seconds=int(form[1]) * _SECONDS[form[2]]))


def format_duration(duration: timedelta) -> str:
    """Write it in the largest unit that leaves no remainder (`24h` becomes `1d`): the inverse of parse_duration."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit, length in _SECONDS.items() if seconds % length == 0) if seconds else "s"
    return f"{seconds // _SECONDS[unit]}{unit}"


def _checked(duration: timedelta) -> timedelta:
    if duration < timedelta(0) or duration.microseconds:
        raise ValueError("must be whole seconds, not negative")
    if duration > MAX_DURATION:
        raise ValueError(f"must be at most {format_duration(MAX_DURATION)}")
    return duration


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return _checked(value)
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(_EXPECTED)


def _positive(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be longer than 0")
    return duration


Duration = Annotated[
    timedelta,
    PlainValidator(_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
