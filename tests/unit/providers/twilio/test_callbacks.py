"""Twilio's callbacks: what each form becomes, and that no body raises."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.rows import BadRow, BadRowReason, Callback, CallbackRow, InboundMessage, Media, Quote, Receipt
from providers.twilio.callbacks import parse_callback
from schemas.events.content import Choice, Content, Form, Location, Referral
from schemas.settings.channel import parse_channel

SID = "AC" + "0" * 32
CHANNEL = parse_channel(
    {"id": "c", "provider": "twilio", "phone_number": "+34600000001", "account_sid": SID, "auth_token": "secret"}
)
BASE = {
    "MessageSid": "SM1",
    "From": "whatsapp:+34655000001",
    "To": "whatsapp:+34600000001",
    "WaId": "34655000001",
    "ProfileName": "Ida",
    "NumMedia": "0",
    "Body": "Hola",
}


def parse(query: str = "", **fields: str) -> CallbackRow:
    (row,) = parse_callback(Callback(urlencode({**BASE, **fields}).encode(), query), CHANNEL).rows
    return row


def received(**fields: str) -> InboundMessage:
    row = parse(**fields)
    assert isinstance(row, InboundMessage)
    return row


def content(**fields: str) -> Content:
    found = received(**fields).content
    assert found is not None
    return found


def test_a_text() -> None:
    assert received() == InboundMessage(
        "received", "SM1", "SM1", "34655000001", "Ida", "text", "Hola", None, None, None
    )


@pytest.mark.parametrize(
    ("fields", "contact"),
    [
        ({"ExternalUserId": "whatsapp:foo_bar"}, "34655000001"),
        ({"ExternalUserId": "whatsapp:"}, "34655000001"),
        ({"From": "whatsapp:ES.77", "ExternalUserId": "whatsapp:ES.77", "WaId": ""}, "ES.77"),
        ({"From": "whatsapp:", "WaId": ""}, None),
    ],
)
def test_whose_message_it_is(fields: dict[str, str], contact: str | None) -> None:
    row = parse(**fields)
    if contact is None:
        assert isinstance(row, BadRow)
        assert row.reason is BadRowReason.MISSING_CONTACT
    else:
        assert isinstance(row, InboundMessage)
        assert row.contact == contact


def test_a_place_has_no_body() -> None:
    fields = {"Body": "", "Latitude": "40.4", "Longitude": "-3.7", "Label": "Sol", "Address": "Plaza 1"}
    for stated in ({}, {"MessageType": "location"}):
        row = received(**fields, **stated)
        assert (row.type, row.text) == ("location", None)
        assert row.content is not None
        assert row.content.location == Location(latitude=40.4, longitude=-3.7, name="Sol", address="Plaza 1")


def test_a_list_s_item() -> None:
    row = received(Body="", ListId="r2", ListTitle="Reembolso")
    assert (row.type, row.text) == ("interactive", "Reembolso")
    assert content(Body="", ListId="r2", ListTitle="Reembolso").choice == Choice(id="r2", title="Reembolso")


def test_a_button_says_its_text_once() -> None:
    row = received(Body="Sí", ButtonText="Sí", ButtonPayload="ok")
    assert (row.type, row.text) == ("button", "Sí")
    assert content(Body="Sí", ButtonText="Sí", ButtonPayload="ok").choice == Choice(id="ok", title="Sí")


def test_a_form_s_answers() -> None:
    assert content(Body="", FlowData='{"rating": "5"}').form == Form(answers={"rating": "5"})


def test_a_message_keeps_all_its_files() -> None:
    files = {f"MediaUrl{number}": f"https://api.twilio.com/ME{number}" for number in range(10)}
    row = received(NumMedia="10", Body="two", MediaContentType0="image/jpeg", MediaContentType9="video/mp4", **files)
    assert (row.type, row.text) == ("image", "two")
    assert row.media == Media("https://api.twilio.com/ME0", None, "image/jpeg", None)
    assert [one.link for one in row.more_media] == [f"https://api.twilio.com/ME{number}" for number in range(1, 10)]
    assert row.more_media[-1].mime_type == "video/mp4"


def test_an_ad_and_a_quote() -> None:
    assert content(ReferralSourceId="6", ReferralCtwaClid="k").referral == Referral(source_id="6", click_id="k")
    row = received(OriginalRepliedMessageSid="SM0")
    assert (row.event, row.quotes) == ("reply", Quote("SM0", None))
    assert content(FrequentlyForwarded="true").forwarded


@pytest.mark.parametrize(
    ("type_", "body", "kind", "text", "name"),
    [
        ("image/jpeg", "Mira", "image", "Mira", None),
        ("audio/ogg", "", "audio", None, None),
        ("application/pdf", "factura.pdf", "document", None, "factura.pdf"),
        ("application/pdf", "La factura.", "document", "La factura.", None),
    ],
)
def test_a_file(type_: str, body: str, kind: str, text: str | None, name: str | None) -> None:
    link = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1"
    row = received(NumMedia="1", MediaUrl0=link, MediaContentType0=type_, Body=body)
    assert (row.type, row.text, row.media) == (kind, text, Media(link, None, type_, name))


@pytest.mark.parametrize(
    ("word", "status"),
    [("queued", "plan"), ("sent", "sent"), ("delivered", "delivered"), ("read", "read"), ("failed", "sent_failed"),
     ("undelivered", "delivered_failed")],
)  # fmt: skip
def test_a_status_carries_our_ids_in_its_query(word: str, status: str) -> None:
    fields = {"From": BASE["To"], "To": BASE["From"], "MessageStatus": word, "ErrorCode": "63016"}
    row = parse("id=m1&conversation=c%3A34655000001", **fields)
    assert isinstance(row, Receipt)
    assert (row.status, row.error_code, row.contact) == (status, 63016, "34655000001")
    assert (row.ref_id, row.ref_key) == ("m1", "c:34655000001")


def test_another_number_s_message_is_put_aside() -> None:
    row = parse(To="whatsapp:+34600000009")
    assert isinstance(row, BadRow)
    assert row.reason is BadRowReason.FOREIGN_NUMBER


@given(st.binary(max_size=64), st.text(max_size=16))
def test_no_bytes_raise(body: bytes, query: str) -> None:
    assert parse_callback(Callback(body, query), CHANNEL).rows


@given(
    st.dictionaries(st.sampled_from([*BASE, "Latitude", "FlowData", "MediaUrl0", "ListId", "MessageStatus"]), st.text())
)
def test_no_form_raises(fields: dict[str, str]) -> None:
    parse(**fields)
