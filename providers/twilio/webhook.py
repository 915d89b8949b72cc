"""What Twilio posts to a webhook address, and how it signs it (Twilio docs, confirmed, unless said otherwise)."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from providers.provider import Screened, WebhookAnswer, WebhookRequest
from schemas.settings.channel import ChannelSettings

KEPT_HEADERS: Final = ("content-type", "user-agent", "i-twilio-idempotency-token")
SIGNATURE: Final = "x-twilio-signature"
SIGNATURE_SETTINGS: Final = "x-twilio-webhooks-signature-settings"
ACKNOWLEDGEMENT: Final = WebhookAnswer(body=b"<Response/>", content_type="text/xml")
"""Any other text would be sent to the customer as a message (docs, confirmed)."""

MAX_FIELDS: Final = 1_000
_AS_BYTES: Final = "surrogateescape"
"""What is not UTF-8 is signed byte for byte."""

_FORM: Final = "application/x-www-form-urlencoded"
_NOT_SIGNED: Final = Screened("bad_signature", WebhookAnswer(401, b"the signature is missing or wrong"))


def accepts(content_type: str) -> bool:
    """Whether a callback may have that Content-Type: a form, or JSON."""
    return content_type.partition(";")[0].strip().lower() in (_FORM, "application/json")


def screen(request: WebhookRequest, settings: ChannelSettings) -> Screened | None:
    """401 for what is not signed with the account's auth token, or its shared key; None: it is a callback."""
    signature = request.headers.get(SIGNATURE, "")
    by = request.headers.get(SIGNATURE_SETTINGS, "")
    shared = "algorithm=HMAC_SHA256" in by.replace(" ", "").split(",")
    secret = settings.signing_key if shared else settings.auth_token
    if secret is None or not is_signed(request, signature, secret.get_secret_value(), shared=shared):
        return _NOT_SIGNED
    return None


def is_signed(request: WebhookRequest, signature: str, key: str, *, shared: bool = False) -> bool:
    """Whether the signature is the key's, for the address with or without its port. In constant time.

    shared: by a Webhooks Rule's shared key, with SHA-256 (a practice, not documented); else the auth token, with SHA-1.
    """
    parameters = _parameters(request)
    if parameters is None:
        return False
    given = signature.encode(errors="replace")
    found = False
    for url in _spellings(request.url):
        digest = hmac.new(
            key.encode(), url.encode(errors=_AS_BYTES) + parameters, hashlib.sha256 if shared else hashlib.sha1
        ).digest()
        found |= hmac.compare_digest(base64.b64encode(digest), given)
    return found


def _parameters(request: WebhookRequest) -> bytes | None:
    """What follows the address in what is signed; None: the body is not what the address says."""
    if request.headers.get("content-type", _FORM).partition(";")[0].strip().lower() != _FORM:
        stated = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])[-1]
        digest = hashlib.sha256(request.body).hexdigest()
        return b"" if hmac.compare_digest(stated.lower().encode(errors="replace"), digest.encode()) else None
    try:
        text = request.body.decode(errors=_AS_BYTES)
        pairs = parse_qsl(text, keep_blank_values=True, errors=_AS_BYTES, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return b"".join((name + value).encode(errors=_AS_BYTES) for name, value in sorted(set(pairs)))


def _spellings(url: str) -> Iterator[str]:
    """The address without `#…`, as it is and with its port added or left out."""
    url = url.partition("#")[0]
    yield url
    scheme, _, rest = url.partition("://")
    end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
    host, behind = rest[:end], rest[end:]
    port = {"https": ":443", "http": ":80"}.get(scheme, "")
    if port:
        yield f"{scheme}://{host.removesuffix(port) if host.endswith(port) else host + port}{behind}"
