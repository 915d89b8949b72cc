"""EngageLab's sending API: the calls that send a message or list templates, and what their answers mean.

EngageLab docs, confirmed, unless said otherwise. Base URL and time-outs are the caller's.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import orjson
from pydantic import JsonValue

from providers.provider import NO_CREDENTIALS, Answer, Call, ErrorClass, ListedTemplate, Sendable, TemplatePage
from providers.reading import retry_seconds
from providers.templates import Written, components
from providers.whatsapp_cloud import codes
from schemas.contact import contact_id
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from schemas.settings.phone import digits

MediaKind: TypeAlias = Literal["image", "video", "audio", "document", "sticker"]
Verdict: TypeAlias = Literal["retry", "credentials", "final"]

MAX_TEXT: Final = 4_096
"""Characters in a text message."""

SENDS: Final[frozenset[Sendable]] = frozenset({"template_header", "template_buttons"})
"""Interactive messages, locations, cards, reactions and quotes are documented nowhere."""

MAX_PROVIDER_MESSAGE_ID: Final = 256


_NOT_APPROVED: Final = 4001
_BAD_PARAMETERS: Final = 3002
_MAX_MESSAGE: Final = 1_024

_CAPTIONED: Final = frozenset({"image", "video", "document"})

# By `code`; a code not listed is judged by the HTTP status. 2003 (Meta authentication) is final, unlike its neighbours:
# EngageLab's own credentials are sound, and a probe with them would not show when Meta's are again.
_BY_CODE: Final[dict[int, Verdict]] = {
    1000: "retry",
    2001: "credentials",
    2002: "credentials",
    2003: "final",
    2004: "credentials",
    3001: "final",
    3002: "final",
    3003: "final",
    4001: "final",
    5002: "final",
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends what to whom.

    sender: a phone number. to: a contact; whether EngageLab takes a user id is unknown, so it is tried. message_id: our
    id, sent as request_id too (whether that makes a repeat harmless is unknown). conversation: its key. The last two
    come back in receipts.
    """

    sender: str
    to: str
    message_id: str
    conversation: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """EngageLab took the message. provider_message_id: opaque, the one that receipts carry."""

    provider_message_id: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """EngageLab said no. code: 0 where the answer has none. message may repeat what was sent: keep it out of logs."""

    code: int
    message: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A success that can't be read: whether the request took effect is unknown."""

    http_status: int


def plan_send(request: SendRequest, settings: ChannelSettings) -> Call | SendResult:
    """The call that sends the message; a refusal where it can't be written or the channel has no credentials."""
    auth = sign_in(settings)
    if auth is None:
        return NO_CREDENTIALS
    envelope = Envelope(settings.phone_number, request.contact, request.message_id, request.conversation)
    try:
        body = _body(envelope, request)
    except ValueError as error:  # names the field, never its content
        return SendResult(answer="refused", code=_BAD_PARAMETERS, message=str(error))
    headers = {**auth, "Content-Type": "application/json"}
    return Call("POST", "/v1/messages", headers, body=orjson.dumps(body))


def _body(envelope: Envelope, request: SendRequest) -> dict[str, JsonValue]:
    if request.template is not None:
        return render_template(envelope, request.template)
    if request.content is not None and request.content.kinds:
        raise ValueError(f"{request.content.kinds[0]}: not documented")
    if request.content is not None and request.content.media is not None:
        return _media(envelope, request.content.media, request.text)
    return render_text(envelope, request.text or "")


def _media(envelope: Envelope, attachment: Attachment, caption: str | None) -> dict[str, JsonValue]:
    """A file, which EngageLab fetches from its link. Raises ValueError."""
    kind: MediaKind = "audio" if attachment.kind == "voice" else attachment.kind
    filename = attachment.filename if kind == "document" else None
    return render_media(envelope, kind, attachment.link or "", caption=caption, filename=filename)


def read_send(answer: Answer) -> SendResult | None:
    """What the answer to a send means; None: whether the message was taken is unknown."""
    match read_send_response(answer.status, answer.body):
        case Accepted(provider_message_id=provider_id):
            return SendResult(answer="accepted", provider_message_id=provider_id, http_status=answer.status)
        case Refused(code=0, http_status=504):
            # A gateway gave up waiting; what it waited for may still have happened.
            return None
        case Refused(code=code, message=message) as refused:
            verdict = classify(refused)
            return SendResult(
                answer="refused" if verdict == "final" else verdict,
                code=code,
                message=message,
                throttled="number" if answer.status == 429 else None,
                retry_after_s=retry_seconds(answer.retry_after) if verdict == "retry" else None,
                http_status=answer.status,
            )
        case Unreadable():
            return None


def plan_templates(settings: ChannelSettings, _cursor: str | None) -> Call | SendResult:
    """The call that lists the account's templates. The list has no pages."""
    auth = sign_in(settings)
    return NO_CREDENTIALS if auth is None else Call("GET", "/v1/templates", auth)


def read_templates(answer: Answer) -> TemplatePage | SendResult:
    """The list. Broken credentials are those of sends, too."""
    listed = read_templates_response(answer.status, answer.body)
    if isinstance(listed, tuple):
        return TemplatePage(listed)
    code, message = (listed.code, listed.message) if isinstance(listed, Refused) else (0, "")
    broken = isinstance(listed, Refused) and classify(listed) == "credentials"
    return SendResult(
        answer="credentials" if broken else "template_unavailable",
        code=code,
        message=message or "the list of templates can't be read",
        http_status=answer.status,
    )


def sign_in(settings: ChannelSettings) -> Mapping[str, str] | None:
    """How a call signs in; None: the channel has no usable credentials."""
    if settings.dev_key is None or settings.dev_secret is None or ":" in settings.dev_key:
        return None
    credentials = f"{settings.dev_key}:{settings.dev_secret.get_secret_value()}".encode()
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}


def render_text(envelope: Envelope, text: str, *, preview_url: bool = False) -> dict[str, JsonValue]:
    """The request that sends a text. Raises ValueError: no text, over 4,096 characters, or no number."""
    _required(text, "text")
    if len(text) > MAX_TEXT:
        raise ValueError(f"text: more than {MAX_TEXT} characters")
    content: dict[str, JsonValue] = {"body": text}
    if preview_url:
        content["preview_url"] = True
    return _request(envelope, "text", content)


def render_media(
    envelope: Envelope, kind: MediaKind, link: str, *, caption: str | None = None, filename: str | None = None
) -> dict[str, JsonValue]:
    """The request that sends the file at a link.

    Raises ValueError: no http(s) link, a caption for audio or a sticker, a filename for anything but a document.
    """
    if not link.startswith(("https://", "http://")):
        raise ValueError("link: not an http or https address")
    content: dict[str, JsonValue] = {"link": link}
    if caption:
        if kind not in _CAPTIONED:
            raise ValueError(f"caption: {kind} has none")
        content["caption"] = caption
    if filename:
        if kind != "document":
            raise ValueError(f"filename: {kind} has none")
        content["filename"] = filename
    return _request(envelope, kind, content)


def render_template(envelope: Envelope, template: Template) -> dict[str, JsonValue]:
    """The request that sends an approved template, whose language is a plain code such as "en" or "zh_CN".

    Named parameters and buttons go as Meta's (a practice). Raises ValueError: a blank name, language or parameter.
    """
    _required(template.name, "name")
    _required(template.language, "language")
    written = components(template, _header_file)
    return _request(envelope, "template", {"name": template.name, "language": template.language, "components": written})


def _header_file(file: Attachment) -> Written:
    if file.link is None:
        raise ValueError("header.media: has no link")
    named = file.kind == "document" and file.filename
    return {"link": file.link, "filename": file.filename} if named else {"link": file.link}


def read_send_response(status: int, body: bytes) -> Accepted | Refused | Unreadable:
    """What the answer to `POST /v1/messages` means. status: HTTP. Never raises."""
    answer = _decode(body)
    if refused := _refusal(status, answer):
        return refused
    message_id = _field(answer, "message_id")
    if not message_id or len(message_id) > MAX_PROVIDER_MESSAGE_ID:
        return Unreadable(status)
    return Accepted(message_id, _field(answer, "request_id") or None)


def read_templates_response(status: int, body: bytes) -> tuple[ListedTemplate, ...] | Refused | Unreadable:
    """What the answer to `GET /v1/templates` means; an entry without name or language is left out. Never raises."""
    answer = _decode(body)
    if refused := _refusal(status, answer):
        return refused
    if not isinstance(answer, list):
        return Unreadable(status)
    return tuple(template for entry in answer if (template := _template(entry)))


def classify(refused: Refused) -> Verdict:
    """What to do about a refusal, by its code rather than by its HTTP status.

    retry: 1000, 5xx, 429 (honour Retry-After), 408. credentials: 2001, 2002, 2004, or 401 and 403 without a code: stop
    the channel's sending and raise an alert. final: everything else.
    """
    if refused.http_status == 429:
        return "retry"
    if verdict := _BY_CODE.get(refused.code):
        return verdict
    if refused.http_status >= 500 or refused.http_status == 408:
        return "retry"
    return "credentials" if refused.code == 0 and refused.http_status in (401, 403) else "final"


def classify_receipt(code: int) -> ErrorClass:
    """What a code in a receipt means: EngageLab's, or Meta's, which it passes on (a practice)."""
    match _BY_CODE.get(code):
        case "retry":
            return "retry"
        case "credentials":
            return "credentials"
        case "final":
            return "template" if code == _NOT_APPROVED else "request"
    return codes.classify(code, 0)


def _request(envelope: Envelope, kind: str, content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _required(envelope.message_id, "message_id")
    _required(envelope.conversation, "conversation")
    return {
        "from": "+" + digits(envelope.sender),
        "to": [contact_id(envelope.to)],
        "body": {"type": kind, kind: content},
        "request_id": envelope.message_id,
        "custom_args": {"id": envelope.message_id, "conversation": envelope.conversation},
    }


def _required(value: str, field: str) -> None:
    if not value or value.isspace():
        raise ValueError(f"{field}: empty")


def _refusal(status: int, answer: object) -> Refused | None:
    code = _code(answer)
    if 200 <= status < 300 and code == 0:
        return None
    return Refused(code, _field(answer, "message")[:_MAX_MESSAGE], status)


def _template(entry: object) -> ListedTemplate | None:
    name, language = _field(entry, "name"), _field(entry, "language")
    if not name or not language:
        return None
    return ListedTemplate(name, language, _field(entry, "status").upper(), _field(entry, "category").upper())


def _code(answer: object) -> int:
    text = _field(answer, "code")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _field(answer: object, field: str) -> str:
    value = answer.get(field) if isinstance(answer, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and not value.isspace() else ""


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
