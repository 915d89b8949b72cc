"""Twilio's WhatsApp, as its documentation has it."""

from providers.provider import Listing, Provider, Settling
from providers.twilio.callbacks import parse_callback
from providers.twilio.codes import classify
from providers.twilio.listing import plan_list, read_list
from providers.twilio.media import API, FETCHING, MEDIA_RULES
from providers.twilio.sending import MAX_TEXT, plan_send, read_send
from providers.twilio.setting_up import check, set_up
from providers.twilio.settling import plan_settle, read_settle
from providers.twilio.signals import MESSAGING, plan_signal
from providers.twilio.templates import CONTENT, plan_templates, read_templates
from providers.twilio.webhook import ACKNOWLEDGEMENT, KEPT_HEADERS, accepts, screen

TWILIO = Provider(
    name="twilio",
    base_urls={"": API, CONTENT: "https://content.twilio.com", MESSAGING: "https://messaging.twilio.com"},
    max_text=MAX_TEXT,
    kept_headers=KEPT_HEADERS,
    accepts=accepts,
    screen=screen,
    parse=parse_callback,
    plan_send=plan_send,
    read_send=read_send,
    classify=lambda code: classify(code, 0),
    plan_templates=plan_templates,
    read_templates=read_templates,
    check=check,
    set_up=set_up,
    plan_signal=plan_signal,
    one_language=True,
    settling=Settling(plan_settle, read_settle),
    listing=Listing(plan_list, read_list),
    acknowledgement=ACKNOWLEDGEMENT,
    fetching=FETCHING,
    media=MEDIA_RULES,
)
