"""Links to stored files that anybody may follow who has one, until they expire."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, quote

MEDIA_PATH: Final = "/media"
LINK_LIVES: Final = timedelta(hours=24)
"""A link is made when its message is sent: a provider fetches the file within its queue's hours (Twilio: 4)."""


class Links:
    """Makes and checks links. keys: the installation's, of which the first one signs."""

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys

    def path(self, key: str, name: str | None, now: datetime, lives: timedelta = LINK_LIVES) -> str:
        """The path of a link to the file of that key. name: what it is to be saved as."""
        expires = int((now + lives).timestamp())
        query = f"?name={quote(name, safe='')}" if name else ""
        return f"{MEDIA_PATH}/{expires}.{_signature(self._keys()[0], key, name or '', expires)}/{key}{query}"

    def read(self, path: str, query: str, now: datetime) -> tuple[str, str | None] | None:
        """Key and name of a link's file; None: it is expired, or none of ours. path: without MEDIA_PATH and "/"."""
        token, _, key = path.partition("/")
        expires, _, signature = token.partition(".")
        name = parse_qs(query).get("name", [""])[0]
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        expected = [_signature(one, key, name, int(expires)).encode() for one in self._keys()]
        if not any(hmac.compare_digest(signature.encode(errors="replace"), one) for one in expected):
            return None
        return (key, name or None) if now.timestamp() < int(expires) else None


def _signature(secret_key: bytes, key: str, name: str, expires: int) -> str:
    signed = f"{expires}\n{key}\n{hashlib.sha256(name.encode(errors='replace')).hexdigest()}"
    own = hmac.digest(secret_key, b"media links", "sha256")
    digest = hmac.digest(own, signed.encode(errors="replace"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
