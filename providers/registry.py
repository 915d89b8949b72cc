"""Every provider, by its name. A new one is its folder and its line here."""

from collections.abc import Mapping
from typing import Final

from providers.engagelab import ENGAGELAB
from providers.provider import Provider
from providers.twilio import TWILIO
from providers.whatsapp_cloud import WHATSAPP_CLOUD

PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in (ENGAGELAB, WHATSAPP_CLOUD, TWILIO)}


def base_urls() -> dict[str, str]:
    """Base URLs of the providers' REST APIs, by name, with its service where it has several: `twilio/content`."""
    return {
        f"{name}/{service}" if service else name: url
        for name, provider in PROVIDERS.items()
        for service, url in provider.base_urls.items()
    }
