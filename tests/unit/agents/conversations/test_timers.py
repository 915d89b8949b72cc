"""What time alone brings about: auto-resolve, closing, forgetting."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events.assignment import ConversationChanged
from schemas.events.conversation import ConversationStatusChanged, Status
from schemas.events.sending import SendMessage
from tests.support.conversation import ANA, BOT, HELLO, KEY, START, Desk, channel, minutes
from tests.support.stage import all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def idle(*, goodbye: str = "", single: bool = False) -> Desk:
    """A conversation of Ana's that resolves itself after an hour."""
    desk = Desk(channel(auto_resolve_after=HOUR, goodbye=goodbye, single=single))
    desk.message("m0", name="Jo")
    desk.propose(ANA)
    return desk


def test_an_open_conversation_is_resolved_when_nobody_wrote_for_long() -> None:
    desk = idle(goodbye="Bye {contact.name}")
    assert desk.wait(HOUR - timedelta(seconds=1)) == []
    emitted = desk.wait(timedelta(seconds=1))
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type, SendMessage.type]
    changed, goodbye = the(ConversationStatusChanged, emitted), the(SendMessage, emitted)
    assert (changed.header.status, changed.reason, changed.by) == (RESOLVED, "auto_resolved", None)
    assert (changed.header.resolution, changed.header.assignee) == (1, ANA)
    assert (goodbye.kind, goodbye.text, goodbye.by) == ("goodbye", "Bye Jo", None)
    assert goodbye.not_after == START + DAY
    desk.sent(goodbye.message_id, "goodbye")
    assert desk.statuses == [RESOLVED]
    assert not all_of(SendMessage, desk.wait(10 * HOUR))


def test_without_a_goodbye_nothing_is_said() -> None:
    assert not all_of(SendMessage, idle(goodbye=" ").wait(HOUR))


def test_a_blocked_contact_gets_no_goodbye() -> None:
    desk = idle(goodbye="Bye")
    desk.block()
    assert types(desk.wait(HOUR)) == [ConversationStatusChanged.type, ConversationChanged.type]


@pytest.mark.parametrize(
    ("writes", "counts"),
    [
        (lambda desk: desk.message("m1"), True),
        (lambda desk: desk.reply("o1"), True),
        (lambda desk: desk.sent("o1"), True),
        (lambda desk: desk.sent("o1", "ai"), True),
        (lambda desk: desk.sent("o1", "unavailable"), False),
        (lambda desk: desk.note(), False),
        (lambda desk: desk.notice("r1"), False),
        (lambda desk: desk.label(("vip",)), False),
        (lambda desk: (desk.block(), desk.message("m1")), False),
        (lambda desk: desk.propose(None), False),
    ],
    ids=["customer", "reply", "sent", "AI", "automatic", "note", "notice", "label", "quiet", "proposal"],
)
def test_auto_resolve_counts_from_the_last_message_of_either_side(
    writes: Callable[[Desk], object], counts: bool
) -> None:
    desk = idle()
    desk.wait(minutes(30))
    writes(desk)
    desk.wait(minutes(30))
    assert desk.statuses == [OPEN if counts else RESOLVED]
    desk.wait(minutes(30))
    assert desk.statuses == [RESOLVED]


def test_auto_resolve_counts_from_the_customer_s_own_time() -> None:
    desk = idle()
    desk.wait(minutes(30))
    desk.message("m1", sent_at=START + minutes(10))
    desk.wait(minutes(39))
    assert desk.statuses == [OPEN]
    desk.wait(minutes(1))
    assert desk.statuses == [RESOLVED]


@pytest.mark.parametrize("opens", ["reopened", "woken", "handed over"])
def test_auto_resolve_counts_from_becoming_open(opens: str) -> None:
    desk = idle()
    match opens:
        case "reopened":
            desk.resolve("c1")
            desk.wait(50 * minutes(1))
            desk.reopen()
        case "woken":
            desk.snooze(START + minutes(50))
            desk.wait(minutes(50))
        case "handed over":
            desk.assign(BOT)
            desk.wait(minutes(50))
            desk.hand_over()
    desk.wait(minutes(59))
    assert desk.statuses == [OPEN]
    desk.wait(minutes(1))
    assert desk.statuses == [RESOLVED]


@pytest.mark.parametrize("holds", ["AI agent", "snooze"])
def test_only_an_open_one_resolves_itself(holds: str) -> None:
    desk = idle()
    if holds == "snooze":
        desk.snooze()
    else:
        desk.assign(BOT)
    desk.wait(5 * DAY)
    assert desk.latest.status in (AI, SNOOZED)
    assert "auto_resolve" not in desk.bench.timers(KEY)


def test_auto_resolve_follows_the_settings_at_that_time() -> None:
    desk = idle()
    desk.bench.settings = channel(auto_resolve_after=2 * HOUR)
    desk.wait(HOUR)
    assert desk.statuses == [OPEN]
    desk.wait(HOUR)
    assert desk.statuses == [RESOLVED]


def test_switched_off_meanwhile_it_stays_open() -> None:
    desk = idle()
    desk.bench.settings = channel()
    desk.wait(DAY)
    assert desk.statuses == [OPEN]


def test_switched_on_it_begins_with_whatever_happens_next() -> None:
    desk = Desk()
    desk.message("m1")
    desk.bench.settings = channel(auto_resolve_after=HOUR)
    desk.wait(2 * HOUR)
    desk.note()
    assert the(ConversationStatusChanged, desk.wait(minutes(1))).reason == "auto_resolved"


def test_a_message_to_what_resolved_itself_is_as_after_any_resolution() -> None:
    desk = idle(goodbye="Bye", single=True)
    desk.wait(HOUR)
    emitted = desk.message("m1")
    assert the(ConversationStatusChanged, emitted).header.status is OPEN
    assert the(SendMessage, desk.wait(HOUR)).kind == "goodbye"


def test_an_agent_s_own_conversation_resolves_itself_too() -> None:
    desk = Desk(channel(auto_resolve_after=HOUR, goodbye="Bye"))
    desk.reply("o1", text=None, template=HELLO)
    assert the(SendMessage, desk.wait(HOUR)).not_after is None


def test_to_close_at_once_is_allowed() -> None:
    desk = Desk(channel(close_after=timedelta(0)))
    desk.message("m1")
    desk.resolve("c1")
    assert the(ConversationStatusChanged, desk.wait(timedelta(0))).reason == "close_after"


def test_many_resolved_conversations_close_each_at_its_time_by_one_timer() -> None:
    desk = Desk()
    for number in range(50):
        desk.message(f"m{number}")
        desk.resolve(f"c{number}")
        desk.wait(minutes(1))
    assert desk.bench.timers(KEY) == {"due", "sweep"}
    desk.wait(DAY - minutes(26))
    assert desk.statuses == [RESOLVED] * 25
    desk.wait(minutes(26))
    assert desk.statuses == [CLOSED]


def test_a_closed_conversation_can_be_reopened_by_a_person_for_a_month() -> None:
    desk = Desk()
    desk.closed()
    desk.wait(30 * DAY - minutes(1))
    assert desk.statuses == [CLOSED]
    desk.wait(minutes(1))
    assert desk.statuses == []
    assert the(ConversationStatusChanged, desk_closed_for(29 * DAY).reopen()).previous is CLOSED


def desk_closed_for(duration: timedelta) -> Desk:
    desk = Desk()
    desk.closed()
    desk.wait(duration)
    return desk


def test_in_single_mode_the_conversation_stays_for_ever() -> None:
    desk = Desk(channel(single=True))
    desk.closed()
    desk.wait(400 * DAY)
    assert desk.statuses == [CLOSED]
    assert desk.bench.timers(KEY) == set()
