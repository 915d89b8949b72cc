"""What EngageLab posts to a webhook address beside callbacks, and what of a callback's headers is worth storing."""

import hashlib
import hmac
from typing import Final

import orjson

from providers.provider import Screened, WebhookAnswer, WebhookRequest
from schemas.settings.channel import ChannelSettings

KEPT_HEADERS: Final = ("content-type", "user-agent", "x-callback-id")
CALLBACK_ID: Final = "x-callback-id"
MAX_ECHO_BYTES: Final = 4096


def accepts(content_type: str) -> bool:
    """Whether a callback may have that Content-Type: JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def screen(request: WebhookRequest, settings: ChannelSettings) -> Screened | None:
    """The answer to a request that only tries out the address, 401 for what is not signed; None: it is a callback.

    It is signed where the channel has a callback_secret.
    """
    echo = handshake(request.body)
    if echo is not None:
        return Screened("handshake", WebhookAnswer(body=echo.encode()))
    secret = settings.callback_secret
    if secret is None or is_signed(request.headers.get(CALLBACK_ID, ""), secret.get_secret_value()):
        return None
    return Screened("bad_signature", WebhookAnswer(401, b"the signature is missing or wrong"))


def is_signed(callback_id: str, secret: str) -> bool:
    """Whether an X-CALLBACK-ID is the secret's: the HMAC of its timestamp, nonce and username. In constant time.

    So EngageLab's sibling products sign (a practice, not documented for WhatsApp). It does not cover the body.
    """
    parts = dict(part.strip().partition("=")[::2] for part in callback_id.split(";"))
    signed = "".join(parts.get(name, "") for name in ("timestamp", "nonce", "username"))
    expected = hmac.new(secret.encode(), signed.encode(errors="replace"), hashlib.sha256).hexdigest()
    given = parts.get("signature", "").lower().encode(errors="replace")
    return hmac.compare_digest(expected.encode(), given)


def handshake(body: bytes) -> str | None:
    """The text to send back to a body that only tries out the address; None: it is a callback.

    EngageLab's sibling products post `{"echostr": "…"}`, or nothing at all (a practice, not documented for WhatsApp).
    """
    if not body:
        return ""
    if len(body) > MAX_ECHO_BYTES or b'"echostr"' not in body:
        return None
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict) or "rows" in data:
        return None
    echo = data.get("echostr")
    return echo if isinstance(echo, str) else None
