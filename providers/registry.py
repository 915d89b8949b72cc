"""Every provider, by its name. A new one is its folder and its line here."""

from collections.abc import Mapping
from typing import Final

from providers.engagelab import ENGAGELAB
from providers.provider import Provider

PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in (ENGAGELAB,)}
