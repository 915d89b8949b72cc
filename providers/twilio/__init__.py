"""Twilio's WhatsApp, as its documentation has it."""

from providers.provider import Provider
from providers.twilio.callbacks import parse_callback
from providers.twilio.media import FETCHING, MEDIA_RULES
from providers.twilio.sending import MAX_TEXT, plan_lookup, plan_send, read_lookup, read_send
from providers.twilio.webhook import ACKNOWLEDGEMENT, KEPT_HEADERS, accepts, screen

TWILIO = Provider(
    name="twilio",
    max_text=MAX_TEXT,
    kept_headers=KEPT_HEADERS,
    accepts=accepts,
    screen=screen,
    parse=parse_callback,
    plan_send=plan_send,
    read_send=read_send,
    plan_lookup=plan_lookup,
    read_lookup=read_lookup,
    acknowledgement=ACKNOWLEDGEMENT,
    fetching=FETCHING,
    media=MEDIA_RULES,
)
