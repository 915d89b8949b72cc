"""Twilio's APIs beside sends: the account, its messages, its contents and files."""

from datetime import timedelta

import pytest

from schemas.events.template import Template as ChosenTemplate
from simulation.sandbox.accounts import Template
from simulation.sandbox.calls import Reply, Request
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.media import FILES_PATH
from simulation.sandbox.receipts import Faults
from simulation.sandbox.twilio.requests import content_sid
from tests.support.sandbox import API, CONTACT, NOW, NUMBER, Played, json_of

CUSTOMER, OWN = f"whatsapp:+{CONTACT}", f"whatsapp:{NUMBER}"


@pytest.fixture
def twilio() -> Played:
    return Played.at("twilio", Faults(pace=1), templates=(Template(name="hello", language="es", status="PAUSED"),))


def of_account(twilio: Played, path: str, **query: str) -> Reply:
    return twilio.ask("GET", f"/2010-04-01/Accounts/{twilio.channel.account_sid}{path}", query)


def listed(twilio: Played, query: dict[str, str]) -> list[tuple[object, object]]:
    found = json_of(twilio.ask("GET", f"/2010-04-01/Accounts/{twilio.channel.account_sid}/Messages.json", query))
    messages = found["messages"]
    assert isinstance(messages, list)
    return [(one["direction"], one["body"]) for one in messages if isinstance(one, dict)]


def test_the_account_is_active(twilio: Played) -> None:
    assert json_of(of_account(twilio, ".json"))["status"] == "active"
    senders = json_of(twilio.ask("GET", "/v2/Channels/Senders", {"Channel": "whatsapp"}))["senders"]
    assert isinstance(senders, list)
    assert [one["sender_id"] for one in senders if isinstance(one, dict)] == [OWN]


def test_messages_of_both_directions_are_listed_by_address_and_time(twilio: Played) -> None:
    twilio.providers.customers_write([CustomerMessage(contact=CONTACT, text="hola")], NOW)
    twilio.now = NOW + timedelta(hours=1)
    twilio.send("o1", text="Good day")
    twilio.send("o2", text="to somebody else", to="34699000111")
    assert listed(twilio, {}) == [
        ("outbound-api", "to somebody else"),
        ("outbound-api", "Good day"),
        ("inbound", "hola"),
    ]
    assert listed(twilio, {"To": CUSTOMER}) == [("outbound-api", "Good day")]
    assert listed(twilio, {"To": OWN}) == listed(twilio, {"From": CUSTOMER}) == [("inbound", "hola")]
    assert listed(twilio, {"DateSent>": "2026-06-01T10:30:00Z", "To": CUSTOMER}) == [("outbound-api", "Good day")]
    assert listed(twilio, {"DateSent<": "2026-06-01T10:30:00Z"}) == [("inbound", "hola")]
    assert len(listed(twilio, {"DateSent": "2026-06-01"})) == 3
    assert twilio.code(of_account(twilio, "/Messages.json", DateSent="yesterday")) == 20001


def test_messages_come_in_pages(twilio: Played) -> None:
    for number in range(3):
        twilio.send(f"o{number}")
    first = json_of(of_account(twilio, "/Messages.json", PageSize="2"))
    assert "Page=1" in str(first["next_page_uri"])
    last = json_of(of_account(twilio, "/Messages.json", PageSize="2", Page="1"))
    assert (last["next_page_uri"], len(last["messages"] or ())) == (None, 1)  # type: ignore[arg-type]


def test_a_message_shows_how_far_it_is(twilio: Played) -> None:
    sent = twilio.send()
    assert sent is not None
    path = f"/Messages/{sent.provider_message_id}.json"
    assert json_of(of_account(twilio, path))["status"] == "queued"
    twilio.now = NOW + timedelta(minutes=5)
    assert json_of(of_account(twilio, path))["status"] == "read"
    assert twilio.code(of_account(twilio, "/Messages/SM1.json")) == 20404


def test_a_failed_message_shows_its_code() -> None:
    twilio = Played.at("twilio", Faults(pace=0, delivered_failed=1))
    sent = twilio.send()
    assert sent is not None
    shown = json_of(of_account(twilio, f"/Messages/{sent.provider_message_id}.json"))
    assert (shown["status"], shown["error_code"]) == ("undelivered", 63024)


def test_contents_and_their_approval_are_shown(twilio: Played) -> None:
    sid = content_sid("hello", "es")
    shown = json_of(twilio.ask("GET", f"/v1/Content/{sid}/ApprovalRequests"))["whatsapp"]
    assert isinstance(shown, dict)
    assert (shown["name"], shown["status"]) == ("hello", "paused")
    assert twilio.code(twilio.ask("GET", "/v1/Content/HX0/ApprovalRequests")) == 20404
    contents = json_of(twilio.ask("GET", "/v1/ContentAndApprovals", {"PageSize": "1"}))
    assert (contents["meta"] or {})["next_page_url"] is None  # type: ignore[index, call-overload]
    refused = twilio.send(text=None, template=ChosenTemplate(name=sid, language="es"))
    assert refused is not None
    assert refused.answer == "template_unavailable"


def test_somebody_types(twilio: Played) -> None:
    path = "/v2/Indicators/Typing.json"
    assert twilio.ask("POST", path, body=b"channel=whatsapp&messageId=SM1").status == 200
    assert [(mark.message_id, mark.typing) for mark in twilio.providers.state.marks] == [("SM1", True)]
    assert twilio.code(twilio.ask("POST", path, body=b"channel=sms")) == 21620


def test_a_file_is_behind_credentials_and_then_on_a_host_that_wants_none(twilio: Played) -> None:
    file = twilio.providers.state.files.put(b"JPEG", "image/jpeg")
    message = CustomerMessage(contact=CONTACT, type="image", file=file.id)
    (callback,) = twilio.providers.customers_write([message], NOW, base_url=API)
    form = Request("POST", "/", body=callback.body).form
    assert (form["NumMedia"], form["MediaContentType0"]) == ("1", "image/jpeg")
    path = form["MediaUrl0"].removeprefix(API)
    moved = twilio.ask("GET", path)
    location = moved.headers["Location"]
    assert (moved.status, location) == (307, f"https://localhost{FILES_PATH}/{file.id}")
    without = twilio.providers.handle(Request("GET", f"{FILES_PATH}/{file.id}"), NOW)
    assert without is not None
    assert (without.status, without.body) == (200, b"JPEG")
    leaked = twilio.ask("GET", f"{FILES_PATH}/{file.id}")
    assert (leaked.status, twilio.providers.state.files.leaks) == (400, 1)
    anonymous = twilio.providers.handle(Request("GET", path), NOW)
    assert anonymous is not None
    assert twilio.code(anonymous) == 20003
