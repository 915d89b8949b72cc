"""Texts with placeholders: {contact.name}, {contact.phone}, {channel.name}."""

import re
from collections.abc import Mapping
from typing import Final

from schemas.channel import ChannelSettings
from schemas.conversation import Header
from schemas.setting_types import MAX_TEXT

_PLACEHOLDER: Final = re.compile(
    r"(?P<before>[ \t]*)\{(?P<name>contact\.name|contact\.phone|channel\.name)\}(?P<after>[ \t]*)"
)


def render(text: str, header: Header, settings: ChannelSettings) -> str:
    """The text with its placeholders filled in, at most 4096 characters (EngageLab docs, confirmed).

    In a single pass: a customer named "{channel.name}" stays so. Unknown placeholders stay as they are. contact.phone
    is the wa_id in digits. What is missing is empty, and takes its surplus blanks along.
    """
    values = {
        "contact.name": (header.contact_name or "").strip(),
        "contact.phone": header.contact,
        "channel.name": settings.name.strip(),
    }
    return _PLACEHOLDER.sub(lambda placeholder: _filled(placeholder, values), text).strip()[:MAX_TEXT]


def _filled(placeholder: re.Match[str], values: Mapping[str, str]) -> str:
    before, after = placeholder["before"], placeholder["after"]
    value = values[placeholder["name"]]
    if value:
        return before + value + after
    # "Hi {contact.name}, welcome" becomes "Hi, welcome", and a line does not begin with a blank.
    starts_line = placeholder.start() == 0 or placeholder.string[placeholder.start() - 1] == "\n"
    return "" if starts_line else after
