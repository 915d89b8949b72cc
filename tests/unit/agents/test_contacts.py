"""One customer, several names: a number and user ids. Through every stage, from Meta's callbacks."""

import orjson
import pytest

from agents.contacts import Contacts
from providers.registry import PROVIDERS
from schemas.contact import InvalidContact, contact_id, next_owner
from schemas.events.assignment import AssignmentRequested
from schemas.events.content import Outgoing
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoticeReceived,
    ConversationOpened,
    Status,
)
from schemas.events.inbox import Resolve
from schemas.events.receipts import MessageStatusChanged
from schemas.events.template import Template
from streams.state import KeyRows, TaskState
from tests.support.desk import ANA, ANA_ID, NOON, Desk, Json, said, text

NEW, NEW_ID = "34655000002", "ES.7002"


def changed(id: str, kind: str, *, phone: str | None = ANA, **system: str) -> Json:
    message = {"from": phone, "id": id, "type": "system", "system": {"type": kind, "body": "changed", **system}}
    return {"messages": [said(message)]}


def test_who_is_written_to_first_answers_in_the_same_conversation() -> None:
    desk = Desk(greeting={"enabled": True, "text": "Hi"})
    desk.reply("o1", ANA, template=Template(name="hello", language="es"))
    desk.callback(text("wamid.a", "ok"))
    assert len(desk.events(ConversationOpened)) == 1
    assert desk.threads() == [("wamid.a", ANA)]
    assert [request.kind for request in desk.sent] == ["reply"]  # no greeting
    desk.reply("o2", ANA)  # the window is open


def test_where_both_names_are_known_it_is_sent_to_the_number() -> None:
    desk = Desk()
    desk.callback(text("wamid.a"))
    desk.callback(text("wamid.b", phone=None))
    desk.reply("o1", ANA)
    desk.reply("o2", ANA_ID)  # either name will do
    assert [request.contact for request in desk.sent] == [ANA, ANA]
    assert desk.threads() == [("wamid.a", ANA), ("wamid.b", ANA)]


def test_a_customer_without_a_number_keeps_the_thread_when_it_becomes_known() -> None:
    desk = Desk()
    desk.callback(text("wamid.a", phone=None))
    desk.reply("o1", ANA_ID)
    desk.callback(text("wamid.b"))
    desk.callback(text("wamid.c", user_id=None))
    desk.reply("o2", ANA)
    assert desk.threads() == [("wamid.a", ANA_ID), ("wamid.b", ANA_ID), ("wamid.c", ANA_ID)]
    assert [request.contact for request in desk.sent] == [ANA_ID, ANA]
    assert [request.conversation for request in desk.sent] == [f"shop:{ANA_ID}"] * 2


def test_a_number_that_was_asked_for_is_joined() -> None:
    desk = Desk()
    desk.callback(text("wamid.a", phone=None))
    card = {"origin": "contact_request", "phones": [{"phone": f"+{ANA}", "wa_id": ANA}]}
    message = {"from_user_id": ANA_ID, "id": "wamid.b", "type": "contacts", "contacts": [card]}
    desk.callback({"messages": [message]})
    desk.reply("o1", ANA_ID)
    card = {"origin": "other", "phones": [{"phone": f"+{NEW}", "wa_id": NEW}]}
    desk.callback({"messages": [{**message, "id": "wamid.c", "contacts": [card]}]})
    desk.reply("o2", ANA_ID)
    assert [request.contact for request in desk.sent] == [ANA, ANA]
    assert {contact for _, contact in desk.threads()} == {ANA_ID}


def test_a_receipt_makes_the_second_name_known() -> None:
    desk = Desk()
    desk.callback(text("wamid.a", user_id=None))
    desk.reply("o1", ANA)
    status = {"id": "wamid.of-o1", "status": "delivered", "recipient_id": ANA}
    desk.callback({"contacts": [{"wa_id": ANA, "user_id": ANA_ID}], "statuses": [status]})
    desk.callback(text("wamid.b", phone=None))
    assert desk.threads() == [("wamid.a", ANA), ("wamid.b", ANA)]
    assert desk.contact(f"shop:{ANA}").name == "Ana"


def test_a_receipt_without_a_recipient_is_found_by_what_was_sent_along() -> None:
    desk = Desk()
    desk.callback(text("wamid.a"))
    desk.reply("o1", ANA)
    call = PROVIDERS["whatsapp_cloud"].plan_send(desk.sent[0], desk.driver.settings.newest("shop"), None)
    ours = orjson.loads(getattr(call, "body", b""))["biz_opaque_callback_data"]
    desk.callback({"statuses": [{"id": "wamid.of-o1", "status": "read", "biz_opaque_callback_data": ours}]})
    assert desk.events(MessageStatusChanged)[-1].status == "read"


def test_a_user_id_means_somebody_else_on_another_channel() -> None:
    desk = Desk()
    desk.callback(text("wamid.a"))
    desk.callback(text("wamid.b", phone=NEW), channel="other")
    desk.callback(text("wamid.c", phone=None), channel="other")
    assert desk.threads() == [("wamid.a", ANA), ("wamid.b", NEW), ("wamid.c", NEW)]


@pytest.mark.parametrize("previous", [ANA_ID, None])
def test_a_changed_number_keeps_the_thread_and_a_stranger_gets_another(previous: str | None) -> None:
    desk = Desk(greeting={"enabled": True, "text": "Hi"})
    desk.callback(text("wamid.a"))
    system = said({"wa_id": NEW, "user_id": NEW_ID, "previous_user_id": previous})
    for _ in range(2):  # repeated, it changes nothing more
        desk.callback(changed("wamid.s", "user_changed_number", **system))
    desk.reply("o1", ANA)
    desk.callback(text("wamid.b", phone=NEW, user_id=NEW_ID))
    desk.callback(text("wamid.x", phone=ANA, user_id="ES.7999"))
    desk.callback(text("wamid.y", phone=None, user_id="ES.7999"))
    stranger = f"{ANA}~2"
    assert desk.threads() == [("wamid.a", ANA), ("wamid.b", ANA), ("wamid.x", stranger), ("wamid.y", stranger)]
    assert [(request.kind, request.contact) for request in desk.sent] == [
        ("greeting", ANA),
        ("reply", NEW),
        ("greeting", ANA),
    ]
    (notice,) = desk.events(ConversationNoticeReceived)
    assert (notice.kind, notice.header.phone, notice.header.user_id) == ("system", NEW, NEW_ID)


def test_a_changed_number_opens_no_window() -> None:
    desk = Desk()
    desk.callback(changed("wamid.s", "user_changed_number", wa_id=NEW))
    assert not desk.events(ConversationOpened)
    assert desk.contact(f"shop:{ANA}").last_customer_at is None
    desk.reply("o1", ANA, template=Template(name="hello", language="es"))
    assert [request.contact for request in desk.sent] == [NEW]


def test_a_changed_user_id_keeps_the_thread() -> None:
    desk = Desk()
    desk.callback(text("wamid.a", phone=None))
    ids = {"user_id": NEW_ID, "previous_user_id": ANA_ID}
    desk.callback(changed("wamid.s", "user_changed_user_id", phone=None, **ids))
    desk.callback(text("wamid.b", phone=None, user_id=NEW_ID))
    desk.reply("o1", ANA_ID)
    assert desk.threads() == [("wamid.a", ANA_ID), ("wamid.b", ANA_ID)]
    assert [request.contact for request in desk.sent] == [NEW_ID]


def test_rules_see_the_number_of_a_customer_whose_key_has_none() -> None:
    desk = Desk()
    desk.callback(text("wamid.a", phone=None))
    desk.callback(text("wamid.b"))
    desk.command(Resolve(command_id="o1", by="bea"), ANA)
    desk.callback(text("wamid.c", phone=None))
    assert [event.phone for event in desk.events(AssignmentRequested)] == [None, ANA]


def test_a_key_from_before_user_ids_goes_on_when_one_becomes_known() -> None:
    before = Desk()
    before.callback(text("wamid.a", user_id=None))
    after = Desk()
    after.driver.states["conversations"] = _restored(before.driver.states["conversations"])  # intake had no rows
    after.callback(text("wamid.b"))
    assert after.threads() == [("wamid.b", ANA)]
    assert not after.events(ConversationOpened)


def _restored(state: TaskState) -> TaskState:
    restored = TaskState()
    for key, name, value in state.rows():
        restored.write(key, name, value)
    return restored


# --- echoes of what the business wrote in WhatsApp's own app ---------------------------------------------------------

AI = {"enabled": True, "agents": [{"id": "bot"}]}
ECHO: Json = {
    "message_echoes": [
        {
            "from": "34600550001",
            "to": ANA,
            "id": "wamid.e",
            "timestamp": str(int(NOON.timestamp())),
            "type": "text",
            "text": {"body": "on it"},
            "context": {"id": "wamid.a"},
        }
    ]
}


def test_an_echo_takes_over_from_the_ai_agent_and_is_never_sent() -> None:
    desk = Desk(ai=AI)
    desk.callback(text("wamid.a"))
    for _ in range(2):
        desk.callback(ECHO, field="smb_message_echoes")
    desk.callback({"statuses": [{"id": "wamid.e", "status": "read", "recipient_id": ANA}]})
    desk.callback(text("wamid.b", "thanks"))
    assert [request.question.message.id for request in desk.asked] == ["wamid.a"]
    assert [request.kind for request in desk.sent] == ["ai"]
    (echo,) = [event for event in desk.events(ConversationMessageSent) if event.in_app]
    assert (echo.message_id, echo.kind, echo.text, echo.content) == (
        "wamid.e",
        "reply",
        "on it",
        Outgoing(quotes="wamid.a"),
    )
    assert echo.header.status is Status.OPEN
    assert desk.events(MessageStatusChanged)[-1].status == "read"


def test_an_echo_to_a_new_customer_starts_a_conversation_for_a_human_and_no_greeting() -> None:
    desk = Desk(ai=AI, greeting={"enabled": True, "text": "Hi"})
    desk.callback(ECHO, field="smb_message_echoes")
    desk.callback(text("wamid.b", "thanks"))
    (opened,) = desk.events(ConversationOpened)
    assert opened.header.opened_by == "agent"
    assert desk.events(ConversationMessageReceived)[-1].header.assignee.id == "bea"
    assert desk.sent == []
    assert desk.asked == []


# --- names alone -----------------------------------------------------------------------------------------------------


def test_a_number_stands_for_itself_without_a_row() -> None:
    contacts = Contacts(KeyRows(TaskState(), "shop"))
    assert contacts.of(ANA) == ANA
    assert contacts.writes == {}


def test_a_number_s_next_owner_is_a_contact_of_its_own() -> None:
    assert next_owner(ANA) == f"{ANA}~2"
    assert next_owner(f"{ANA}~2") == f"{ANA}~3"
    assert contact_id(f"{ANA}~3") == f"{ANA}~3"
    with pytest.raises(ValueError, match="not known by a number"):
        next_owner(ANA_ID)
    with pytest.raises(InvalidContact):
        contact_id(f"{ANA}~")
