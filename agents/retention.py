"""Rows that are kept for a fixed time: one timer per key sweeps them, not one per row."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from agents.stage import Decision, Row, Rows

SWEEP: Final = "sweep"
"""The name of the timer."""

_AT_MOST_EVERY: Final = timedelta(days=1)


class Aged(Row):
    """A row that goes some time after `since`."""

    since: datetime


def sweep_timer(rows: Rows, prefixes: tuple[str, ...], now: datetime, keep: timedelta) -> Mapping[str, datetime]:
    """The timer for the first kept row of a key; nothing where there is one already, as then it is set."""
    for prefix in prefixes:
        if next(rows.scan(prefix, Aged), None) is not None:
            return {}
    return {SWEEP: now + keep}


def sweep(rows: Rows, prefixes: tuple[str, ...], now: datetime, keep: timedelta) -> Decision:
    """Delete the rows older than `keep`, and set the timer for the rest: once a day at most, so up to a day late."""
    gone: dict[str, Row | None] = {}
    oldest: datetime | None = None
    for prefix in prefixes:
        for name, row in rows.scan(prefix, Aged):
            if row.since + keep <= now:
                gone[name] = None
            elif oldest is None or row.since < oldest:
                oldest = row.since
    timers = {} if oldest is None else {SWEEP: max(oldest + keep, now + _AT_MOST_EVERY)}
    return Decision(writes=gone, timers=timers)
