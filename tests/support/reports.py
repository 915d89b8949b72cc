"""The reports stages on a bench: what they published, added up, and a conversation to report on."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from agents.stage import Stage
from schemas.event import Event
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.reports import ReportKind, ReportUpdated
from schemas.settings.channel import ChannelSettings, parse_channel
from tests.support.stage import StageBench

MONDAY = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = MONDAY.date()
KEY = "shop:34655010400"


def channel(zone: str | None = None, **hours: object) -> ChannelSettings:
    """Its days are those of the zone; without one, of UTC, and it is always open."""
    week = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
    enabled = {"enabled": zone is not None, "timezone": zone or "UTC", "week": week}
    return parse_channel({"id": "shop", "phone_number": "+34910222333", "business_hours": enabled | hours})


class Count(NamedTuple):
    """Where something is counted."""

    kind: ReportKind
    day: date
    agent: str | None
    measure: str


def added_up(partials: Iterable[tuple[str, ReportUpdated]]) -> dict[Count, int]:
    """The sums that are not 0: of one key the last one counts."""
    sums: Counter[Count] = Counter()
    for partial in dict(partials).values():
        for measure, number in partial.counts.items():
            sums[Count(partial.kind, partial.day, partial.agent, measure)] += number
    return {count: number for count, number in sums.items() if number}


class Reports:
    """A stage, and every partial that it reported. Partitions are added as events come for them."""

    def __init__(self, stage: Stage, settings: ChannelSettings) -> None:
        self.stage, self.settings = stage, settings
        self.benches: dict[int, StageBench] = {}
        self.partials: list[tuple[str, ReportUpdated]] = []

    def tell(self, event: Event, at: datetime, *, partition: int = 0) -> None:
        bench = self.benches.setdefault(partition, StageBench(self.stage, self.settings, partition))
        bench.settings = self.settings
        for entry in bench.feed(event, at=at, key=KEY):
            assert isinstance(entry.event, ReportUpdated)
            self.partials.append((entry.key, entry.event))

    @property
    def sums(self) -> dict[Count, int]:
        return added_up(self.partials)

    def of(self, kind: ReportKind) -> dict[tuple[date, str | None, str], int]:
        """The sums of a kind."""
        return {count[1:]: number for count, number in self.sums.items() if count.kind == kind}


class Talk:
    """A conversation, reported to reports as time passes."""

    def __init__(self, reports: Reports, id: str = "c1", partition: int = 0) -> None:
        self.reports, self.id, self.partition = reports, id, partition
        self.status, self.opened_at = Status.OPEN, MONDAY

    def header(self, status: Status | None = None, **values: object) -> Header:
        self.status = status or self.status
        defaults: dict[str, object] = {
            "conversation_id": self.id,
            "channel": "shop",
            "contact": "34655010400",
            "opened_at": self.opened_at,
            "revision": 1,
            "status": self.status,
        }
        return Header.model_validate(defaults | values)

    def tell(self, event: Event, at: datetime) -> None:
        self.reports.tell(event, at, partition=self.partition)

    def open(self, at: datetime, by: str = "customer") -> "Talk":
        self.opened_at = at
        self.tell(ConversationOpened(header=self.header(Status.OPEN, opened_by=by)), at)
        return self

    def write(self, at: datetime, *, sent: datetime | None = None, treatment: str = "ordinary") -> "Talk":
        values = {"message_id": "m", "at": sent or at, "kind": "text", "treatment": treatment}
        self.tell(ConversationMessageReceived.model_validate({"header": self.header()} | values), at)
        return self

    def send(self, at: datetime, by: str | None = "nadia", kind: str = "reply") -> "Talk":
        self.tell(ConversationMessageSent(header=self.header(), message_id="o", at=at, kind=kind, by=by), at)
        return self

    def move(self, to: Status, at: datetime, by: str | None = None, reason: str = "") -> "Talk":
        previous = self.status
        self.tell(ConversationStatusChanged(header=self.header(to), previous=previous, by=by, reason=reason), at)
        return self

    def resolve(self, at: datetime, by: str | None = "nadia") -> "Talk":
        return self.move(Status.RESOLVED, at, by, "resolved" if by else "auto_resolved")

    def reopen(self, at: datetime, by: str | None = None) -> "Talk":
        return self.move(Status.OPEN, at, by, "reopened")

    def close(self, at: datetime) -> "Talk":
        return self.move(Status.CLOSED, at, reason="close_after")


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
