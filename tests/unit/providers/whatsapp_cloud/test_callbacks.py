"""WhatsApp Cloud callbacks: what each shape becomes, and that no body raises or costs its neighbours."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.rows import (
    BadRow,
    BadRowReason,
    Callback,
    CallbackRow,
    InboundMessage,
    InboundNotice,
    Media,
    Notification,
    Quote,
    Receipt,
)
from providers.whatsapp_cloud.callbacks import addressees, addresses, parse_callback
from schemas.events.content import Choice, Location, Reaction
from schemas.settings.channel import parse_channel

NUMBER, ACCOUNT = "550001", "660001"
CHANNEL = parse_channel(
    {
        "id": "c",
        "provider": "whatsapp_cloud",
        "phone_number": "+34600000001",
        "business_account_id": ACCOUNT,
        "phone_number_id": NUMBER,
        "access_token": "t",
        "app_secret": "s",
        "verify_token": "v",
    }
)
CUSTOMER = {"profile": {"name": "Ida"}, "wa_id": "34655000001", "user_id": "ES.77"}

Json = dict[str, Any]


def change(value: Json, *, number: str = NUMBER, field: str = "messages") -> Json:
    return {"field": field, "value": {"metadata": {"phone_number_id": number}, **value}}


def body(*changes: Json, account: str = ACCOUNT) -> bytes:
    entries = [{"id": account, "changes": list(changes)}]
    # Not orjson, which can't write all that Meta might.
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()


def parse(*changes: Json, elsewhere: Sequence[str] = ()) -> tuple[CallbackRow, ...]:
    return parse_callback(Callback(body(*changes), elsewhere=frozenset(elsewhere)), CHANNEL).rows


def message(type_: str, part: Any, **others: Any) -> Json:
    return {"id": "wamid.1", "from": "34655000001", "timestamp": "1790000000", "type": type_, type_: part, **others}


def received(one: Json, **value: Any) -> InboundMessage:
    (row,) = parse(change({"contacts": [CUSTOMER], "messages": [one], **value}))
    assert isinstance(row, InboundMessage)
    return row


def test_a_text() -> None:
    assert received(message("text", {"body": "Hola"})) == InboundMessage(
        "received", "wamid.1", "wamid.1", "34655000001", "Ida", "text", "Hola", None, 1790000000, None, user_id="ES.77"
    )


def test_a_customer_without_a_number_is_known_by_the_user_id() -> None:
    one = message("text", {"body": "Hola"}, from_user_id="ES.77")
    del one["from"]
    assert received(one, contacts=[{"profile": {"name": "Ida"}, "user_id": "ES.77"}]).contact == "ES.77"


def test_the_name_is_that_of_the_sender_and_not_of_the_first_contact() -> None:
    other = {"profile": {"name": "Otto"}, "wa_id": "34655000009"}
    assert received(message("text", {"body": "Hola"}), contacts=[other, CUSTOMER]).name == "Ida"
    assert received(message("text", {"body": "Hola"}), contacts=[other, other]).name is None


@pytest.mark.parametrize(
    ("type_", "part", "text", "media"),
    [
        (
            "image",
            {"id": "9", "mime_type": "image/png", "caption": "Mira"},
            "Mira",
            Media(None, "9", "image/png", None),
        ),
        ("audio", {"id": "9", "voice": True}, None, Media(None, "9", None, None, voice=True)),
        ("voice", {"id": "9"}, None, Media(None, "9", None, None, voice=True)),
        ("document", {"id": "9", "filename": "año.pdf"}, None, Media(None, "9", None, "año.pdf")),
        ("sticker", {"url": "https://x.example/s"}, None, Media("https://x.example/s", None, None, None)),
        ("button", {"payload": "YES", "text": "Sí"}, "Sí", None),
        ("interactive", {"type": "list_reply", "list_reply": {"id": "r", "title": "Uno"}}, "Uno", None),
        ("order", {"text": "pronto", "product_items": []}, "pronto", None),
        ("location", {"latitude": 40.4, "longitude": -3.7}, None, None),
        ("holograms", {"depth": 3}, None, None),
    ],
)
def test_what_a_message_holds(type_: str, part: Json, text: str | None, media: Media | None) -> None:
    row = received(message(type_, part))
    assert (row.type, row.text, row.media) == ("audio" if type_ == "voice" else type_, text, media)


def test_contents_are_typed() -> None:
    place = received(message("location", {"latitude": "40.4", "longitude": -3.7, "name": "Sol"})).content
    assert place is not None
    assert place.location == Location(latitude=40.4, longitude=-3.7, name="Sol")
    chosen = received(message("interactive", {"button_reply": {"id": "b", "title": "Uno"}})).content
    assert chosen is not None
    assert chosen.choice == Choice(id="b", title="Uno")


def test_a_quote_makes_it_a_reply() -> None:
    row = received(message("text", {"body": "Sí"}, context={"from": "34600000001", "id": "wamid.0"}))
    assert (row.event, row.quotes) == ("reply", Quote("wamid.0", "wamid.0"))


@pytest.mark.parametrize(
    ("one", "kind", "refers_to"),
    [
        (message("reaction", {"message_id": "wamid.0", "emoji": "🎉"}), "reaction", "wamid.0"),
        (message("edit", {"original_message_id": "wamid.0"}), "edit", "wamid.0"),
        (message("revoke", {"original_message_id": "wamid.0"}), "revoke", "wamid.0"),
        (message("unsupported", {"type": "edit"}), "edit", None),
        (message("system", {"type": "user_changed_number", "wa_id": "34655000002"}), "system", None),
    ],
)
def test_what_is_no_message_is_a_notice(one: Json, kind: str, refers_to: str | None) -> None:
    (row,) = parse(change({"messages": [one]}))
    assert isinstance(row, InboundNotice)
    assert (row.kind, row.refers_to, row.contact) == (kind, refers_to, "34655000001")


def test_a_reaction_that_is_taken_back() -> None:
    (row,) = parse(change({"messages": [message("reaction", {"message_id": "wamid.0"})]}))
    assert isinstance(row, InboundNotice)
    assert row.content is not None
    assert row.content.reaction == Reaction(removed=True)


def test_a_changed_user_id_is_a_notice_of_the_former_one() -> None:
    one = {"id": "wamid.1", "type": "system", "system": {"type": "user_changed_user_id", "previous_user_id": "ES.77"}}
    (row,) = parse(change({"messages": [one]}))
    assert isinstance(row, InboundNotice)
    assert row.contact == "ES.77"


@pytest.mark.parametrize(
    ("status", "word", "code", "contact"),
    [
        ({"status": "delivered", "recipient_id": "34655000001"}, "delivered", 0, "34655000001"),
        ({"status": "played", "recipient_id": "34655000001"}, "read", 0, "34655000001"),
        ({"status": "read", "recipient_user_id": "ES.77"}, "read", 0, "ES.77"),
        (
            {"status": "failed", "recipient_id": "34655000001", "errors": [{"code": 131026, "title": "no"}]},
            "delivered_failed",
            131026,
            "34655000001",
        ),
        ({"status": "sent"}, "sent", 0, None),
    ],
)
def test_a_status_is_a_receipt(status: Json, word: str, code: int, contact: str | None) -> None:
    one = {"id": "wamid.9", "timestamp": "1790000001", "biz_opaque_callback_data": "m9", **status}
    (row,) = parse(change({"statuses": [one]}))
    assert isinstance(row, Receipt)
    assert (row.provider_message_id, row.ref_id, row.at) == ("wamid.9", "m9", 1790000001)
    assert (row.status, row.error_code, row.contact) == (word, code, contact)


def test_every_update_of_every_entry_is_read() -> None:
    first = change({"messages": [message("text", {"body": "1"}), message("text", {"body": "2"})]})
    second = change({"statuses": [{"id": "wamid.9", "status": "sent"}], "errors": [{"code": 131000}]})
    quality = {"field": "phone_number_quality_update", "value": {"event": "FLAGGED"}}
    rows = parse(first, second, quality)
    assert [type(row) for row in rows] == [InboundMessage, InboundMessage, Receipt, Notification, Notification]
    assert [row.event for row in rows if isinstance(row, Notification)] == ["errors", "phone_number_quality_update"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"messages": [7]}, BadRowReason.ROW_NOT_AN_OBJECT),
        ({"messages": [message("text", {"body": ["x"]})]}, BadRowReason.WRONG_TYPE),
        ({"messages": [message("text", {"body": "x"}, group_id="g")]}, BadRowReason.GROUP),
        ({"messages": [{"id": "wamid.1", "type": "text", "text": {"body": "x"}}]}, BadRowReason.MISSING_CONTACT),
        ({"messages": [{"from": "34655000001", "type": "text"}]}, BadRowReason.MISSING_MESSAGE_ID),
        ({"statuses": [{"id": "wamid.9"}]}, BadRowReason.MISSING_STATUS),
    ],
)
def test_a_row_that_can_not_be_read_costs_nobody_else(value: Json, reason: BadRowReason) -> None:
    bad, good = parse(change(value), change({"messages": [message("text", {"body": "y"})]}))
    assert isinstance(bad, BadRow)
    assert bad.reason is reason
    assert isinstance(good, InboundMessage)


def test_another_number_s_rows_are_left_to_it_or_put_aside() -> None:
    foreign = change({"messages": [message("text", {"body": "x"})]}, number="550002")
    assert parse(foreign, elsewhere=["550002"]) == ()
    (row,) = parse(foreign)
    assert isinstance(row, BadRow)
    assert row.reason is BadRowReason.FOREIGN_NUMBER


def test_another_account_s_notice_is_put_aside_where_the_channel_says_its_own() -> None:
    notice = Callback(body({"field": "account_update", "value": {"event": "X"}}, account="660002"))
    (row,) = parse_callback(notice, CHANNEL).rows
    assert isinstance(row, BadRow)
    assert row.reason is BadRowReason.FOREIGN_NUMBER
    (row,) = parse_callback(notice, CHANNEL.model_copy(update={"business_account_id": None})).rows
    assert isinstance(row, Notification)


def test_a_callback_says_whom_it_is_about() -> None:
    both = body(change({}), change({}, number="550002"), {"field": "account_update", "value": {"event": "X"}})
    assert addressees(both) == {NUMBER, "550002", ACCOUNT}
    assert addresses(CHANNEL) == {NUMBER, ACCOUNT}
    assert addressees(b"{") == addressees(b"[]") == frozenset()


def test_more_updates_than_one_transaction_may_hold_are_put_aside_whole() -> None:
    status = {"id": "wamid.9", "status": "sent"}
    assert len(parse(change({"statuses": [status] * 1_000}))) == 1_000
    (row,) = parse(change({"statuses": [status] * 1_001}))
    assert isinstance(row, BadRow)
    assert row.reason is BadRowReason.TOO_MANY_ROWS


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(["messages", "statuses", "contacts", "metadata", "errors", "message_echoes"])
PARTS = st.sampled_from(["id", "from", "type", "text", "image", "context", "timestamp", "status", "errors"])


@given(st.binary(max_size=64))
def test_no_bytes_raise(raw: bytes) -> None:
    assert parse_callback(Callback(raw), CHANNEL).rows
    addressees(raw)


@given(st.dictionaries(FIELDS, ANYTHING | st.lists(st.dictionaries(PARTS, ANYTHING, max_size=5), max_size=3)))
def test_no_json_raises(value: Json) -> None:
    raw = orjson.dumps({"entry": [{"id": ACCOUNT, "changes": [{"field": "messages", "value": value}]}]})
    parse_callback(Callback(raw), CHANNEL)
    addressees(raw)


def wamid(packed: bytes) -> str:
    return f"wamid.{base64.b64encode(packed).decode()}"


@pytest.mark.parametrize(
    ("id", "contact"),
    [
        ("wamid.HBgLMzQ2NTUwMDAwMDEVAgARGBIwMTIzNDU2Nzg5QUJDREVGMDEA", "34655000001"),
        (wamid(b"\x1c\x18\x0b34655000001"), "34655000001"),
        (wamid(b"\x1c\x18\x0b3465500000"), "3465500000"),
        (wamid(b"\x1c\x18"), None),
        (wamid(b"\x1c\x18\x0b"), None),
        (wamid(b"\x1c\x18\x0bES.77abcdef"), None),
        (wamid(b"\x1d\x18\x0b34655000001"), None),
        ("wamid.O3", None),
        ("wamid.ä", None),
        ("O3", None),
    ],
)
def test_a_status_without_a_recipient_is_the_one_s_that_its_id_names(id: str, contact: str | None) -> None:
    (row,) = parse(change({"statuses": [{"id": id, "status": "read", "timestamp": "1790000020"}]}))
    assert isinstance(row, Receipt)
    assert (row.contact, row.user_id, row.ref_key) == (contact, None, None)
