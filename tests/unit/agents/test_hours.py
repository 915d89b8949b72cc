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
from tests.support.hours import KEY, MONDAY, SUNDAY, HoursBench, channel
from tests.support.stage import Emitted

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HEADER = HoursBench(channel()).header


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
    bench = HoursBench(channel(""), now=at)
    verdict = MONDAY in (at, getattr(event, "at", at))
    gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=verdict)
    assert bench.stage.feed(event, at=at, key=KEY) == [Emitted(GATED, KEY, gated)]
    assert type(event).model_validate(gated.data) == event


def test_events_keep_their_place() -> None:
    bench = HoursBench(channel())
    for _ in range(5):
        bench.message()
    assert [gated.data["message_id"] for gated in bench.gated] == ["m1", "m2", "m3", "m4", "m5"]


def test_a_refused_command_is_no_event_of_a_conversation() -> None:
    refused = ConversationCommandRefused(command_id="o1", command="command.reply", code="blocked", reason="…")
    assert HoursBench(channel()).stage.feed(refused, at=SUNDAY, key=KEY) == []


def test_the_routing_has_the_verdict_on_the_message_that_waited_first() -> None:
    bench = HoursBench(channel(""), now=MONDAY)
    bench.set(routed=False)
    bench.message(at=SUNDAY)
    bench.message(at=MONDAY)
    bench.routed()
    assert [gated.open for gated in bench.gated] == [False, True, False]


def test_a_routing_that_no_message_waited_for_has_the_verdict_on_its_own_time() -> None:
    bench = HoursBench(channel(), now=MONDAY)
    bench.routed()
    bench.wait(DAY - 12 * HOUR)
    bench.routed()
    assert [gated.open for gated in bench.gated] == [True, False]


# --- the unavailable message ----------------------------------------------------------------------------------------


def test_a_message_while_closed_gets_a_notice() -> None:
    bench = HoursBench(channel())
    bench.set(last_customer_at=SUNDAY)
    event = ConversationMessageReceived(header=bench.header, message_id="m1", at=SUNDAY, kind="text", text="Moin")
    [_, emitted] = bench.stage.feed(event, at=SUNDAY, key=KEY)
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
    open_when_it_was_written = HoursBench(channel(), now=MONDAY + 6 * HOUR)
    assert open_when_it_was_written.message(at=MONDAY) == []
    closed_when_it_was_written = HoursBench(channel(), now=MONDAY)
    assert len(closed_when_it_was_written.message(at=MONDAY - 6 * HOUR)) == 1


def test_the_last_minute_is_open_and_closing_time_is_not() -> None:
    assert HoursBench(channel()).message(at=SUNDAY) != []
    closing = MONDAY.replace(hour=16)
    assert HoursBench(channel(), now=closing).message(at=closing - timedelta(seconds=1)) == []
    assert HoursBench(channel(), now=closing).message(at=closing) != []


@pytest.mark.parametrize("settings", [channel(""), channel(" \n"), channel("{contact.name}"), channel(enabled=False)])
def test_without_a_text_or_with_the_box_unticked_no_notice_is_sent(settings: ChannelSettings) -> None:
    bench = HoursBench(settings)
    bench.set(contact_name=None)
    assert bench.message() == []
    assert bench.stage.row_names(KEY) == []


@pytest.mark.parametrize("treatment", ["quiet", "rating"])
def test_a_quiet_message_and_a_rating_trigger_nothing(treatment: str) -> None:
    bench = HoursBench(channel())
    event = ConversationMessageReceived.model_validate(
        {"header": bench.header, "message_id": "m1", "at": SUNDAY, "kind": "text", "treatment": treatment}
    )
    assert bench.notified(event) == []
    bench.set(routed=False)
    assert bench.notified(event) == []
    assert bench.routed() == []


def test_once_a_local_day_whatever_the_order() -> None:
    bench = HoursBench(channel(), now=MONDAY + 9 * HOUR)  # 22:00 in Berlin
    assert len(bench.message()) == 1
    assert bench.message() == []
    assert bench.message(at=MONDAY - 6 * HOUR) == []  # 07:00 of the same day
    assert len(bench.message(at=SUNDAY)) == 1
    bench.wait(2 * HOUR)  # the next day in Berlin, not yet in UTC
    assert len(bench.message()) == 1
    assert bench.message(at=MONDAY + 9 * HOUR) == []
    assert bench.message(at=SUNDAY) == []


def test_each_conversation_is_notified_for_itself() -> None:
    bench = HoursBench(channel())
    assert len(bench.message()) == 1
    bench.set(conversation_id="c2")
    assert len(bench.message()) == 1


def test_the_reopened_conversation_is_not_notified_again_that_day() -> None:
    bench = HoursBench(channel())
    bench.message()
    bench.status(Status.RESOLVED, "resolved")
    bench.wait(HOUR)
    bench.status(Status.CLOSED, "close_after")
    bench.wait(HOUR)
    bench.set(routed=False)
    bench.status(Status.OPEN, "customer_message")
    assert bench.message() == []
    assert bench.routed(first=False) == []


@pytest.mark.parametrize(
    ("later", "notified"),
    [(0 * MINUTE, 0), (5 * MINUTE - timedelta(seconds=1), 0), (5 * MINUTE, 1), (HOUR, 1), (-10 * MINUTE, 0)],
)
def test_not_within_five_minutes_of_a_human_s_message(later: timedelta, notified: int) -> None:
    bench = HoursBench(channel(), now=SUNDAY + HOUR)
    bench.set(last_human_at=SUNDAY)
    assert len(bench.message(at=SUNDAY + later)) == notified


def test_a_notice_that_a_human_s_message_suppressed_does_not_use_up_the_day() -> None:
    bench = HoursBench(channel())
    bench.set(last_human_at=SUNDAY)
    assert bench.message() == []
    bench.wait(5 * MINUTE)
    assert len(bench.message()) == 1


def test_a_message_that_is_over_a_week_old_gets_no_notice() -> None:
    bench = HoursBench(channel(), now=SUNDAY + 7 * DAY)
    assert len(bench.message(at=SUNDAY)) == 1
    bench.wait(timedelta(seconds=1))
    assert bench.message(at=SUNDAY - DAY) == []


# --- before it is settled who holds the conversation ----------------------------------------------------------------


def test_messages_wait_until_it_is_settled_who_holds_the_conversation() -> None:
    bench = HoursBench(channel())
    bench.set(routed=False)
    assert bench.message() == []
    assert bench.message() == []
    assert [send.text for send in bench.routed()] == ["Back soon, Jo"]
    assert bench.message() == []


def test_waiting_messages_get_a_notice_for_each_day_they_came_on() -> None:
    bench = HoursBench(channel(), now=MONDAY)
    bench.set(routed=False)
    for at in (SUNDAY, SUNDAY - HOUR, MONDAY - 6 * HOUR, MONDAY, SUNDAY - DAY):
        assert bench.message(at=at) == []
    sends = bench.routed()
    assert len({send.message_id for send in sends}) == 3


def test_of_those_that_waited_one_after_the_human_left_is_enough() -> None:
    bench = HoursBench(channel(), now=SUNDAY + 6 * MINUTE)
    bench.set(routed=False, last_human_at=SUNDAY)
    for later in (MINUTE, 6 * MINUTE, 2 * MINUTE):
        bench.message(at=SUNDAY + later)
    assert len(bench.routed(first=False)) == 1


def test_with_the_ai_agent_nobody_is_notified() -> None:
    bench = HoursBench(channel())
    bench.set(routed=False)
    bench.message()
    assert bench.routed(Status.AI_REPLYING) == []
    assert bench.message() == []
    assert bench.stage.row_names(KEY) == []


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED])
def test_a_conversation_that_ends_before_it_was_routed_is_forgotten(status: Status) -> None:
    bench = HoursBench(channel())
    bench.set(routed=False)
    bench.message()
    assert bench.status(status, "resolved") == []
    assert bench.stage.row_names(KEY) == []


# --- the AI agent leaves it to humans -------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["handed_over", "ai_handed_over", "ai_failed"])
def test_leaving_the_ai_agent_while_closed_is_notified_once_that_day(reason: str) -> None:
    bench = HoursBench(channel())
    bench.set(status=Status.AI_REPLYING)
    assert bench.message() == []
    assert len(bench.status(Status.OPEN, reason)) == 1
    assert bench.message() == []
    bench.status(Status.AI_REPLYING, "assigned")
    assert bench.status(Status.OPEN, reason) == []


def test_who_was_told_by_the_ai_agent_is_not_told_again() -> None:
    bench = HoursBench(channel())
    bench.set(status=Status.AI_REPLYING)
    assert bench.status(Status.OPEN, "ai_handed_over", told=True) == []


@pytest.mark.parametrize("reason", ["taken_over", "assigned", "woken", "reopened", "customer_message"])
def test_other_ways_to_become_open_tell_nothing(reason: str) -> None:
    bench = HoursBench(channel())
    bench.set(status=Status.AI_REPLYING)
    assert bench.status(Status.OPEN, reason) == []


def test_leaving_the_ai_agent_is_judged_at_its_own_time() -> None:
    bench = HoursBench(channel(), now=MONDAY)
    bench.set(status=Status.AI_REPLYING)
    bench.message(at=SUNDAY)
    assert bench.status(Status.OPEN, "ai_failed") == []


def test_a_blocked_contact_gets_no_notice() -> None:
    bench = HoursBench(channel())
    bench.set(status=Status.AI_REPLYING, blocked=True)
    assert bench.status(Status.OPEN, "handed_over") == []


def test_an_ordinary_message_of_a_muted_conversation_is_notified() -> None:
    bench = HoursBench(channel())
    bench.set(muted=True)
    assert len(bench.message()) == 1


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_rows_of_sent_notices_are_deleted_in_the_end() -> None:
    bench = HoursBench(channel())
    bench.message()
    bench.status(Status.RESOLVED, "resolved")
    bench.wait(8 * DAY)
    assert bench.stage.row_names(KEY) == ["told/c1/2026-03-08"]
    bench.wait(2 * DAY)
    assert len(bench.stage.state) == 0


def test_thousands_of_waiting_messages_leave_a_small_row() -> None:
    bench = HoursBench(channel(), now=datetime(2026, 3, 9, 22, 0, tzinfo=UTC))
    bench.set(routed=False)
    for number in range(2_000):
        bench.message(at=bench.now - number * 5 * MINUTE)
    assert bench.stage.row_names(KEY) == ["held/c1"]
    assert max(bench.stage.row_sizes()) < 1024
    assert len(bench.routed()) == 7


def test_years_of_messages_leave_few_rows() -> None:
    bench = HoursBench(channel())
    for _ in range(800):
        bench.wait(12 * HOUR)
        bench.message()
    assert len(bench.stage.row_names(KEY)) < 12
