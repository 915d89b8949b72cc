"""The Cloud API's sends: what is posted, and what the answers mean."""

from typing import Any

import orjson
import pytest

from providers.provider import Answer, Call
from providers.whatsapp_cloud.codes import CLASSES, CODES, classify
from providers.whatsapp_cloud.sending import plan_lookup, plan_send, read_lookup, read_send
from schemas.effects import SendRequest, SendResult
from schemas.events.conversation import Template
from schemas.settings.channel import ChannelSettings
from tests.unit.providers.whatsapp_cloud.test_callbacks import ACCOUNT, CHANNEL, NUMBER

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


def test_a_template_is_looked_up_in_its_account() -> None:
    call = plan_lookup(TEMPLATE, CHANNEL)
    assert isinstance(call, Call)
    assert call.path == f"/v25.0/{ACCOUNT}/message_templates"
    listed = [{"name": "hours", "language": "es", "status": "APPROVED"}, {"name": "hours", "language": "en"}]
    assert read_lookup(TEMPLATE, Answer(200, orjson.dumps({"data": listed}))) is None
    paused = read_lookup(TEMPLATE, Answer(200, orjson.dumps({"data": [{**listed[0], "status": "PAUSED"}]})))
    assert paused is not None
    assert paused.answer == "template_unavailable"


def test_a_refused_list_says_nothing_of_the_channel_s_sends() -> None:
    refused = read_lookup(TEMPLATE, Answer(403, b'{"error":{"code":200}}'))
    assert refused is not None
    assert refused.answer == "template_unavailable"


def test_a_channel_that_does_not_say_its_account_sends_texts_and_looks_nothing_up() -> None:
    channel = CHANNEL.model_copy(update={"business_account_id": None})
    assert isinstance(plan_send(request(), channel, None), Call)
    refused = plan_lookup(TEMPLATE, channel)
    assert isinstance(refused, SendResult)
    assert refused.answer == "template_unavailable"
