"""Meta's handshake and signature."""

import hashlib
import hmac

import pytest
from pydantic import SecretStr

from providers.provider import WebhookRequest
from providers.whatsapp_cloud.webhook import accepts, screen
from tests.unit.providers.twilio.test_webhook import flipped
from tests.unit.providers.whatsapp_cloud.test_callbacks import CHANNEL

BODY = '{"entry": "ñ \\ud83c"}'.encode()
SIGNATURE = "sha256=" + hmac.new(b"s", BODY, hashlib.sha256).hexdigest()
URL = "https://desk.example/webhooks/whatsapp_cloud/T"


def post(body: bytes, signature: str | None) -> WebhookRequest:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return WebhookRequest("POST", URL, headers, body)


def test_a_known_vector() -> None:
    # RFC 4231, test case 2.
    known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    channel = CHANNEL.model_copy(update={"app_secret": SecretStr("Jefe")})
    assert screen(post(b"what do ya want for nothing?", f"sha256={known}"), channel) is None


def test_what_is_signed_is_a_callback() -> None:
    assert screen(post(BODY, SIGNATURE), CHANNEL) is None


@pytest.mark.parametrize(
    "signature", [None, "", SIGNATURE.removeprefix("sha256="), SIGNATURE.upper(), SIGNATURE + "0", "é"]
)
def test_what_is_not_is_refused(signature: str | None) -> None:
    found = screen(post(BODY, signature), CHANNEL)
    assert found is not None
    assert (found.outcome, found.answer.status) == ("bad_signature", 401)


def test_a_flipped_bit_anywhere_is_refused() -> None:
    for body in flipped(BODY):
        assert screen(post(body, SIGNATURE), CHANNEL) is not None, body
    for other in flipped(SIGNATURE.encode()):
        assert screen(post(BODY, other.decode(errors="surrogateescape")), CHANNEL) is not None, other


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("hub.mode=subscribe&hub.challenge=17&hub.verify_token=v", 200, b"17"),
        ("hub.mode=subscribe&hub.challenge=17&hub.verify_token=w", 403, b"forbidden"),
        ("hub.mode=subscribe&hub.challenge=17", 403, b"forbidden"),
        ("hub.challenge=17&hub.verify_token=v", 403, b"forbidden"),
        ("hub.mode=subscribe&hub.challenge=%3Cb%3E1&hub.verify_token=v", 200, b"<b>1"),
    ],
)
def test_the_handshake(query: str, status: int, text: bytes) -> None:
    found = screen(WebhookRequest("GET", f"{URL}?{query}", {}, b""), CHANNEL)
    assert found is not None
    assert (found.answer.status, found.answer.body, found.answer.content_type) == (status, text, "text/plain")


def test_only_json_is_taken() -> None:
    assert accepts("application/json; charset=utf-8")
    assert not accepts("application/x-www-form-urlencoded")
