"""The Cloud API's read receipts and typing indicator (Meta docs, confirmed)."""

import orjson
from pydantic import JsonValue

from providers.provider import Call
from providers.whatsapp_cloud.sending import sign_in
from schemas.effects import SignalRequest
from schemas.settings.channel import ChannelSettings


def plan_signal(request: SignalRequest, settings: ChannelSettings) -> Call | None:
    """The call that marks the message, and those before it, as read. Typing shows until the answer, or for 25 s."""
    headers = sign_in(settings)
    if headers is None:
        return None
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": request.provider_message_id}
    body: dict[str, JsonValue] = {**read, "typing_indicator": {"type": "text"}} if request.typing else {**read}
    path = f"/{settings.api_version}/{settings.phone_number_id}/messages"
    return Call("POST", path, {**headers, "Content-Type": "application/json"}, body=orjson.dumps(body))
