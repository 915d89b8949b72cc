"""What a customer's messages and notices do to their conversations."""

from datetime import timedelta

import pytest

from schemas.events.assignment import AssignmentRequested, ConversationChanged
from schemas.events.conversation import (
    ConversationAssigned,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
    Template,
)
from schemas.events.sending import SendMessage
from schemas.topics import ACCOUNT_INBOX, CONVERSATIONS, OUTBOUND
from tests.support.conversation import ANA, BEN, BOT, HELLO, KEY, START, Desk, channel, minutes, refusals
from tests.support.stage import all_of, the, types

OPEN, RESOLVED, CLOSED = Status.OPEN, Status.RESOLVED, Status.CLOSED
DAY = timedelta(days=1)


def single() -> Desk:
    return Desk(channel(single=True))


# --- the customer writes -------------------------------------------------------------------------------------------


def test_a_first_message_opens_a_conversation_and_asks_assignment() -> None:
    desk = Desk()
    emitted = desk.message("m1", name="Jo")
    assert [(entry.topic, entry.key) for entry in emitted] == [
        (CONVERSATIONS, KEY),
        (CONVERSATIONS, KEY),
        (ACCOUNT_INBOX, "acme"),
    ]
    opened, received = the(ConversationOpened, emitted).header, the(ConversationMessageReceived, emitted)
    assert (opened.status, opened.routed, opened.revision, opened.opened_by) == (OPEN, False, 1, "customer")
    assert (opened.messages_in, received.header.messages_in) == (0, 1)
    assert (opened.channel, opened.contact, opened.contact_name) == ("kiosk", "4915112345678", "Jo")
    assert (received.message_id, received.at, received.text) == ("m1", START, "Moin")
    request = the(AssignmentRequested, emitted)
    assert (request.conversation_id, request.revision, request.reason) == (opened.conversation_id, 1, "opened")


def test_a_second_message_joins_the_live_conversation() -> None:
    desk = Desk()
    desk.message("m1")
    emitted = desk.message("m2")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).header.messages_in == 2


def test_a_message_that_comes_again_is_dropped_for_seven_days() -> None:
    desk = Desk()
    desk.message("m1")
    desk.wait(7 * DAY - minutes(1))
    assert desk.message("m1") == []
    desk.wait(minutes(1))
    assert types(desk.message("m1")) == [ConversationMessageReceived.type]


def test_seen_ids_are_swept_away_and_the_contact_stays() -> None:
    desk = Desk()
    for number in range(20):
        desk.message(f"m{number}")
        desk.wait(minutes(90))
    desk.notice("m1")
    desk.resolve("c1")
    desk.wait(9 * DAY)
    assert desk.bench.row_names(KEY, "seen/") == desk.bench.row_names(KEY, "notice/") == []
    desk.wait(30 * DAY)
    assert desk.bench.row_names(KEY) == ["contact"]
    assert desk.bench.state.next_deadline() is None
    desk.message("m100")
    assert desk.bench.row_names(KEY, "seen/") == ["seen/m100"]
    desk.wait(9 * DAY)
    assert desk.bench.row_names(KEY, "seen/") == []


@pytest.mark.parametrize(
    ("sent_after", "at_after"),
    [(minutes(-5), minutes(-5)), (timedelta(days=40_000), timedelta(0)), (None, timedelta(0))],
    ids=["the provider's time", "never after its receipt", "without one, its receipt"],
)
def test_a_message_has_its_own_time(sent_after: timedelta | None, at_after: timedelta) -> None:
    emitted = Desk().message("m1", sent_at=None if sent_after is None else START + sent_after)
    received = the(ConversationMessageReceived, emitted)
    assert received.at == received.header.last_customer_at == START + at_after


def test_messages_that_arrive_swapped_keep_their_times() -> None:
    desk = Desk()
    second = the(ConversationMessageReceived, desk.message("m2", sent_at=START - minutes(1)))
    first = the(ConversationMessageReceived, desk.message("m1", sent_at=START - minutes(2)))
    assert first.at < second.at
    assert first.header.last_customer_at == second.at


def test_the_contact_s_name_is_the_last_one_given() -> None:
    desk = Desk()
    names = [
        the(ConversationMessageReceived, desk.message(f"m{number}", name=name)).header.contact_name
        for number, name in enumerate((None, "Jo", None, "Joanna"))
    ]
    assert names == [None, "Jo", "Jo", "Joanna"]


@pytest.mark.parametrize("ended", [RESOLVED, CLOSED])
def test_a_message_after_the_end_opens_a_new_conversation(ended: Status) -> None:
    desk = Desk()
    desk.message("m1")
    desk.resolve("c1")
    if ended is CLOSED:
        desk.wait(DAY)
    emitted = desk.message("m2")
    assert the(ConversationOpened, emitted).header.messages_in == 0
    assert the(AssignmentRequested, emitted).reason == "opened"
    assert desk.statuses == ([RESOLVED, OPEN] if ended is RESOLVED else [OPEN])


@pytest.mark.parametrize("ended", [RESOLVED, CLOSED])
def test_in_single_mode_a_message_reopens_the_same_conversation(ended: Status) -> None:
    desk = single()
    desk.message("m1")
    desk.propose(ANA)
    desk.resolve("c1")
    if ended is CLOSED:
        desk.wait(DAY)
    emitted = desk.message("m2")
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.previous, changed.header.status, changed.reason, changed.by) == (
        ended,
        OPEN,
        "customer_message",
        None,
    )
    assert (changed.header.routed, changed.header.assignee) == (False, ANA)
    request = the(AssignmentRequested, emitted)
    assert request.reason == "reopened"
    assert request.revision == the(ConversationChanged, emitted).revision == changed.header.revision
    assert the(ConversationMessageReceived, emitted).header.messages_in == 2
    assert not all_of(ConversationOpened, emitted)
    desk.wait(3 * DAY)
    assert desk.statuses == [OPEN]
    assert desk.bench.timers(KEY) == {"sweep"}


def test_a_notice_joins_a_live_conversation_once() -> None:
    desk = Desk()
    desk.message("m1")
    assert the(ConversationNoticeReceived, desk.notice("r1")).refers_to == "m1"
    assert desk.notice("r1") == []
    assert types(desk.notice("m1", kind="deleted")) == [ConversationNoticeReceived.type]


def test_a_notice_starts_nothing_and_leaves_no_trace() -> None:
    desk = Desk()
    assert desk.notice("r1") == []
    assert len(desk.bench.state) == 0


def test_a_notice_about_a_resolved_conversation_is_published_and_reopens_nothing() -> None:
    desk = Desk()
    desk.message("m1")
    desk.resolve("c1")
    [emitted] = desk.notice("r2")
    assert isinstance(emitted.event, ConversationNoticeReceived)
    assert desk.statuses == [RESOLVED]


# --- a person replies ----------------------------------------------------------------------------------------------


def test_a_reply_goes_to_delivery_and_changes_neither_status_nor_assignee() -> None:
    desk = Desk()
    desk.message("m1")
    desk.propose(BEN)
    before = desk.latest
    assert (before.unread, before.waiting_since) == (1, START)
    emitted = desk.reply("o1")
    assert [(entry.topic, entry.key) for entry in emitted] == [(OUTBOUND, KEY)]
    assert the(SendMessage, emitted) == SendMessage(
        message_id="o1",
        conversation_id=before.id,
        kind="reply",
        text="Hallo",
        not_after=START + timedelta(hours=24),
        by="ana",
    )
    assert desk.latest == before.model_copy(update={"messages_out": 1, "unread": 0, "waiting_since": None})


def test_a_reply_takes_over_from_the_ai_agent() -> None:
    desk = Desk()
    desk.message("m1")
    desk.propose(BOT)
    emitted = desk.reply("o1", by="ben")
    header = the(ConversationStatusChanged, emitted).header
    assert (header.status, header.assignee, header.revision) == (OPEN, BEN, 3)
    assert the(ConversationAssigned, emitted).previous == BOT
    assert the(ConversationChanged, emitted).assignee == BEN


@pytest.mark.parametrize(
    ("waited", "text", "template", "code"),
    [
        (DAY - timedelta(milliseconds=1), "Hallo", None, None),
        (DAY, "Hallo", None, "window_closed"),
        (DAY, None, HELLO, None),
        (minutes(1), None, HELLO, None),
        (minutes(1), None, None, "invalid_settings"),
        (minutes(1), "  ", None, "invalid_settings"),
        (minutes(1), "Hallo", HELLO, "invalid_settings"),
    ],
    ids=["just in time", "a text too late", "a template then", "a template at any time", "nothing", "blanks", "both"],
)
def test_a_reply_is_judged_by_the_window(
    waited: timedelta, text: str | None, template: Template | None, code: str | None
) -> None:
    desk = Desk()
    desk.message("m1")
    desk.wait(waited)
    before = desk.latest
    emitted = desk.reply("o1", text=text, template=template)
    if code is None:
        assert the(SendMessage, emitted).template == template
    else:
        assert refusals(emitted) == [code]
        assert desk.latest == before


def test_the_window_counts_from_the_provider_s_time() -> None:
    desk = Desk()
    desk.message("m1", sent_at=START - DAY)
    assert refusals(desk.reply("o1")) == ["window_closed"]


def test_a_command_comes_through_once() -> None:
    desk = Desk()
    desk.message("m1")
    desk.reply("o1")
    assert refusals(desk.reply("o1")) == ["duplicate_command"]
    assert desk.latest.messages_out == 1


def test_a_refused_command_may_be_asked_again() -> None:
    desk = Desk()
    assert refusals(desk.reply("o1")) == ["window_closed"]
    assert len(desk.bench.state) == 0
    desk.message("m1")
    assert types(desk.reply("o1")) == [SendMessage.type]


def test_a_stranger_s_commands_are_refused() -> None:
    desk = Desk()
    desk.message("m1")
    assert refusals(desk.reply("o1", by="eve")) == ["not_a_member"]
    assert refusals(desk.resolve("c1", by="eve")) == ["not_a_member"]


@pytest.mark.parametrize("earlier", [False, True])
def test_an_agent_s_first_template_opens_a_conversation_that_is_theirs(earlier: bool) -> None:
    desk = Desk()
    if earlier:
        desk.closed()
    emitted = desk.reply("o1", text=None, template=HELLO)
    assert types(emitted) == [
        ConversationOpened.type,
        ConversationAssigned.type,
        ConversationRouted.type,
        ConversationChanged.type,
        SendMessage.type,
    ]
    for event in all_of(ConversationEvent, emitted):
        header = event.header
        assert (header.status, header.assignee, header.routed) == (OPEN, ANA, True)
        assert (header.opened_by, header.revision) == ("agent", 1)
    assert the(ConversationRouted, emitted).first
    assert desk.latest.messages_out == 1
    assert (the(SendMessage, emitted).not_after is None) is not earlier


def test_in_single_mode_a_reply_reopens_what_its_sender_held() -> None:
    desk = single()
    desk.message("m1")
    desk.propose(ANA)
    desk.resolve("c1")
    emitted = desk.reply("o1")
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type, SendMessage.type]
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.by, changed.header.assignee, changed.header.routed) == ("ana", ANA, True)
    desk.wait(3 * DAY)
    assert desk.statuses == [OPEN]
    assert desk.bench.timers(KEY) == {"sweep"}


def test_in_single_mode_a_reply_to_another_s_asks_whether_they_are_available() -> None:
    desk = single()
    desk.message("m1")
    desk.propose(BEN)
    desk.resolve("c1")
    request = the(AssignmentRequested, desk.reply("o1"))
    assert (request.reason, request.former, request.replied_by) == ("reopened_by_person", BEN, "ana")
    assert (desk.latest.assignee, desk.latest.routed) == (BEN, False)


def test_in_single_mode_a_reply_to_what_nobody_held_makes_it_the_sender_s() -> None:
    desk = single()
    desk.message("m1")
    desk.resolve("c1")
    emitted = desk.reply("o1")
    assert the(ConversationAssigned, emitted).header.assignee == ANA
    assert not the(ConversationRouted, emitted).first


def test_in_single_mode_a_reply_does_not_hand_back_to_the_ai_agent() -> None:
    desk = single()
    desk.message("m1")
    desk.propose(BOT)
    desk.resolve("c1")
    assert the(ConversationAssigned, desk.reply("o1")).header.assignee == ANA
    assert desk.latest.status is OPEN


# --- a person resolves, time closes --------------------------------------------------------------------------------


def test_a_resolved_conversation_closes_after_its_time() -> None:
    desk = Desk(channel(close_after=timedelta(hours=2)))
    desk.message("m1")
    resolved = desk.resolve("c1")
    changed = the(ConversationStatusChanged, resolved)
    assert (changed.previous, changed.header.status, changed.by) == (OPEN, RESOLVED, "ana")
    assert the(ConversationChanged, resolved).status is RESOLVED
    assert desk.wait(timedelta(hours=2) - minutes(1)) == []
    closed = desk.wait(minutes(1))
    changed = the(ConversationStatusChanged, closed)
    assert (changed.previous, changed.header.status, changed.reason) == (RESOLVED, CLOSED, "close_after")
    assert changed.header.revision == the(ConversationChanged, closed).revision == 3
    assert changed.header.last_customer_at == START


def test_only_a_live_conversation_can_be_resolved() -> None:
    desk = Desk()
    assert refusals(desk.resolve("c1")) == ["unknown_conversation"]
    desk.message("m1")
    desk.resolve("c2")
    assert refusals(desk.resolve("c3")) == ["illegal_transition"]
    desk.wait(DAY)
    assert refusals(desk.resolve("c4")) == ["illegal_transition"]


def test_of_the_closed_only_the_latest_is_kept() -> None:
    desk = Desk()
    for number in range(5):
        desk.message(f"m{number}")
        desk.resolve(f"c{number}")
        desk.wait(minutes(5))
    assert desk.statuses == [RESOLVED] * 5
    desk.wait(DAY)
    assert desk.statuses == [CLOSED]
    desk.message("m9")
    assert desk.statuses == [OPEN]
