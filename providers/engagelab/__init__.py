"""EngageLab's WhatsApp API, as its documentation has it."""

from providers.engagelab.callbacks import parse_callback
from providers.engagelab.sending import plan_lookup, plan_send, read_lookup, read_send
from providers.engagelab.webhook import KEPT_HEADERS, accepts, handshake
from providers.provider import Provider

ENGAGELAB = Provider(
    name="engagelab",
    kept_headers=KEPT_HEADERS,
    accepts=accepts,
    handshake=handshake,
    parse=parse_callback,
    plan_send=plan_send,
    read_send=read_send,
    plan_lookup=plan_lookup,
    read_lookup=read_lookup,
)
