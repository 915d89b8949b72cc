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
)
from schemas.events.sending import SendMessage
from schemas.events.template import Template
from schemas.topics import ACCOUNT_INBOX, CONVERSATIONS, OUTBOUND
from tests.support.conversation import ANA, BEN, BOT, HELLO, KEY, START, ConversationBench, channel, minutes, refusals
from tests.support.stage import all_of, the, types

OPEN, RESOLVED, CLOSED = Status.OPEN, Status.RESOLVED, Status.CLOSED
DAY = timedelta(days=1)


def single() -> ConversationBench:
    return ConversationBench(channel(single=True))


# --- the customer writes -------------------------------------------------------------------------------------------


def test_a_first_message_opens_a_conversation_and_asks_assignment() -> None:
    bench = ConversationBench()
    emitted = bench.message("m1", name="Jo")
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
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.message("m2")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).header.messages_in == 2


def test_a_message_that_comes_again_is_dropped_for_seven_days() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.wait(7 * DAY - minutes(1))
    assert bench.message("m1") == []
    bench.wait(minutes(1))
    assert types(bench.message("m1")) == [ConversationMessageReceived.type]


def test_seen_ids_are_swept_away_and_the_contact_stays() -> None:
    bench = ConversationBench()
    for number in range(20):
        bench.message(f"m{number}")
        bench.wait(minutes(90))
    bench.notice("m1")
    bench.resolve("c1")
    bench.wait(9 * DAY)
    assert bench.stage.row_names(KEY, "seen/") == bench.stage.row_names(KEY, "notice/") == []
    bench.wait(30 * DAY)
    assert bench.stage.row_names(KEY) == ["contact"]
    assert bench.stage.state.next_deadline() is None
    bench.message("m100")
    assert bench.stage.row_names(KEY, "seen/") == ["seen/m100"]
    bench.wait(9 * DAY)
    assert bench.stage.row_names(KEY, "seen/") == []


@pytest.mark.parametrize(
    ("sent_after", "at_after"),
    [(minutes(-5), minutes(-5)), (timedelta(days=40_000), timedelta(0)), (None, timedelta(0))],
    ids=["the provider's time", "never after its receipt", "without one, its receipt"],
)
def test_a_message_has_its_own_time(sent_after: timedelta | None, at_after: timedelta) -> None:
    emitted = ConversationBench().message("m1", sent_at=None if sent_after is None else START + sent_after)
    received = the(ConversationMessageReceived, emitted)
    assert received.at == received.header.last_customer_at == START + at_after


def test_messages_that_arrive_swapped_keep_their_times() -> None:
    bench = ConversationBench()
    second = the(ConversationMessageReceived, bench.message("m2", sent_at=START - minutes(1)))
    first = the(ConversationMessageReceived, bench.message("m1", sent_at=START - minutes(2)))
    assert first.at < second.at
    assert first.header.last_customer_at == second.at


def test_the_contact_s_name_is_the_last_one_given() -> None:
    bench = ConversationBench()
    names = [
        the(ConversationMessageReceived, bench.message(f"m{number}", name=name)).header.contact_name
        for number, name in enumerate((None, "Jo", None, "Joanna"))
    ]
    assert names == [None, "Jo", "Jo", "Joanna"]


@pytest.mark.parametrize("ended", [RESOLVED, CLOSED])
def test_a_message_after_the_end_opens_a_new_conversation(ended: Status) -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.resolve("c1")
    if ended is CLOSED:
        bench.wait(DAY)
    emitted = bench.message("m2")
    assert the(ConversationOpened, emitted).header.messages_in == 0
    assert the(AssignmentRequested, emitted).reason == "opened"
    assert bench.statuses == ([RESOLVED, OPEN] if ended is RESOLVED else [OPEN])


@pytest.mark.parametrize("ended", [RESOLVED, CLOSED])
def test_in_single_mode_a_message_reopens_the_same_conversation(ended: Status) -> None:
    bench = single()
    bench.message("m1")
    bench.propose(ANA)
    bench.resolve("c1")
    if ended is CLOSED:
        bench.wait(DAY)
    emitted = bench.message("m2")
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
    bench.wait(3 * DAY)
    assert bench.statuses == [OPEN]
    assert bench.stage.timers(KEY) == {"sweep"}


def test_a_notice_joins_a_live_conversation_once() -> None:
    bench = ConversationBench()
    bench.message("m1")
    assert the(ConversationNoticeReceived, bench.notice("r1")).refers_to == "m1"
    assert bench.notice("r1") == []
    assert types(bench.notice("m1", kind="deleted")) == [ConversationNoticeReceived.type]


def test_a_notice_starts_nothing_and_leaves_no_trace() -> None:
    bench = ConversationBench()
    assert bench.notice("r1") == []
    assert len(bench.stage.state) == 0


def test_a_notice_about_a_resolved_conversation_is_published_and_reopens_nothing() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.resolve("c1")
    [emitted] = bench.notice("r2")
    assert isinstance(emitted.event, ConversationNoticeReceived)
    assert bench.statuses == [RESOLVED]


# --- a person replies ----------------------------------------------------------------------------------------------


def test_a_reply_goes_to_delivery_and_changes_neither_status_nor_assignee() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.propose(BEN)
    before = bench.latest
    assert (before.unread, before.waiting_since) == (1, START)
    emitted = bench.reply("o1")
    assert [(entry.topic, entry.key) for entry in emitted] == [(OUTBOUND, KEY)]
    assert the(SendMessage, emitted) == SendMessage(
        message_id="o1",
        conversation_id=before.id,
        kind="reply",
        text="Hallo",
        not_after=START + timedelta(hours=24),
        by="ana",
    )
    assert bench.latest == before.model_copy(update={"messages_out": 1, "unread": 0, "waiting_since": None})


def test_a_reply_takes_over_from_the_ai_agent() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.propose(BOT)
    emitted = bench.reply("o1", by="ben")
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
    bench = ConversationBench()
    bench.message("m1")
    bench.wait(waited)
    before = bench.latest
    emitted = bench.reply("o1", text=text, template=template)
    if code is None:
        assert the(SendMessage, emitted).template == template
    else:
        assert refusals(emitted) == [code]
        assert bench.latest == before


def test_the_window_counts_from_the_provider_s_time() -> None:
    bench = ConversationBench()
    bench.message("m1", sent_at=START - DAY)
    assert refusals(bench.reply("o1")) == ["window_closed"]


def test_a_command_comes_through_once() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.reply("o1")
    assert refusals(bench.reply("o1")) == ["duplicate_command"]
    assert bench.latest.messages_out == 1


def test_a_refused_command_may_be_asked_again() -> None:
    bench = ConversationBench()
    assert refusals(bench.reply("o1")) == ["window_closed"]
    assert len(bench.stage.state) == 0
    bench.message("m1")
    assert types(bench.reply("o1")) == [SendMessage.type]


def test_a_stranger_s_commands_are_refused() -> None:
    bench = ConversationBench()
    bench.message("m1")
    assert refusals(bench.reply("o1", by="eve")) == ["not_a_member"]
    assert refusals(bench.resolve("c1", by="eve")) == ["not_a_member"]


@pytest.mark.parametrize("earlier", [False, True])
def test_an_agent_s_first_template_opens_a_conversation_that_is_theirs(earlier: bool) -> None:
    bench = ConversationBench()
    if earlier:
        bench.closed()
    emitted = bench.reply("o1", text=None, template=HELLO)
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
    assert bench.latest.messages_out == 1
    assert (the(SendMessage, emitted).not_after is None) is not earlier


def test_in_single_mode_a_reply_reopens_what_its_sender_held() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(ANA)
    bench.resolve("c1")
    emitted = bench.reply("o1")
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type, SendMessage.type]
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.by, changed.header.assignee, changed.header.routed) == ("ana", ANA, True)
    bench.wait(3 * DAY)
    assert bench.statuses == [OPEN]
    assert bench.stage.timers(KEY) == {"sweep"}


def test_in_single_mode_a_reply_to_another_s_asks_whether_they_are_available() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(BEN)
    bench.resolve("c1")
    request = the(AssignmentRequested, bench.reply("o1"))
    assert (request.reason, request.former, request.replied_by) == ("reopened_by_person", BEN, "ana")
    assert (bench.latest.assignee, bench.latest.routed) == (BEN, False)


def test_in_single_mode_a_reply_to_what_nobody_held_makes_it_the_sender_s() -> None:
    bench = single()
    bench.message("m1")
    bench.resolve("c1")
    emitted = bench.reply("o1")
    assert the(ConversationAssigned, emitted).header.assignee == ANA
    assert not the(ConversationRouted, emitted).first


def test_in_single_mode_a_reply_does_not_hand_back_to_the_ai_agent() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(BOT)
    bench.resolve("c1")
    assert the(ConversationAssigned, bench.reply("o1")).header.assignee == ANA
    assert bench.latest.status is OPEN


# --- a person resolves, time closes --------------------------------------------------------------------------------


def test_a_resolved_conversation_closes_after_its_time() -> None:
    bench = ConversationBench(channel(close_after=timedelta(hours=2)))
    bench.message("m1")
    resolved = bench.resolve("c1")
    changed = the(ConversationStatusChanged, resolved)
    assert (changed.previous, changed.header.status, changed.by) == (OPEN, RESOLVED, "ana")
    assert the(ConversationChanged, resolved).status is RESOLVED
    assert bench.wait(timedelta(hours=2) - minutes(1)) == []
    closed = bench.wait(minutes(1))
    changed = the(ConversationStatusChanged, closed)
    assert (changed.previous, changed.header.status, changed.reason) == (RESOLVED, CLOSED, "close_after")
    assert changed.header.revision == the(ConversationChanged, closed).revision == 3
    assert changed.header.last_customer_at == START


def test_only_a_live_conversation_can_be_resolved() -> None:
    bench = ConversationBench()
    assert refusals(bench.resolve("c1")) == ["unknown_conversation"]
    bench.message("m1")
    bench.resolve("c2")
    assert refusals(bench.resolve("c3")) == ["illegal_transition"]
    bench.wait(DAY)
    assert refusals(bench.resolve("c4")) == ["illegal_transition"]


def test_of_the_closed_only_the_latest_is_kept() -> None:
    bench = ConversationBench()
    for number in range(5):
        bench.message(f"m{number}")
        bench.resolve(f"c{number}")
        bench.wait(minutes(5))
    assert bench.statuses == [RESOLVED] * 5
    bench.wait(DAY)
    assert bench.statuses == [CLOSED]
    bench.message("m9")
    assert bench.statuses == [OPEN]
