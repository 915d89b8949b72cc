"""The EngageLab stand-in answers sends as EngageLab does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pydantic import JsonValue, SecretStr, ValidationError

from simulation.sandbox.accounts import Account, Behaviour, Credentials, Template
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.engagelab.callbacks import channel_message_id, provider_message_id
from simulation.sandbox.engagelab.provider import Provider, SendResult

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
NUMBER = "+34600700001"
CREDENTIALS = Credentials("k1", "s1")
CONTACT = "34611222333"


def account(**changes: object) -> Account:
    base: dict[str, object] = {
        "dev_key": "k1",
        "dev_secret": SecretStr("s1"),
        "phone_number": NUMBER,
        "business_account_id": "waba-7",
        "templates": (Template(name="hello", language="es"), Template(name="old", language="es", status="PAUSED")),
    }
    return Account.model_validate(base | changes)


def text(body: str = "Buenos días", id: str | None = "o1", **more: JsonValue) -> bytes:
    request: dict[str, JsonValue] = {"to": [CONTACT], "body": {"type": "text", "text": {"body": body}}}
    if id is not None:
        request["custom_args"] = {"id": id, "conversation": f"wa1:{CONTACT}"}
    return orjson.dumps(request | more)


def template(name: str, language: str = "es") -> bytes:
    return orjson.dumps(
        {"to": [CONTACT], "body": {"type": "template", "template": {"name": name, "language": language}}}
    )


def send(provider: Provider, body: bytes, at: datetime = NOW) -> SendResult:
    return provider.handle_send(CREDENTIALS, body, at)


def code(result: SendResult) -> JsonValue:
    assert isinstance(result.body, dict)
    return result.body["code"]


def test_an_accepted_send_has_the_id_that_its_custom_args_foretell() -> None:
    result = send(Provider([account()]), text(request_id="r1"))
    assert (result.http_status, result.outcome) == (200, "accepted")
    assert result.body == {"message_id": provider_message_id(NUMBER, "o1"), "request_id": "r1"}


def test_ids_differ_by_number_and_by_repeat() -> None:
    ids = {provider_message_id(number, "o1", copy) for number in (NUMBER, "+34600700002") for copy in (0, 1)}
    assert len(ids) == 4
    assert provider_message_id("0034600700001", "o1") == provider_message_id(NUMBER, "o1")
    assert channel_message_id(NUMBER, "o1").startswith("wamid.")


def test_the_log_tells_what_was_asked_and_how_often() -> None:
    provider = Provider([account()])
    for _ in range(2):
        send(provider, text())
    first, second = provider.log
    assert (first.contact, first.text, first.id, first.account) == (CONTACT, "Buenos días", "o1", NUMBER)
    assert (first.repeat, second.repeat) == (0, 1)
    assert first.message_id != second.message_id
    assert "s1" not in repr(provider.log)


@pytest.mark.parametrize("header", [None, "", "Bearer x", "Basic ???", "Basic bm9jb2xvbg=="])
def test_a_header_without_basic_credentials_is_2001(header: str | None) -> None:
    result = Provider([account()]).handle_send(Credentials.from_header(header), text(), NOW)
    assert (code(result), result.http_status) == (2001, 401)


@pytest.mark.parametrize("credentials", [Credentials("k1", "wrong"), Credentials("nobody", "s1")])
def test_wrong_credentials_are_2001(credentials: Credentials) -> None:
    provider = Provider([account()])
    result = provider.handle_send(credentials, text(), NOW)
    assert (code(result), result.http_status) == (2001, 401)
    assert (provider.log[0].account, provider.log[0].id) == (None, "o1")


def test_a_disabled_account_is_2002() -> None:
    result = send(Provider([account(enabled=False)]), text())
    assert (code(result), result.http_status) == (2002, 401)


@pytest.mark.parametrize(
    ("body", "code_", "names"),
    [
        (b"{", 3001, "JSON"),
        (b"[]", 3002, "object"),
        (orjson.dumps({"body": {"type": "text", "text": {"body": "x"}}}), 3002, "to field"),
        (orjson.dumps({"to": "34611", "body": {"type": "text", "text": {"body": "x"}}}), 3002, "to field"),
        (orjson.dumps({"to": ["1", "2"], "body": {"type": "text", "text": {"body": "x"}}}), 3002, "one recipient"),
        (orjson.dumps({"to": ["1"]}), 3002, "body field"),
        (orjson.dumps({"to": ["1"], "body": {"type": "poll", "poll": {}}}), 3002, "whatsapp.type"),
        (orjson.dumps({"to": ["1"], "body": {"type": "image", "image": {"link": "x"}}}), 3002, "whatsapp.image"),
        (
            orjson.dumps({"to": ["1"], "body": {"type": "template", "template": {"name": "hello"}}}),
            3002,
            "whatsapp.template field must be set correctly when type is template",
        ),
        (text(""), 3002, "whatsapp.text"),
        (text("x" * 4097), 3002, "whatsapp.text"),
        (text(request_id=7), 3002, "request_id"),
        (text(custom_args=[]), 3002, "custom_args"),
    ],
)
def test_a_bad_request_names_its_field(body: bytes, code_: int, names: str) -> None:
    result = send(Provider([account()]), body)
    assert (code(result), result.http_status) == (code_, 400)
    assert isinstance(result.body, dict)
    assert names in str(result.body["message"])


def test_another_number_may_not_be_the_sender() -> None:
    provider = Provider([account()])
    assert code(send(provider, text(**{"from": "+34600700009"}))) == 2004
    assert send(provider, text(**{"from": "0034 600 700 001"})).outcome == "accepted"


def test_only_approved_templates_may_be_sent() -> None:
    provider = Provider([account()])
    assert send(provider, template("hello")).outcome == "accepted"
    assert [code(send(provider, template(*name))) for name in (("hello", "en"), ("old", "es"))] == [4001, 4001]


def test_the_window_is_enforced_where_asked() -> None:
    provider = Provider([account(enforce_window=True)])
    assert code(send(provider, text())) == 3003
    provider.customers_write([CustomerMessage(contact=f"+{CONTACT}", text="hola")], NOW)
    assert send(provider, text(), NOW + timedelta(hours=24, seconds=-1)).outcome == "accepted"
    assert code(send(provider, text(), NOW + timedelta(hours=24))) == 3003
    assert send(provider, template("hello"), NOW + timedelta(hours=24)).outcome == "accepted"


def test_a_refusal_on_demand_lasts_for_its_times() -> None:
    provider = Provider([account()])
    provider.set_behaviour(Behaviour(answer="refuse", code=2002, times=2))
    results = [send(provider, text()) for _ in range(3)]
    assert [result.outcome for result in results] == ["refused", "refused", "accepted"]
    assert (code(results[0]), results[0].http_status, results[0].entry and results[0].entry.code) == (2002, 401, 2002)


def test_a_rate_limit_on_demand_says_when_to_come_back() -> None:
    provider = Provider([account(behaviour={"answer": "refuse", "code": 1000, "http_status": 429, "retry_after": 3})])
    result = send(provider, text())
    assert (result.http_status, result.retry_after) == (429, 3)


def test_a_timeout_is_recorded_and_accepted_but_unanswered() -> None:
    provider = Provider([account()])
    provider.set_behaviour(Behaviour(answer="timeout", times=1))
    result = send(provider, text())
    assert (result.http_status, result.outcome, result.callbacks) == (None, "timeout", ())
    assert provider.log[0].message_id == provider_message_id(NUMBER, "o1")
    provider.set_behaviour(Behaviour(answer="timeout", receipts=True))
    assert send(provider, text(id="o2")).callbacks


def test_an_unreachable_provider_records_nothing() -> None:
    provider = Provider([account(behaviour={"answer": "unreachable", "times": 1})])
    assert send(provider, text()).outcome == "unreachable"
    assert provider.log == ()
    assert send(provider, text()).outcome == "accepted"


def test_accounts_do_not_share_behaviour_or_ids() -> None:
    other = account(dev_key="k2", dev_secret="s2", phone_number="+34600700002")
    provider = Provider([account(), other])
    provider.set_behaviour(Behaviour(answer="refuse", code=5002), "k1")
    assert send(provider, text()).outcome == "refused"
    accepted = provider.handle_send(Credentials("k2", "s2"), text(), NOW)
    assert accepted.body == {"message_id": provider_message_id("+34600700002", "o1")}


def test_no_receipts_follow_where_they_are_off() -> None:
    assert send(Provider([account()], auto_receipts=False), text()).callbacks == ()


def test_the_log_keeps_the_newest() -> None:
    provider = Provider([account()], log_limit=2)
    for number in range(7):
        send(provider, text(id=f"o{number}"))
    assert [entry.id for entry in provider.log][-2:] == ["o5", "o6"]
    assert len(provider.log) <= 4


def test_a_customer_has_the_same_ids_in_every_run() -> None:
    said = [CustomerMessage(contact=CONTACT, text="hola"), CustomerMessage(contact=CONTACT, text="¿hay alguien?")]
    bodies = {Provider([account()], seed=4).customers_write(said, NOW).body for _ in range(2)}
    assert len(bodies) == 1
    rows = orjson.loads(bodies.pop())["rows"]
    assert len({row["response"]["response_data"]["channel_message_id"] for row in rows}) == 2


def test_writing_to_no_account_in_particular_needs_a_single_one() -> None:
    provider = Provider([account(), account(dev_key="k2")])
    with pytest.raises(KeyError, match="dev_key is needed"):
        provider.customers_write([CustomerMessage(contact=CONTACT)], NOW)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"answer": "refuse"}, "error code"),
        ({"answer": "accept", "code": 3002}, "only a refusal"),
        ({"times": 0}, "greater than or equal"),
        ({"anwser": "accept"}, "Extra inputs"),
    ],
)
def test_a_senseless_behaviour_is_refused(bad: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Behaviour.model_validate(bad)
