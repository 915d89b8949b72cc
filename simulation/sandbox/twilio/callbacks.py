"""Twilio's webhooks, rendered with the published shapes (Twilio docs, confirmed, unless said otherwise).

Written apart from the parser in providers/, so that a misreading in one shows as a difference from the other.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Account, digits, hex_id, recipient
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.happenings import (
    MEDIA_MIME,
    MEDIA_TYPES,
    Customer,
    Happening,
    ReadCallback,
    ReadMessage,
    ReadStatus,
    Reported,
    Written,
)

WORDS: Final = {
    "plan": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "delivered_failed": "undelivered",
    "sent_failed": "failed",
}
_NEUTRAL: Final = {word: status for status, word in WORDS.items()}
_EVENTS: Final = {"read": "READ", "undelivered": "UNDELIVERED", "failed": "FAILED"}

FORM: Final = "application/x-www-form-urlencoded"


def message_sid(phone_number: str, id: str, copy: int = 0) -> str:
    """Twilio's id of the message sent from a number with our id; copy n is its n-th repeat."""
    return hex_id("SM", f"sent:{digits(phone_number)}:{id}:{copy}")


def status_callback(id: str, conversation: str, webhook_url: str) -> str:
    """The StatusCallback that the product asks for: our ids come back in its query."""
    return f"{webhook_url}/status?{urlencode({'id': id, 'conversation': conversation}, quote_via=quote, safe='')}"


def render(account: Account, happenings: Sequence[Happening]) -> tuple[CallbackRequest, ...]:
    """One request for each thing that happened. A receipt goes where its send asked for it."""
    return tuple(_request(account, happening) for happening in happenings)


def _request(account: Account, happening: Happening) -> CallbackRequest:
    if isinstance(happening, Written):
        return CallbackRequest(urlencode(_message(account, happening)).encode(), FORM)
    echo = happening.message.echo
    to = echo if isinstance(echo, str) else ""
    return CallbackRequest(urlencode(_status(account, happening)).encode(), FORM, to)


def _message(account: Account, message: Written) -> dict[str, str]:
    customer = message.customer
    form = {
        "SmsMessageSid": message.id,
        "NumMedia": "0",
        "ProfileName": customer.name or "",
        "MessageType": message.type,
        "SmsSid": message.id,
        "SmsStatus": "received",
        "Body": message.text or "",
        "To": f"whatsapp:{account.phone_number}",
        "NumSegments": "1",
        "ReferralNumMedia": "0",
        "MessageSid": message.id,
        "AccountSid": account.account_sid or "",
        "From": _address(customer),
        "ApiVersion": "2010-04-01",
    }
    if customer.user_id:
        form["ExternalUserId"] = f"whatsapp:{customer.user_id}"
    if customer.wa_id:
        form["WaId"] = customer.wa_id
    if message.type in MEDIA_TYPES:
        form |= _media(account, message)
    if message.type in ("button", "interactive"):
        form |= {"ButtonText": message.text or "", "ButtonPayload": message.target or message.text or ""}
    quoted = message.quotes
    if quoted is not None:
        sender = account.phone_number if quoted.ours else customer.e164
        sid = message_sid(account.phone_number, quoted.id) if quoted.ours else quoted.id
        form |= {"OriginalRepliedMessageSender": f"whatsapp:{sender}", "OriginalRepliedMessageSid": sid}
    return form


def _media(account: Account, message: Written) -> dict[str, str]:
    file = message.file
    link = message.link or "" if file is None else media_url(message.base_url, account, message.id, file.id)
    media = {
        "NumMedia": "1",
        "MediaUrl0": link,
        "MediaContentType0": MEDIA_MIME[message.type] if file is None else file.mime_type,
    }
    # A document's name is seen in Body (a practice).
    return media | ({"Body": message.filename} if message.filename and not message.text else {})


def media_url(base_url: str, account: Account, message_id: str, id: str) -> str:
    """Where the file can be downloaded with the account's credentials."""
    message = f"MM{message_id.removeprefix('SM')}"
    return f"{base_url}/2010-04-01/Accounts/{account.account_sid}/Messages/{message}/Media/ME{id.zfill(32)}"


def _status(account: Account, report: Reported) -> dict[str, str]:
    message, customer = report.message, report.message.customer
    word, sid = WORDS.get(report.status, report.status), message_sid(account.phone_number, message.seed, message.copy)
    form = {
        "ChannelPrefix": "whatsapp",
        "ApiVersion": "2010-04-01",
        "MessageStatus": word,
        "SmsSid": sid,
        "SmsStatus": word,
        "ChannelInstallSid": hex_id("XE", account.id),
        "To": _address(customer),
        "From": f"whatsapp:{account.phone_number}",
        "MessageSid": sid,
        "AccountSid": account.account_sid or "",
    }
    if customer.wa_id:
        form["ChannelToAddress"] = f"{customer.e164[:-4]}XXXX"
    if report.error_code:
        form["ErrorCode"] = str(report.error_code)
    if report.error_message:
        form["ChannelStatusMessage"] = report.error_message
    if word in _EVENTS:
        form["EventType"] = _EVENTS[word]
    return form


def _address(customer: Customer) -> str:
    return f"whatsapp:{customer.e164 or customer.user_id}"


def read(body: bytes) -> ReadCallback:
    """What a form holds."""
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if "MessageStatus" not in form:
        contact = recipient(form["From"].removeprefix("whatsapp:"))
        return ReadCallback(inbound=(ReadMessage(form["MessageSid"], contact, form["Body"] or None, None),))
    word = form["MessageStatus"]
    return ReadCallback(receipts=(ReadStatus(form["MessageSid"], _NEUTRAL.get(word, word)),))


def sign(credentials: Credentials, url: str, request: CallbackRequest, _now: datetime) -> Mapping[str, str]:
    """The auth token's HMAC of the address and the sorted parameters; by a Webhooks Rule's key, where there is one."""
    form = sorted(parse_qsl(request.body.decode(), keep_blank_values=True))
    signed = (url + "".join(name + value for name, value in form)).encode()
    if credentials.signing_key is not None:
        digest = hmac.digest(credentials.signing_key.get_secret_value().encode(), signed, hashlib.sha256)
        rule = {"X-Twilio-Webhooks-Signature-Settings": "key=sandbox,algorithm=HMAC_SHA256"}
        return rule | {"X-Twilio-Signature": base64.b64encode(digest).decode()}
    token = credentials.auth_token.get_secret_value() if credentials.auth_token else ""
    return {"X-Twilio-Signature": base64.b64encode(hmac.digest(token.encode(), signed, hashlib.sha1)).decode()}
