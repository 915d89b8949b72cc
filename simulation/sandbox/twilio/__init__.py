"""Twilio's WhatsApp, played: its APIs, its error codes and its webhooks."""

from typing import Final

from simulation.sandbox.accounts import hex_id
from simulation.sandbox.calls import Json, json_reply
from simulation.sandbox.contract import Failure, StandIn
from simulation.sandbox.twilio.callbacks import FORM, WORDS, message_sid, read, render, sign, status_callback
from simulation.sandbox.twilio.requests import (
    MAX_TEXT,
    accepted,
    authenticate,
    check_permitted,
    content_sid,
    read_send,
)
from simulation.sandbox.twilio.rest import ROUTES, SEND_PATH

_HTTP_STATUS: Final = {20003: 401, 20005: 401, 20404: 404, 20429: 429, 20500: 500, 20503: 503}


def _error(code: int, message: str, status: int) -> Json:
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def _retry_after_s(attempt: int, failure: Failure, _seconds: float) -> float | None:
    """Once, and only if the connection failed (docs, confirmed)."""
    return 0.5 if attempt == 1 and failure == "unconnected" else None


def _takes(status: int, content_type: str) -> bool:
    """TwiML, or nothing. Any other text would be sent to the customer as a message (docs, confirmed)."""
    return status == 204 or (status == 200 and content_type.partition(";")[0] in ("text/xml", "application/xml"))


TWILIO = StandIn(
    name="twilio",
    key="account_sid",
    make_credentials=lambda id: {"account_sid": hex_id("AC", id), "auth_token": f"token-of-{id}"},
    send_path=SEND_PATH,
    authenticate=authenticate,
    read_send=read_send,
    check=check_permitted,
    accepted=accepted,
    # A bare 503 would leave the outcome unknown.
    down=json_reply(_error(20503, "Service unavailable", 503), 503),
    message_id=message_sid,
    inbound_id=lambda seed: hex_id("SM", seed),
    codes={
        "retry": (20500, 20503, 21611, 30001, 63009, 63010, 63012, 63017, 63018),
        "throttled": (20429,),
        "credentials": (20003, 20005, 20006, 20404, 63001),
        "account": (63007, 21212, 21603, 21606, 63002, 63008, 63020, 63022, 63026, 63038, 30002),
        "window_closed": (63016,),
        "recipient": (63024, 21211, 21408, 21608, 21610, 21614, 63003, 63014, 63015, 63031, 63032, 63033, 63049),
        "template": (21655, 21654, 21656, 63027, 63028, 63040, 63041, 63062),
        "request": (21620, 21602, 21617, 21623, 63005, 63006, 63013, 63019, 63021),
    },
    http_status=_HTTP_STATUS,
    error=_error,
    rate_codes=(20429, None),
    reports_unasked=False,
    max_text=MAX_TEXT,
    template_name=content_sid,
    lists_messages=True,
    words=WORDS,
    failures={
        "sent_failed": (63049, "Not delivered to keep the ecosystem healthy"),
        "delivered_failed": (63024, "Message undeliverable"),
    },
    lacks=frozenset({"order", "reaction", "deleted", "system"}),
    sends_times=False,
    echo=status_callback,
    render=render,
    read=read,
    sign=sign,
    content_type=FORM,
    takes=_takes,
    retry_after_s=_retry_after_s,
    callback_timeout_s=15.0,
    routes=ROUTES,
)
