"""The Cloud API's sends: what is posted, and what the answers mean."""

from typing import Any

import orjson
import pytest

from providers.provider import Answer, Call
from providers.whatsapp_cloud.codes import CLASSES, CODES, classify
from providers.whatsapp_cloud.sending import plan_send, read_send
from schemas.effects import SendRequest, SendResult
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from tests.unit.providers.whatsapp_cloud.test_callbacks import CHANNEL, NUMBER

TEMPLATE = Template(name="hours", language="es", parameters=("Ida", "9"))


def request(**changes: Any) -> SendRequest:
    data = {
        "effect_id": "e",
        "message_id": "m1",
        "conversation": "c:34655000001",
        "channel": "c",
        "contact": "34655000001",
        "kind": "reply",
        "via": "session",
        "text": "Hola",
    }
    return SendRequest.model_validate(data | changes)


def sent(**changes: Any) -> Any:
    call = plan_send(request(**changes), CHANNEL, None)
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("POST", f"/v25.0/{NUMBER}/messages")
    assert call.headers["Authorization"] == "Bearer t"
    return orjson.loads(call.body or b"")


def test_a_text() -> None:
    assert sent() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+34655000001",
        "type": "text",
        "text": {"body": "Hola", "preview_url": False},
        "biz_opaque_callback_data": '{"id":"m1","conversation":"c:34655000001"}',
    }


def test_a_customer_without_a_number() -> None:
    body = sent(contact="ES.77")
    assert body["recipient"] == "ES.77"
    assert "to" not in body


def test_a_template() -> None:
    body = sent(text=None, via="template", template=TEMPLATE)
    texts = [{"type": "text", "text": "Ida"}, {"type": "text", "text": "9"}]
    components = [{"type": "body", "parameters": texts}]
    assert body["template"] == {"name": "hours", "language": {"code": "es"}, "components": components}


def test_what_can_not_be_sent_is_refused_before() -> None:
    assert plan_send(request(text="x" * 4097), CHANNEL, None) == SendResult(
        answer="refused", code=100, message="text: more than 4096 characters"
    )
    bare = ChannelSettings(id="c", phone_number="+34600000001", provider="whatsapp_cloud")
    refused = plan_send(request(), bare, None)
    assert isinstance(refused, SendResult)
    assert refused.answer == "credentials"


@pytest.mark.parametrize(
    ("status", "error", "answer"),
    [
        (400, {"code": 131047, "message": "(#131047) Mensaje"}, "window_closed"),
        (401, {"code": 190}, "credentials"),
        (403, {"code": 200}, "credentials"),
        (403, {"code": 131031}, "credentials"),
        (400, {"code": 131056}, "retry"),
        (400, {"code": 130429}, "retry"),
        (400, {"code": 131026}, "refused"),
        (404, {"code": 132001}, "template_unavailable"),
        (400, {"code": 100}, "refused"),
        (400, {"code": 100, "is_transient": True}, "retry"),
        (500, {"code": 999999}, "retry"),
        (400, {"code": 999999}, "refused"),
        (429, {}, "retry"),
    ],
)
def test_the_code_decides(status: int, error: dict[str, Any], answer: str) -> None:
    result = read_send(Answer(status, orjson.dumps({"error": error})))
    assert result is not None
    assert (result.answer, result.code, result.http_status) == (answer, error.get("code", 0), status)


@pytest.mark.parametrize(
    ("status", "code", "throttled"),
    [(400, 131056, "recipient"), (400, 130429, "number"), (400, 80007, "number"), (400, 4, "number")],
)
def test_throttling_says_whom_it_holds(status: int, code: int, throttled: str) -> None:
    result = read_send(Answer(status, orjson.dumps({"error": {"code": code}})))
    assert result is not None
    assert (result.answer, result.throttled, result.retry_after_s) == ("retry", throttled, None)


@pytest.mark.parametrize("answer", [Answer(200, b"<html>"), Answer(200, b'{"messages":[]}'), Answer(504, b"")])
def test_an_answer_that_proves_nothing_is_unknown(answer: Answer) -> None:
    assert read_send(answer) is None


def test_an_accepted_message() -> None:
    assert read_send(Answer(200, b'{"messages":[{"id":"wamid.5"}]}')) == SendResult(
        answer="accepted", provider_message_id="wamid.5", http_status=200
    )


def test_each_code_has_one_class() -> None:
    assert len(CLASSES) == sum(map(len, CODES.values()))
    assert classify(-1, 401) == "credentials"


def test_a_channel_that_does_not_say_its_account_sends_texts() -> None:
    assert isinstance(plan_send(request(), CHANNEL.model_copy(update={"business_account_id": None}), None), Call)
