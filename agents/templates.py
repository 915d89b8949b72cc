"""Texts with placeholders: {contact.name}, {contact.phone}, {channel.name}."""

import re
from typing import Final

from schemas.contact import is_number
from schemas.events.conversation import Header
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from schemas.settings.types import MAX_TEXT
from schemas.settings.types import Template as ChannelTemplate

_PLACEHOLDER: Final = re.compile(r"([ \t]*)\{(contact\.name|contact\.phone|channel\.name)\}")


def message_template(template: ChannelTemplate | None) -> Template | None:
    """The settings' template as it is sent."""
    return None if template is None else Template(name=template.name, language=template.language)


def render(text: str, header: Header, settings: ChannelSettings) -> str:
    """The text with its placeholders filled in, at most 4096 characters.

    In a single pass: a customer named "{channel.name}" stays so. Unknown placeholders stay as they are. contact.phone
    is the number in digits. What is missing is empty, and takes the blanks before it along.
    """
    values = {
        "contact.name": (header.contact_name or "").strip(),
        "contact.phone": header.address if is_number(header.address) else "",
        "channel.name": settings.name.strip(),
    }

    def filled(placeholder: re.Match[str]) -> str:
        blanks, name = placeholder.groups()
        # "Hi {contact.name}, welcome" becomes "Hi, welcome".
        return f"{blanks}{values[name]}" if values[name] else ""

    return _PLACEHOLDER.sub(filled, text).strip()[:MAX_TEXT]
