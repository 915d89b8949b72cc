"""What a send says, and whether Meta would take it (Meta docs, confirmed; which code a mistake has is our reading)."""

from collections.abc import Sequence

import orjson
from pydantic import JsonValue

from simulation.sandbox.accounts import Account, recipient
from simulation.sandbox.calls import ApiError, Json, Reply, is_secret, json_reply
from simulation.sandbox.contract import Asked, SendRequest
from simulation.sandbox.happenings import Mark

MAX_TEXT = 4_096
_MAX_CAPTION = 1_024
_MAX_OPAQUE = 512
_MAX_BUTTONS = 3
_MAX_ROWS = 10

_MISSING = 131008
_INVALID = 131009
_UNSUPPORTED = 131051
_PARAMETER = 100

_CAPTIONED = ("image", "video", "document")
_FILES = (*_CAPTIONED, "audio", "sticker")


def authenticate(asked: Asked) -> Account:
    """The caller's account: of the number in the path, if that is one. Raises ApiError 190 or 33."""
    scheme, _, token = asked.request.headers.get("authorization", "").partition(" ")
    of_token = [
        account
        for account in asked.state.accounts.of("whatsapp_cloud")
        if scheme.lower() == "bearer" and is_secret(token.strip(), account.access_token) and account.enabled
    ]
    if not of_token:
        raise ApiError(190, "Error validating access token")
    number = asked.match.get("number")
    for account in of_token:
        if number is None or account.phone_number_id == number:
            return account
    raise ApiError(33, "Unsupported request: an object with this id does not exist, or you lack its permissions")


def read_send(asked: Asked, account: Account | None) -> SendRequest | Reply:
    """Read a send request; a message that is marked as read is answered at once. Raises ApiError."""
    data = parse_object(asked.request.body)
    if data.get("messaging_product") != "whatsapp":
        raise ApiError(_PARAMETER, "(#100) The parameter messaging_product is required")
    if data.get("status") is not None:
        return _mark(asked, account, data)
    type_ = data.get("type", "text")
    if not isinstance(type_, str) or type_ not in _CHECKS:
        raise ApiError(_UNSUPPORTED, "Unsupported message type")
    content = data.get(type_)
    if type_ == "contacts":
        content = {"contacts": content}
    if not isinstance(content, dict):
        raise ApiError(_MISSING, f"Parameter {type_} is missing")
    _CHECKS[type_](content)
    if type_ in _FILES:
        _check_file(asked, type_, content)
    _check_context(data.get("context"))
    opaque = data.get("biz_opaque_callback_data")
    if opaque is not None and (not isinstance(opaque, str) or len(opaque) > _MAX_OPAQUE):
        raise ApiError(_INVALID, "biz_opaque_callback_data is not valid")
    return SendRequest(
        contact=_recipient(data),
        type=type_,
        content=content,
        text=_said(type_, content),
        template=content if type_ == "template" else None,
        id=_ours(opaque, "id"),
        conversation=_ours(opaque, "conversation"),
        echo=opaque,
        raw=data,
    )


def _ours(opaque: str | None, name: str) -> str | None:
    """One of our ids, which travel as JSON in a text."""
    try:
        data = orjson.loads(opaque or "null")
    except orjson.JSONDecodeError:
        return None
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else None


def parse_object(body: bytes) -> Json:
    """Read a request's JSON object. Raises ApiError 100."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        raise ApiError(_PARAMETER, "(#100) The body is no JSON object")
    return data


def check_permitted(request: SendRequest, account: Account) -> None:
    """Check the template. Raises ApiError 132001, 132015, 131062."""
    if request.template is None or account.templates == "unreachable":
        return
    language = request.template["language"]
    wanted = (request.template["name"], language["code"] if isinstance(language, dict) else None)
    found = next((one for one in account.templates if (one.name, one.language) == wanted), None)
    if found is not None and found.status == "PAUSED":
        raise ApiError(132015, "Template is paused")
    if found is None or found.status != "APPROVED":
        raise ApiError(132001, "Template name does not exist in the translation")
    if found.category == "AUTHENTICATION" and "." in request.contact:
        raise ApiError(131062, "Recipients without a phone number can't be sent authentication templates")


def accepted(request: SendRequest, _account: Account, message_id: str, _now: object) -> Reply:
    """The answer to a send that was taken."""
    data, contact = request.raw, request.contact
    who: Json = {"input": data.get("to") or data.get("recipient")}
    who["user_id" if "." in contact else "wa_id"] = contact
    message: Json = {"id": message_id}
    if request.template is not None:
        message["message_status"] = "accepted"
    return json_reply({"messaging_product": "whatsapp", "contacts": [who], "messages": [message]})


def _mark(asked: Asked, account: Account | None, data: Json) -> Reply:
    id, typing = data.get("message_id"), data.get("typing_indicator")
    if data["status"] != "read" or not isinstance(id, str) or not id:
        raise ApiError(_INVALID, "status and message_id are not valid")
    if typing is not None and typing != {"type": "text"}:
        raise ApiError(_INVALID, "typing_indicator is not valid")
    if account is not None:
        asked.state.marks.append(Mark(asked.now, account.id, id, typing is not None))
    return json_reply({"success": True})


def _recipient(data: Json) -> str:
    """Of `to` and `recipient`, `to` wins."""
    to = data.get("to") or data.get("recipient")
    if not isinstance(to, str) or not recipient(to):
        raise ApiError(_MISSING, "Parameter to or recipient is missing")
    return recipient(to)


def _check_context(context: JsonValue) -> None:
    if context is not None and (not isinstance(context, dict) or not _is_text(context.get("message_id"))):
        raise ApiError(_INVALID, "context.message_id is not valid")


def _said(type_: str, content: Json) -> str | None:
    body = content.get("body")
    if type_ == "interactive" and isinstance(body, dict):
        body = body.get("text")
    said = {"text": body, "interactive": body}.get(type_, content.get("caption"))
    return said if isinstance(said, str) else None


# --- each type -----------------------------------------------------------------------------------------------------


def _check_text(content: Json) -> None:
    _expect(_is_text(content.get("body")), "text.body", missing=True)
    _expect(_fits(content.get("body"), MAX_TEXT), "text.body")
    _expect(isinstance(content.get("preview_url", False), bool), "text.preview_url")


def _check_media(content: Json) -> None:
    id, link = content.get("id"), content.get("link")
    _expect((id is None) != (link is None), "id or link", missing=True)
    if link is not None:
        _expect(isinstance(link, str) and link.startswith(("http://", "https://")), "link")
    _expect(_fits(content.get("caption", ""), _MAX_CAPTION), "caption")


def _check_file(asked: Asked, type_: str, content: Json) -> None:
    _expect("caption" not in content or type_ in _CAPTIONED, f"{type_}.caption")
    _expect("filename" not in content or type_ == "document", f"{type_}.filename")
    _expect("voice" not in content or (type_ == "audio" and isinstance(content["voice"], bool)), f"{type_}.voice")
    id = content.get("id")
    if id is not None and asked.state.files.find(str(id)) is None:
        raise ApiError(_PARAMETER, f"(#100) Param {type_}['id'] is not a valid whatsapp business account media id")


def _check_location(content: Json) -> None:
    for name, limit in (("latitude", 90), ("longitude", 180)):
        try:
            degrees = float(str(content.get(name)))
        except ValueError:
            raise ApiError(_MISSING, f"location.{name} is missing or no number") from None
        _expect(abs(degrees) <= limit, f"location.{name}")


def _check_contacts(content: Json) -> None:
    cards = content.get("contacts")
    _expect(isinstance(cards, list) and bool(cards), "contacts", missing=True)
    for card in cards if isinstance(cards, list) else ():
        name = card.get("name") if isinstance(card, dict) else None
        _expect(isinstance(name, dict) and _is_text(name.get("formatted_name")), "contacts[].name.formatted_name")


def _check_reaction(content: Json) -> None:
    _expect(_is_text(content.get("message_id")), "reaction.message_id", missing=True)
    _expect(isinstance(content.get("emoji"), str), "reaction.emoji", missing=True)


def _check_template(content: Json) -> None:
    language = content.get("language")
    _expect(_is_text(content.get("name")), "template.name", missing=True)
    _expect(isinstance(language, dict) and _is_text(language.get("code")), "template.language.code", missing=True)
    components = content.get("components", [])
    if not isinstance(components, list) or not all(map(_is_component, components)):
        raise ApiError(132000, "Number of parameters does not match the expected number of params")


def _is_component(component: JsonValue) -> bool:
    if not isinstance(component, dict) or component.get("type") not in ("header", "body", "button"):
        return False
    parameters = component.get("parameters", [])
    return isinstance(parameters, list) and all(
        isinstance(one, dict) and (one.get("type") != "text" or _is_text(one.get("text"))) for one in parameters
    )


def _check_interactive(content: Json) -> None:
    kind, body, action = content.get("type"), content.get("body"), content.get("action")
    _expect(isinstance(body, dict) and _is_text(body.get("text")), "interactive.body.text", missing=True)
    limit = MAX_TEXT if kind == "list" else 1_024
    _expect(isinstance(body, dict) and _fits(body.get("text"), limit), "interactive.body.text")
    if not isinstance(action, dict):
        raise ApiError(_MISSING, "interactive.action is missing")
    match kind:
        case "button":
            _check_buttons(action)
        case "list":
            _check_list(action)
        case "cta_url" | "location_request_message" | "flow" | "request_contact_info":
            name = {"location_request_message": "send_location"}.get(kind, kind)
            _expect(action.get("name") == name, "interactive.action.name")
        case _:
            raise ApiError(_INVALID, "interactive.type is not valid")


def _check_buttons(action: Json) -> None:
    where, buttons = "interactive.action.buttons", _objects(action.get("buttons"))
    _expect(1 <= len(buttons) <= _MAX_BUTTONS, where)
    replies = [button.get("reply") for button in buttons]
    _expect(all(isinstance(reply, dict) for reply in replies), f"{where}[].reply", missing=True)
    _check_choices(_objects(replies), title=20, id=256, where=where)


def _check_list(action: Json) -> None:
    button, where = action.get("button"), "interactive.action.sections"
    _expect(_is_text(button) and _fits(button, 20), "interactive.action.button")
    sections = _objects(action.get("sections"))
    rows = [row for section in sections for row in _objects(section.get("rows"))]
    _expect(1 <= len(rows) <= _MAX_ROWS, where)
    _expect(len(sections) == 1 or all(_is_text(section.get("title")) for section in sections), f"{where}[].title")
    _expect(all(_fits(row.get("description", ""), 72) for row in rows), f"{where}[].rows[].description")
    _check_choices(rows, title=24, id=200, where=f"{where}[].rows")


def _check_choices(choices: Sequence[Json], *, title: int, id: int, where: str) -> None:
    for choice in choices:
        _expect(_is_text(choice.get("id")) and _fits(choice.get("id"), id), f"{where}[].id")
        _expect(_is_text(choice.get("title")) and _fits(choice.get("title"), title), f"{where}[].title")
    _expect(len({str(choice["id"]) for choice in choices}) == len(choices), f"{where}[].id")


_CHECKS = {
    "text": _check_text,
    **dict.fromkeys(_FILES, _check_media),
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "template": _check_template,
    "interactive": _check_interactive,
}


def _expect(holds: bool, field: str, *, missing: bool = False) -> None:
    if not holds:
        code, what = (_MISSING, "is missing") if missing else (_INVALID, "is not valid")
        raise ApiError(code, f"{field} {what}")


def _objects(value: JsonValue) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _fits(value: JsonValue, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit
