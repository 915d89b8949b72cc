"""A conversation as hours sees it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from agents.hours import HOURS
from schemas.events.conversation import (
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.sending import SendUnavailable
from schemas.settings.business_hours import BusinessHours
from schemas.settings.channel import ChannelSettings, Greeting
from tests.support.stage import StageBench, all_of, the

KEY = "kiosk:4915112345678"
MONDAY = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
"""Noon in UTC, an hour later in Berlin."""
SUNDAY = MONDAY - timedelta(days=1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


def channel(text: str = "Back soon, {contact.name}", *, enabled: bool = True, greeting: str = "") -> ChannelSettings:
    """Open on weekdays from 9 to 17 in Berlin."""
    hours = {
        "enabled": enabled,
        "timezone": "Europe/Berlin",
        "week": {day: [["09:00", "17:00"]] for day in WEEKDAYS},
        "unavailable_message": text,
    }
    return ChannelSettings(
        id="kiosk",
        name="Kiosk Nord",
        phone_number="+4930901820",
        greeting=Greeting(enabled=bool(greeting), text=greeting),
        business_hours=BusinessHours.model_validate(hours),
    )


class HoursBench:
    """Tells hours what happens. What changes of the header stays changed."""

    def __init__(self, settings: ChannelSettings, now: datetime = SUNDAY) -> None:
        self.stage = StageBench(HOURS, settings)
        self.now = now
        self.messages = 0
        self.gated: list[ConversationGated] = []
        self.header = Header(
            conversation_id="c1",
            channel="kiosk",
            contact="4915112345678",
            contact_name="Jo",
            opened_at=now,
            revision=1,
            status=Status.OPEN,
            routed=True,
        )

    def set(self, **changes: object) -> None:
        self.header = self.header.model_copy(update=changes)

    def wait(self, time: timedelta) -> None:
        self.now += time
        self.stage.fire(self.now)

    def notified(self, event: ConversationEvent) -> list[SendUnavailable]:
        """The unavailable messages that the event leads to, beside its verdict."""
        emitted = self.stage.feed(event, at=self.now, key=KEY)
        self.gated.append(the(ConversationGated, emitted[:1]))
        assert self.gated[-1].event_type == event.type
        sends = all_of(SendUnavailable, emitted)
        assert len(sends) == len(emitted) - 1
        return sends

    def message(
        self, at: datetime | None = None, treatment: Literal["ordinary", "quiet", "rating"] = "ordinary"
    ) -> list[SendUnavailable]:
        self.messages += 1
        at = at or self.now
        self.set(last_customer_at=max(self.header.last_customer_at or at, at))
        event = ConversationMessageReceived(
            header=self.header, message_id=f"m{self.messages}", at=at, kind="text", text="Moin", treatment=treatment
        )
        return self.notified(event)

    def routed(self, status: Status = Status.OPEN, *, first: bool = True) -> list[SendUnavailable]:
        self.set(status=status, routed=True)
        return self.notified(ConversationRouted(header=self.header, first=first))

    def status(self, status: Status, reason: str, *, told: bool = False) -> list[SendUnavailable]:
        previous = self.header.status
        self.set(status=status)
        changed = ConversationStatusChanged(header=self.header, previous=previous, reason=reason, told=told)
        return self.notified(changed)
