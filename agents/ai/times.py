"""Times inside business hours that may be proposed to a customer."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from agents.opening import is_open, local_time, next_opening
from schemas.settings.business_hours import BusinessHours

PROPOSED: Final = 3
SOONEST: Final = timedelta(minutes=30)
LATEST: Final = timedelta(days=60)
APART: Final = timedelta(hours=1)
_GRID: Final = timedelta(minutes=30)


def propose_times(hours: BusinessHours, now: datetime, wanted: str | None) -> str:
    """Times inside business hours from the wanted one on, in words for the model. wanted: local time, as ISO 8601."""
    asked = _read(hours, wanted)
    earliest = now + SOONEST
    begin = earliest if asked is None or not earliest <= asked <= now + LATEST else asked
    found: list[datetime] = []
    at: datetime | None = _rounded(begin)
    while at is not None and len(found) < PROPOSED:
        if is_open(hours, at):
            found.append(at)
            at += APART
        else:
            at = next_opening(hours, at)
    if not found:
        return "There are no business hours to propose a time in."
    listed = ", ".join(local_time(hours, one).strftime("%A %Y-%m-%d %H:%M") for one in found)
    fits = asked is None or asked == found[0]
    return f"{'' if fits else 'The wanted time can not be had. '}Inside business hours ({hours.timezone}): {listed}."


def _read(hours: BusinessHours, wanted: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(wanted or "")
        at = at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(hours.timezone))
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _rounded(at: datetime) -> datetime:
    over = (at - datetime(1970, 1, 1, tzinfo=UTC)) % _GRID
    return at if not over else at + _GRID - over
