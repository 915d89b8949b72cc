"""What Meta sends to a webhook address: the handshake, and callbacks, which it signs (Meta docs, confirmed)."""

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qs, urlsplit

from providers.provider import Screened, WebhookAnswer, WebhookRequest
from schemas.settings.channel import ChannelSettings

KEPT_HEADERS: Final = ("content-type", "user-agent")
SIGNATURE: Final = "x-hub-signature-256"
_FORBIDDEN: Final = Screened("forbidden", WebhookAnswer(403, b"forbidden"))
_NOT_SIGNED: Final = Screened("bad_signature", WebhookAnswer(401, b"the signature is missing or wrong"))


def accepts(content_type: str) -> bool:
    """Whether a callback may have that Content-Type: JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def screen(request: WebhookRequest, settings: ChannelSettings) -> Screened | None:
    """The handshake's answer; 401 for what is not signed with the app secret; None: it is a callback."""
    if request.method == "GET":
        return _handshake(request.url, settings)
    secret = settings.app_secret
    if secret is None or not is_signed(request.body, request.headers.get(SIGNATURE, ""), secret.get_secret_value()):
        return _NOT_SIGNED
    return None


def is_signed(body: bytes, signature: str, app_secret: str) -> bool:
    """Whether the signature, `sha256=` and hex, is the app secret's HMAC-SHA256 of the raw body. In constant time."""
    digest = hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(b"sha256=" + digest.encode(), signature.encode(errors="replace"))


def _handshake(url: str, settings: ChannelSettings) -> Screened:
    query = {name: values[-1] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
    token, expected = query.get("hub.verify_token", ""), settings.verify_token
    if query.get("hub.mode") != "subscribe" or expected is None:
        return _FORBIDDEN
    if not hmac.compare_digest(token.encode(errors="replace"), expected.get_secret_value().encode()):
        return _FORBIDDEN
    return Screened("handshake", WebhookAnswer(body=query.get("hub.challenge", "").encode(errors="replace")))
