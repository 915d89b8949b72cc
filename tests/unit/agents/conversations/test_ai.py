"""What the AI agent is asked, and what becomes of its answers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentRequested, ConversationChanged
from schemas.events.conversation import (
    ConversationAssigned,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
)
from schemas.events.sending import SendMessage
from schemas.topics import AI_REQUESTS
from tests.support.conversation import ANA, BEN, BOT, KEY, NIGHT_BOT, SALES, START, ConversationBench, channel, minutes
from tests.support.stage import Emitted, all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status


def served(*, single: bool = False) -> ConversationBench:
    """The AI agent holds the conversation."""
    bench = ConversationBench(channel(single=single))
    bench.message("m0")
    bench.propose(BOT)
    return bench


def test_messages_that_came_before_the_routing_are_asked_about_when_it_comes() -> None:
    bench = ConversationBench()
    bench.message("m1", text="Moin", sent_at=START - minutes(2))
    bench.message("m2", text="Preis?", sent_at=START - minutes(1))
    emitted = bench.propose(BOT)
    asked = all_of(AiRequested, emitted)
    assert [(one.message_id, one.text, one.at) for one in asked] == [
        ("m1", "Moin", START - minutes(2)),
        ("m2", "Preis?", START - minutes(1)),
    ]
    assert {(one.conversation_id, one.agent) for one in asked} == {(bench.latest.id, "bot")}
    assert len({one.request_id for one in asked}) == 2
    order = types(emitted)
    assert order.index(ConversationRouted.type) < order.index(AiRequested.type)
    assert {(e.topic, e.key) for e in emitted if isinstance(e.event, AiRequested)} == {(AI_REQUESTS, KEY)}
    assert bench.stage.row_names(KEY, "held/") == []


@pytest.mark.parametrize(
    "settles",
    [
        lambda bench: bench.propose(ANA),
        lambda bench: bench.propose(None),
        lambda bench: bench.assign(BEN),
        lambda bench: bench.resolve("c1"),
    ],
    ids=["a human", "nobody", "a person", "resolved"],
)
def test_messages_that_waited_for_the_routing_are_dropped_afterwards(
    settles: Callable[[ConversationBench], object],
) -> None:
    bench = ConversationBench()
    bench.message("m1")
    assert bench.stage.row_names(KEY, "held/") == ["held/00000001"]
    settles(bench)
    assert bench.stage.row_names(KEY, "held/") == []


def test_a_person_who_gives_it_to_the_ai_agent_before_its_routing_has_all_of_it_answered() -> None:
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.assign(BOT)
    assert the(ConversationRouted, emitted).first
    assert the(ConversationStatusChanged, emitted).reason == "assigned"
    assert the(AiRequested, emitted).message_id == "m1"


def test_each_message_is_asked_about_and_answered() -> None:
    bench = served()
    asked = the(AiRequested, bench.message("m1"))
    assert bench.latest.unread == 2
    message = the(SendMessage, bench.ai_answers(asked, "Gern"))
    assert (message.kind, message.text, message.by) == ("ai", "Gern", "bot")
    assert message.not_after == START + timedelta(hours=24)
    assert (bench.latest.unread, bench.latest.messages_out, bench.latest.status) == (0, 1, AI)
    header = the(ConversationMessageSent, bench.sent(message.message_id, "ai")).header
    assert (header.messages_automatic, header.last_human_at) == (0, None)


def test_an_answer_comes_through_once() -> None:
    bench = served()
    asked = the(AiRequested, bench.message("m1"))
    bench.ai_answers(asked)
    assert bench.ai_answers(asked) == []
    assert bench.ai_fails(asked) == []


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda bench: bench.reply("o1"),
        lambda bench: bench.resolve("c1"),
        lambda bench: bench.snooze(),
        lambda bench: bench.assign(BEN),
        lambda bench: bench.assign(SALES),
        lambda bench: bench.assign(NIGHT_BOT),
        lambda bench: (bench.assign(BEN), bench.assign(BOT)),
        lambda bench: bench.hand_over(),
    ],
    ids=["reply", "resolve", "snooze", "human", "team", "another AI agent", "taken and given back", "hand over"],
)
def test_an_answer_of_an_ai_agent_that_lost_it_is_ignored(meanwhile: Callable[[ConversationBench], object]) -> None:
    bench = served()
    asked = the(AiRequested, bench.message("m1"))
    meanwhile(bench)
    before = bench.latest
    assert bench.stage.row_names(KEY, "asked/") == []
    assert [*bench.ai_answers(asked), *bench.ai_hands_over(asked), *bench.ai_fails(asked)] == []
    assert bench.latest == before


@pytest.mark.parametrize(
    ("end", "reason", "request_"),
    [
        (ConversationBench.ai_hands_over, "ai_handed_over", "handed_over"),
        (ConversationBench.ai_fails, "ai_failed", "ai_failed"),
    ],
)
def test_an_ai_agent_hands_over_or_fails_and_a_human_is_found(
    end: Callable[[ConversationBench, AiRequested], list[Emitted]], reason: str, request_: str
) -> None:
    bench = served()
    asked = the(AiRequested, bench.message("m1"))
    emitted = end(bench, asked)
    assert types(emitted) == [
        ConversationAssigned.type,
        ConversationStatusChanged.type,
        ConversationChanged.type,
        ConversationNoteAdded.type,
        AssignmentRequested.type,
    ]
    changed, request = the(ConversationStatusChanged, emitted), the(AssignmentRequested, emitted)
    assert (changed.header.status, changed.header.assignee, changed.reason) == (OPEN, None, reason)
    assert (request.reason, request.revision, request.former) == (request_, bench.latest.revision, BOT)
    assert the(ConversationNoteAdded, emitted).reason == reason
    assert the(ConversationAssigned, bench.propose(ANA)).header.assignee == ANA
    assert not all_of(AiRequested, bench.message("m2"))


def test_a_person_takes_it_from_the_ai_agent() -> None:
    emitted = served().hand_over()
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.reason, changed.by, changed.header.assignee) == ("handed_over", "ana", None)
    assert the(AssignmentRequested, emitted).reason == "handed_over"
    assert not all_of(ConversationNoteAdded, emitted)


def test_a_customer_wakes_what_the_ai_agent_held_for_the_ai_agent() -> None:
    bench = served()
    bench.snooze()
    emitted = bench.message("m1")
    assert the(ConversationStatusChanged, emitted).header.status is AI
    assert the(AiRequested, emitted).message_id == "m1"
    assert not all_of(AssignmentRequested, emitted)


def test_without_that_ai_agent_a_human_is_found() -> None:
    bench = served()
    bench.snooze()
    bench.stage.settings = channel(ai=False)
    emitted = bench.message("m1")
    assert the(ConversationStatusChanged, emitted).header.status is OPEN
    assert the(ConversationAssigned, emitted).header.assignee is None
    request = the(AssignmentRequested, emitted)
    assert (request.reason, request.former, request.revision) == ("unassigned", BOT, bench.latest.revision)


def test_when_its_snooze_is_over_a_human_is_found() -> None:
    bench = served()
    bench.snooze(START + minutes(5))
    emitted = bench.wait(minutes(5))
    assert the(ConversationStatusChanged, emitted).header.assignee is None
    assert the(AssignmentRequested, emitted).reason == "unassigned"


def test_a_reopened_conversation_goes_back_to_the_ai_agent_by_proposal() -> None:
    bench = served(single=True)
    bench.resolve("c1")
    emitted = bench.message("m1")
    assert the(AssignmentRequested, emitted).former == BOT
    assert not all_of(AiRequested, emitted)
    assert the(AiRequested, bench.propose(BOT)).message_id == "m1"


def test_an_answer_that_is_too_long_for_one_message_goes_in_parts_and_counts_once() -> None:
    bench = served()
    request = the(AiRequested, bench.message("m1"))
    sent = all_of(SendMessage, bench.ai_answers(request, "word " * 2_000))
    assert [len(message.text or "") for message in sent] == [4_094, 4_094, 1_810]
    assert len({message.message_id for message in sent}) == 3
    assert {message.kind for message in sent} == {"ai"}
    assert bench.latest.messages_out == 1


def test_how_long_a_message_may_be_is_the_provider_s_limit() -> None:
    bench = ConversationBench(channel().model_copy(update={"provider": "twilio"}))
    bench.message("m0")
    bench.propose(BOT)
    request = the(AiRequested, bench.message("m1"))
    sent = all_of(SendMessage, bench.ai_answers(request, "word " * 400))
    assert [len(message.text or "") for message in sent] == [1_599, 400]
