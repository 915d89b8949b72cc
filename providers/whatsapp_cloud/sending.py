"""The Cloud API's calls: send a message, look a template up; and what the answers mean (Meta docs, confirmed)."""

from collections.abc import Mapping
from typing import Final

import orjson
from pydantic import JsonValue

from providers.provider import ANSWERS, NO_CREDENTIALS, Answer, Call
from providers.reading import Json, clipped, object_in, part_of, retry_seconds, string, whole
from providers.whatsapp_cloud.codes import classify
from schemas.contact import is_number
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment
from schemas.events.conversation import Template
from schemas.settings.channel import ChannelSettings

MAX_TEXT: Final = 4_096
"""Characters in a text message."""

_MAX_ID: Final = 256
_MAX_MESSAGE: Final = 1_024
_NOT_APPROVED: Final = 132001
_BAD_REQUEST: Final = 100


def plan_send(request: SendRequest, settings: ChannelSettings, _webhook_url: str | None) -> Call | SendResult:
    """The call that sends the message; a refusal where it can't be written or the channel has no credentials."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    try:
        kind, content = _content(request)
    except ValueError as error:  # names the field, never its content
        return SendResult(answer="refused", code=_BAD_REQUEST, message=str(error))
    # With "+": without it Meta may put the business's own country code in front (docs, confirmed).
    to = {"to": f"+{request.contact}"} if is_number(request.contact) else {"recipient": request.contact}
    # A status may name no recipient: it is found by the conversation.
    ours = {"id": request.message_id, "conversation": request.conversation}
    body: dict[str, JsonValue] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **to,
        "type": kind,
        kind: content,
        "biz_opaque_callback_data": orjson.dumps(ours).decode(),
    }
    path = f"/{settings.api_version}/{settings.phone_number_id}/messages"
    return Call("POST", path, {**headers, "Content-Type": "application/json"}, body=orjson.dumps(body))


def _content(request: SendRequest) -> tuple[str, dict[str, JsonValue]]:
    """The message's type and its object. Raises ValueError."""
    template = request.template
    if template is not None:
        texts: list[JsonValue] = [{"type": "text", "text": text} for text in template.parameters]
        components: list[JsonValue] = [{"type": "body", "parameters": texts}] if texts else []
        language: dict[str, JsonValue] = {"code": template.language}
        return "template", {"name": template.name, "language": language, "components": components}
    if request.content is not None and request.content.media is not None:
        return _media(request.content.media, request)
    text = request.text or ""
    if not text.strip():
        raise ValueError("text: empty")
    if len(text) > MAX_TEXT:
        raise ValueError(f"text: more than {MAX_TEXT} characters")
    return "text", {"body": text, "preview_url": False}


def _media(attachment: Attachment, request: SendRequest) -> tuple[str, dict[str, JsonValue]]:
    """A file by its id, or by a link. Raises ValueError."""
    content: dict[str, JsonValue]
    if request.media_id is not None:
        content = {"id": request.media_id}
    elif attachment.link is not None:
        content = {"link": attachment.link}
    else:
        raise ValueError("media: neither uploaded nor a link")
    if attachment.kind == "voice":
        return "audio", {**content, "voice": True}
    if request.text:
        content["caption"] = request.text
    if attachment.kind == "document" and attachment.filename:
        content["filename"] = attachment.filename
    return attachment.kind, content


def read_send(answer: Answer) -> SendResult | None:
    """What the answer to a send means; None: whether the message was taken is unknown."""
    body = object_in(answer.body)
    if 200 <= answer.status < 300 and "error" not in body:
        messages = body.get("messages")
        first = messages[0] if isinstance(messages, list) and messages else None
        id = string(first.get("id")) if isinstance(first, dict) else None
        if id is None or len(id) > _MAX_ID:
            return None
        return SendResult(answer="accepted", provider_message_id=id, http_status=answer.status)
    if answer.status == 504 and "error" not in body:
        # A gateway gave up waiting; what it waited for may still have happened.
        return None
    return read_refusal(body, answer)


def plan_lookup(template: Template, settings: ChannelSettings) -> Call | SendResult:
    """The call that lists the template, if the account has it."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    if settings.business_account_id is None:
        # What can be sent without it, is: it must not pause the channel.
        message = "the channel has no business_account_id, in which its templates are"
        return SendResult(answer="template_unavailable", code=_NOT_APPROVED, message=message)
    path = f"/{settings.api_version}/{settings.business_account_id}/message_templates"
    return Call("GET", path, headers, {"name": template.name, "fields": "name,language,status", "limit": "100"})


def read_lookup(template: Template, answer: Answer) -> SendResult | None:
    """Why the template can't be used; None if it can.

    A list that is refused says nothing of the channel's sends, which may work: never `credentials`.
    """
    body = object_in(answer.body)
    listed = body.get("data")
    if answer.status != 200 or not isinstance(listed, list):
        code = max(0, whole(part_of(body, "error").get("code")) or 0)
        message = "the list of templates can't be read"
        return SendResult(answer="template_unavailable", code=code, message=message, http_status=answer.status)
    wanted = (template.name, template.language, "APPROVED")
    if any(
        (one.get("name"), one.get("language"), str(one.get("status")).upper()) == wanted
        for one in listed
        if isinstance(one, dict)
    ):
        return None
    message = "the template is not approved"
    return SendResult(answer="template_unavailable", code=_NOT_APPROVED, message=message, http_status=answer.status)


def sign_in(settings: ChannelSettings) -> Mapping[str, str] | None:
    """The headers that say who we are; None: the channel has no credentials."""
    token = settings.access_token
    if token is None or settings.phone_number_id is None:
        return None
    return {"Authorization": f"Bearer {token.get_secret_value()}"}


def read_refusal(body: Json, answer: Answer) -> SendResult:
    """What an error means. body: of the answer."""
    error = part_of(body, "error")
    code = whole(error.get("code"))
    details = part_of(error, "error_data").get("details")
    meaning = classify(-1 if code is None else code, answer.status, transient=error.get("is_transient") is True)
    verdict = ANSWERS[meaning]
    return SendResult(
        answer=verdict,
        code=max(0, code or 0),
        message=clipped(details or error.get("message"), _MAX_MESSAGE) or "",
        retry_after_s=retry_seconds(answer.retry_after) if verdict == "retry" else None,
        http_status=answer.status,
    )
