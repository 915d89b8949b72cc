"""What a send says, and whether Twilio would take it (Twilio docs, confirmed; a mistake's code is our reading)."""

import re
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from simulation.sandbox.accounts import Account, Template, digits, hex_id, is_user_id, recipient
from simulation.sandbox.calls import ApiError, Json, Reply, is_secret, json_reply
from simulation.sandbox.contract import Asked, SendRequest

MAX_TEXT: Final = 1_600
_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")
_BSUID: Final = re.compile(r"[A-Z]{2}(\.ENT)?\.[A-Za-z0-9]{1,128}")


def content_sid(name: str, language: str) -> str:
    """The ContentSid of a template, which has one language: what a channel at Twilio names it by."""
    return name if _CONTENT_SID.fullmatch(name) else hex_id("HX", f"{name}:{language}")


def authenticate(asked: Asked) -> Account:
    """The caller's account: of the SID in the path, if there is one. Raises ApiError 20003, 20404."""
    user, secret = asked.request.basic or ("", "")
    accounts = (one for one in asked.state.accounts.of("twilio") if user in (one.account_sid, one.api_key))
    account = next((one for one in accounts if one.enabled and _is_secret_of(one, user, secret)), None)
    if account is None:
        raise ApiError(20003, "Authenticate")
    if asked.match.get("account", account.account_sid) != account.account_sid:
        raise ApiError(20404, "The requested resource was not found")
    return account


def _is_secret_of(account: Account, user: str, secret: str) -> bool:
    return is_secret(secret, account.auth_token if user == account.account_sid else account.api_key_secret)


def read_send(asked: Asked, account: Account | None) -> SendRequest:
    """Read a send. Raises ApiError."""
    pairs = parse_qsl(asked.request.body.decode(errors="replace"), keep_blank_values=True)
    form = dict(pairs)
    if not form.get("From") and not form.get("MessagingServiceSid"):
        raise ApiError(21603, "A 'From' phone number or a 'MessagingServiceSid' is required")
    to = form.get("To", "").removeprefix("whatsapp:")
    if not form.get("To", "").startswith("whatsapp:") or not _is_address(to):
        raise ApiError(21211, "The 'To' number is not a valid phone number")
    if sum(name == "MediaUrl" for name, _ in pairs) > 1:
        raise ApiError(21623, "Number of media files exceeds allowed limit")
    ours = dict(parse_qsl(urlsplit(form.get("StatusCallback", "")).query))
    type_, template = _content(form, account)
    return SendRequest(
        contact=recipient(to),
        type=type_,
        content={name: value for name, value in form.items() if name in _SAID},
        text=form.get("Body") or None,
        template=template,
        sender=form.get("From", "").removeprefix("whatsapp:") or None,
        id=ours.get("id"),
        conversation=ours.get("conversation"),
        echo=form.get("StatusCallback"),
        raw=dict(form),
    )


_SAID: Final = ("Body", "MediaUrl", "ContentSid", "ContentVariables")


def _is_address(to: str) -> bool:
    return bool(_BSUID.fullmatch(to)) if is_user_id(to) else to.startswith("+") and 6 <= len(digits(to)) <= 15


def _content(form: dict[str, str], account: Account | None) -> tuple[str, Json | None]:
    """The message's type, and its template. Raises ApiError."""
    body, media, sid = form.get("Body", ""), form.get("MediaUrl", ""), form.get("ContentSid", "")
    if sid:
        if body or media:
            raise ApiError(21620, "Body and MediaUrl can't stand beside ContentSid")
        return "template", _template(sid, form.get("ContentVariables", ""), account)
    if not body.strip() and not media:
        raise ApiError(21602, "Message body is required")
    if len(body) > MAX_TEXT:
        raise ApiError(21617, "The concatenated message body exceeds the 1600 character limit")
    if media and not media.startswith(("http://", "https://")):
        raise ApiError(21620, "Invalid media URL(s)")
    return "media" if media else "text", None


def _template(sid: str, variables: str, account: Account | None) -> Json:
    if not _CONTENT_SID.fullmatch(sid):
        raise ApiError(21655, "The ContentSid is invalid")
    try:
        values = orjson.loads(variables or "{}")
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) and value for value in values.values()):
        raise ApiError(21656, "The ContentVariables parameter is invalid")
    known = None if account is None else find_template(account, sid)
    named: Json = {"name": known.name, "language": known.language} if known is not None else {}
    return named | {"sid": sid, "variables": values}


def find_template(account: Account, sid: str) -> Template | None:
    """The account's template of that ContentSid."""
    templates = () if account.templates == "unreachable" else account.templates
    return next((one for one in templates if content_sid(one.name, one.language) == sid), None)


def check_permitted(request: SendRequest, account: Account) -> None:
    """Check the sender and the template. Raises ApiError."""
    if request.sender is not None and digits(request.sender) != digits(account.phone_number):
        raise ApiError(63007, "Twilio could not find a Channel with the specified From address")
    service = request.raw.get("MessagingServiceSid")
    if service is not None and service != account.messaging_service_sid:
        raise ApiError(21701, "The Messaging Service does not exist")
    if request.template is None or account.templates == "unreachable":
        return
    known = find_template(account, str(request.template["sid"]))
    if known is None:
        raise ApiError(21655, "The ContentSid is invalid")
    # Content that nobody was asked to approve may be sent in session: lists, quick replies.
    if known.status not in ("APPROVED", "UNSUBMITTED"):
        raise ApiError(63041 if known.status == "PAUSED" else 63040, "The template is paused or was rejected")


def accepted(request: SendRequest, account: Account, message_id: str, now: datetime) -> Reply:
    """The answer to a send that was taken."""
    status = "accepted" if request.raw.get("MessagingServiceSid") else "queued"
    sender, to = f"whatsapp:{account.phone_number}", str(request.raw["To"])
    files = int(request.type == "media")
    shown = message_resource(
        account, message_id, sender=sender, to=to, text=request.text, at=now, status=status, files=files
    )
    return json_reply(shown, 201)


def message_resource(
    account: Account,
    sid: str,
    *,
    sender: str,
    to: str,
    text: str | None,
    at: datetime,
    status: str,
    error_code: int = 0,
    files: int = 0,
) -> Json:
    """A message as the API shows it."""
    date, uri = format_datetime(at), f"/2010-04-01/Accounts/{account.account_sid}/Messages/{sid}"
    return {
        "account_sid": account.account_sid,
        "api_version": "2010-04-01",
        "body": text or "",
        "date_created": date,
        "date_sent": None if status in ("queued", "accepted") else date,
        "date_updated": date,
        "direction": "inbound" if status == "received" else "outbound-api",
        "error_code": error_code or None,
        "error_message": None,
        "from": sender,
        "messaging_service_sid": account.messaging_service_sid,
        "num_media": str(files),
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": to,
        "uri": f"{uri}.json",
    }
