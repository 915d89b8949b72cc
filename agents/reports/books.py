"""What the reports stages share: figures as partial sums that only ever add up.

A partial is what one partition counted on one UTC day of its own clock under one report key: channel, day, agent and
kind. When its day is over it is final: its row goes, and a later correction is the partial of a later day, negative
where it takes something back. So rows are today's alone, and no correction comes too late.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from agents.opening import is_open
from agents.stage import Context, Decision, Emit, Row, Rows
from schemas.events.reports import ReportKind, ReportUpdated, bucket_of
from schemas.topics import REPORTS

_MIDNIGHT: Final = "midnight"
_ZONES_KEPT: Final = 50


class Figure(BaseModel):
    """One number of a report: where it is counted."""

    model_config = ConfigDict(frozen=True)

    kind: ReportKind
    day: date
    agent: str | None = None
    measure: str


class Partial(Row):
    """`partial/{UTC day}/{report key}`: what was counted on that UTC day."""

    counts: dict[str, int] = {}


class Zones(Row):
    """`zones/{channel}`: its zone, and those before it, each with the instant up to which it was in force.

    An answer must count on its survey's day, though the zone was changed in between.
    """

    zone: str
    earlier: tuple[tuple[datetime, str], ...] = ()

    def day(self, at: datetime) -> date:
        """The local day of an instant, as it was judged at the time."""
        zone = next((zone for until, zone in self.earlier if at <= until), self.zone)
        return at.astimezone(ZoneInfo(zone)).date()


class Books:
    """What one event changes in one channel's figures."""

    def __init__(self, rows: Rows, ctx: Context, channel: str) -> None:
        self.now = ctx.now
        self._rows, self._ctx, self._channel = rows, ctx, channel
        self._sums: dict[tuple[date, str | None, ReportKind], Counter[str]] = {}
        self._writes: dict[str, Row | None] = {}

    def in_hours(self, at: datetime) -> bool:
        return is_open(self._ctx.settings(self._channel).business_hours, at)

    def day(self, at: datetime) -> date:
        """The local day of an instant: in the zone of the business hours, ticked or not; without one, of UTC."""
        name = f"zones/{self._channel}"
        zone = self._ctx.settings(self._channel).business_hours.timezone
        zones = self._rows.get(name, Zones)
        if zones is None:
            zones = self._writes[name] = Zones(zone=zone)
        elif zones.zone != zone:
            earlier = (*zones.earlier, (self.now, zones.zone))
            zones = self._writes[name] = Zones(zone=zone, earlier=earlier[-_ZONES_KEPT:])
        return zones.day(at)

    def count(self, *figures: Figure, by: int = 1) -> None:
        for figure in figures:
            self._sums.setdefault((figure.day, figure.agent, figure.kind), Counter())[figure.measure] += by

    def decision(self, writes: Mapping[str, Row | None] | None = None) -> Decision:
        """The writes, and each partial that the counts change: its row, and the event that publishes it."""
        today = self.now.date()
        emit = tuple(self._updates(today))
        changed = {**self._writes, **(writes or {})}
        midnight = datetime.combine(today + timedelta(days=1), time(), UTC)
        return Decision(writes=changed, emit=emit, timers={_MIDNIGHT: midnight} if emit else {})

    def _updates(self, today: date) -> Iterator[Emit]:
        for (day, agent, kind), changes in self._sums.items():
            # An agent's id begins with a letter or a digit.
            key = f"{self._channel}/{day}/{agent or '-'}/{kind}"
            name = f"partial/{today}/{key}"
            before = self._rows.get(name, Partial) or Partial()
            changes.update(before.counts)
            after = Partial(counts={measure: number for measure, number in changes.items() if number})
            if after == before:
                continue
            self._writes[name] = after
            update = ReportUpdated(kind=kind, channel=self._channel, day=day, agent=agent, counts=after.counts)
            yield Emit(REPORTS, f"{key}/{self._ctx.partition}/{today}", update)


def drop_yesterdays(rows: Rows, ctx: Context) -> Decision:
    today = f"partial/{ctx.now.date()}"
    over = takewhile(lambda entry: entry[0] < today, rows.scan("partial/", Partial))
    return Decision(writes={name: None for name, _ in over})


def bucket(took: timedelta) -> str:
    """The measure of a duration."""
    return str(bucket_of(took))
