"""Twilio's APIs beside sends: the account, its messages, its contents, senders and files (Twilio docs, confirmed)."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from pydantic import JsonValue

from simulation.sandbox.accounts import Account, Template, hex_id, is_user_id, recipient
from simulation.sandbox.calls import CUT, ApiError, Json, Reply, json_reply
from simulation.sandbox.contract import Asked, Route
from simulation.sandbox.happenings import Mark, Taken
from simulation.sandbox.media import FILES_PATH, StoredFile, elsewhere
from simulation.sandbox.twilio.callbacks import WORDS
from simulation.sandbox.twilio.requests import authenticate, content_sid, find_template, message_resource

_PAGE = 50
_MAX_PAGE = 1_000
_NOT_FOUND = ApiError(20404, "The requested resource was not found")


def _account(asked: Asked) -> Reply:
    account = authenticate(asked)
    shown = {"sid": account.account_sid, "friendly_name": account.id, "status": "active", "type": "Full"}
    return json_reply({**shown, "owner_account_sid": account.account_sid})


# --- messages ------------------------------------------------------------------------------------------------------


def _messages(asked: Asked) -> Reply:
    """The newest first. To, From and DateSent (also with < and >, of which Twilio means "or equal") narrow it."""
    account, query = authenticate(asked), asked.request.query
    wanted = query.get("From"), query.get("To")
    found = [
        taken
        for taken in _newest_first(asked, account)
        if all(want in (None, one) for want, one in zip(wanted, _addresses(account, taken), strict=True))
        and _is_sent_then(query, taken.at)
    ]
    page, size = _page(asked)
    path = f"/2010-04-01/Accounts/{account.account_sid}/Messages.json"
    following = urlencode({**query, "PageSize": str(size), "Page": str(page + 1)})
    return json_reply(
        {
            "messages": [_shown(account, taken, asked.now) for taken in found[page * size : (page + 1) * size]],
            "page": page,
            "page_size": size,
            "next_page_uri": f"{path}?{following}" if len(found) > (page + 1) * size else None,
        }
    )


def _message(asked: Asked) -> Reply:
    account = authenticate(asked)
    for taken in _newest_first(asked, account):
        if taken.message_id == asked.match["sid"]:
            return json_reply(_shown(account, taken, asked.now))
    raise _NOT_FOUND


def _newest_first(asked: Asked, account: Account) -> Iterator[Taken]:
    return (taken for taken in reversed(asked.state.taken) if taken.account == account.id)


def _addresses(account: Account, taken: Taken) -> tuple[str, str]:
    """From and to."""
    contact = recipient(taken.contact)
    other = f"whatsapp:{contact if is_user_id(contact) else f'+{contact}'}"
    own = f"whatsapp:{account.phone_number}"
    return (other, own) if taken.is_inbound else (own, other)


def _shown(account: Account, taken: Taken, now: datetime) -> Json:
    sender, to = _addresses(account, taken)
    status, code = ("received", 0) if taken.is_inbound else taken.status(now)
    return message_resource(
        account,
        taken.message_id,
        sender=sender,
        to=to,
        text=taken.text,
        at=taken.at,
        status=WORDS.get(status, status),
        error_code=code,
        files=int(taken.file is not None),
    )


def _is_sent_then(query: Mapping[str, str], sent: datetime) -> bool:
    for name, value in query.items():
        if not name.startswith("DateSent"):
            continue
        try:
            instant = datetime.fromisoformat(value.removeprefix("=").replace("Z", "+00:00"))
        except ValueError:
            raise ApiError(20001, "DateSent is no date") from None
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        fits = sent >= instant if ">" in name else sent <= instant if "<" in name else sent.date() == instant.date()
        if not fits:
            return False
    return True


def _page(asked: Asked) -> tuple[int, int]:
    query = asked.request.query
    try:
        return int(query.get("Page", 0)), max(1, min(int(query.get("PageSize", _PAGE)), _MAX_PAGE))
    except ValueError:
        raise ApiError(20001, "Page, PageSize: no numbers") from None


# --- contents ------------------------------------------------------------------------------------------------------


def _approval(asked: Asked) -> Reply:
    account, sid = authenticate(asked), asked.match["sid"]
    if account.templates == "unreachable":
        return CUT
    template = find_template(account, sid)
    if template is None:
        raise _NOT_FOUND
    whatsapp: Json = {**_request_of(template), "allow_category_change": True, "type": "whatsapp", "flows": None}
    url = f"{asked.request.base_url}{asked.request.path}"
    return json_reply({"account_sid": account.account_sid, "sid": sid, "url": url, "whatsapp": whatsapp})


def _request_of(template: Template) -> Json:
    return {
        "name": template.name,
        "category": template.category,
        "content_type": "twilio/text",
        "status": template.status.lower(),
        "rejection_reason": "",
    }


def _contents(asked: Asked) -> Reply:
    account = authenticate(asked)
    if account.templates == "unreachable":
        return CUT
    page, size = _page(asked)
    here = account.templates[page * size : (page + 1) * size]
    following = f"{asked.request.base_url}{asked.request.path}?PageSize={size}&Page={page + 1}"
    meta: Json = {
        "key": "contents",
        "next_page_url": following if len(account.templates) > (page + 1) * size else None,
        "page": page,
        "page_size": size,
    }
    return json_reply({"contents": [_content(account, template) for template in here], "meta": meta})


def _content(account: Account, template: Template) -> Json:
    return {
        "sid": content_sid(template.name, template.language),
        "account_sid": account.account_sid,
        "friendly_name": template.name,
        "language": template.language,
        "variables": {},
        "types": {"twilio/text": {"body": template.name}},
        "approval_requests": _request_of(template) | {"allow_category_change": True},
    }


# --- senders, typing, files ----------------------------------------------------------------------------------------


def _senders(asked: Asked) -> Reply:
    account = authenticate(asked)
    webhook: Json = {"callback_url": account.callback_url, "callback_method": "POST", "fallback_url": None}
    sender: Json = {
        "sid": hex_id("XE", account.id),
        "sender_id": f"whatsapp:{account.phone_number}",
        "status": "ONLINE",
        "webhook": webhook | {"status_callback_url": None},
    }
    return json_reply({"senders": [sender], "meta": {"key": "senders", "next_page_url": None, "page": 0}})


def _typing(asked: Asked) -> Reply:
    account, form = authenticate(asked), asked.request.form
    if form.get("channel") != "whatsapp" or not form.get("messageId"):
        raise ApiError(21620, "channel and messageId are required")
    asked.state.marks.append(Mark(asked.now, account.id, form["messageId"], typing=True))
    return json_reply({"success": True})


def _media_list(asked: Asked) -> Reply:
    account = authenticate(asked)
    for taken in _newest_first(asked, account):
        if taken.message_id == asked.match["sid"]:
            files = [] if taken.file is None else [taken.file]
            uri = asked.request.path.removesuffix(".json")
            listed: list[JsonValue] = [_file(taken.message_id, file, uri) for file in files]
            return json_reply({"media_list": listed, "page": 0, "page_size": _PAGE, "next_page_uri": None})
    raise _NOT_FOUND


def _file(message_id: str, file: StoredFile, uri: str) -> Json:
    sid = f"ME{file.id.zfill(32)}"
    return {"sid": sid, "parent_sid": message_id, "content_type": file.mime_type, "uri": f"{uri}/{sid}.json"}


def _media(asked: Asked) -> Reply:
    """Sends to a signed link of another host, which wants no credentials (a practice)."""
    authenticate(asked)
    file = asked.state.files.find(asked.match["media"].lstrip("0"))
    if file is None:
        raise _NOT_FOUND
    return Reply(307, headers={"Location": f"{elsewhere(asked.request.base_url)}{FILES_PATH}/{file.id}"})


_OF_ACCOUNT = r"/2010-04-01/Accounts/(?P<account>AC[0-9a-fA-F]{32})"

ROUTES = (
    Route("GET", re.compile(_OF_ACCOUNT + r"\.json"), _account),
    Route("GET", re.compile(_OF_ACCOUNT + r"/Messages\.json"), _messages),
    Route("GET", re.compile(_OF_ACCOUNT + r"/Messages/(?P<sid>[SM]M\w+)\.json"), _message),
    Route("GET", re.compile(_OF_ACCOUNT + r"/Messages/(?P<sid>\w+)/Media\.json"), _media_list),
    Route("GET", re.compile(_OF_ACCOUNT + r"/Messages/\w+/Media/ME(?P<media>\d{32})"), _media),
    Route("GET", re.compile(r"/v1/Content/(?P<sid>HX\w+)/ApprovalRequests"), _approval),
    Route("GET", re.compile(r"/v1/ContentAndApprovals"), _contents),
    Route("GET", re.compile(r"/v2/Channels/Senders"), _senders),
    Route("POST", re.compile(r"/v2/Indicators/Typing\.json"), _typing),
)

SEND_PATH = re.compile(_OF_ACCOUNT + r"/Messages\.json")
