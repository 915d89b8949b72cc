"""Twilio's sends: what is posted, and what the answers mean."""

from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from providers.provider import Answer, Call
from providers.twilio.codes import CLASSES, CODES
from providers.twilio.sending import plan_send, read_send
from schemas.effects import SendResult
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from tests.unit.providers.twilio.test_callbacks import CHANNEL, SID
from tests.unit.providers.whatsapp_cloud.test_sending import request

CONTENT_SID = "HX" + "a" * 32
TEMPLATE = Template(name=CONTENT_SID, language="es", parameters=("Ida", "9"))
WEBHOOK = "https://desk.example/webhooks/twilio/TOK"


def sent(settings: ChannelSettings = CHANNEL, webhook_url: str | None = WEBHOOK, **changes: Any) -> dict[str, str]:
    call = plan_send(request(**changes), settings, webhook_url)
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json")
    return dict(parse_qsl((call.body or b"").decode()))


def test_a_text_whose_statuses_bring_our_ids_back() -> None:
    assert sent() == {
        "From": "whatsapp:+34600000001",
        "To": "whatsapp:+34655000001",
        "Body": "Hola",
        "StatusCallback": f"{WEBHOOK}/status?id=m1&conversation=c%3A34655000001",
    }
    assert "StatusCallback" not in sent(webhook_url=None)


def test_a_customer_without_a_number_and_a_messaging_service() -> None:
    service = "MG" + "0" * 32
    form = sent(CHANNEL.model_copy(update={"messaging_service_sid": service}), contact="ES.77")
    assert (form["To"], form["MessagingServiceSid"]) == ("whatsapp:ES.77", service)


def test_a_template_goes_by_its_content_sid() -> None:
    form = sent(text=None, via="template", template=TEMPLATE)
    assert (form["ContentSid"], orjson.loads(form["ContentVariables"])) == (CONTENT_SID, {"1": "Ida", "2": "9"})
    assert "Body" not in form
    named = plan_send(request(text=None, template=Template(name="hours", language="es")), CHANNEL, None)
    assert isinstance(named, SendResult)
    assert named.answer == "template_unavailable"


def test_a_text_that_is_too_long_is_refused_before() -> None:
    refused = plan_send(request(text="x" * 1601), CHANNEL, None)
    assert isinstance(refused, SendResult)
    assert refused.answer == "refused"


def test_an_api_key_signs_in_where_there_is_one() -> None:
    key = CHANNEL.model_copy(update={"api_key": "SK" + "0" * 32, "api_key_secret": CHANNEL.auth_token})
    plain, by_key = plan_send(request(), CHANNEL, None), plan_send(request(), key, None)
    assert isinstance(plain, Call)
    assert isinstance(by_key, Call)
    assert plain.headers["Authorization"] != by_key.headers["Authorization"]
    bare = ChannelSettings(id="c", phone_number="+34600000001", provider="twilio")
    assert isinstance(plan_send(request(), bare, None), SendResult)


@pytest.mark.parametrize(
    ("status", "code", "answer"),
    [
        (401, 20003, "credentials"),
        (400, 63007, "credentials"),
        (400, 63016, "window_closed"),
        (400, 21610, "refused"),
        (400, 21656, "template_unavailable"),
        (429, 20429, "retry"),
        (429, 0, "retry"),
        (400, 63018, "retry"),
        (503, 20503, "retry"),
        (400, 99999, "refused"),
    ],
)
def test_the_code_decides(status: int, code: int, answer: str) -> None:
    result = read_send(Answer(status, orjson.dumps({"code": code, "message": "no"}), "7"))
    assert result is not None
    assert (result.answer, result.code, result.retry_after_s) == (answer, code, 7 if answer == "retry" else None)
    assert result.throttled == ("number" if status == 429 or code == 63018 else None)


@pytest.mark.parametrize("answer", [Answer(500, b""), Answer(201, b"{}"), Answer(201, b"<html>")])
def test_an_answer_that_proves_nothing_is_unknown(answer: Answer) -> None:
    assert read_send(answer) is None


def test_an_accepted_message() -> None:
    assert read_send(Answer(201, b'{"sid":"SM5","status":"queued"}')) == SendResult(
        answer="accepted", provider_message_id="SM5", http_status=201
    )


def test_each_code_has_one_class() -> None:
    assert len(CLASSES) == sum(map(len, CODES.values()))
