"""EngageLab, played: its API, its error codes and its callbacks."""

import re

from simulation.sandbox.accounts import wamid
from simulation.sandbox.calls import Reply
from simulation.sandbox.contract import StandIn
from simulation.sandbox.engagelab.authentication import authenticate
from simulation.sandbox.engagelab.callbacks import provider_message_id, read, render, sign
from simulation.sandbox.engagelab.requests import MAX_TEXT, accepted, check_permitted, read_send
from simulation.sandbox.engagelab.templates import ROUTES

# EngageLab docs, confirmed: 1000 internal, 2001 bad token, 2002 token expired or disabled, 2003 Meta authentication,
# 2004 no permission for this sender, 3001 not JSON, 3002 parameters, 3003 business validation, 4001 no such resource,
# 5002 refused by Meta.
HTTP_STATUS = {
    1000: 500,
    2001: 401,
    2002: 401,
    2003: 400,
    2004: 403,
    3001: 400,
    3002: 400,
    3003: 400,
    4001: 400,
    5002: 400,
}

_STATUSES = (
    *("plan", "target_valid", "target_invalid", "sent", "sent_failed"),
    *("delivered", "delivered_failed", "delivered_timeout", "read"),
)

ENGAGELAB = StandIn(
    name="engagelab",
    key="dev_key",
    make_credentials=lambda id: {"dev_key": f"key-of-{id}", "dev_secret": f"secret-of-{id}"},
    send_path=re.compile(r"/v1/messages"),
    authenticate=authenticate,
    read_send=read_send,
    check=check_permitted,
    accepted=accepted,
    # Its gateway answers. A dropped connection would leave the outcome unknown.
    down=Reply(503),
    message_id=provider_message_id,
    inbound_id=wamid,
    # What a closed window is reported with is unknown (a guess: 3003). Throttling is not documented.
    codes={
        "retry": (1000,),
        "credentials": (2002, 2001, 2004),
        "recipient": (5002,),
        "request": (3002, 3001, 3003, 2003, 4001),
        "window_closed": (3003,),
        "template": (4001,),
    },
    http_status=HTTP_STATUS,
    error=lambda code, message, _status: {"code": code, "message": message},
    refuses_closed_window=True,
    max_text=MAX_TEXT,
    words={status: status for status in _STATUSES},
    failures={
        "sent_failed": (131026, "Message undeliverable"),
        "delivered_failed": (131049, "Not delivered to keep the ecosystem healthy"),
    },
    # Whether it passes on that a number changed is unknown.
    lacks=frozenset({"system"}),
    echo=lambda id, conversation, _url: {"id": id, "conversation": conversation},
    render=render,
    read=read,
    sign=sign,
    # It waits for 3 seconds, and promises no repetition (docs, confirmed).
    retry_after_s=lambda _attempt, _status, _seconds: None,
    callback_timeout_s=3.0,
    routes=ROUTES,
)
