"""What a send request says, and whether EngageLab would take it."""

from __future__ import annotations

from datetime import datetime

import orjson
from pydantic import JsonValue

from simulation.sandbox.accounts import Account, digits, recipient
from simulation.sandbox.calls import ApiError, Json, Reply, json_reply
from simulation.sandbox.contract import Asked, SendRequest
from simulation.sandbox.happenings import MEDIA_TYPES

MAX_TEXT = 4096

TYPES = ("text", *MEDIA_TYPES, "template")


def parse_object(body: bytes) -> Json:
    """Read a request's JSON object. Raises ApiError 3001 (not JSON) or 3002 (no object)."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(3001, "request body is not valid JSON") from error
    if not isinstance(data, dict):
        raise ApiError(3002, "request body must be a JSON object")
    return data


def read_send(asked: Asked, _account: Account | None) -> SendRequest:
    """Read a send request. Raises ApiError 3001 (not JSON) or 3002 (names the field)."""
    data = parse_object(asked.request.body)
    type_, content = _content(data.get("body"))
    text = content.get("body" if type_ == "text" else "caption")
    args = _custom_args(data.get("custom_args"))
    _optional_text(data, "request_id")
    return SendRequest(
        contact=_recipient(data.get("to")),
        type=type_,
        content=content,
        text=text if isinstance(text, str) else None,
        template=content if type_ == "template" else None,
        sender=_optional_text(data, "from"),
        id=_text(args, "id"),
        conversation=_text(args, "conversation"),
        echo=args,
        raw=data,
    )


def _text(args: Json | None, name: str) -> str | None:
    value = (args or {}).get(name)
    return value if isinstance(value, str) else None


def accepted(request: SendRequest, _account: Account, message_id: str, _now: datetime) -> Reply:
    """The answer to a send that was taken."""
    answer: Json = {"message_id": message_id}
    if request.raw.get("request_id") is not None:
        answer["request_id"] = request.raw["request_id"]
    return json_reply(answer)


def check_permitted(request: SendRequest, account: Account) -> None:
    """Check the sender and the template. Raises ApiError 2004 or 4001."""
    if request.sender is not None and digits(request.sender) != digits(account.phone_number):
        raise ApiError(2004, "no permission to send from this number")
    if request.template is None or account.templates == "unreachable":
        return
    wanted = (request.template["name"], request.template["language"])
    if not any((t.name, t.language) == wanted and t.status == "APPROVED" for t in account.templates):
        raise ApiError(4001, "template not found or not approved")


def _recipient(to: JsonValue) -> str:
    if not isinstance(to, list) or not to or not all(isinstance(contact, str) and recipient(contact) for contact in to):
        raise ApiError(3002, "to field must be an array of phone numbers")
    if len(to) > 1:
        raise ApiError(3002, "to field: this sandbox takes one recipient a call")
    return recipient(str(to[0]))


def _content(body: JsonValue) -> tuple[str, Json]:
    if not isinstance(body, dict):
        raise ApiError(3002, "body field must be an object")
    type_ = body.get("type")
    if not isinstance(type_, str) or type_ not in TYPES:
        raise ApiError(3002, f"whatsapp.type field must be one of {', '.join(TYPES)}")
    content = body.get(type_)
    if not isinstance(content, dict) or not _is_complete(type_, content):
        raise ApiError(3002, f"whatsapp.{type_} field must be set correctly when type is {type_}")
    return type_, content


def _is_complete(type_: str, content: Json) -> bool:
    if type_ == "text":
        text = content.get("body")
        return isinstance(text, str) and 0 < len(text) <= MAX_TEXT
    if type_ == "template":
        named = all(isinstance(content.get(key), str) and content[key] for key in ("name", "language"))
        return named and isinstance(content.get("components", []), list)
    link = content.get("link")
    return isinstance(link, str) and link.startswith(("http://", "https://"))


def _custom_args(value: JsonValue) -> Json | None:
    if value is not None and not isinstance(value, dict):
        raise ApiError(3002, "custom_args field must be an object")
    return value


def _optional_text(data: Json, name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise ApiError(3002, f"{name} field must be a string")
    return value
