"""Twilio's calls: send a message, look a template up; and what the answers mean (Twilio docs, confirmed)."""

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import orjson

from providers.provider import ANSWERS, NO_CREDENTIALS, Answer, Call
from providers.reading import clipped, object_in, retry_seconds, string, whole
from providers.twilio.codes import classify
from schemas.contact import is_number
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment
from schemas.events.conversation import Template
from schemas.settings.channel import ChannelSettings

MAX_TEXT: Final = 1_600
"""Characters in a text message."""

CONTENT: Final = "content"
"""The service, on a host of its own, that has the templates."""

_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")
_MAX_ID: Final = 64
_MAX_MESSAGE: Final = 1_024
_NO_SUCH_TEMPLATE: Final = 21655
_BAD_REQUEST: Final = 21620


def plan_send(request: SendRequest, settings: ChannelSettings, webhook_url: str | None) -> Call | SendResult:
    """The call that sends the message; a refusal where it can't be written or the channel has no credentials.

    webhook_url: the channel's own; statuses come to `/status` below it. None: nobody can reach it from outside.
    """
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    # A user id has no "+" (a practice).
    to = f"+{request.contact}" if is_number(request.contact) else request.contact
    form = {}
    if settings.messaging_service_sid:
        form["MessagingServiceSid"] = settings.messaging_service_sid
    form |= {"From": f"whatsapp:{settings.phone_number}", "To": f"whatsapp:{to}"}
    template = request.template
    if template is not None:
        if not _CONTENT_SID.fullmatch(template.name):
            message = "template: its name is not a ContentSid, which is HX and 32 hex digits"
            return SendResult(answer="template_unavailable", code=_NO_SUCH_TEMPLATE, message=message)
        form["ContentSid"] = template.name
        variables = {str(number): text for number, text in enumerate(template.parameters, start=1)}
        if variables:
            form["ContentVariables"] = orjson.dumps(variables).decode()
    elif request.content is not None and request.content.media is not None:
        media = _media(request.content.media, request.text)
        if isinstance(media, SendResult):
            return media
        form |= media
    else:
        text = request.text or ""
        if not text.strip() or len(text) > MAX_TEXT:
            message = f"text: more than {MAX_TEXT} characters" if text.strip() else "text: empty"
            return SendResult(answer="refused", code=_BAD_REQUEST, message=message)
        form["Body"] = text
    if webhook_url is not None:
        ours = urlencode({"id": request.message_id, "conversation": request.conversation}, quote_via=quote, safe="")
        form["StatusCallback"] = f"{webhook_url}/status?{ours}"
    return Call(
        "POST",
        f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json",
        {**headers, "Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def _media(attachment: Attachment, caption: str | None) -> Mapping[str, str] | SendResult:
    """A file, which Twilio fetches from its link; its name comes with it, and its caption is the body."""
    if attachment.link is None:
        return SendResult(answer="refused", code=_BAD_REQUEST, message="media: no link")
    return {"MediaUrl": attachment.link, **({"Body": caption} if caption else {})}


def read_send(answer: Answer) -> SendResult | None:
    """What the answer to a send means; None: whether the message was taken is unknown, as after any bare 5xx."""
    body = object_in(answer.body)
    if 200 <= answer.status < 300:
        sid = string(body.get("sid"))
        if sid is None or len(sid) > _MAX_ID:
            return None
        return SendResult(answer="accepted", provider_message_id=sid, http_status=answer.status)
    code = max(0, whole(body.get("code")) or 0)
    if code == 0 and answer.status >= 500:
        return None
    verdict = ANSWERS[classify(code, answer.status)]
    return SendResult(
        answer=verdict,
        code=code,
        message=clipped(body.get("message"), _MAX_MESSAGE) or "",
        retry_after_s=retry_seconds(answer.retry_after) if verdict == "retry" else None,
        http_status=answer.status,
    )


def plan_lookup(template: Template, settings: ChannelSettings) -> Call | SendResult:
    """The call that asks for the template's approval. Its name is its ContentSid, which has one language."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    if not _CONTENT_SID.fullmatch(template.name):
        return SendResult(answer="template_unavailable", code=_NO_SUCH_TEMPLATE, message="no ContentSid")
    return Call("GET", f"/v1/Content/{template.name}/ApprovalRequests", headers, service=CONTENT)


def read_lookup(_template: Template, answer: Answer) -> SendResult | None:
    """Why the template can't be used; None if it can."""
    body = object_in(answer.body)
    approval = body.get("whatsapp")
    if answer.status == 200 and isinstance(approval, dict):
        if str(approval.get("status")).lower() == "approved":
            return None
        message = "the template is not approved"
    else:
        message = "the template's approval can't be read"
    code = max(0, whole(body.get("code")) or 0) or _NO_SUCH_TEMPLATE
    return SendResult(answer="template_unavailable", code=code, message=message, http_status=answer.status)


def sign_in(settings: ChannelSettings) -> Mapping[str, str] | None:
    """The headers that say who we are: an API key where there is one, else the account's auth token."""
    user, secret = settings.api_key, settings.api_key_secret
    if user is None or secret is None:
        user, secret = settings.account_sid, settings.auth_token
    if settings.account_sid is None or user is None or secret is None:
        return None
    credentials = f"{user}:{secret.get_secret_value()}".encode()
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}
