"""What EngageLab posts to a webhook address beside callbacks, and what of a callback's headers is worth storing."""

from typing import Final

import orjson

from providers.provider import Screened, WebhookAnswer, WebhookRequest
from schemas.settings.channel import ChannelSettings

KEPT_HEADERS: Final = ("content-type", "user-agent", "x-callback-id")
MAX_ECHO_BYTES: Final = 4096


def accepts(content_type: str) -> bool:
    """Whether a callback may have that Content-Type: JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def screen(request: WebhookRequest, _settings: ChannelSettings) -> Screened | None:
    """The answer to a request that only tries out the address; None: it is a callback. Nothing is signed."""
    echo = handshake(request.body)
    return None if echo is None else Screened("handshake", WebhookAnswer(body=echo.encode()))


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
