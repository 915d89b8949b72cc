"""Every provider, by its name. A new one is its folder and its line here."""

from collections.abc import Mapping
from typing import Final

from providers.engagelab import ENGAGELAB
from providers.provider import Provider
from providers.twilio import TWILIO
from providers.whatsapp_cloud import WHATSAPP_CLOUD

PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in (ENGAGELAB, WHATSAPP_CLOUD, TWILIO)}
