"""The business-hours verdict and the unavailable message."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.events.conversation import (
    ConversationCommandRefused,
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationStatusChanged,
    Status,
)
from schemas.events.sending import SendUnavailable
from schemas.settings.channel import ChannelSettings
from schemas.topics import GATED, OUTBOUND
from tests.support.hours import KEY, MONDAY, SUNDAY, Desk, channel
from tests.support.stage import Emitted

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HEADER = Desk(channel()).header


# --- the verdict ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [SUNDAY, MONDAY])
@pytest.mark.parametrize(
    "event",
    [
        ConversationOpened(header=HEADER),
        ConversationMessageReceived(header=HEADER, message_id="m1", at=MONDAY, kind="text", text="Moin"),
        ConversationMessageSent(header=HEADER, message_id="o1", at=MONDAY, kind="reply"),
        ConversationNoticeReceived(header=HEADER, kind="reaction", at=MONDAY),
        ConversationStatusChanged(header=HEADER, previous=Status.OPEN, reason="resolved"),
    ],
    ids=lambda event: event.type,
)
def test_every_event_gets_the_verdict_on_its_own_time(event: ConversationEvent, at: datetime) -> None:
    desk = Desk(channel(""), now=at)
    verdict = MONDAY in (at, getattr(event, "at", at))
    gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=verdict)
    assert desk.bench.feed(event, at=at, key=KEY) == [Emitted(GATED, KEY, gated)]
    assert type(event).model_validate(gated.data) == event


def test_events_keep_their_place() -> None:
    desk = Desk(channel())
    for _ in range(5):
        desk.message()
    assert [gated.data["message_id"] for gated in desk.gated] == ["m1", "m2", "m3", "m4", "m5"]


def test_a_refused_command_is_no_event_of_a_conversation() -> None:
    refused = ConversationCommandRefused(command_id="o1", command="command.reply", code="blocked", reason="…")
    assert Desk(channel()).bench.feed(refused, at=SUNDAY, key=KEY) == []


def test_the_routing_has_the_verdict_on_the_message_that_waited_first() -> None:
    desk = Desk(channel(""), now=MONDAY)
    desk.set(routed=False)
    desk.message(at=SUNDAY)
    desk.message(at=MONDAY)
    desk.routed()
    assert [gated.open for gated in desk.gated] == [False, True, False]


def test_a_routing_that_no_message_waited_for_has_the_verdict_on_its_own_time() -> None:
    desk = Desk(channel(), now=MONDAY)
    desk.routed()
    desk.wait(DAY - 12 * HOUR)
    desk.routed()
    assert [gated.open for gated in desk.gated] == [True, False]


# --- the unavailable message ----------------------------------------------------------------------------------------


def test_a_message_while_closed_is_told_so() -> None:
    desk = Desk(channel())
    desk.set(last_customer_at=SUNDAY)
    event = ConversationMessageReceived(header=desk.header, message_id="m1", at=SUNDAY, kind="text", text="Moin")
    [_, emitted] = desk.bench.feed(event, at=SUNDAY, key=KEY)
    assert (emitted.topic, emitted.key) == (OUTBOUND, KEY)
    assert isinstance(emitted.event, SendUnavailable)
    assert emitted.event == SendUnavailable(
        message_id=emitted.event.message_id,
        conversation_id="c1",
        kind="unavailable",
        text="Back soon, Jo",
        not_after=SUNDAY + DAY,
    )


def test_the_message_s_own_time_decides() -> None:
    open_when_it_was_written = Desk(channel(), now=MONDAY + 6 * HOUR)
    assert open_when_it_was_written.message(at=MONDAY) == []
    closed_when_it_was_written = Desk(channel(), now=MONDAY)
    assert len(closed_when_it_was_written.message(at=MONDAY - 6 * HOUR)) == 1


def test_the_last_minute_is_open_and_closing_time_is_not() -> None:
    assert Desk(channel()).message(at=SUNDAY) != []
    closing = MONDAY.replace(hour=16)
    assert Desk(channel(), now=closing).message(at=closing - timedelta(seconds=1)) == []
    assert Desk(channel(), now=closing).message(at=closing) != []


@pytest.mark.parametrize("settings", [channel(""), channel(" \n"), channel("{contact.name}"), channel(enabled=False)])
def test_without_a_text_or_with_the_box_unticked_nothing_is_told(settings: ChannelSettings) -> None:
    desk = Desk(settings)
    desk.set(contact_name=None)
    assert desk.message() == []
    assert desk.bench.row_names(KEY) == []


@pytest.mark.parametrize("treatment", ["quiet", "rating"])
def test_a_quiet_message_and_a_rating_trigger_nothing(treatment: str) -> None:
    desk = Desk(channel())
    event = ConversationMessageReceived.model_validate(
        {"header": desk.header, "message_id": "m1", "at": SUNDAY, "kind": "text", "treatment": treatment}
    )
    assert desk.told(event) == []
    desk.set(routed=False)
    assert desk.told(event) == []
    assert desk.routed() == []


def test_once_a_local_day_whatever_the_order() -> None:
    desk = Desk(channel(), now=MONDAY + 9 * HOUR)  # 22:00 in Berlin
    assert len(desk.message()) == 1
    assert desk.message() == []
    assert desk.message(at=MONDAY - 6 * HOUR) == []  # 07:00 of the same day
    assert len(desk.message(at=SUNDAY)) == 1
    desk.wait(2 * HOUR)  # the next day in Berlin, not yet in UTC
    assert len(desk.message()) == 1
    assert desk.message(at=MONDAY + 9 * HOUR) == []
    assert desk.message(at=SUNDAY) == []


def test_each_conversation_is_told_for_itself() -> None:
    desk = Desk(channel())
    assert len(desk.message()) == 1
    desk.set(conversation_id="c2")
    assert len(desk.message()) == 1


def test_the_reopened_conversation_is_not_told_again_that_day() -> None:
    desk = Desk(channel())
    desk.message()
    desk.status(Status.RESOLVED, "resolved")
    desk.wait(HOUR)
    desk.status(Status.CLOSED, "close_after")
    desk.wait(HOUR)
    desk.set(routed=False)
    desk.status(Status.OPEN, "customer_message")
    assert desk.message() == []
    assert desk.routed(first=False) == []


@pytest.mark.parametrize(
    ("later", "told"),
    [(0 * MINUTE, 0), (5 * MINUTE - timedelta(seconds=1), 0), (5 * MINUTE, 1), (HOUR, 1), (-10 * MINUTE, 0)],
)
def test_not_within_five_minutes_of_a_human_s_message(later: timedelta, told: int) -> None:
    desk = Desk(channel(), now=SUNDAY + HOUR)
    desk.set(last_human_at=SUNDAY)
    assert len(desk.message(at=SUNDAY + later)) == told


def test_a_notice_that_a_human_s_message_suppressed_does_not_use_up_the_day() -> None:
    desk = Desk(channel())
    desk.set(last_human_at=SUNDAY)
    assert desk.message() == []
    desk.wait(5 * MINUTE)
    assert len(desk.message()) == 1


def test_a_message_that_is_over_a_week_old_is_told_nothing() -> None:
    desk = Desk(channel(), now=SUNDAY + 7 * DAY)
    assert len(desk.message(at=SUNDAY)) == 1
    desk.wait(timedelta(seconds=1))
    assert desk.message(at=SUNDAY - DAY) == []


# --- before it is settled who holds the conversation ----------------------------------------------------------------


def test_messages_wait_until_it_is_settled_who_holds_the_conversation() -> None:
    desk = Desk(channel())
    desk.set(routed=False)
    assert desk.message() == []
    assert desk.message() == []
    assert [send.text for send in desk.routed()] == ["Back soon, Jo"]
    assert desk.message() == []


def test_waiting_messages_get_a_notice_for_each_day_they_came_on() -> None:
    desk = Desk(channel(), now=MONDAY)
    desk.set(routed=False)
    for at in (SUNDAY, SUNDAY - HOUR, MONDAY - 6 * HOUR, MONDAY, SUNDAY - DAY):
        assert desk.message(at=at) == []
    sends = desk.routed()
    assert len({send.message_id for send in sends}) == 3


def test_of_those_that_waited_one_after_the_human_left_is_enough() -> None:
    desk = Desk(channel(), now=SUNDAY + 6 * MINUTE)
    desk.set(routed=False, last_human_at=SUNDAY)
    for later in (MINUTE, 6 * MINUTE, 2 * MINUTE):
        desk.message(at=SUNDAY + later)
    assert len(desk.routed(first=False)) == 1


def test_with_the_ai_agent_nobody_is_told() -> None:
    desk = Desk(channel())
    desk.set(routed=False)
    desk.message()
    assert desk.routed(Status.AI_REPLYING) == []
    assert desk.message() == []
    assert desk.bench.row_names(KEY) == []


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED])
def test_a_conversation_that_ends_before_it_was_routed_is_forgotten(status: Status) -> None:
    desk = Desk(channel())
    desk.set(routed=False)
    desk.message()
    assert desk.status(status, "resolved") == []
    assert desk.bench.row_names(KEY) == []


# --- the AI agent leaves it to humans -------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["handed_over", "ai_handed_over", "ai_failed"])
def test_leaving_the_ai_agent_while_closed_is_told_once_that_day(reason: str) -> None:
    desk = Desk(channel())
    desk.set(status=Status.AI_REPLYING)
    assert desk.message() == []
    assert len(desk.status(Status.OPEN, reason)) == 1
    assert desk.message() == []
    desk.status(Status.AI_REPLYING, "assigned")
    assert desk.status(Status.OPEN, reason) == []


@pytest.mark.parametrize("reason", ["taken_over", "assigned", "woken", "reopened", "customer_message"])
def test_other_ways_to_become_open_tell_nothing(reason: str) -> None:
    desk = Desk(channel())
    desk.set(status=Status.AI_REPLYING)
    assert desk.status(Status.OPEN, reason) == []


def test_leaving_the_ai_agent_is_judged_at_its_own_time() -> None:
    desk = Desk(channel(), now=MONDAY)
    desk.set(status=Status.AI_REPLYING)
    desk.message(at=SUNDAY)
    assert desk.status(Status.OPEN, "ai_failed") == []


def test_a_blocked_contact_is_told_nothing() -> None:
    desk = Desk(channel())
    desk.set(status=Status.AI_REPLYING, blocked=True)
    assert desk.status(Status.OPEN, "handed_over") == []


def test_an_ordinary_message_of_a_muted_conversation_is_told() -> None:
    desk = Desk(channel())
    desk.set(muted=True)
    assert len(desk.message()) == 1


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_rows_of_sent_notices_are_deleted_in_the_end() -> None:
    desk = Desk(channel())
    desk.message()
    desk.status(Status.RESOLVED, "resolved")
    desk.wait(8 * DAY)
    assert desk.bench.row_names(KEY) == ["told/c1/2026-03-08"]
    desk.wait(2 * DAY)
    assert len(desk.bench.state) == 0


def test_thousands_of_waiting_messages_leave_a_small_row() -> None:
    desk = Desk(channel(), now=datetime(2026, 3, 9, 22, 0, tzinfo=UTC))
    desk.set(routed=False)
    for number in range(2_000):
        desk.message(at=desk.now - number * 5 * MINUTE)
    assert desk.bench.row_names(KEY) == ["held/c1"]
    assert max(desk.bench.row_sizes()) < 1024
    assert len(desk.routed()) == 7


def test_years_of_messages_leave_few_rows() -> None:
    desk = Desk(channel())
    for _ in range(800):
        desk.wait(12 * HOUR)
        desk.message()
    assert len(desk.bench.row_names(KEY)) < 12
