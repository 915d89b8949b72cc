"""EngageLab's WhatsApp API, as its documentation has it."""

from providers.engagelab.callbacks import parse_callback
from providers.engagelab.sending import (
    MAX_TEXT,
    SENDS,
    classify_receipt,
    plan_send,
    plan_templates,
    read_send,
    read_templates,
)
from providers.engagelab.setting_up import check, set_up
from providers.engagelab.webhook import KEPT_HEADERS, accepts, screen
from providers.media import BY_LINK
from providers.meta import MEDIA_RULES
from providers.provider import Provider

ENGAGELAB = Provider(
    name="engagelab",
    base_urls={"": "https://wa.api.engagelab.cc"},
    max_text=MAX_TEXT,
    kept_headers=KEPT_HEADERS,
    accepts=accepts,
    screen=screen,
    parse=lambda callback, settings: parse_callback(callback.body, settings.phone_number),
    plan_send=lambda request, settings, _webhook_url: plan_send(request, settings),
    read_send=read_send,
    classify=classify_receipt,
    plan_templates=plan_templates,
    read_templates=read_templates,
    check=check,
    set_up=set_up,
    sends=SENDS,
    fetching=BY_LINK,
    media=MEDIA_RULES,
)
