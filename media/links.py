"""Links to stored files that anybody may follow who has one, until they expire."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, quote

MEDIA_PATH: Final = "/media"
LINK_LIVES: Final = timedelta(hours=24)
"""A link is made when its message is sent: a provider fetches the file within its queue's hours (Twilio: 4)."""


class Links:
    """Makes and checks links. secret_key: the installation's."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = hmac.digest(secret_key, b"media links", "sha256")

    def path(self, key: str, name: str | None, now: datetime, lives: timedelta = LINK_LIVES) -> str:
        """The path of a link to the file of that key. name: what it is to be saved as."""
        expires = int((now + lives).timestamp())
        query = f"?name={quote(name, safe='')}" if name else ""
        return f"{MEDIA_PATH}/{expires}.{self._signature(key, name or '', expires)}/{key}{query}"

    def read(self, path: str, query: str, now: datetime) -> tuple[str, str | None] | None:
        """Key and name of a link's file; None: it is expired, or none of ours. path: without MEDIA_PATH and "/"."""
        token, _, key = path.partition("/")
        expires, _, signature = token.partition(".")
        name = parse_qs(query).get("name", [""])[0]
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        expected = self._signature(key, name, int(expires))
        if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            return None
        return (key, name or None) if now.timestamp() < int(expires) else None

    def _signature(self, key: str, name: str, expires: int) -> str:
        signed = f"{expires}\n{key}\n{hashlib.sha256(name.encode(errors='replace')).hexdigest()}"
        return (
            base64.urlsafe_b64encode(hmac.digest(self._key, signed.encode(errors="replace"), "sha256"))
            .rstrip(b"=")
            .decode()
        )
