"""Meta's WhatsApp Cloud API, played: its API, its error codes and its webhooks."""

from typing import Final

from simulation.sandbox.accounts import digit_id, wamid
from simulation.sandbox.calls import Json, Reply
from simulation.sandbox.contract import Failure, StandIn
from simulation.sandbox.whatsapp_cloud.callbacks import WORDS, message_id, opaque_data, read, render, sign
from simulation.sandbox.whatsapp_cloud.graph import ROUTES, SEND_PATH
from simulation.sandbox.whatsapp_cloud.requests import MAX_TEXT, accepted, authenticate, check_permitted, read_send

_HTTP_STATUS: Final = {
    0: 401,
    1: 500,
    2: 503,
    3: 403,
    10: 403,
    190: 401,
    131000: 500,
    131005: 403,
    131016: 500,
    131031: 403,
    132001: 404,
}
"""The status varies, and means nothing beside the code (docs, confirmed)."""

_GIVES_UP_AFTER_S: Final = 7 * 86_400
_LONGEST_PAUSE_S: Final = 3_600


def _error(code: int, message: str, _status: int) -> Json:
    details: Json = {"messaging_product": "whatsapp", "details": message}
    error: Json = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "error_data": details}
    return {"error": error | {"fbtrace_id": "sandbox"}}


def _retry_after_s(attempt: int, _failure: Failure, seconds: float) -> float | None:
    """For seven days, with growing gaps (docs, confirmed; how they grow is a guess)."""
    return None if seconds > _GIVES_UP_AFTER_S else float(min(2 ** min(attempt, 20), _LONGEST_PAUSE_S))


WHATSAPP_CLOUD = StandIn(
    name="whatsapp_cloud",
    key="phone_number_id",
    make_credentials=lambda id: {
        "phone_number_id": digit_id(f"number:{id}"),
        "business_account_id": digit_id(f"business:{id}"),
        "access_token": f"token-of-{id}",
        "app_secret": f"app-secret-of-{id}",
        "verify_token": f"verify-token-of-{id}",
    },
    send_path=SEND_PATH,
    authenticate=authenticate,
    read_send=read_send,
    check=check_permitted,
    accepted=accepted,
    down=Reply(503),
    message_id=message_id,
    inbound_id=wamid,
    codes={
        "retry": (131016, 1, 2, 131000, 131057, 133004),
        "throttled": (130429, 131056, 4, 80007, 131064, 133016),
        "credentials": (190, 0, 3, 10, 33, 131005, 133010),
        "account": (131031, 368, 131037, 131042, 131045, 131048),
        "window_closed": (131047,),
        "recipient": (131026, 131021, 131030, 130472, 130497, 131049, 131050, 131062),
        "template": (132001, 132000, 132005, 132007, 132008, 132012, 132015, 132016),
        "request": (100, 131008, 131009, 131051, 131052, 131053),
    },
    http_status=_HTTP_STATUS,
    error=_error,
    rate_codes=(130429, 131056),
    max_text=MAX_TEXT,
    words=WORDS,
    failures={
        "sent_failed": (131026, "Message undeliverable"),
        "delivered_failed": (131049, "Not delivered to keep the ecosystem healthy"),
    },
    echo=opaque_data,
    render=render,
    read=read,
    sign=sign,
    retry_after_s=_retry_after_s,
    routes=ROUTES,
)
