"""EngageLab's callback bodies, rendered with the published shapes.

Written apart from the parser in providers/, so that a misreading in one shows as a difference from the other.
What EngageLab leaves unpublished (media, button, interactive, reaction, deleted) follows Meta's shapes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import JsonValue

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Account, digit_id, digits, wamid
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
from simulation.sandbox.media import FILES_PATH

# Which step of the way a failed message was lost in, and with whom (fields EngageLab docs, confirmed; pairing ours).
LOSS: dict[str, tuple[int, str]] = {
    "target_invalid": (1, "engagelab"),
    "sent_failed": (2, "meta"),
    "delivered_failed": (3, "meta"),
    "delivered_timeout": (3, "meta"),
}
BEFORE_META = ("plan", "target_valid", "target_invalid")


@dataclass(frozen=True)
class Business:
    """The side of the account in a callback row."""

    phone_number: str
    business_account_id: str = ""

    @property
    def phone_number_id(self) -> str:
        """Meta's id of the sender number."""
        return digit_id(f"phone:{digits(self.phone_number)}")

    @property
    def e164(self) -> str:
        """The number as rows carry it: +, country code, number."""
        return f"+{digits(self.phone_number)}"


@dataclass(frozen=True)
class Quote:
    """The message that a reply quotes: EngageLab's id, Meta's id, its sender."""

    message_id: str
    channel_message_id: str
    from_phone: str


def provider_message_id(phone_number: str, id: str, copy: int = 0) -> str:
    """EngageLab's id of the message sent from a number with custom_args.id; copy n is its n-th repeat."""
    return "el" + hashlib.sha256(_seed("message", phone_number, id, copy).encode()).hexdigest()[:20]


def channel_message_id(phone_number: str, id: str, copy: int = 0) -> str:
    """Meta's id (wamid) of the message sent from a number with custom_args.id."""
    return wamid(_seed("wamid", phone_number, id, copy))


def _seed(kind: str, phone_number: str, id: str, copy: int) -> str:
    suffix = f":{copy}" if copy else ""
    return f"{kind}:{digits(phone_number)}:{id}{suffix}"


def content(
    type: str = "text",
    text: str | None = None,
    *,
    link: str | None = None,
    filename: str | None = None,
    target: str | None = None,
) -> Json:
    """The `message` of a response row.

    text: the body, caption, button or list title, or emoji. target: the channel message id that a reaction is about, or
    the id of the chosen button or list row. A type without a known shape is rendered as its type alone.
    """
    if type == "text":
        return {"type": type, "text": {"body": text}}
    if type in MEDIA_TYPES:
        media = {"link": link, "caption": text, "filename": filename, "mime_type": MEDIA_MIME[type]}
        return {"type": type, type: {key: value for key, value in media.items() if value is not None}}
    if type == "button":
        return {"type": type, "button": {"payload": target or text, "text": text}}
    if type == "interactive":
        return {"type": type, type: {"type": "button_reply", "button_reply": {"id": target or text, "title": text}}}
    if type == "reaction":
        return {"type": type, type: {"message_id": target, "emoji": text}}
    if type == "order":
        return {"type": type, type: {"text": text, "product_items": []}}
    return {"type": type}


def message_row(
    business: Business,
    customer: Customer,
    id: str,
    at: datetime,
    message: Json,
    *,
    quote: Quote | None = None,
) -> Json:
    """A customer's message. `id`: its channel message id; `message`: see content(). With `quote` it is a reply row."""
    event = "reply" if quote else "order" if message["type"] == "order" else "received"
    data = _response_data(business, customer, id)
    data["message"] = message
    if quote:
        data["message_context"] = {
            "origin_message_id": quote.message_id,
            "origin_channel_message_id": quote.channel_message_id,
            "origin_from_phone": digits(quote.from_phone),
            "origin_from_phone_id": business.phone_number_id,
        }
    return _response_row(business, customer, id, at, {"event": event, "response_data": data})


def reply_row(business: Business, customer: Customer, id: str, at: datetime, message: Json, quote: Quote) -> Json:
    """A customer's message that quotes one of ours."""
    return message_row(business, customer, id, at, message, quote=quote)


def deleted_row(business: Business, customer: Customer, id: str, at: datetime) -> Json:
    """The notice that a customer deleted the message with channel message id `id`."""
    response: Json = {"event": "deleted", "response_data": _response_data(business, customer, id)}
    return _response_row(business, customer, f"{id}:deleted", at, response)


def status_row(
    business: Business,
    customer: Customer,
    message_id: str,
    status: str,
    at: datetime,
    *,
    channel_message_id: str | None = None,
    custom_args: Json | None = None,
    error_code: int = 0,
    error_message: str = "",
) -> Json:
    """A receipt for a message of ours. custom_args: those of its send, echoed; error_code 0: none."""
    data: Json = {
        "msg_time": _seconds(at),
        "whatsapp_business_account_id": business.business_account_id,
        "from_phone_id": business.phone_number_id,
    }
    if status == "plan":
        data["plan_user_total"] = 1
    if channel_message_id and status not in BEFORE_META:
        data["channel_message_id"] = channel_message_id
    body: Json = {"message_status": status, "status_data": data, "error_code": error_code}
    if error_code or error_message:
        body["error_detail"] = {"message": error_message}
    if status in LOSS:
        step, source = LOSS[status]
        body["loss"] = {"loss_step": step, "loss_source": source}
    row = _row(message_id, business.e164, customer.user_id or customer.e164, at)
    if custom_args is not None:
        row["custom_args"] = custom_args
    return row | {"status": body}


def notification_row(event: str, data: Json, at: datetime) -> Json:
    """A system notification, such as insufficient_balance. It has no message id, from or to."""
    return {
        "server": "whatsapp",
        "channel": "whatsapp",
        "itime": _seconds(at),
        "notification": {"event": event, "notification_data": data},
    }


def callback_body(rows: Sequence[Mapping[str, JsonValue]]) -> bytes:
    """The body of one callback request with these rows."""
    return orjson.dumps({"total": len(rows), "rows": list(rows)})


def render(account: Account, happenings: Sequence[Happening]) -> tuple[CallbackRequest, ...]:
    """One callback with a row for everything that happened."""
    return (CallbackRequest(callback_body([_rendered(account, happening) for happening in happenings])),)


def _rendered(account: Account, happening: Happening) -> Json:
    business, number = Business(account.phone_number, account.business_account_id), account.phone_number
    match happening:
        case Written(type="deleted"):
            return deleted_row(business, happening.customer, happening.target or happening.id, happening.at)
        case Written():
            file = happening.file
            said = content(
                happening.type,
                happening.text,
                link=happening.link if file is None else f"{happening.base_url}{FILES_PATH}/{file.id}",
                filename=happening.filename,
                target=happening.target,
            )
            return message_row(
                business, happening.customer, happening.id, happening.at, said, quote=_quote(number, happening)
            )
        case Reported(message=message):
            return status_row(
                business,
                message.customer,
                provider_message_id(number, message.seed, message.copy),
                happening.status,
                happening.at,
                channel_message_id=channel_message_id(number, message.seed, message.copy),
                custom_args=message.echo if isinstance(message.echo, dict) else None,
                error_code=happening.error_code,
                error_message=happening.error_message,
            )


def _quote(number: str, happening: Written) -> Quote | None:
    quoted = happening.quotes
    if quoted is None:
        return None
    if not quoted.ours:
        return Quote(digit_id(f"quoted:{quoted.id}"), quoted.id, happening.customer.contact)
    return Quote(provider_message_id(number, quoted.id), channel_message_id(number, quoted.id), number)


def read(body: bytes) -> ReadCallback:
    """What the rows of a body hold."""
    rows = orjson.loads(body)["rows"]
    return ReadCallback(
        tuple(_read_message(row["response"]["response_data"], row["itime"]) for row in rows if "response" in row),
        tuple(ReadStatus(row["message_id"], row["status"]["message_status"]) for row in rows if "status" in row),
    )


def _read_message(data: dict[str, Any], seconds: int) -> ReadMessage:
    contact, text = data["contact"], data.get("message", {}).get("text", {}).get("body")
    customer = contact["wa_id"] or contact.get("user_id", "")
    return ReadMessage(data["channel_message_id"], customer, text, datetime.fromtimestamp(seconds, UTC))


def sign(credentials: Credentials, _url: str, request: CallbackRequest, now: datetime) -> Mapping[str, str]:
    """No signature, but that of the sibling products where the account has a secret for it."""
    if not isinstance(credentials, Account) or credentials.callback_secret is None:
        return {}
    nonce = hashlib.sha256(request.body).hexdigest()[:16]
    secret, at = credentials.callback_secret.get_secret_value(), int(now.timestamp())
    return {"X-CALLBACK-ID": signature_header(secret, credentials.callback_username, at, nonce)}


def signature_header(secret: str, username: str, timestamp: int, nonce: str) -> str:
    """X-CALLBACK-ID as EngageLab's sibling products send it; it does not cover the body."""
    signature = hmac.new(secret.encode(), f"{timestamp}{nonce}{username}".encode(), hashlib.sha256).hexdigest()
    return f"timestamp={timestamp};nonce={nonce};username={username};signature={signature}"


def _response_data(business: Business, customer: Customer, id: str) -> Json:
    contact: Json = {"wa_id": customer.wa_id}
    if customer.user_id is not None:
        contact["user_id"] = customer.user_id
    if customer.name is not None:
        contact["profile"] = {"name": customer.name}
    return {
        "channel_message_id": id,
        "whatsapp_business_account_id": business.business_account_id,
        "contact": contact,
    }


def _response_row(business: Business, customer: Customer, id: str, at: datetime, response: Json) -> Json:
    message_id = digit_id(f"inbound:{business.e164}:{id}")
    return _row(message_id, customer.e164, business.e164, at) | {"response": response}


def _row(message_id: str, from_: str, to: str, at: datetime) -> Json:
    return {
        "message_id": message_id,
        "from": from_,
        "to": to,
        "server": "whatsapp",
        "channel": "whatsapp",
        "itime": _seconds(at),
    }


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
