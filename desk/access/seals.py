"""What is given to a browser to bring back: encrypted, for one purpose, for a few minutes."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SEALED_FOR: Final = timedelta(minutes=10)


class Seals:
    """Seals and opens. keys: the installation's, from which those of its own are derived; the first one seals."""

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys

    def seal(self, purpose: str, data: Mapping[str, str], now: datetime) -> str:
        """The data, readable by nobody else."""
        return self._fernet().encrypt_at_time(orjson.dumps({**data, "": purpose}), int(now.timestamp())).decode()

    def open(self, purpose: str, sealed: str, now: datetime) -> dict[str, str] | None:
        """What was sealed for that purpose; None: it was not, or too long ago."""
        try:
            seconds = int(SEALED_FOR.total_seconds())
            text = self._fernet().decrypt_at_time(sealed.encode(), seconds, int(now.timestamp()))
        except (InvalidToken, UnicodeEncodeError):
            return None
        data: dict[str, str] = orjson.loads(text)
        return data if data.pop("", None) == purpose else None

    def _fernet(self) -> MultiFernet:
        own = (hmac.digest(key, b"livedesk seals", hashlib.sha256) for key in self._keys())
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in own])
