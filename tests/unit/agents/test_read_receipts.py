"""Customers are shown that their messages were read, where the channel wants it; that delays and changes nothing."""

import pytest

from providers.provider import Answer
from schemas.events.conversation import ConversationMessageSent
from schemas.events.inbox import Block, Seen
from tests.support.sends import ANA, Desk, Json, cloud_error

HELPER = {"enabled": True, "agents": [{"id": "helper"}]}
SHOWN = {"read_receipts": True}
TYPING = {"type": "text"}


def signals(desk: Desk) -> list[tuple[str, bool]]:
    """The messages that were marked as read, and whether typing was shown."""
    posted = [body for _, _, body in desk.calls if body.get("status") == "read"]
    assert all(body["messaging_product"] == "whatsapp" for body in posted)
    return [(body["message_id"], body.get("typing_indicator") == TYPING) for body in posted]


def seen(desk: Desk, id: str) -> None:
    desk.ask(Seen(command_id=id, by="mia"))


def test_what_an_agent_opens_is_shown_as_read_once() -> None:
    desk = Desk(conversation=SHOWN)
    desk.write("a")
    desk.write("b")
    assert signals(desk) == []
    seen(desk, "s1")
    seen(desk, "s2")
    assert signals(desk) == [("b", False)], "the latest stands for those before it"
    desk.write("c")
    seen(desk, "s3")
    assert signals(desk) == [("b", False), ("c", False)]


def test_an_answer_shows_that_the_question_was_read() -> None:
    desk = Desk(conversation=SHOWN)
    desk.write("a")
    desk.reply("r1")
    desk.reply("r2")
    assert signals(desk) == [("a", False)]


def test_the_ai_agent_is_shown_to_be_typing_when_it_is_asked() -> None:
    desk = Desk(conversation=SHOWN, ai=HELPER)
    desk.write("a")
    desk.write("b")
    assert signals(desk) == [("a", True), ("b", True)]
    assert len(desk.posted()) == 2


def test_nothing_is_shown_unless_the_channel_wants_it_nor_to_a_blocked_contact() -> None:
    silent = Desk(ai=HELPER)
    silent.write("a")
    seen(silent, "s1")
    assert signals(silent) == []
    desk = Desk(conversation=SHOWN)
    desk.write("a")
    desk.ask(Block(command_id="b1", by="mia"))
    desk.write("b")
    seen(desk, "s1")
    assert signals(desk) == []


@pytest.mark.parametrize("failure", [cloud_error(131056), cloud_error(190, 401), Answer(500), Answer(200, b"<html>")])
def test_a_signal_that_fails_is_not_repeated_and_holds_back_no_message(failure: Answer) -> None:
    desk = Desk(conversation=SHOWN)

    def answer(body: Json) -> Answer | None:
        return failure if body.get("status") == "read" else None

    desk.answer = answer
    desk.write("a")
    desk.reply("r1")
    desk.at(3600)
    assert len(signals(desk)) == 1
    assert [event.message_id for event in desk.events(ConversationMessageSent)] == ["r1"]
    assert desk.breaker.open == {}


def test_a_signal_goes_while_a_message_of_the_customer_s_waits_but_not_on_a_channel_that_is_held_back() -> None:
    desk = Desk(conversation=SHOWN)
    desk.write("a")
    desk.reply("r1")
    desk.answer = lambda body: cloud_error(131056) if body.get("type") == "text" else None
    desk.reply("r2")
    desk.write("b")
    seen(desk, "s1")
    assert signals(desk) == [("a", False), ("b", False)]
    desk.answer = lambda _body: cloud_error(130429)
    desk.at(1)
    assert desk.breaker.open == {"cloud": "throttled"}
    desk.write("c")
    seen(desk, "s2")
    assert len(signals(desk)) == 2
    assert len(desk.posted(ANA)) == 3
