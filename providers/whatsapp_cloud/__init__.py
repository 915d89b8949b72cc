"""Meta's WhatsApp Cloud API, as its documentation has it."""

from providers.meta import MEDIA_RULES
from providers.provider import Provider
from providers.whatsapp_cloud.callbacks import addressees, addresses, parse_callback
from providers.whatsapp_cloud.media import FETCHING, UPLOADING
from providers.whatsapp_cloud.sending import MAX_TEXT, plan_lookup, plan_send, read_lookup, read_send
from providers.whatsapp_cloud.webhook import KEPT_HEADERS, accepts, screen

WHATSAPP_CLOUD = Provider(
    name="whatsapp_cloud",
    max_text=MAX_TEXT,
    kept_headers=KEPT_HEADERS,
    accepts=accepts,
    screen=screen,
    parse=parse_callback,
    plan_send=plan_send,
    read_send=read_send,
    plan_lookup=plan_lookup,
    read_lookup=read_lookup,
    methods=("GET", "POST"),
    addressees=addressees,
    addresses=addresses,
    fetching=FETCHING,
    media=MEDIA_RULES,
    uploading=UPLOADING,
)
