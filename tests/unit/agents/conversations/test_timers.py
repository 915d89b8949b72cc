"""What time alone brings about: auto-resolve, closing, forgetting."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events.assignment import ConversationChanged
from schemas.events.conversation import ConversationStatusChanged, Status
from schemas.events.sending import SendMessage
from tests.support.conversation import ANA, BOT, HELLO, KEY, START, ConversationBench, channel, minutes
from tests.support.stage import all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def idle(*, goodbye: str = "", single: bool = False) -> ConversationBench:
    """A conversation of Ana's that resolves itself after an hour."""
    bench = ConversationBench(channel(auto_resolve_after=HOUR, goodbye=goodbye, single=single))
    bench.message("m0", name="Jo")
    bench.propose(ANA)
    return bench


def test_an_open_conversation_is_resolved_when_nobody_wrote_for_long() -> None:
    bench = idle(goodbye="Bye {contact.name}")
    assert bench.wait(HOUR - timedelta(seconds=1)) == []
    emitted = bench.wait(timedelta(seconds=1))
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type, SendMessage.type]
    changed, goodbye = the(ConversationStatusChanged, emitted), the(SendMessage, emitted)
    assert (changed.header.status, changed.reason, changed.by) == (RESOLVED, "auto_resolved", None)
    assert (changed.header.resolution, changed.header.assignee) == (1, ANA)
    assert (goodbye.kind, goodbye.text, goodbye.by) == ("goodbye", "Bye Jo", None)
    assert goodbye.not_after == START + DAY
    bench.sent(goodbye.message_id, "goodbye")
    assert bench.statuses == [RESOLVED]
    assert not all_of(SendMessage, bench.wait(10 * HOUR))


def test_without_a_goodbye_nothing_is_said() -> None:
    assert not all_of(SendMessage, idle(goodbye=" ").wait(HOUR))


def test_a_blocked_contact_gets_no_goodbye() -> None:
    bench = idle(goodbye="Bye")
    bench.block()
    assert types(bench.wait(HOUR)) == [ConversationStatusChanged.type, ConversationChanged.type]


@pytest.mark.parametrize(
    ("writes", "counts"),
    [
        (lambda bench: bench.message("m1"), True),
        (lambda bench: bench.reply("o1"), True),
        (lambda bench: bench.sent("o1"), True),
        (lambda bench: bench.sent("o1", "ai"), True),
        (lambda bench: bench.sent("o1", "unavailable"), False),
        (lambda bench: bench.note(), False),
        (lambda bench: bench.notice("r1"), False),
        (lambda bench: bench.label(("vip",)), False),
        (lambda bench: (bench.block(), bench.message("m1")), False),
        (lambda bench: bench.propose(None), False),
    ],
    ids=["customer", "reply", "sent", "AI", "automatic", "note", "notice", "label", "quiet", "proposal"],
)
def test_auto_resolve_counts_from_the_last_message_of_either_side(
    writes: Callable[[ConversationBench], object], counts: bool
) -> None:
    bench = idle()
    bench.wait(minutes(30))
    writes(bench)
    bench.wait(minutes(30))
    assert bench.statuses == [OPEN if counts else RESOLVED]
    bench.wait(minutes(30))
    assert bench.statuses == [RESOLVED]


def test_auto_resolve_counts_from_the_customer_s_own_time() -> None:
    bench = idle()
    bench.wait(minutes(30))
    bench.message("m1", sent_at=START + minutes(10))
    bench.wait(minutes(39))
    assert bench.statuses == [OPEN]
    bench.wait(minutes(1))
    assert bench.statuses == [RESOLVED]


@pytest.mark.parametrize("opens", ["reopened", "woken", "handed over"])
def test_auto_resolve_counts_from_becoming_open(opens: str) -> None:
    bench = idle()
    match opens:
        case "reopened":
            bench.resolve("c1")
            bench.wait(50 * minutes(1))
            bench.reopen()
        case "woken":
            bench.snooze(START + minutes(50))
            bench.wait(minutes(50))
        case "handed over":
            bench.assign(BOT)
            bench.wait(minutes(50))
            bench.hand_over()
    bench.wait(minutes(59))
    assert bench.statuses == [OPEN]
    bench.wait(minutes(1))
    assert bench.statuses == [RESOLVED]


@pytest.mark.parametrize("holds", ["AI agent", "snooze"])
def test_only_an_open_one_resolves_itself(holds: str) -> None:
    bench = idle()
    if holds == "snooze":
        bench.snooze()
    else:
        bench.assign(BOT)
    bench.wait(5 * DAY)
    assert bench.latest.status in (AI, SNOOZED)
    assert "auto_resolve" not in bench.stage.timers(KEY)


def test_auto_resolve_follows_the_settings_at_that_time() -> None:
    bench = idle()
    bench.stage.settings = channel(auto_resolve_after=2 * HOUR)
    bench.wait(HOUR)
    assert bench.statuses == [OPEN]
    bench.wait(HOUR)
    assert bench.statuses == [RESOLVED]


def test_switched_off_meanwhile_it_stays_open() -> None:
    bench = idle()
    bench.stage.settings = channel()
    bench.wait(DAY)
    assert bench.statuses == [OPEN]


def test_switched_on_it_begins_with_whatever_happens_next() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.stage.settings = channel(auto_resolve_after=HOUR)
    bench.wait(2 * HOUR)
    bench.note()
    assert the(ConversationStatusChanged, bench.wait(minutes(1))).reason == "auto_resolved"


def test_a_message_to_what_resolved_itself_is_as_after_any_resolution() -> None:
    bench = idle(goodbye="Bye", single=True)
    bench.wait(HOUR)
    emitted = bench.message("m1")
    assert the(ConversationStatusChanged, emitted).header.status is OPEN
    assert the(SendMessage, bench.wait(HOUR)).kind == "goodbye"


def test_an_agent_s_own_conversation_resolves_itself_too() -> None:
    bench = ConversationBench(channel(auto_resolve_after=HOUR, goodbye="Bye"))
    bench.reply("o1", text=None, template=HELLO)
    assert the(SendMessage, bench.wait(HOUR)).not_after is None


def test_to_close_at_once_is_allowed() -> None:
    bench = ConversationBench(channel(close_after=timedelta(0)))
    bench.message("m1")
    bench.resolve("c1")
    assert the(ConversationStatusChanged, bench.wait(timedelta(0))).reason == "close_after"


def test_many_resolved_conversations_close_each_at_its_time_by_one_timer() -> None:
    bench = ConversationBench()
    for number in range(50):
        bench.message(f"m{number}")
        bench.resolve(f"c{number}")
        bench.wait(minutes(1))
    assert bench.stage.timers(KEY) == {"due", "sweep"}
    bench.wait(DAY - minutes(26))
    assert bench.statuses == [RESOLVED] * 25
    bench.wait(minutes(26))
    assert bench.statuses == [CLOSED]


def test_a_closed_conversation_can_be_reopened_by_a_person_for_a_month() -> None:
    bench = ConversationBench()
    bench.closed()
    bench.wait(30 * DAY - minutes(1))
    assert bench.statuses == [CLOSED]
    bench.wait(minutes(1))
    assert bench.statuses == []
    assert the(ConversationStatusChanged, desk_closed_for(29 * DAY).reopen()).previous is CLOSED


def desk_closed_for(duration: timedelta) -> ConversationBench:
    bench = ConversationBench()
    bench.closed()
    bench.wait(duration)
    return bench


def test_in_single_mode_the_conversation_stays_for_ever() -> None:
    bench = ConversationBench(channel(single=True))
    bench.closed()
    bench.wait(400 * DAY)
    assert bench.statuses == [CLOSED]
    assert bench.stage.timers(KEY) == set()
