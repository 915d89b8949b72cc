"""When a channel is open: an instant judged by the business hours of its settings.

The wall clock of the channel's zone decides, so a time that the clock skips never comes and one that it repeats comes
twice. An interval belongs to the day that it begins on: past midnight it continues into a holiday, and what would have
begun on a holiday does not, not even its part after midnight. A special date is judged by its own intervals alone.
"""

from collections.abc import Iterator
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.settings.business_hours import MINUTES_A_DAY, BusinessHours

_DAY = timedelta(days=1)
_INSTANT = datetime.resolution
_SEARCH = 21
"""Days: a week that opens at all opens once in two of them even where the clock skips its only opening in one."""


def is_open(hours: BusinessHours, at: datetime) -> bool:
    """Whether the channel is open at an instant. Business hours that are not enabled: always."""
    if not hours.enabled:
        return True
    local = local_time(hours, at)
    minutes = local.hour * 60 + local.minute
    today = local.date()
    return _covers(hours, today, minutes) or _covers(hours, today - _DAY, minutes + MINUTES_A_DAY)


def _covers(hours: BusinessHours, day: date, minutes: int) -> bool:
    """Whether an interval that begins on the day covers that minute since its midnight."""
    # A time is compared by its minute: intervals begin and end on whole ones.
    return any(interval.open <= minutes < interval.close for interval in hours.of(day))


def local_time(hours: BusinessHours, at: datetime) -> datetime:
    """An instant on the wall clock of the channel's zone."""
    return at.astimezone(ZoneInfo(hours.timezone))


def next_opening(hours: BusinessHours, at: datetime) -> datetime | None:
    """The first instant after `at` at which the channel, closed until then, opens; UTC.

    Open at `at`: the opening after the present one has ended. None: it never opens, or never closes.
    """
    if not hours.enabled:
        return None
    for day in _days_to_search(hours, at.astimezone(UTC).date()):
        for instant in _possible_openings(hours, day):
            if instant > at and is_open(hours, instant) and not is_open(hours, instant - _INSTANT):
                return instant
    return None


def _days_to_search(hours: BusinessHours, today: date) -> Iterator[date]:
    """Today and the weeks after it and after each exception, in order: else each week is like the one before."""
    searched = today - _DAY
    for start in sorted({today, *(day - 2 * _DAY for day in hours.exceptions if day > today)}):
        first = max(start, searched + _DAY)
        for n in range(_SEARCH - (first - start).days):
            # Of the last year on the calendar not every instant exists in every zone.
            if first.year == MAXYEAR or (first + n * _DAY).year == MAXYEAR:
                return
            searched = first + n * _DAY
            yield searched


def _possible_openings(hours: BusinessHours, day: date) -> list[datetime]:
    """The instants of a UTC day at which it may open, in order.

    These are the beginnings of intervals, and the instant at which the clock is changed: that may skip one, or set the
    clock back into one.
    """
    zone = ZoneInfo(hours.timezone)
    begin = datetime.combine(day, time(), UTC)
    instants = set(_clock_change(zone, begin))
    for local_day in (day - _DAY, day, day + _DAY):
        for interval in hours.of(local_day):
            local = datetime.combine(local_day, time(*divmod(interval.open, 60)), zone)
            instants.update(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return sorted(instant for instant in instants if begin <= instant < begin + _DAY)


def _clock_change(zone: ZoneInfo, begin: datetime) -> Iterator[datetime]:
    """The instant within a day at which the zone's offset from UTC changes, if it does."""
    before, after = begin - _INSTANT, begin + _DAY - _INSTANT
    offset = before.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return
    while after - before > _INSTANT:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    yield after
