"""How sends go wrong and come right, from callback and command to the provider's call and back."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest

from providers.provider import Answer, Call
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationRated,
    ConversationSurveyEnded,
)
from schemas.events.inbox import (
    MARKETING_RESUMED,
    MARKETING_STOPPED,
    DeliveryFailed,
    DeliveryUnsent,
    NoticeReceived,
    Reply,
    Resolve,
)
from schemas.events.receipts import MessageStatusChanged, SendQueued
from schemas.events.template import Template
from tests.support.sends import BEN, Desk, Json, cloud_error, template

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


# --- refused after acceptance --------------------------------------------------------------------------------------


COME_BACK = {"name": "come_back", "language": "en"}
GREETING = {"enabled": True, "text": "Welcome"}
RATE_US = {"enabled": True, "text": "1 to 5?"}


def listing(*entries: Json) -> Callable[[Call], Answer]:
    return lambda _call: Answer(200, orjson.dumps({"data": list(entries)}))


def standing(desk: Desk, id: str) -> tuple[str, int | None]:
    """The status of a message, and the code of its error."""
    last = [event for event in desk.events(MessageStatusChanged) if event.message_id == id][-1]
    return last.status, None if last.error is None else last.error.code


def notes(desk: Desk) -> list[str]:
    return [event.text for event in desk.events(ConversationNoteAdded)]


def test_a_reply_that_came_too_late_by_its_receipt_leaves_a_note_that_offers_a_template() -> None:
    desk = Desk()
    desk.write("a")
    desk.at(60)
    desk.reply("r1")
    desk.status("wamid.O1", "failed", 131047)
    desk.status("wamid.O1", "failed", 131047)
    assert standing(desk, "r1") == ("delivered_failed", 131047)
    assert notes(desk) == [
        "The reply did not reach the customer: 24 hours have passed since the customer's last message. A template can "
        "still be sent (code 131047)."
    ]
    desk.at(A_DAY)
    assert len(desk.posted()) == 1


def test_an_automatic_text_that_came_too_late_by_its_receipt_goes_as_its_template_once() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.write("a")
    assert [body["type"] for body in desk.posted()] == ["text"]
    desk.status("wamid.O1", "failed", 131047)
    desk.status("wamid.O1", "failed", 131047)
    assert [body["type"] for body in desk.posted()] == ["text", "template"]
    assert desk.posted()[1]["template"]["name"] == "come_back"
    assert notes(desk) == []
    # The template, too: it is not followed by another one.
    desk.status("wamid.O2", "failed", 131047)
    assert len(desk.posted()) == 2
    assert len(notes(desk)) == 1


def test_an_automatic_text_without_a_template_leaves_a_note_and_nothing_more() -> None:
    desk = Desk(greeting=GREETING)
    desk.write("a")
    desk.status("wamid.O1", "failed", 131047)
    desk.at(A_DAY)
    assert len(desk.posted()) == 1
    assert len(notes(desk)) == 1


def test_a_template_that_is_not_approved_leaves_the_one_note() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.write("a")
    desk.status("wamid.O1", "failed", 131047)
    assert len(desk.posted()) == 1
    assert notes(desk) == [
        "The greeting was not sent: its template is not approved, or the provider could not be asked."
    ]


@pytest.mark.parametrize(("status", "code"), [("delivered", 0), ("failed", 131026)])
def test_what_was_delivered_or_failed_for_another_reason_is_never_followed_by_a_template(
    status: str, code: int
) -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.write("a")
    desk.status("wamid.O1", status, code)
    desk.status("wamid.O1", "failed", 131047)
    assert len(desk.posted()) == 1


def test_a_list_of_templates_that_is_refused_holds_back_nothing_but_unknown_templates() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = lambda _call: cloud_error(200, 403, "permission")
    for number in range(8):
        contact = f"1202555030{number}"
        desk.write(f"in-{contact}", "hi", contact)
        desk.status(f"wamid.O{number + 1}", "failed", 131047, contact)
    assert len(notes(desk)) == 8
    assert desk.breaker.open == {}
    desk.write("a")
    desk.reply("r1")
    assert [body["type"] for body in desk.posted()] == ["text", "text"]
    desk.at(120)
    desk.templates = listing(template())
    desk.write("b", contact=BEN)
    desk.status("wamid.O11", "failed", 131047, BEN)
    assert [body["type"] for body in desk.posted(BEN)] == ["text", "template"]
    # From then on what was read last counts, however long the list is refused.
    desk.templates = lambda _call: cloud_error(200, 403, "permission")
    desk.at(A_DAY)
    desk.write("c", contact="12025550145")
    desk.status("wamid.O13", "failed", 131047, "12025550145")
    assert [body["type"] for body in desk.posted("12025550145")] == ["text", "template"]


def test_a_template_that_the_provider_pauses_is_not_tried_for_ever() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.answer = lambda body: cloud_error(132015) if body["type"] == "template" else None
    contacts = [f"1202555040{number}" for number in range(3)]
    for number, contact in enumerate(contacts, start=1):
        desk.write(f"in-{contact}", "hi", contact)
        desk.status(f"wamid.O{number}", "failed", 131047, contact)
        desk.templates = listing(template(status="PAUSED"))
        desk.at(number * 100)
    assert [len(desk.posted(contact)) for contact in contacts] == [2, 1, 1]
    assert len(notes(desk)) == 3


def test_no_greeting_is_made_up_for_once_a_person_answered() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.write("a")
    desk.reply("r1")
    desk.status("wamid.O1", "failed", 131047)
    assert [body["type"] for body in desk.posted()] == ["text", "text"]


def test_a_survey_that_came_too_late_goes_as_its_template_and_is_answered_as_one_survey() -> None:
    desk = Desk(csat={**RATE_US, "template": COME_BACK})
    desk.templates = listing(template())
    desk.write("a")
    desk.ask(Resolve(command_id="c1", by="mia"))
    desk.status("wamid.O1", "failed", 131047)
    assert [body["type"] for body in desk.posted()] == ["text", "template"]
    assert list(desk.events(ConversationSurveyEnded)) == []
    desk.status("wamid.O2", "delivered")
    desk.write("b", "5")
    assert [event.rating for event in desk.events(ConversationRated)] == [5]


@pytest.mark.parametrize("listed", [True, False])
def test_a_survey_whose_template_is_not_sent_was_not_asked(listed: bool) -> None:
    desk = Desk(csat={**RATE_US, "template": COME_BACK})
    desk.templates = listing(*([template()] if listed else []))
    desk.answer = lambda body: cloud_error(132001, 404) if body["type"] == "template" else None
    desk.write("a")
    desk.ask(Resolve(command_id="c1", by="mia"))
    desk.status("wamid.O1", "failed", 131047)
    (ended,) = desk.events(ConversationSurveyEnded)
    assert (ended.outcome, ended.reason, ended.was_sent) == ("failed", "template_unavailable", True)
    assert len(notes(desk)) == 1


def test_a_survey_whose_template_fails_as_well_was_not_asked() -> None:
    desk = Desk(csat={**RATE_US, "template": COME_BACK})
    desk.templates = listing(template())
    desk.write("a")
    desk.ask(Resolve(command_id="c1", by="mia"))
    desk.status("wamid.O1", "failed", 131047)
    desk.status("wamid.O2", "failed", 131026)
    (ended,) = desk.events(ConversationSurveyEnded)
    assert (ended.outcome, ended.was_sent) == ("failed", True)


def test_a_failure_that_is_heard_of_before_the_acceptance_is_reported_with_its_kind() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.status("wamid.O1", "failed", 131047)  # no message of that id is known yet
    desk.write("a")
    (failed,) = desk.events(DeliveryFailed)
    assert (failed.kind, failed.via, failed.code) == ("greeting", "session", 131047)
    assert [body["type"] for body in desk.posted()] == ["text", "template"]


def test_a_customer_who_was_sent_too_much_by_a_receipt_is_not_blocked_and_hears_nothing_twice() -> None:
    desk = Desk()
    desk.write("a")
    desk.reply("r1")
    desk.status("wamid.O1", "failed", 131056)
    desk.at(60)
    desk.write("b", "hello?")
    assert [event.treatment for event in desk.events(ConversationMessageReceived)] == ["ordinary", "ordinary"]
    assert notes(desk) == [
        "The reply did not reach the customer: this customer was sent too much in a short time. It may be sent again "
        "later (code 131056)."
    ]
    desk.reply("r2")
    assert [text_of(body) for body in desk.posted()] == ["Hello", "Hello"]
    assert desk.breaker.open == {}


def test_marketing_that_whatsapp_holds_back_is_not_sent_again_by_itself_and_the_note_warns_for_a_day() -> None:
    desk = Desk()
    desk.write("a")
    offer = Template(name="offer", language="en")
    desk.ask(Reply(command_id="r1", by="mia", template=offer))
    desk.status("wamid.O1", "failed", 131049)
    assert notes(desk) == [
        "The reply did not reach the customer: WhatsApp limits the marketing messages that this customer gets. Send "
        "none again within 24 hours (code 131049)."
    ]
    desk.at(25 * 3600)
    assert len(desk.posted()) == 1
    desk.ask(Reply(command_id="r2", by="mia", template=offer))
    assert len(desk.posted()) == 2


@pytest.mark.parametrize(("code", "words"), [(131053, "its file could not be fetched"), (131026, "can't be reached")])
def test_a_note_says_why_the_message_failed(code: int, words: str) -> None:
    desk = Desk()
    desk.write("a")
    desk.reply("r1")
    desk.status("wamid.O1", "failed", code)
    (note,) = notes(desk)
    assert words in note
    assert standing(desk, "r1") == ("delivered_failed", code)
    desk.at(A_DAY)
    assert len(desk.posted()) == 1


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


def test_an_error_is_known_by_its_code_in_whatever_language_its_text_is() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template())
    desk.answer = lambda body: cloud_error(131047, 400, "Mensaje de reinteracción") if body["type"] == "text" else None
    desk.write("a")
    assert [body["type"] for body in desk.posted()] == ["text", "template"]


def replied(desk: Desk, id: str, name: str, **filled: Any) -> None:
    desk.ask(Reply(command_id=id, by="mia", template=Template(name=name, language="en", **filled)))


def test_what_the_account_s_list_calls_marketing_is_not_sent_to_a_customer_who_stopped_it() -> None:
    desk = Desk()
    desk.templates = listing(template("offer", category="MARKETING"), template("bill"))
    desk.ask(NoticeReceived(kind=MARKETING_STOPPED, message_id="n1"))
    replied(desk, "r1", "offer")
    replied(desk, "r2", "bill")
    assert [body["template"]["name"] for body in desk.posted()] == ["bill"]
    (unsent,) = desk.events(DeliveryUnsent)
    assert (unsent.message_id, unsent.reason, unsent.code) == ("r1", "refused", 131050)
    desk.at(60)
    desk.ask(NoticeReceived(kind=MARKETING_RESUMED, message_id="n2"))
    replied(desk, "r3", "offer")
    assert desk.posted()[-1]["template"]["name"] == "offer"


def test_a_template_that_is_known_to_name_its_parameters_is_not_filled_in_order() -> None:
    desk = Desk(greeting={**GREETING, "template": COME_BACK})
    desk.templates = listing(template(), {**template("bill"), "parameter_format": "NAMED"})
    desk.write("a")
    desk.status("wamid.O1", "failed", 131047)  # its template goes instead, so that the list is read
    replied(desk, "r1", "bill", parameters=("Ida",))
    replied(desk, "r2", "bill", named={"who": "Ida"})
    (unsent,) = desk.events(DeliveryUnsent)
    assert (unsent.message_id, unsent.code) == ("r1", 132012)
    assert desk.posted()[-1]["template"]["components"][0]["parameters"][0]["parameter_name"] == "who"
