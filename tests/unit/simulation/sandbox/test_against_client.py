"""The sandbox and the pipeline's wire format, written apart, read each other."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from pydantic import JsonValue, SecretStr

from providers.engagelab.callbacks import parse_callback
from providers.engagelab.sending import (
    Accepted,
    Envelope,
    Refused,
    read_send_response,
    render_media,
    render_template,
    render_text,
)
from providers.provider import InboundMessage, InboundNotice, Receipt
from schemas.events import conversation
from simulation.sandbox.accounts import Account, Behaviour, Credentials, Template
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.engagelab.errors import HTTP_STATUS
from simulation.sandbox.engagelab.provider import Provider, SendResult

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
NUMBER = "+34600700001"
CONTACT = "34611222333"
ENVELOPE = Envelope(sender=NUMBER, to=CONTACT, message_id="o1", conversation=f"wa1:{CONTACT}")


@pytest.fixture
def provider() -> Provider:
    templates = (Template(name="hello", language="es"),)
    return Provider(
        [Account(dev_key="k1", dev_secret=SecretStr("s1"), phone_number=NUMBER, templates=templates)], seed=1
    )


def send(provider: Provider, request: dict[str, JsonValue]) -> SendResult:
    return provider.handle_send(Credentials("k1", "s1"), orjson.dumps(request), NOW)


def read(result: SendResult) -> object:
    assert result.http_status is not None
    return read_send_response(result.http_status, orjson.dumps(result.body))


@pytest.mark.parametrize(
    "request_",
    [
        render_text(ENVELOPE, "Buenos días"),
        render_media(ENVELOPE, "image", "https://example.test/1.jpg", caption="mira"),
        render_template(ENVELOPE, conversation.Template(name="hello", language="es", parameters=("Berta",))),
    ],
)
def test_rendered_requests_are_accepted(provider: Provider, request_: dict[str, JsonValue]) -> None:
    answer = read(send(provider, request_))
    assert isinstance(answer, Accepted)
    assert answer.provider_message_id == provider.log[0].message_id
    assert (provider.log[0].id, provider.log[0].contact) == ("o1", CONTACT)


@pytest.mark.parametrize("code", HTTP_STATUS)
def test_every_refusal_is_understood(provider: Provider, code: int) -> None:
    provider.set_behaviour(Behaviour(answer="refuse", code=code))
    answer = read(send(provider, render_text(ENVELOPE, "Buenos días")))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.http_status) == (code, HTTP_STATUS[code])


def test_receipts_find_their_message(provider: Provider) -> None:
    result = send(provider, render_text(ENVELOPE, "Buenos días"))
    rows = [row for callback in result.callbacks for row in parse_callback(callback.body, phone_number=NUMBER).rows]
    receipts = [row for row in rows if isinstance(row, Receipt)]
    assert len(receipts) == len(rows) == 5
    for receipt in receipts:
        assert (receipt.ref_id, receipt.ref_key, receipt.contact) == ("o1", ENVELOPE.conversation, CONTACT)
        assert receipt.provider_message_id == provider.log[0].message_id


@pytest.mark.parametrize(
    "type_", ["text", "image", "video", "audio", "document", "sticker", "button", "interactive", "order", "unknown"]
)
def test_customers_messages_are_read(provider: Provider, type_: str) -> None:
    message = CustomerMessage(contact=CONTACT, name="Berta", type=type_, text="hola", link="https://example.test/1")
    (row,) = parse_callback(provider.customers_write([message], NOW).body, phone_number=NUMBER).rows
    assert isinstance(row, InboundMessage)
    assert (row.contact, row.name, row.type, row.sent_at) == (CONTACT, "Berta", type_, int(NOW.timestamp()))


@pytest.mark.parametrize("type_", ["reaction", "deleted"])
def test_notices_are_read_as_such(provider: Provider, type_: str) -> None:
    message = CustomerMessage(contact=CONTACT, type=type_, text="👍", target="wamid.B")
    (row,) = parse_callback(provider.customers_write([message], NOW).body, phone_number=NUMBER).rows
    assert isinstance(row, InboundNotice)
    assert (row.kind, row.refers_to) == (type_, "wamid.B")


def test_a_quote_is_read(provider: Provider) -> None:
    sent = send(provider, render_text(ENVELOPE, "Del 1 al 5, ¿qué tal?")).entry
    said = CustomerMessage(contact=CONTACT, text="5", quotes="o1")
    (row,) = parse_callback(provider.customers_write([said], NOW).body, phone_number=NUMBER).rows
    assert isinstance(row, InboundMessage)
    assert sent
    assert row.quotes
    assert row.quotes.message_id == sent.message_id
