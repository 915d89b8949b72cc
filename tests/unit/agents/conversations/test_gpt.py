"""What a GPT agent is told, and what becomes of its ends."""

from collections.abc import Callable

import pytest

from schemas.events.ai import AiRequested, AiTold
from schemas.events.assignment import AssignmentRequested
from schemas.events.content import Citation
from schemas.events.conversation import (
    Assignee,
    ConversationLabelled,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationStatusChanged,
    Status,
)
from schemas.events.inbox import AiAnswered, AiFailed, AiHandedOver, DeliverySent, MessageEchoed
from schemas.events.sending import SendMessage
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings
from tests.support.conversation import ANA, BEN, BOT, NIGHT_BOT, START, ConversationBench, channel
from tests.support.stage import Emitted, all_of, the, types

GPT = GptAgent(id="bot", model="m-1")


def gpt_channel(*, ai: bool = True, single: bool = False) -> ChannelSettings:
    return channel(ai=ai, single=single).model_copy(update={"ai_agents": (GPT,)})


def served(*, single: bool = False) -> ConversationBench:
    """A GPT agent holds the conversation."""
    bench = ConversationBench(gpt_channel(single=single))
    bench.message("m0", name="Ana")
    bench.propose(BOT)
    return bench


def told(emitted: list[Emitted]) -> list[tuple[str, str | None, str | None]]:
    return [(one.what, one.by, one.text) for one in all_of(AiTold, emitted)]


def asked(bench: ConversationBench, id: str = "m1") -> AiRequested:
    return the(AiRequested, bench.message(id))


# --- what it is told -------------------------------------------------------------------------------------------------


def test_it_is_asked_with_the_contact_s_name() -> None:
    assert asked(served()).name == "Ana"


def test_it_is_told_what_a_customer_writes_while_it_has_it_not() -> None:
    bench = ConversationBench(gpt_channel())
    assert told(bench.message("m0", text="Moin")) == [("said", "customer", "Moin")]
    assert told(bench.propose(ANA)) == []
    assert told(bench.message("m1", text="Hallo?")) == [("said", "customer", "Hallo?")]
    assert told(bench.assign(BOT)) == []
    assert told(bench.message("m2")) == []


def test_it_is_told_what_others_say() -> None:
    bench = served()
    assert told(bench.sent("o1", "ai")) == [("said", "ai", "Hallo")]
    assert told(bench.sent("g1", "greeting")) == [("said", "business", "Hallo")]
    assert told(bench.reply("r1", text="I am here.")) == [("released", None, None), ("said", "human", "I am here.")]
    assert told(bench.sent("r1", "reply")) == []
    echo = MessageEchoed(message_id="e1", kind="text", text="From my phone")
    assert told(bench.feed(echo)) == [("said", "human", "From my phone")]


@pytest.mark.parametrize(
    ("meanwhile", "what"),
    [
        (lambda bench: bench.reply("o1"), ["released", "said"]),
        (lambda bench: bench.resolve("c1"), ["released", "resolved"]),
        (lambda bench: bench.snooze(), ["released"]),
        (lambda bench: bench.block(), ["released"]),
        (lambda bench: bench.assign(BEN), ["released"]),
        (lambda bench: bench.assign(NIGHT_BOT), ["released"]),
        (lambda bench: bench.hand_over(), ["released"]),
    ],
    ids=["reply", "resolve", "snooze", "block", "human", "another AI agent", "hand over"],
)
def test_it_drops_all_when_it_loses_the_conversation_or_its_customer_is_blocked(
    meanwhile: Callable[[ConversationBench], list[Emitted]], what: list[str]
) -> None:
    # A07
    bench = served()
    request = asked(bench)
    assert [one.what for one in all_of(AiTold, meanwhile(bench))] == what
    before = bench.latest
    ended = {"request_id": request.request_id, "conversation_id": request.conversation_id}
    assert bench.feed(AiAnswered(text="late", **ended)) == []
    assert bench.feed(AiHandedOver(reason="anger", summary="late", text="late", **ended)) == []
    assert bench.latest == before


def test_a_channel_without_a_gpt_agent_that_is_switched_on_tells_nothing() -> None:
    for settings in (channel(), gpt_channel(ai=False)):
        bench = ConversationBench(settings)
        emitted = [*bench.message("m0"), *bench.propose(ANA), *bench.reply("r1"), *bench.resolve("c1")]
        assert all_of(AiTold, emitted) == []


# --- its ends --------------------------------------------------------------------------------------------------------


def test_one_answer_is_for_all_that_it_names() -> None:
    bench = served()
    first, second = asked(bench, "m1"), asked(bench, "m2")
    end = AiAnswered(
        request_id=first.request_id, conversation_id=first.conversation_id, also=(second.request_id,), text="Both."
    )
    assert the(SendMessage, bench.feed(end)).text == "Both."
    assert bench.stage.row_names("kiosk:4915112345678", "asked/") == ["asked/" + the_first(bench)]
    assert bench.ai_answers(second) == []


def the_first(bench: ConversationBench) -> str:
    """The request about the message before the routing, which nobody answered."""
    [name] = bench.stage.row_names("kiosk:4915112345678", "asked/")
    return name.removeprefix("asked/")


def test_citations_go_with_the_message_and_come_back_when_it_is_sent() -> None:
    bench = served()
    cited = (Citation(id="faq/a/0", title="A"),)
    request = asked(bench)
    end = AiAnswered(
        request_id=request.request_id, conversation_id=request.conversation_id, text="Yes", citations=cited
    )
    message = the(SendMessage, bench.feed(end))
    assert message.citations == cited
    sent = DeliverySent(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        kind="ai",
        text="Yes",
        via="session",
        citations=message.citations,
    )
    emitted = bench.feed(sent)
    assert the(ConversationMessageSent, emitted).citations == cited
    assert told(emitted) == [("said", "ai", "Yes")]


def test_labels_and_notes_of_an_end_are_added() -> None:
    bench = served()
    bench.label(("new",))
    request = asked(bench)
    end = AiAnswered(
        request_id=request.request_id,
        conversation_id=request.conversation_id,
        text="Yes",
        labels=("new", "lamps", "x" * 65),
        notes=("Wants two.", "Pays later."),
    )
    emitted = bench.feed(end)
    assert (the(ConversationLabelled, emitted).added, bench.latest.labels) == (("lamps",), ("new", "lamps"))
    assert the(ConversationLabelled, emitted).by == "bot"
    notes = all_of(ConversationNoteAdded, emitted)
    assert [note.text for note in notes] == ["Wants two.", "Pays later."]
    assert len({note.note_id for note in notes}) == 2


def test_a_hand_over_tells_the_customer_once_and_the_human_why() -> None:
    # A01
    bench = served()
    request = asked(bench)
    end = AiHandedOver(
        request_id=request.request_id,
        conversation_id=request.conversation_id,
        reason="anger",
        summary="The lamp broke.",
        text="A colleague goes on.",
        notes=("Order 7.",),
    )
    emitted = bench.feed(end)
    assert [message.text for message in all_of(SendMessage, emitted)] == ["A colleague goes on."]
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.header.status, changed.reason, changed.why, changed.told) == (
        Status.OPEN,
        "ai_handed_over",
        "anger",
        True,
    )
    own, why = all_of(ConversationNoteAdded, emitted)
    assert own.text == "Order 7."
    assert "the customer is angry" in why.text
    assert "The lamp broke." in why.text
    assert len({own.note_id, why.note_id}) == 2
    assert the(AssignmentRequested, emitted).reason == "handed_over"
    assert bench.latest.waiting_since == START
    assert bench.feed(end.model_copy(update={"notes": ()})) == []


def test_a_failure_says_why() -> None:
    bench = served()
    request = asked(bench)
    end = AiFailed(request_id=request.request_id, conversation_id=request.conversation_id, reason="no_answer")
    emitted = bench.feed(end)
    assert "no answer in time" in the(ConversationNoteAdded, emitted).text
    assert the(ConversationStatusChanged, emitted).why == "no_answer"
    assert all_of(SendMessage, emitted) == []


def test_a_blocked_customer_is_told_nothing() -> None:
    bench = served()
    request = asked(bench)
    bench.block()
    end = AiHandedOver(
        request_id=request.request_id, conversation_id=request.conversation_id, reason="anger", text="Wait."
    )
    assert bench.feed(end) == []
    bench.unblock()
    assert asked(bench, "m2").agent == "bot"


def test_a_human_who_took_over_hears_what_a_tool_may_have_done() -> None:
    bench = served()
    request = asked(bench)
    bench.assign(ANA)
    end = AiFailed(
        request_id=request.request_id, conversation_id=request.conversation_id, notes=("Not known: refund.",)
    )
    emitted = bench.feed(end)
    assert types(emitted) == [ConversationNoteAdded.type]
    assert bench.latest.assignee == Assignee(kind="human", id="ana")


def resolving(bench: ConversationBench, *requests: AiRequested) -> list[Emitted]:
    first, *also = requests
    return bench.feed(
        AiAnswered(
            request_id=first.request_id,
            conversation_id=first.conversation_id,
            also=tuple(one.request_id for one in also),
            text="Bye",
            resolve=True,
        )
    )


def test_it_resolves_with_its_answer() -> None:
    bench = ConversationBench(gpt_channel())
    bench.message("m0")
    request = the(AiRequested, bench.propose(BOT))
    emitted = resolving(bench, request)
    assert the(SendMessage, emitted).text == "Bye"
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.header.status, changed.reason, changed.by) == (Status.RESOLVED, "ai_resolved", "bot")


def test_a_conversation_whose_customer_wrote_since_is_not_resolved() -> None:
    bench = ConversationBench(gpt_channel())
    bench.message("m0")
    request = the(AiRequested, bench.propose(BOT))
    bench.message("m1")
    emitted = resolving(bench, request)
    assert the(SendMessage, emitted).text == "Bye"
    assert bench.latest.status is Status.AI_REPLYING
