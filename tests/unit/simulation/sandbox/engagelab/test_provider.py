"""The EngageLab stand-in answers sends as EngageLab does."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import orjson
import pytest
from pydantic import JsonValue, SecretStr, ValidationError

from simulation.sandbox.accounts import Account, Behaviour, Template
from simulation.sandbox.calls import Reply, Request
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.engagelab.callbacks import channel_message_id, provider_message_id
from simulation.sandbox.providers import Providers
from tests.support.sandbox import CONTACT, NOW, NUMBER, json_of

AUTHORIZATION = "Basic " + base64.b64encode(b"k1:s1").decode()


def account(**changes: object) -> Account:
    base: dict[str, object] = {
        "id": "k1",
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


def send(providers: Providers, body: bytes, at: datetime = NOW, authorization: str = AUTHORIZATION) -> Reply:
    reply = providers.handle(Request("POST", "/v1/messages", {}, {"authorization": authorization}, body), at)
    assert reply is not None
    return reply


def code(reply: Reply) -> JsonValue:
    return json_of(reply)["code"]


def is_accepted(reply: Reply) -> bool:
    return reply.status == 200


def test_an_accepted_send_has_the_id_that_its_custom_args_foretell() -> None:
    result = send(Providers([account()]), text(request_id="r1"))
    assert result.status == 200
    assert json_of(result) == {"message_id": provider_message_id(NUMBER, "o1"), "request_id": "r1"}


def test_ids_differ_by_number_and_by_repeat() -> None:
    ids = {provider_message_id(number, "o1", copy) for number in (NUMBER, "+34600700002") for copy in (0, 1)}
    assert len(ids) == 4
    assert provider_message_id("0034600700001", "o1") == provider_message_id(NUMBER, "o1")
    assert channel_message_id(NUMBER, "o1").startswith("wamid.")


def test_the_log_tells_what_was_asked_and_how_often() -> None:
    provider = Providers([account()])
    for _ in range(2):
        send(provider, text())
    first, second = provider.log
    assert (first.contact, first.text, first.id, first.account) == (CONTACT, "Buenos días", "o1", "k1")
    assert (first.repeat, second.repeat) == (0, 1)
    assert first.message_id != second.message_id
    assert "s1" not in repr(provider.log)


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic ???", "Basic bm9jb2xvbg==", "Basic azE6d3Jvbmc="])
def test_missing_or_wrong_credentials_are_2001(header: str) -> None:
    provider = Providers([account()])
    result = send(provider, text(), authorization=header)
    assert (code(result), result.status) == (2001, 401)
    assert (provider.log[0].account, provider.log[0].id) == (None, "o1")


def test_a_disabled_account_is_2002() -> None:
    result = send(Providers([account(enabled=False)]), text())
    assert (code(result), result.status) == (2002, 401)


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
    result = send(Providers([account()]), body)
    assert (code(result), result.status) == (code_, 400)
    assert names in str(json_of(result)["message"])


def test_another_number_may_not_be_the_sender() -> None:
    provider = Providers([account()])
    assert code(send(provider, text(**{"from": "+34600700009"}))) == 2004
    assert is_accepted(send(provider, text(**{"from": "0034 600 700 001"})))


def test_only_approved_templates_may_be_sent() -> None:
    provider = Providers([account()])
    assert is_accepted(send(provider, template("hello")))
    assert [code(send(provider, template(*name))) for name in (("hello", "en"), ("old", "es"))] == [4001, 4001]


def test_the_window_is_enforced_where_asked() -> None:
    provider = Providers([account(enforce_window=True)])
    assert code(send(provider, text())) == 3003
    provider.customers_write([CustomerMessage(contact=f"+{CONTACT}", text="hola")], NOW)
    assert is_accepted(send(provider, text(), NOW + timedelta(hours=24, seconds=-1)))
    assert code(send(provider, text(), NOW + timedelta(hours=24))) == 3003
    assert is_accepted(send(provider, template("hello"), NOW + timedelta(hours=24)))


def test_a_refusal_on_demand_lasts_for_its_times() -> None:
    provider = Providers([account()])
    provider.set_behaviour(Behaviour(answer="refuse", code=2002, times=2))
    results = [send(provider, text()) for _ in range(3)]
    assert [entry.outcome for entry in provider.log] == ["refused", "refused", "accepted"]
    assert (code(results[0]), results[0].status, provider.log[0].code) == (2002, 401, 2002)


def test_a_rate_limit_on_demand_says_when_to_come_back() -> None:
    provider = Providers([account(behaviour={"answer": "refuse", "code": 1000, "http_status": 429, "retry_after": 3})])
    result = send(provider, text())
    assert (result.status, result.headers["Retry-After"]) == (429, "3")


def test_a_timeout_is_recorded_and_accepted_but_unanswered() -> None:
    provider = Providers([account()])
    provider.set_behaviour(Behaviour(answer="timeout", times=1))
    result = send(provider, text())
    assert (result.status, result.hangs, result.callbacks) == (None, True, ())
    assert provider.log[0].message_id == provider_message_id(NUMBER, "o1")
    provider.set_behaviour(Behaviour(answer="timeout", receipts=True))
    assert send(provider, text(id="o2")).callbacks


def test_no_receipts_follow_where_they_are_off() -> None:
    assert send(Providers([account()], auto_receipts=False), text()).callbacks == ()


def test_the_log_keeps_the_newest() -> None:
    provider = Providers([account()], log_limit=2)
    for number in range(7):
        send(provider, text(id=f"o{number}"))
    assert [entry.id for entry in provider.log][-2:] == ["o5", "o6"]
    assert len(provider.log) <= 4


def test_writing_to_no_account_in_particular_needs_a_single_one() -> None:
    provider = Providers([account(), account(id="k2", dev_key="k2")])
    with pytest.raises(KeyError, match="account is needed"):
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
