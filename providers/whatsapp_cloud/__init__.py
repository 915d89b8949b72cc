"""Meta's WhatsApp Cloud API, as its documentation has it."""

from providers.meta import MEDIA_RULES
from providers.provider import Provider
from providers.whatsapp_cloud.callbacks import addressees, addresses, parse_callback
from providers.whatsapp_cloud.codes import classify
from providers.whatsapp_cloud.media import FETCHING, UPLOADING
from providers.whatsapp_cloud.sending import MAX_TEXT, SENDS, plan_send, read_send
from providers.whatsapp_cloud.setting_up import check, set_up, subscribe
from providers.whatsapp_cloud.signals import plan_signal
from providers.whatsapp_cloud.templates import plan_templates, read_templates
from providers.whatsapp_cloud.webhook import KEPT_HEADERS, accepts, screen

WHATSAPP_CLOUD = Provider(
    name="whatsapp_cloud",
    base_urls={"": "https://graph.facebook.com"},
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
    subscribe=subscribe,
    plan_signal=plan_signal,
    sends=SENDS,
    methods=("GET", "POST"),
    addressees=addressees,
    addresses=addresses,
    fetching=FETCHING,
    media=MEDIA_RULES,
    uploading=UPLOADING,
)
