"""Twilio's sends: the calls, and what the answers mean (Twilio docs, confirmed)."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlencode

import orjson

from providers.provider import NO_CREDENTIALS, Answer, Call
from providers.reading import error_result, object_in, string, whole
from providers.templates import variables
from providers.twilio.codes import classify
from schemas.contact import is_number
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings

MAX_TEXT: Final = 1_600
"""Characters in a text message."""

_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")
_MAX_ID: Final = 64
_NO_SUCH_TEMPLATE: Final = 21655
_BAD_REQUEST: Final = 21620


def plan_send(request: SendRequest, settings: ChannelSettings, webhook_url: str | None) -> Call | SendResult:
    """The call that sends the message; a refusal where it can't be written or the channel has no credentials.

    webhook_url: the channel's own; statuses come to `/status` below it. None: nobody can reach it from outside.
    """
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    form = {}
    if settings.messaging_service_sid:
        form["MessagingServiceSid"] = settings.messaging_service_sid
    form |= {"From": f"whatsapp:{settings.phone_number}", "To": address(request.contact)}
    if request.template is not None and not _CONTENT_SID.fullmatch(request.template.name):
        message = "template: its name is not a ContentSid, which is HX and 32 hex digits"
        return SendResult(answer="template_unavailable", code=_NO_SUCH_TEMPLATE, message=message)
    try:
        form |= _content(request) if request.template is None else _template(request.template)
    except ValueError as error:  # names the field, never its content
        return SendResult(answer="refused", code=_BAD_REQUEST, message=str(error))
    if webhook_url is not None:
        ours = urlencode({"id": request.message_id, "conversation": request.conversation}, quote_via=quote, safe="")
        form["StatusCallback"] = f"{webhook_url}/status?{ours}"
    return Call(
        "POST",
        f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json",
        {**headers, "Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def _content(request: SendRequest) -> dict[str, str]:
    if request.content is not None and request.content.kinds:
        raise ValueError(f"{request.content.kinds[0]}: goes in a Content template only")
    if request.content is not None and request.content.media is not None:
        return _media(request.content.media, request.text)
    text = request.text or ""
    if not text.strip():
        raise ValueError("text: empty")
    if len(text) > MAX_TEXT:
        raise ValueError(f"text: more than {MAX_TEXT} characters")
    return {"Body": text}


def _template(template: Template) -> dict[str, str]:
    """Header and buttons are variables, too. Nothing else may stand beside it (docs, confirmed)."""
    if template.header is not None or template.buttons:
        raise ValueError("template: its header and buttons are filled by variables, as its body is")
    filled = variables(template)
    form = {"ContentSid": template.name}
    return form | {"ContentVariables": orjson.dumps(filled).decode()} if filled else form


def address(contact: str) -> str:
    """A customer's address. A user id has no "+" (a practice)."""
    return f"whatsapp:+{contact}" if is_number(contact) else f"whatsapp:{contact}"


def _media(attachment: Attachment, caption: str | None) -> dict[str, str]:
    """A file, which Twilio fetches from its link; its name comes with it, and its caption is the body."""
    if attachment.link is None:
        raise ValueError("media: no link")
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
    return error_result(classify(code, answer.status), code, body.get("message"), answer)


def sign_in(settings: ChannelSettings) -> Mapping[str, str] | None:
    """The headers that say who we are: an API key where there is one, else the account's auth token."""
    user, secret = settings.api_key, settings.api_key_secret
    if user is None or secret is None:
        user, secret = settings.account_sid, settings.auth_token
    if settings.account_sid is None or user is None or secret is None:
        return None
    credentials = f"{user}:{secret.get_secret_value()}".encode()
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}


def instant(date: object) -> datetime | None:
    """A date as Twilio's API writes it: to the second."""
    try:
        at = parsedate_to_datetime(string(date) or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
