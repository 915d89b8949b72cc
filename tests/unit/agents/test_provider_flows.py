"""What WhatsApp Cloud and Twilio post, through every stage: cases that other products got wrong."""

from collections import Counter
from datetime import timedelta

import pytest

from schemas.events.conversation import (
    ConversationCommandRefused,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoticeReceived,
    ConversationOpened,
)
from schemas.events.inbox import MessageReceived, Reply
from schemas.events.receipts import MessageStatusChanged
from schemas.events.template import Template
from tests.support.desk import ACCOUNT_SID, ANA, ANA_ID, TWILIO_NUMBER, Desk, Json, text

AI = {"enabled": True, "agents": [{"id": "bot"}]}
GREETING = {"enabled": True, "text": "Hi"}


def receipt(id: str, word: str, **more: object) -> Json:
    return {"id": id, "status": word, "timestamp": "1789992010", "recipient_id": ANA, **more}


def change(number: str, **value: object) -> Json:
    return {"field": "messages", "value": {"metadata": {"phone_number_id": number}, **value}}


def statuses(desk: Desk) -> dict[str, str]:
    return {event.message_id: event.status for event in desk.events(MessageStatusChanged)}


def test_every_update_of_a_callback_counts_once_and_for_its_own_channel() -> None:
    desk = Desk(greeting=GREETING)
    for id in ("o1", "o2"):
        desk.callback(text(f"wamid.before-{id}"))
        desk.reply(id, ANA)
    two = change(
        "550001", contacts=text("")["contacts"], messages=[*text("wamid.a")["messages"], *text("wamid.b")["messages"]]
    )
    body = {
        "entry": [
            {
                "id": "66",
                "changes": [
                    change("550001", statuses=[receipt("wamid.of-o1", "delivered"), receipt("wamid.of-o2", "read")]),
                    two,
                ],
            },
            {"id": "67", "changes": [change("550002", **text("wamid.c"))]},
        ]
    }
    for _ in range(2):  # Meta repeats what it thinks was not taken
        desk.post(body, channel="shop", elsewhere=("550002",))
        desk.post(body, channel="other", elsewhere=("550001",))
    assert statuses(desk)["o1"] == "delivered"
    assert statuses(desk)["o2"] == "read"
    received = Counter(event.message_id for event in desk.events(ConversationMessageReceived))
    assert [received[f"wamid.{id}"] for id in "abc"] == [1, 1, 1]
    channels = [event.header.channel for event in desk.events(ConversationOpened)]
    assert sorted(channels) == ["other", "shop"]
    assert [request.channel for request in desk.sent if request.kind == "greeting"] == ["shop", "other"]


def test_receipts_and_errors_are_no_messages_for_the_ai_agent() -> None:
    desk = Desk(ai=AI)
    desk.callback(text("wamid.a"))
    (answer,) = desk.sent
    for word in ("sent", "delivered", "read"):
        desk.callback({"statuses": [receipt(f"wamid.of-{answer.message_id}", word)]})
    desk.callback({"errors": [{"code": 131000, "title": "Something went wrong"}]})
    assert len(desk.asked) == 1
    assert len(desk.sent) == 1
    assert statuses(desk)[answer.message_id] == "read"
    assert len(desk.events(MessageReceived)) == 1


@pytest.mark.parametrize("contacts", [[{"wa_id": ANA}], [{"wa_id": ANA, "user_id": ANA_ID}], [], None])
def test_a_receipt_changes_no_name_and_needs_no_profile(contacts: list[Json] | None) -> None:
    desk = Desk()
    desk.callback(text("wamid.a"))
    desk.reply("o1", ANA)
    failed = receipt("wamid.of-o1", "failed", errors=[{"code": 131026, "title": "Undeliverable"}])
    desk.callback({"statuses": [failed]} | ({} if contacts is None else {"contacts": contacts}))
    assert statuses(desk)["o1"] in ("sent_failed", "delivered_failed")
    assert desk.contact(f"shop:{ANA}").name == "Ana"
    assert {key for key, _, _ in desk.driver.states["conversations"].rows()} == {f"shop:{ANA}", f"shop:{ANA_ID}"}


# --- Twilio ----------------------------------------------------------------------------------------------------------

PHONE = "12025550143"
FORM = {
    "MessageSid": "SM1",
    "AccountSid": ACCOUNT_SID,
    "From": f"whatsapp:+{PHONE}",
    "To": f"whatsapp:{TWILIO_NUMBER}",
    "WaId": PHONE,
    "ProfileName": "Ana",
    "NumMedia": "0",
    "Body": "hi",
}


@pytest.mark.parametrize(
    ("fields", "contact", "user_id"),
    [
        ({"ExternalUserId": "whatsapp:foo_bar"}, PHONE, None),
        ({"ExternalUserId": "whatsapp:"}, PHONE, None),
        ({"ExternalUserId": "whatsapp:US.900"}, PHONE, "US.900"),
        ({"From": "whatsapp:US.900", "ExternalUserId": "whatsapp:US.900", "WaId": ""}, "US.900", None),
    ],
)
def test_a_user_id_of_any_shape_costs_no_message(fields: dict[str, str], contact: str, user_id: str | None) -> None:
    desk = Desk()
    desk.form(**FORM | fields)
    (received,) = desk.events(ConversationMessageReceived)
    assert (received.header.contact, received.header.user_id) == (contact, user_id)
    assert desk.contact(f"line:{contact}").user_id == user_id


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        (
            {"Body": "", "Latitude": "48.1", "Longitude": "11.5", "Label": "Shop", "MessageType": "location"},
            "location",
            None,
        ),
        ({"Body": "", "ListId": "r2", "ListTitle": "Refund"}, "interactive", "Refund"),
        ({"Body": "Yes", "ButtonText": "Yes", "ButtonPayload": "ok_1"}, "button", "Yes"),
    ],
)
def test_what_has_no_body_is_a_message_too(fields: dict[str, str], kind: str, text: str | None) -> None:
    desk = Desk()
    desk.form(**FORM | fields)
    (received,) = desk.events(ConversationMessageReceived)
    assert (received.kind, received.text) == (kind, text)
    assert received.content is not None
    if kind == "location":
        assert (received.content.location.latitude, received.content.location.name) == (48.1, "Shop")
    else:
        assert received.content.choice.id == ("r2" if kind == "interactive" else "ok_1")


def test_twilio_s_receipt_is_found_by_the_address_it_was_asked_to_come_to() -> None:
    desk = Desk()
    desk.form(**FORM)
    desk.reply("o1", PHONE, channel="line")
    status = {"MessageSid": "wamid.of-o1", "MessageStatus": "delivered", "From": FORM["To"], "To": FORM["From"]}
    desk.form(**status, query=f"id=o1&conversation=line%3A{PHONE}")
    assert statuses(desk)["o1"] == "delivered"
    assert not desk.events(ConversationNoticeReceived)


def test_a_reply_in_parts_is_one_message_that_is_read_when_its_last_part_is() -> None:
    desk = Desk()
    desk.form(**FORM)
    text = "Word " * 700
    desk.command(Reply(command_id="o1", by="bea", text=text), PHONE, channel="line")
    assert [request.message_id for request in desk.sent] == ["o1~1", "o1~2", "o1"]
    assert max(len(request.text or "") for request in desk.sent) <= 1_600
    (sent,) = desk.events(ConversationMessageSent)
    assert (sent.message_id, sent.text) == ("o1", text)
    found = []
    for id in ("o1~1", "o1~2", "o1"):
        status = {"MessageSid": f"wamid.of-{id}", "MessageStatus": "read", "From": FORM["To"], "To": FORM["From"]}
        desk.form(**status, query=f"id={id}&conversation=line%3A{PHONE}")
        found.append(statuses(desk)["o1"])
    assert found == ["accepted", "accepted", "read"]


def test_marketing_that_was_not_delivered_is_not_sent_again_for_a_day() -> None:
    desk = Desk()
    offer = Template(name="offer", language="es", category="marketing")
    desk.write(Reply(command_id="o1", by="bea", template=offer), ANA)
    desk.callback({"statuses": [receipt("wamid.of-o1", "failed", errors=[{"code": 131049, "title": "no"}])]})
    for id, hours in (("o2", 0), ("o3", 23), ("o4", 2)):
        desk.driver.advance(desk.driver.now + timedelta(hours=hours))
        desk.write(Reply(command_id=id, by="bea", template=offer), ANA)
    utility = offer.model_copy(update={"category": "utility"})
    desk.write(Reply(command_id="o5", by="bea", template=utility), ANA)
    assert [request.message_id for request in desk.sent] == ["o1", "o4", "o5"]
    assert [one.code for one in desk.events(ConversationCommandRefused)] == ["marketing_limited"] * 2


def test_a_customer_who_stops_marketing_gets_no_more_of_it_and_opens_no_window() -> None:
    desk = Desk()
    offer = Template(name="offer", language="es", category="marketing")
    for value, sent in (("stop", 0), ("resume", 1)):
        chosen = {"wa_id": ANA, "detail": "d", "category": "marketing_messages", "value": value}
        at = int(desk.driver.now.timestamp())
        desk.callback({"user_preferences": [{**chosen, "timestamp": at}]}, field="user_preferences")
        desk.write(Reply(command_id=f"marketing after {value}", by="bea", template=offer), ANA)
        assert len(desk.sent) == sent
    assert [refused.code for refused in desk.events(ConversationCommandRefused)] == ["marketing_stopped"]
    desk.write(Reply(command_id="text", by="bea", text="Hi"), ANA)
    assert [refused.code for refused in desk.events(ConversationCommandRefused)][1:] == ["window_closed"]
