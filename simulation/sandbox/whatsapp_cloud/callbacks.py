"""Meta's webhooks, rendered with the published shapes (Meta docs, confirmed, unless said otherwise).

Written apart from the parser in providers/, so that a misreading in one shows as a difference from the other.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import orjson

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Account, digit_id, digits, recipient, wamid
from simulation.sandbox.calls import CallbackRequest, Json
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

WORDS: Final = {"sent": "sent", "delivered": "delivered", "read": "read", "delivered_failed": "failed"}
"""A failure has one word, whenever it comes; nothing is reported before `sent`."""
_NEUTRAL: Final = {word: status for status, word in WORDS.items()}

ATTACHMENTS: Final = "/whatsapp_business/attachments/"
"""Where files are downloaded with the access token, on a host of Meta's own."""


def message_id(phone_number: str, id: str, copy: int = 0) -> str:
    """Meta's id of the message sent from a number with our id; copy n is its n-th repeat."""
    return wamid(f"sent:{digits(phone_number)}:{id}:{copy}")


def opaque_data(id: str, conversation: str, _webhook_url: str) -> str:
    """The biz_opaque_callback_data that the product sends: our ids come back as they are."""
    return orjson.dumps({"id": id, "conversation": conversation}).decode()


def render(account: Account, happenings: Sequence[Happening]) -> tuple[CallbackRequest, ...]:
    """One request with a change for each run of messages or of statuses."""
    changes = [_change(account, list(run)) for _, run in groupby(happenings, _kind)]
    entry = {"id": account.business_account_id, "changes": changes}
    return (CallbackRequest(orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})),)


def _kind(happening: Happening) -> str:
    if isinstance(happening, Reported):
        return "statuses"
    # What WhatsApp says of a customer has no contacts.
    return "system" if happening.type == "system" else "messages"


def _change(account: Account, happenings: Sequence[Happening]) -> Json:
    number = {
        "display_phone_number": digits(account.phone_number),
        "phone_number_id": account.phone_number_id or "",
    }
    value: Json = {"messaging_product": "whatsapp", "metadata": dict(number)}
    messages = [happening for happening in happenings if isinstance(happening, Written)]
    if messages:
        customers = {message.customer.contact: message.customer for message in messages}
        if messages[0].type != "system":
            value["contacts"] = [_contact(customer) for customer in customers.values()]
        value["messages"] = [_message(account, message) for message in messages]
    else:
        value["statuses"] = [_status(account, report) for report in happenings if isinstance(report, Reported)]
    return {"value": value, "field": "messages"}


def _contact(customer: Customer) -> Json:
    return {"profile": _given(name=customer.name), **_given(wa_id=customer.wa_id, user_id=customer.user_id)}


def _message(account: Account, message: Written) -> Json:
    customer = message.customer
    rendered: Json = {
        **_given(**{"from": customer.wa_id, "from_user_id": customer.user_id}),
        "id": message.id,
        "timestamp": _seconds(message.at),
    }
    if message.type == "deleted":
        # Reported of numbers that the phone app uses, too.
        revoke: Json = {"original_message_id": message.target or message.id}
        return rendered | {"id": wamid(f"revoke:{message.id}"), "type": "revoke", "revoke": revoke}
    rendered |= _content(message)
    quoted = message.quotes
    if quoted is not None and quoted.ours:
        context = {"from": digits(account.phone_number), "id": message_id(account.phone_number, quoted.id)}
        rendered["context"] = dict(context)
    elif quoted is not None:
        rendered["context"] = {**_given(**{"from": customer.wa_id}), "id": quoted.id}
    return rendered


def _content(message: Written) -> Json:
    kind, text = message.type, message.text
    part: Json
    if kind == "text":
        part = {"body": text}
    elif kind in MEDIA_TYPES:
        part = _media(message)
    elif kind == "button":
        part = {"payload": message.target or text, "text": text}
    elif kind == "interactive":
        part = {"type": "button_reply", "button_reply": {"id": message.target or text, "title": text}}
    elif kind == "reaction":
        part = _given(message_id=message.target, emoji=text)
    elif kind == "order":
        part = {"catalog_id": digit_id("catalog"), **_given(text=text), "product_items": []}
    elif kind == "system":
        part = {
            "type": "user_changed_number",
            **_given(body=text, wa_id=recipient(message.new_contact or ""), previous_user_id=message.customer.user_id),
        }
    else:
        return {"type": kind}
    return {"type": kind, kind: part}


def _media(message: Written) -> Json:
    file, base_url = message.file, message.base_url
    mime_type = MEDIA_MIME[message.type] if file is None else file.mime_type
    if file is None:
        id, sha256 = digit_id(f"media:{message.link}"), hashlib.sha256((message.link or "").encode()).digest()
        url = message.link
    else:
        id, sha256, url = file.id, file.sha256, attachment_url(base_url, file.id)
    media = _given(caption=message.text, filename=message.filename, url=url)
    if message.type == "audio":
        media["voice"] = False
    return {"mime_type": mime_type, "sha256": base64.b64encode(sha256).decode(), "id": id, **media}


def attachment_url(base_url: str, id: str) -> str:
    """Where the file can be downloaded with the access token."""
    return f"{base_url}{ATTACHMENTS}?mid={id}"


def _status(account: Account, report: Reported) -> Json:
    message, customer = report.message, report.message.customer
    failed = WORDS.get(report.status) == "failed"
    status: Json = {
        "id": message_id(account.phone_number, message.seed, message.copy),
        "status": WORDS.get(report.status, report.status),
        "timestamp": _seconds(report.at),
        **_given(recipient_id=customer.wa_id),
    }
    # Of a failure only if it was sent to the user id.
    if customer.user_id and (not failed or not customer.wa_id):
        status["recipient_user_id"] = customer.user_id
    if isinstance(message.echo, str):
        status["biz_opaque_callback_data"] = message.echo
    if report.status == "sent":
        status["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
    if report.error_code or report.error_message:
        text = report.error_message
        error: Json = {"code": report.error_code, "title": text, "message": text, "error_data": {"details": text}}
        status["errors"] = [error]
    return status


def read(body: bytes) -> ReadCallback:
    """What the changes of a body hold."""
    values = [change["value"] for entry in orjson.loads(body)["entry"] for change in entry["changes"]]
    messages = [message for value in values for message in value.get("messages", ())]
    statuses = [status for value in values for status in value.get("statuses", ())]
    return ReadCallback(
        tuple(map(_read_message, messages)),
        tuple(ReadStatus(status["id"], _NEUTRAL.get(status["status"], status["status"])) for status in statuses),
    )


def _read_message(message: dict[str, Any]) -> ReadMessage:
    contact, text = message.get("from") or message["from_user_id"], message.get("text", {}).get("body")
    return ReadMessage(message["id"], contact, text, datetime.fromtimestamp(int(message["timestamp"]), UTC))


def sign(credentials: Credentials, _url: str, request: CallbackRequest, _now: datetime) -> Mapping[str, str]:
    """The app secret's HMAC-SHA256 of the raw body."""
    secret = credentials.app_secret.get_secret_value() if credentials.app_secret else ""
    digest = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


def _given(**fields: str | None) -> Json:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value}


def _seconds(at: datetime) -> str:
    return str(int(at.timestamp()))
