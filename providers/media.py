"""Files both ways: what the providers have in common in fetching and in sending them."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from providers.provider import Answer, Fetch, Fetching, MediaRule
from schemas.effects import MediaResult
from schemas.events.content import Attachment
from schemas.events.conversation import Media
from schemas.settings.channel import ChannelSettings

UNSUPPORTED: Final = MediaResult(answer="refused", reason="unsupported")
NOT_FOUND: Final = MediaResult(answer="missing", reason="not_found")
UNREACHABLE: Final = MediaResult(answer="later", reason="unreachable")
FORBIDDEN_NOW: Final = MediaResult(answer="later", reason="forbidden")
"""Our credentials may be put right."""
FORBIDDEN: Final = MediaResult(answer="refused", reason="forbidden")

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def hex_sha256(text: str | None) -> str | None:
    """A SHA-256 in hex, as Meta writes it in answers, or in base64, as in webhooks; None: it is none."""
    if text is None or _HEX.fullmatch(text):
        return text and text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None


def read_failure(answer: Answer) -> MediaResult:
    """What an answer means that is not the file, of a server to which we say who we are."""
    match answer.status:
        case 401 | 403:
            return FORBIDDEN_NOW
        case 404 | 410:
            return NOT_FOUND
        case 408 | 425 | 429:
            return UNREACHABLE
        case status if 400 <= status < 500:
            return FORBIDDEN
    return UNREACHABLE


def _plan_by_link(media: Media, _settings: ChannelSettings, _base_url: str) -> Fetch | MediaResult:
    return UNSUPPORTED if media.link is None else Fetch(media.link, sha256=media.sha256)


def _read_failure_by_link(answer: Answer) -> MediaResult:
    # Without credentials there is nothing that could be put right.
    return FORBIDDEN if answer.status in (401, 403) else read_failure(answer)


BY_LINK: Final = Fetching(_plan_by_link, lambda _answer, _settings, _base_url: UNSUPPORTED, _read_failure_by_link)
"""Of a provider that gives links alone."""


def why_no_media(attachment: Attachment, caption: str | None, rules: Mapping[str, MediaRule]) -> str | None:
    """Why the provider would not take the file, with kind and limit; None: it would, as far as is known.

    Of a file behind a link only its kind is known.
    """
    kind, type_, size = attachment.kind, attachment.mime_type, attachment.size
    rule = rules.get(kind)
    if rule is None:
        return f"{kind}: the channel's provider takes none"
    if type_ is not None and type_ not in rule.types:
        return f"{kind}: {type_} is not taken, only {', '.join(sorted(rule.types))}"
    limit = rule.max_bytes if attachment.animated else rule.max_still_bytes or rule.max_bytes
    if size is not None and size > limit:
        return f"{kind}: it has {size:,} bytes, and at most {limit:,} are taken"
    if caption and len(caption) > rule.max_caption:
        most = f"has at most {rule.max_caption:,} characters" if rule.max_caption else "is not taken with one"
        return f"{kind}: a caption {most}"
    return None
