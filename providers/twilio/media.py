"""Twilio's files: a customer's behind its API, ours behind a link of ours."""

import re
from collections.abc import Mapping
from typing import Final

from providers.media import BY_LINK, UNSUPPORTED, read_failure
from providers.meta import AUDIO, DOCUMENTS, IMAGES, MB, VIDEOS, VOICE
from providers.provider import Fetch, Fetching, MediaRule
from providers.twilio.sending import MAX_TEXT, sign_in
from schemas.effects import MediaResult
from schemas.events.conversation import Media
from schemas.settings.channel import ChannelSettings

API: Final = "https://api.twilio.com"
_PATH: Final = re.compile(r"/2010-04-01/Accounts/([^/?#]+)/Messages/[A-Za-z0-9]+/Media/[A-Za-z0-9]+(?:\.[a-z0-9]+)?")

MEDIA_RULES: Final[Mapping[str, MediaRule]] = {
    "image": MediaRule(IMAGES, 5 * MB, MAX_TEXT),
    "video": MediaRule(VIDEOS, 16 * MB, MAX_TEXT),
    "audio": MediaRule(AUDIO, 16 * MB),
    "voice": MediaRule(VOICE, 16 * MB),
    "document": MediaRule(DOCUMENTS, 16 * MB),
}
"""16 MB, images 5 MB; a document has no caption (Twilio docs, confirmed). Stickers are unknown to its docs."""


def plan_fetch(media: Media, settings: ChannelSettings, base_url: str) -> Fetch | MediaResult:
    """A file of the channel's own account is asked for with its credentials, any other address without.

    Its API redirects to a host that needs none (a practice). What the API does not have yet, it has seconds later.
    """
    link = media.link
    if link is None:
        return UNSUPPORTED
    for base in (base_url.rstrip("/"), API):
        path = _PATH.fullmatch(link.removeprefix(base)) if link.startswith(base) else None
        if path is not None and path[1] == settings.account_sid:
            return Fetch(base_url.rstrip("/") + path[0], sign_in(settings) or {})
    return Fetch(link)


FETCHING: Final = Fetching(plan_fetch, BY_LINK.read_lookup, read_failure)
