"""EngageLab's sending API as data: the bodies of `POST /v1/messages`, and what the answers mean.

EngageLab docs, confirmed, unless said otherwise. Base URL, HTTP Basic and time-outs are the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import orjson
from pydantic import JsonValue

from schemas.settings.phone import digits

MediaKind: TypeAlias = Literal["image", "video", "audio", "document", "sticker"]
Verdict: TypeAlias = Literal["retry", "credentials", "final"]

MAX_TEXT: Final = 4_096
"""Characters in a text message."""

MAX_PROVIDER_MESSAGE_ID: Final = 256

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

    sender, to: phone numbers in any spelling. message_id: our id, sent as request_id too (whether that makes a repeat
    harmless is unknown). conversation: the conversation key. The last two come back in receipts.
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


@dataclass(frozen=True, slots=True)
class Template:
    """A message template of the account. status: APPROVED, PENDING, REJECTED, DISABLED or another word, as sent."""

    name: str
    language: str
    status: str
    category: str


def render_text(envelope: Envelope, text: str, *, preview_url: bool = False) -> dict[str, JsonValue]:
    """The request that sends a text. Raises ValueError: no text, over 4,096 characters, a number that is none."""
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


def render_template(
    envelope: Envelope, name: str, language: str, *, parameters: Sequence[str] = ()
) -> dict[str, JsonValue]:
    """The request that sends an approved template. parameters: the texts for the body's {{1}}, {{2}}, …

    language: a plain code such as "en" or "zh_CN". Raises ValueError: a blank name, language or parameter.
    """
    _required(name, "name")
    _required(language, "language")
    for index, parameter in enumerate(parameters):
        _required(parameter, f"parameters[{index}]")
    texts: list[JsonValue] = [{"type": "text", "text": parameter} for parameter in parameters]
    components: list[JsonValue] = [{"type": "body", "parameters": texts}] if texts else []
    return _request(envelope, "template", {"name": name, "language": language, "components": components})


def read_send_response(status: int, body: bytes) -> Accepted | Refused | Unreadable:
    """What the answer to `POST /v1/messages` means. status: HTTP. Never raises."""
    answer = _decode(body)
    if refused := _refusal(status, answer):
        return refused
    message_id = _field(answer, "message_id")
    if not message_id or len(message_id) > MAX_PROVIDER_MESSAGE_ID:
        return Unreadable(status)
    return Accepted(message_id, _field(answer, "request_id") or None)


def read_templates_response(status: int, body: bytes) -> tuple[Template, ...] | Refused | Unreadable:
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


def _request(envelope: Envelope, kind: str, content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _required(envelope.message_id, "message_id")
    _required(envelope.conversation, "conversation")
    return {
        "from": "+" + digits(envelope.sender),
        "to": [digits(envelope.to)],
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


def _template(entry: object) -> Template | None:
    name, language = _field(entry, "name"), _field(entry, "language")
    if not name or not language:
        return None
    return Template(name, language, _field(entry, "status"), _field(entry, "category"))


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
