"""Twilio's typing indicator, which also marks a message as read (Twilio docs, confirmed; beta)."""

from typing import Final
from urllib.parse import urlencode

from providers.provider import Call
from providers.twilio.sending import sign_in
from schemas.effects import SignalRequest
from schemas.settings.channel import ChannelSettings

MESSAGING: Final = "messaging"
"""The service, on a host of its own, that has the indicator."""


def plan_signal(request: SignalRequest, settings: ChannelSettings) -> Call | None:
    """The call that shows typing for 25 s. There is no read receipt alone: None where nobody is typing."""
    headers = sign_in(settings)
    if headers is None or not request.typing:
        return None
    form = urlencode({"channel": "whatsapp", "messageId": request.provider_message_id})
    headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    return Call("POST", "/v2/Indicators/Typing.json", headers, body=form.encode(), service=MESSAGING)
