"""is_open and next_opening against ten years that were painted minute by minute, in twenty zones."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from agents.opening import is_open, next_opening
from schemas.settings.business_hours import BusinessHours

ZONES = (
    "UTC",
    "Europe/Madrid",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Africa/Casablanca",  # the clock is changed for Ramadan
    "Africa/Cairo",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Santiago",
    "America/Havana",  # at midnight
    "America/Nuuk",
    "Asia/Kathmandu",
    "Asia/Beirut",  # at midnight
    "Asia/Gaza",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Chatham",
    "Pacific/Apia",  # skipped a whole day
    "Pacific/Kiritimati",
)
FIRST, LAST = date(2011, 1, 1), date(2021, 1, 1)
BEGIN, END = datetime(2011, 1, 5, tzinfo=UTC), datetime(2020, 12, 20, tzinfo=UTC)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = timedelta(minutes=1)
STRETCH = timedelta(hours=6)

Times = tuple[int, int]


def some_intervals(random: Random) -> list[Times]:
    """Times of day in minutes, now and then overlapping, adjoining or past midnight."""
    found: list[Times] = []
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        opening = random.choice(
            (random.randrange(1440), random.randrange(0, 300, 15), *(end % 1440 for _, end in found))
        )
        closing = random.choice((random.randrange(1, 1441), random.randrange(15, 300, 15), 1439, 1440))
        if closing != opening:
            found.append((opening, closing))
    return found


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def written(times: list[Times]) -> list[list[str]]:
    return [[clock(opening), clock(closing)] for opening, closing in times]


def painted(week: list[list[Times]], holidays: set[date], special: dict[date, list[Times]]) -> bytes:
    """One byte for each minute of the wall clock's calendar: 1 is open. 23:59 at the end is midnight."""
    calendar = bytearray(((LAST - FIRST).days + 2) * 1440)
    for number in range((LAST - FIRST).days):
        day = FIRST + timedelta(days=number)
        if day in holidays and day not in special:
            continue
        for opening, closing in special.get(day, week[day.weekday()]):
            length = ((1440 if closing == 1439 else closing) - opening) % 1440 or 1440
            start = number * 1440 + opening
            calendar[start : start + length] = b"\x01" * length
    return bytes(calendar)


def timeline(calendar: bytes, zone: ZoneInfo) -> bytes:
    """One byte for each minute of UTC from BEGIN to END, a stretch at a time unless the clock is changed in it."""
    origin = datetime.combine(FIRST, datetime.min.time())
    parts: list[bytes] = []
    moment = BEGIN
    while moment < END:
        local, after = (instant.astimezone(zone).replace(tzinfo=None) for instant in (moment, moment + STRETCH))
        if after - local == STRETCH:
            start = (local - origin) // MINUTE
            parts.append(calendar[start : start + STRETCH // MINUTE])
        else:
            walls = ((moment + n * MINUTE).astimezone(zone).replace(tzinfo=None) for n in range(STRETCH // MINUTE))
            parts.append(bytes(calendar[(wall - origin) // MINUTE] for wall in walls))
        moment += STRETCH
    return b"".join(parts)


def moments(expected: bytes, zone: ZoneInfo, random: Random) -> list[int]:
    """Minutes since BEGIN to look at: many around clock changes, some around openings, and some at random."""
    found = random.sample(range(len(expected) - 1), 3000)
    for day in range((END - BEGIN).days):
        midnight = BEGIN + timedelta(days=day)
        if midnight.astimezone(zone).utcoffset() != (midnight + timedelta(days=1)).astimezone(zone).utcoffset():
            found += range(day * 1440, (day + 1) * 1440, 4)
    edge = expected.find(b"\x00\x01")
    while edge >= 0:
        found += (edge, edge + 1)
        edge = expected.find(b"\x00\x01", edge + random.randrange(1, 20_000))
    return sorted(set(found))


@pytest.mark.parametrize("name", ZONES)
def test_opening_hours_agree_with_a_calendar_painted_minute_by_minute(name: str) -> None:
    random = Random(name)
    zone = ZoneInfo(name)
    week = [some_intervals(random) for _ in DAYS]
    week[random.randrange(7)] = [(1290, 195)]
    holidays = {FIRST + timedelta(days=random.randrange(3650)) for _ in range(60)}
    special = {FIRST + timedelta(days=random.randrange(3650)): some_intervals(random) for _ in range(60)}
    special |= {day: some_intervals(random) for day in random.sample(sorted(holidays), 10)}
    value = {
        "enabled": True,
        "timezone": name,
        "week": {day: written(times) for day, times in zip(DAYS, week, strict=True)},
        "holidays": holidays,
        "special": {day: written(times) for day, times in special.items()},
    }
    hours = BusinessHours.model_validate(value)
    expected = timeline(painted(week, holidays, special), zone)
    looked_at = moments(expected, zone, random)

    judged = [is_open(hours, BEGIN + n * MINUTE + timedelta(seconds=random.randrange(60))) for n in looked_at]
    wrong = [BEGIN + n * MINUTE for n, verdict in zip(looked_at, judged, strict=True) if verdict != expected[n]]
    assert wrong == []

    for n in random.sample(looked_at, 150):
        opening = expected.find(b"\x00\x01", n) + 1
        found = next_opening(hours, BEGIN + n * MINUTE)
        # Past the painted years there is nothing to compare it with.
        assert found == BEGIN + opening * MINUTE if opening else found is None or found > END - MINUTE
