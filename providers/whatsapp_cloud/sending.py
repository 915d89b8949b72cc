"""The Cloud API's sends: the calls, and what the answers mean (Meta docs, confirmed)."""

from collections.abc import Mapping
from typing import Final, get_args

import orjson
from pydantic import JsonValue

from providers.provider import NO_CREDENTIALS, Answer, Call, Sendable
from providers.reading import Json, error_result, object_in, part_of, string, whole
from providers.templates import Written, components
from providers.whatsapp_cloud.codes import LIMIT_OF_A_DAY, classify
from schemas.contact import is_number
from schemas.effects import SendRequest, SendResult
from schemas.events.content import (
    MAX_INTERACTIVE_TEXT,
    Attachment,
    Button,
    ContactCard,
    ListMenu,
    Location,
    Outgoing,
    OutgoingKind,
    SentReaction,
)
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings

MAX_TEXT: Final = 4_096
"""Characters in a text message."""

SENDS: Final[frozenset[Sendable]] = frozenset(get_args(OutgoingKind)) | {"template_header", "template_buttons"}

_MAX_ID: Final = 256
_AN_HOUR_S: Final = 3_600.0
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
    if request.content is not None and request.content.quotes is not None:
        body["context"] = {"message_id": request.content.quotes}
    path = f"/{settings.api_version}/{settings.phone_number_id}/messages"
    return Call("POST", path, {**headers, "Content-Type": "application/json"}, body=orjson.dumps(body))


def _content(request: SendRequest) -> tuple[str, JsonValue]:
    """The message's type and its object. Raises ValueError."""
    if request.template is not None:
        return "template", _template(request.template, request.media_id)
    text = request.text or ""
    match request.content:
        case Outgoing(media=Attachment() as file):
            return _media(file, request)
        case Outgoing(buttons=(_, *_) as buttons):
            return "interactive", _interactive("button", text, {"buttons": [_button(button) for button in buttons]})
        case Outgoing(list=ListMenu() as menu):
            return "interactive", _interactive("list", text, _menu(menu))
        case Outgoing(contact_request=True):
            return "interactive", _interactive("request_contact_info", text, {"name": "request_contact_info"})
        case Outgoing(location=Location() as place):
            return "location", _location(place)
        case Outgoing(contacts=(_, *_) as cards):
            # The one type whose object is a list.
            return "contacts", [_card(card) for card in cards]
        case Outgoing(reaction=SentReaction() as reaction):
            return "reaction", {"message_id": reaction.message_id, "emoji": reaction.emoji}
    return "text", {"body": _said(text, MAX_TEXT), "preview_url": False}


def _said(text: str, limit: int) -> str:
    if not text.strip():
        raise ValueError("text: empty")
    if len(text) > limit:
        raise ValueError(f"text: more than {limit} characters")
    return text


def _interactive(kind: str, text: str, action: Written) -> Written:
    return {"type": kind, "body": {"text": _said(text, MAX_INTERACTIVE_TEXT)}, "action": action}


def _button(button: Button) -> Written:
    return {"type": "reply", "reply": {"id": button.id, "title": button.title}}


def _menu(menu: ListMenu) -> Written:
    rows: list[JsonValue] = [row.model_dump(exclude_none=True) for row in menu.rows]
    section: Written = {"rows": rows} if menu.title is None else {"title": menu.title, "rows": rows}
    return {"button": menu.button, "sections": [section]}


def _location(place: Location) -> Written:
    named = place.model_dump(include={"name", "address"}, exclude_none=True)
    return {"latitude": _degrees(place.latitude), "longitude": _degrees(place.longitude), **named}


def _degrees(value: float) -> str:
    """In words, as Meta wants them; never with an exponent."""
    return f"{value:.7f}".rstrip("0").rstrip(".")


def _card(card: ContactCard) -> Written:
    name = _said(card.name or "", MAX_INTERACTIVE_TEXT)
    written: Written = {"name": {"formatted_name": name, "first_name": name}}
    if card.phones:
        written["phones"] = [{"phone": phone} for phone in card.phones]
    if card.emails:
        written["emails"] = [{"email": email} for email in card.emails]
    if card.organization is not None:
        written["org"] = {"company": card.organization}
    return written


def _template(template: Template, media_id: str | None) -> Written:
    language: Written = {"code": template.language}
    filled = components(template, lambda file: _file(file, media_id))
    return {"name": template.name, "language": language, "components": filled}


def _media(attachment: Attachment, request: SendRequest) -> tuple[str, Written]:
    """A file by its id, or by a link. Raises ValueError."""
    content = _file(attachment, request.media_id)
    if attachment.kind == "voice":
        return "audio", {**content, "voice": True}
    return attachment.kind, {**content, "caption": request.text} if request.text else content


def _file(attachment: Attachment, media_id: str | None) -> Written:
    if media_id is None and attachment.link is None:
        raise ValueError("media: neither uploaded nor a link")
    content: Written = {"link": attachment.link} if media_id is None else {"id": media_id}
    if attachment.kind == "document" and attachment.filename:
        content["filename"] = attachment.filename
    return content


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
    result = error_result(meaning, code or 0, details or error.get("message"), answer)
    return result.model_copy(update={"retry_after_s": _AN_HOUR_S}) if code == LIMIT_OF_A_DAY else result
