"""How sends go wrong and come right, from callback and command to the provider's call and back."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from providers.provider import Answer
from schemas.events.conversation import ConversationMessageSent
from schemas.events.receipts import MessageStatusChanged, SendQueued
from tests.support.desk import BEN, Desk, Json, cloud_error

A_DAY = 24 * 3600
HELPER = {"enabled": True, "agents": [{"id": "helper"}]}


def text_of(body: Json) -> str:
    return str(body["text"]["body"])


def refusing(text: str, error: Answer, times: int) -> Callable[[Json], Answer | None]:
    """The provider refuses messages with that text so many times."""
    left = [times]

    def answer(body: Json) -> Answer | None:
        if text not in text_of(body) or not left[0]:
            return None
        left[0] -= 1
        return error

    return answer


# --- throttling ----------------------------------------------------------------------------------------------------


def test_a_recipient_who_is_sent_too_much_waits_alone_and_in_order() -> None:
    desk = Desk(ai=HELPER)
    desk.ai_answer = "\n\n".join(f"part {number} " + "x" * 3000 for number in (1, 2, 3, 4))
    desk.write("b", "hi", BEN)
    desk.calls.clear()
    desk.answer = refusing("part 3", cloud_error(131056), 2)
    desk.write("a", "tell me all")
    assert [text_of(body)[:6] for body in desk.posted()] == ["part 1", "part 2", "part 3"]
    desk.reply("r1", "by the way")
    desk.reply("r2", "for you", BEN)
    assert text_of(desk.posted(BEN)[-1]) == "for you", "another customer does not wait"
    desk.at(20)
    posted = [text_of(body)[:6] for body in desk.posted()]
    assert posted == ["part 1", "part 2", "part 3", "part 3", "part 3", "part 4", "by the"]
    thirds = [at for at, _, body in desk.calls if "part 3" in str(body)]
    assert thirds == [0, 1, 5], "after 4^0 and 4^1 seconds"
    assert desk.breaker.open == {}
    sent = Counter(event.message_id for event in desk.events(ConversationMessageSent))
    assert set(sent.values()) == {1}


def test_a_number_that_sends_too_fast_goes_on_slowly_and_is_not_down() -> None:
    desk = Desk()
    contacts = [f"120255502{number:02}" for number in range(20)]
    for contact in contacts:
        desk.write(f"in-{contact}", "hi", contact)
    desk.answer = lambda _body: cloud_error(130429)
    for contact in contacts:
        desk.reply(f"out-{contact}", "Hello", contact)
    assert len(desk.calls) == 1, "one refusal is enough for the channel"
    assert desk.breaker.open == {"cloud": "throttled"}
    desk.at(30)
    probes = [at for at, _, _ in desk.calls]
    distances = [later - earlier for earlier, later in pairwise(probes)]
    assert all(distance >= 2**number for number, distance in enumerate(distances)), "one at a time, growing distances"
    assert desk.breaker.open == {"cloud": "throttled"}
    desk.answer = lambda _body: None
    desk.at(150)
    assert len(list(desk.events(ConversationMessageSent))) == len(contacts)
    assert len(desk.calls) == len(probes) + len(contacts), "nothing is refused once it is well"


def test_a_limit_that_counts_a_day_is_tried_once_an_hour() -> None:
    desk = Desk()
    desk.write("a")
    desk.answer = lambda _body: cloud_error(131064)
    desk.reply("r1")
    desk.at(3 * 3600)
    assert len(desk.calls) == 4
    assert len(list(desk.events(SendQueued))) == 1


# --- credentials and codes -----------------------------------------------------------------------------------------


def test_a_message_refused_for_its_token_is_shown_as_waiting_and_goes_once_after_a_new_one() -> None:
    desk = Desk()
    desk.write("a")
    expired = cloud_error(190, 401, "Session has expired")
    desk.answer = lambda _body: expired
    desk.reply("r1")
    desk.at(600)
    assert {event.status for event in desk.events(MessageStatusChanged)} == {"queued"}
    assert list(desk.events(ConversationMessageSent)) == []
    assert desk.breaker.open == {"cloud": "credentials"}
    desk.answer = lambda _body: None
    desk.configure(access_token="new")
    desk.at(800)
    assert [event.message_id for event in desk.events(ConversationMessageSent)] == ["r1"]
    assert [event.status for event in desk.events(MessageStatusChanged)] == ["queued", "accepted"]
    assert desk.breaker.open == {}
    desk.at(A_DAY)
    assert len(desk.posted()) == len([1 for at, _, _ in desk.calls if at <= 800])
