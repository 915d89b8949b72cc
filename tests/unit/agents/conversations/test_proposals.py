"""What assignment and delivery tell conversations."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events.assignment import AssignmentRequested, ConversationChanged, ProposalAnswered
from schemas.events.conversation import (
    ConversationAssigned,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
)
from tests.support.conversation import ANA, BEN, BOT, START, ConversationBench, channel, minutes
from tests.support.stage import all_of, the, types

OPEN, AI = Status.OPEN, Status.AI_REPLYING
DAY = timedelta(days=1)


def single() -> ConversationBench:
    return ConversationBench(channel(single=True))


# --- assignment proposes -------------------------------------------------------------------------------------------


def test_an_accepted_proposal_assigns_and_routes() -> None:
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.propose(ANA)
    routed, answer = the(ConversationRouted, emitted), the(ProposalAnswered, emitted)
    assert (routed.first, routed.explanation) == (True, {"decision": "test"})
    assert (routed.header.routed, routed.header.assignee, routed.header.status) == (True, ANA, OPEN)
    assert (answer.accepted, answer.reason, answer.proposal_id) == (True, None, "p1")
    assert answer.revision == routed.header.revision == the(ConversationChanged, emitted).revision == 2
    assert the(ConversationAssigned, emitted).previous is None


def test_an_accepted_proposal_of_nobody_routes_and_changes_nothing_else() -> None:
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.propose(None)
    assert types(emitted) == [ConversationRouted.type, ProposalAnswered.type]
    header = the(ConversationRouted, emitted).header
    assert (header.routed, header.assignee, header.revision) == (True, None, 1)


def test_an_accepted_ai_agent_replies_from_then_on() -> None:
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.propose(BOT)
    assert the(ConversationStatusChanged, emitted).header.status is AI
    assert the(ConversationRouted, emitted).header.status is AI


def test_a_proposal_of_whoever_had_it_before_the_reopening_is_no_new_assignment() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(ANA)
    bench.resolve("c1")
    bench.message("m2")
    emitted = bench.propose(ANA)
    assert types(emitted) == [ConversationRouted.type, ProposalAnswered.type]
    assert not the(ConversationRouted, emitted).first


@pytest.mark.parametrize(
    ("meanwhile", "conversation", "revision", "reason"),
    [
        ([], "gone", 1, "unknown_conversation"),
        ([], None, 9, "stale_revision"),
        (["resolve"], None, 1, "stale_revision"),
        (["resolve"], None, 2, "stale_revision"),
        (["ai", "reply"], None, 2, "stale_revision"),
        (["ai"], None, 2, "already_routed"),
        (["snooze"], None, 1, "stale_revision"),
        (["snooze"], None, 2, "stale_revision"),
    ],
    ids=[
        "no such",
        "another revision",
        "resolved",
        "resolved when proposed",
        "taken over",
        "with the AI agent",
        "snoozed",
        "snoozed when proposed",
    ],
)
def test_a_proposal_that_no_longer_fits_is_answered_with_the_reason(
    meanwhile: list[str], conversation: str | None, revision: int, reason: str
) -> None:
    bench = ConversationBench()
    bench.message("m1")
    happens: dict[str, Callable[[], object]] = {
        "resolve": lambda: bench.resolve("c1"),
        "ai": lambda: bench.propose(BOT),
        "reply": lambda: bench.reply("o1"),
        "snooze": lambda: bench.snooze(),
    }
    for step in meanwhile:
        happens[step]()
    before = bench.latest
    emitted = bench.propose(ANA, revision=revision, conversation=conversation)
    assert types(emitted) == [ProposalAnswered.type]
    answer = the(ProposalAnswered, emitted)
    assert (answer.accepted, answer.reason) == (False, reason)
    assert bench.latest == before


def test_a_waiting_conversation_is_assigned_later_and_routed_once() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.propose(None)
    emitted = bench.propose(ANA)
    assert types(emitted) == [ConversationAssigned.type, ConversationChanged.type, ProposalAnswered.type]
    assert the(ConversationAssigned, emitted).explanation == {"decision": "test"}
    assert the(ProposalAnswered, emitted).revision == 2
    assert types(bench.propose(None, revision=1)) == [ProposalAnswered.type]


def test_a_conversation_of_somebody_who_left_is_proposed_anew() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.propose(ANA)
    bench.stage.settings = channel(members=("ben",))
    emitted = bench.propose(BEN)
    assert the(ConversationAssigned, emitted).previous == ANA
    assert the(ProposalAnswered, emitted).accepted
    assert the(ConversationAssigned, bench.propose(None)).header.assignee is None


def test_a_reopened_conversation_that_nobody_can_take_leaves_its_former_agent() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(ANA)
    bench.resolve("c1")
    bench.message("m2")
    emitted = bench.propose(None)
    assert types(emitted) == [
        ConversationAssigned.type,
        ConversationChanged.type,
        ConversationRouted.type,
        ProposalAnswered.type,
    ]
    changed, answer = the(ConversationChanged, emitted), the(ProposalAnswered, emitted)
    assert (changed.assignee, changed.routed, changed.revision) == (None, True, answer.revision)


def test_a_request_says_what_rules_judge() -> None:
    bench = ConversationBench()
    bench.closed()
    emitted = bench.message("m1", text="Preis?", name="Jo", sent_at=bench.now - minutes(1))
    request = the(AssignmentRequested, emitted)
    assert (request.text, request.message_kind, request.contact_name) == ("Preis?", "text", "Jo")
    assert (request.at, request.returning, request.former) == (bench.now - minutes(1), True, None)


def test_a_reopening_by_its_customer_names_whoever_had_it() -> None:
    bench = single()
    bench.message("m1")
    bench.propose(ANA)
    bench.label(("vip",))
    bench.resolve("c1")
    request = the(AssignmentRequested, bench.message("m2"))
    assert (request.reason, request.former, request.labels, request.returning) == ("reopened", ANA, ("vip",), True)


def test_a_message_between_opening_and_routing_waits_for_the_one_first_routing() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.message("m2")
    routed = the(ConversationRouted, bench.propose())
    assert (routed.first, routed.header.messages_in) == (True, 2)
    assert not all_of(ConversationRouted, bench.message("m3"))


def test_a_conversation_reopened_before_its_routing_has_no_first_one() -> None:
    bench = single()
    bench.message("m1")
    bench.resolve("c1")
    bench.message("m2")
    assert not the(ConversationRouted, bench.propose()).first


# --- delivery says what came of it ---------------------------------------------------------------------------------


def test_an_accepted_reply_is_said_and_timed() -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.reply("o1")
    bench.wait(minutes(1))
    sent = the(ConversationMessageSent, bench.sent("o1"))
    assert (sent.at, sent.kind, sent.by, sent.text, sent.via, sent.repeat) == (
        START + minutes(1),
        "reply",
        "ana",
        "Hallo",
        "session",
        False,
    )
    assert (sent.header.messages_out, sent.header.last_human_at) == (1, START + minutes(1))


def test_automatic_messages_are_counted_apart() -> None:
    bench = ConversationBench()
    bench.message("m1")
    header = the(ConversationMessageSent, bench.sent("g1", "greeting")).header
    assert (header.messages_automatic, header.messages_out, header.last_human_at) == (1, 0, None)


def test_a_sent_message_joins_its_own_conversation_while_that_has_a_row() -> None:
    bench = ConversationBench()
    bench.message("m1")
    first = bench.latest.id
    bench.resolve("c1")
    bench.message("m2")
    assert the(ConversationMessageSent, bench.sent("o1", conversation=first)).header.conversation_id == first
    bench.wait(DAY)
    sent = the(ConversationMessageSent, bench.sent("o2", conversation=first))
    assert sent.header.conversation_id == bench.latest.id != first
    assert bench.statuses == [OPEN]


def test_an_end_of_a_send_without_any_conversation_is_ignored() -> None:
    bench = ConversationBench()
    assert bench.sent("o1", conversation="gone") == []
    assert len(bench.stage.state) == 0


@pytest.mark.parametrize(
    ("kind", "reason", "code", "text"),
    [
        ("reply", "refused", 3002, "The reply was not sent: the provider refused it (code 3002)."),
        ("greeting", "provider_unavailable", None, "The greeting was not sent: the provider could not be reached."),
    ],
)
def test_an_unsent_message_becomes_a_note(kind: str, reason: str, code: int | None, text: str) -> None:
    bench = ConversationBench()
    bench.message("m1")
    note = the(ConversationNoteAdded, bench.unsent("o1", kind, reason, code))
    assert (note.text, note.reason) == (text, reason)


def test_an_unknown_end_is_no_note() -> None:
    bench = ConversationBench()
    bench.message("m1")
    assert bench.unsent("o1", "greeting", "unknown") == []


def test_the_note_is_not_repeated_until_the_customer_writes_again() -> None:
    bench = ConversationBench()
    bench.message("m1")
    kinds = ["goodbye", "survey", "reply", "reply"]
    noted = [len(bench.unsent(f"x{n}", kind, "window_closed")) for n, kind in enumerate(kinds)]
    assert noted == [1, 0, 1, 1]
    bench.message("m1")
    assert bench.unsent("x8", "goodbye", "window_closed") == []
    bench.message("m2")
    assert len(bench.unsent("x9", "goodbye", "window_closed")) == 1
