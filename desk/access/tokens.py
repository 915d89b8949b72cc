"""API tokens: opaque, prefixed, 256 bits. Only their hashes are kept."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from desk.access.permissions import Actor
from schemas.events.access import TokenRevoked, TokenSaved
from schemas.record import UndecodableRecord, decode
from schemas.topics import ACCESS

logger = logging.getLogger(__name__)

PREFIX: Final = "ldk_"
"""By which secret scanners know one."""


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """A token nobody can guess."""
    return PREFIX + base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")


def token_hash(token: str) -> str:
    """What is kept of it. A fast hash will do: there are 2^256 tokens to try."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


class AccessDirectory:
    """Everybody who may call, from the records of the access topic."""

    def __init__(self) -> None:
        self._tokens: dict[str, TokenSaved] = {}
        self._by_hash: dict[str, str] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the access topic. One that can't be read is left out, with a line in the log."""
        if value is None:
            return
        try:
            event = decode(value, ACCESS.types).event
        except UndecodableRecord as error:
            logger.error("a record of the access topic was left out (key %s): %s", key.decode(), error)
            return
        match event:
            case TokenSaved():
                self._tokens[event.id] = event
                self._by_hash[event.hash] = event.id
            case TokenRevoked(id=id) if (saved := self._tokens.pop(id, None)) is not None:
                self._by_hash.pop(saved.hash, None)

    def tokens(self) -> list[TokenSaved]:
        """Those that count, by id."""
        return sorted(self._tokens.values(), key=lambda token: token.id)

    def token(self, id: str) -> TokenSaved | None:
        """The token of that id."""
        return self._tokens.get(id)

    def find(self, token: str, now: datetime) -> Actor | None:
        """Whoever calls with the token; None: it is unknown, revoked or expired. Takes the same time for all."""
        wanted = token_hash(token)
        saved = self._tokens.get(self._by_hash.get(wanted, ""))
        if not hmac.compare_digest(wanted, "" if saved is None else saved.hash) or saved is None:
            return None
        if saved.expires_at is not None and now >= saved.expires_at:
            return None
        return Actor(f"token/{saved.id}", saved.name, saved.grant)
