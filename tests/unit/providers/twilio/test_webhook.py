"""Twilio's signature: of the address and the parameters, byte for byte."""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from itertools import product
from types import MappingProxyType
from urllib.parse import parse_qsl

import pytest

from providers.provider import WebhookRequest
from providers.twilio.webhook import accepts, is_signed, screen
from tests.unit.providers.twilio.test_callbacks import CHANNEL

URL = "https://desk.example/base/webhooks/twilio/TOK?n=o'neil&x=a%27b&e="
BODY = b"From=whatsapp%3A%2B34655000001&Body=%C3%B1+%26+1&Empty=&A=2&A=1&A=2"
SIGNED = URL + "A1A2Body\u00f1 & 1EmptyFromwhatsapp:+34655000001"
"""What is signed: names sorted, equal ones with their distinct values, empty ones too."""


def sign(text: str, key: str = "secret") -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()).decode()


def post(
    signature: str, url: str = URL, body: bytes = BODY, headers: Mapping[str, str] = MappingProxyType({})
) -> WebhookRequest:
    return WebhookRequest("POST", url, {"x-twilio-signature": signature, **headers}, body)


def test_a_published_vector() -> None:
    # Twilio's documentation of request validation.
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    assert is_signed(WebhookRequest("POST", url, {}, body), "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "12345")


def test_what_is_signed_is_a_callback_with_its_port_or_without() -> None:
    assert screen(post(sign(SIGNED)), CHANNEL) is None
    with_port = SIGNED.replace("desk.example", "desk.example:443")
    assert screen(post(sign(with_port)), CHANNEL) is None
    assert screen(post(sign(SIGNED), URL.replace("desk.example", "desk.example:443")), CHANNEL) is None


@pytest.mark.parametrize("signature", ["", "=", sign(SIGNED, "other"), sign(SIGNED.replace("desk", "evil")), "ñ"])
def test_what_is_not_is_refused_without_a_word_for_the_customer(signature: str) -> None:
    found = screen(post(signature), CHANNEL)
    assert found is not None
    assert (found.outcome, found.answer.status) == ("bad_signature", 401)


def flipped(data: bytes) -> Iterator[bytes]:
    for place, bit in product(range(len(data)), range(8)):
        other = bytearray(data)
        other[place] ^= 1 << bit
        yield bytes(other)


def parameters(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")


def test_a_flipped_bit_anywhere_is_refused() -> None:
    signature = sign(SIGNED)
    for url in flipped(URL.encode()):
        assert screen(post(signature, url.decode(errors="surrogateescape")), CHANNEL) is not None, url
    for body in flipped(BODY):
        # The parameters are what is signed: "%2B" and "%2b" say the same.
        if parameters(body) != parameters(BODY):
            assert screen(post(signature, body=body), CHANNEL) is not None, body
    for other in flipped(signature.encode()):
        assert screen(post(other.decode(errors="surrogateescape")), CHANNEL) is not None, other


def test_bytes_that_are_no_utf_8_are_signed_as_they_are() -> None:
    digest = hmac.new(b"secret", URL.encode() + b"Body\xff", hashlib.sha1).digest()
    assert screen(post(base64.b64encode(digest).decode(), body=b"Body=%FF"), CHANNEL) is None


def test_json_is_signed_by_its_hash_in_the_address() -> None:
    body = b'{"a": 1}'
    url = f"https://desk.example/w?bodySHA256={hashlib.sha256(body).hexdigest()}"
    json = {"content-type": "application/json"}
    assert screen(post(sign(url), url, body, json), CHANNEL) is None
    assert screen(post(sign(url), url, body + b" ", json), CHANNEL) is not None


def test_a_webhooks_rule_signs_with_its_shared_key() -> None:
    settings = {"x-twilio-webhooks-signature-settings": "key=k,algorithm=HMAC_SHA256"}
    digest = hmac.new(b"shared", SIGNED.encode(), hashlib.sha256).digest()
    channel = CHANNEL.model_copy(update={"signing_key": CHANNEL.auth_token})
    assert screen(post(base64.b64encode(digest).decode(), headers=settings), CHANNEL) is not None
    digest = hmac.new(b"secret", SIGNED.encode(), hashlib.sha256).digest()
    assert screen(post(base64.b64encode(digest).decode(), headers=settings), channel) is None


def test_a_form_with_too_many_fields_is_refused() -> None:
    assert screen(post(sign(URL), body=b"&".join([b"a=1"] * 2_000)), CHANNEL) is not None


def test_forms_and_json_are_taken() -> None:
    assert accepts("application/x-www-form-urlencoded; charset=UTF-8")
    assert not accepts("text/plain")
