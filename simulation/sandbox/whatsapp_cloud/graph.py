"""The Graph API beside sends: numbers, apps, templates and files (Meta docs, confirmed)."""

import re
from urllib.parse import urlencode

from simulation.sandbox.accounts import Account, Template, digits
from simulation.sandbox.calls import CUT, ApiError, Json, Reply, json_reply
from simulation.sandbox.contract import Asked, Route
from simulation.sandbox.media import StoredFile
from simulation.sandbox.whatsapp_cloud.callbacks import ATTACHMENTS, attachment_url
from simulation.sandbox.whatsapp_cloud.requests import authenticate

_PAGE = 25
_UNKNOWN = ApiError(33, "Unsupported get request: an object with this id does not exist")


def _of_business(asked: Asked) -> tuple[Account, ...]:
    """The caller's accounts of the business account in the path. Raises ApiError."""
    token = authenticate(asked).access_token
    accounts = asked.state.accounts.of("whatsapp_cloud")
    found = [one for one in accounts if one.access_token == token and one.business_account_id == asked.match["waba"]]
    if not found:
        raise _UNKNOWN
    return tuple(reversed(found))


def _object(asked: Asked) -> Reply:
    """A number, or a file: both are named by digits."""
    id, account = asked.match["id"], authenticate(asked)
    file = asked.state.files.find(id)
    if file is not None:
        return _described(asked, file)
    of_number = next((a for a in asked.state.accounts.of("whatsapp_cloud") if a.phone_number_id == id), None)
    if of_number is None or of_number.access_token != account.access_token:
        raise _UNKNOWN
    fields = asked.request.query.get("fields")
    known = _number(of_number) | {
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "status": "CONNECTED",
        "throughput": {"level": "STANDARD"},
        "webhook_configuration": {"phone_number": of_number.callback_url or ""},
    }
    wanted = set(known) if fields is None else {"id", *fields.split(",")}
    return json_reply({name: value for name, value in known.items() if name in wanted})


def _number(account: Account) -> Json:
    return {
        "id": account.phone_number_id,
        "display_phone_number": f"+{digits(account.phone_number)}",
        "verified_name": account.id,
        "quality_rating": "GREEN",
    }


def _numbers(asked: Asked) -> Reply:
    return json_reply({"data": [_number(account) for account in _of_business(asked)]})


def _apps(asked: Asked) -> Reply:
    url = _of_business(asked)[0].callback_url
    app: Json = {"whatsapp_business_api_data": {"id": "400000000000001", "name": "sandbox"}}
    return json_reply({"data": [app | ({"override_callback_uri": url} if url else {})]})


def _subscribe(asked: Asked) -> Reply:
    _of_business(asked)
    return json_reply({"success": True})


# --- templates -----------------------------------------------------------------------------------------------------


def _templates(asked: Asked) -> Reply:
    """One page; `name` finds any part of a name, the others are exact."""
    accounts, query = _of_business(asked), asked.request.query
    if any(account.templates == "unreachable" for account in accounts):
        return CUT
    found = [
        template
        for account in accounts
        for template in account.templates
        if isinstance(template, Template)
        and query.get("name", "") in template.name
        and query.get("language") in (None, template.language)
        and query.get("status") in (None, template.status)
    ]
    try:
        start, size = int(query.get("after", 0)), int(query.get("limit", _PAGE))
    except ValueError:
        raise ApiError(100, "(#100) Invalid parameter: after, limit") from None
    page = found[start : start + size]
    answer: Json = {"data": [_shown(template) for template in page]}
    if page:
        cursors: Json = {"before": str(start), "after": str(start + len(page))}
        answer["paging"] = {"cursors": cursors}
        if start + len(page) < len(found):
            rest = urlencode({**query, "after": str(start + len(page))})
            answer["paging"] = {"cursors": cursors, "next": f"{asked.request.base_url}{asked.request.path}?{rest}"}
    return json_reply(answer)


def _shown(template: Template) -> Json:
    return {
        "id": template.id,
        "name": template.name,
        "language": template.language,
        "status": template.status,
        "category": template.category,
        "parameter_format": "POSITIONAL",
        "components": list(template.components),
    }


# --- files ---------------------------------------------------------------------------------------------------------


def _described(asked: Asked, file: StoredFile) -> Reply:
    if file.fault == "vanished":
        raise ApiError(100, "Unsupported get request: the file has expired", 404)
    return json_reply(
        {
            "messaging_product": "whatsapp",
            "url": attachment_url(asked.request.base_url, file.id),
            "mime_type": file.mime_type,
            "sha256": file.sha256.hex(),
            "file_size": str(len(file.body)),
            "id": file.id,
        }
    )


def _download(asked: Asked) -> Reply:
    authenticate(asked)
    file = asked.state.files.find(asked.request.query.get("mid", ""))
    if file is None:
        return Reply(404, b"not found", "text/plain")
    return asked.state.files.download(file, asked.request.base_url)


def _upload(asked: Asked) -> Reply:
    authenticate(asked)
    fields = _multipart(asked)
    if fields.get("messaging_product", ("", "", b""))[2] != b"whatsapp" or "file" not in fields:
        raise ApiError(100, "(#100) messaging_product and file are required")
    filename, mime_type, body = fields["file"]
    stated = fields.get("type")
    mime_type = stated[2].decode() if stated else mime_type
    if not body or not mime_type:
        raise ApiError(131053, "Media upload error: the file is empty or has no type")
    return json_reply({"id": asked.state.files.put(body, mime_type, filename or None).id})


def _multipart(asked: Asked) -> dict[str, tuple[str, str, bytes]]:
    """File name, type and bytes of each part, by its name."""
    stated = re.search(r'boundary="?([^";]+)', asked.request.headers.get("content-type", ""))
    if stated is None:
        raise ApiError(100, "(#100) The body is not multipart/form-data")
    found = {}
    for part in asked.request.body.split(b"--" + stated[1].encode())[1:-1]:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode(errors="replace")
        name, filename = re.search(r'\bname="([^"]*)"', text), re.search(r'filename="([^"]*)"', text)
        kind = re.search(r"(?im)^content-type:\s*([^\r\n]+)", text)
        if name is not None:
            mime_type = kind[1].strip() if kind else ""
            found[name[1]] = (filename[1] if filename else "", mime_type, body.removesuffix(b"\r\n"))
    return found


_VERSION = r"/v\d{1,3}\.\d{1,2}"

ROUTES = (
    Route("GET", re.compile(_VERSION + r"/(?P<id>\d+)"), _object),
    Route("GET", re.compile(_VERSION + r"/(?P<waba>[^/]+)/phone_numbers"), _numbers),
    Route("GET", re.compile(_VERSION + r"/(?P<waba>[^/]+)/subscribed_apps"), _apps),
    Route("POST", re.compile(_VERSION + r"/(?P<waba>[^/]+)/subscribed_apps"), _subscribe),
    Route("GET", re.compile(_VERSION + r"/(?P<waba>[^/]+)/message_templates"), _templates),
    Route("POST", re.compile(_VERSION + r"/(?P<number>\d+)/media"), _upload),
    Route("GET", re.compile(re.escape(ATTACHMENTS)), _download),
)

SEND_PATH = re.compile(_VERSION + r"/(?P<number>\d+)/messages")
