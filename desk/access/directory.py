"""Everybody who may call: fed from the access topic."""

import hmac
import logging
import unicodedata
from datetime import datetime

from desk.access.permissions import Actor
from desk.access.tokens import token_hash
from schemas.events.access import TokenRevoked, TokenSaved, UserDeleted, UserSaved
from schemas.record import UndecodableRecord, decode
from schemas.topics import ACCESS

logger = logging.getLogger(__name__)


def as_login(text: str) -> str:
    """A login as it is stored and compared."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def checked_login(text: str) -> str:
    """A login as it is stored. Raises ValueError: it is no email address."""
    login = as_login(text)
    name, _, domain = login.partition("@")
    if not name or not domain or "@" in domain or not login.isprintable() or " " in login:
        raise ValueError("must be an email address")
    return login


class AccessDirectory:
    """Tokens and users, from the records of the access topic."""

    def __init__(self) -> None:
        self._tokens: dict[str, TokenSaved] = {}
        self._by_hash: dict[str, str] = {}
        self._users: dict[str, UserSaved] = {}

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
            case UserSaved():
                self._users[event.id] = event
            case UserDeleted(id=id):
                self._users.pop(id, None)

    def tokens(self) -> list[TokenSaved]:
        """Those that were not revoked, by id."""
        return sorted(self._tokens.values(), key=lambda token: token.id)

    def token(self, id: str) -> TokenSaved | None:
        """The token of that id."""
        return self._tokens.get(id)

    def users(self) -> list[UserSaved]:
        """All users, by login."""
        return sorted(self._users.values(), key=lambda user: user.login)

    def user(self, id: str) -> UserSaved | None:
        """The user of that id."""
        return self._users.get(id)

    def user_by_login(self, login: str) -> UserSaved | None:
        """The user who signs in so."""
        wanted = as_login(login)
        return next((user for user in self._users.values() if user.login == wanted), None)

    def user_by_subject(self, subject: str) -> UserSaved | None:
        """The user whom the OIDC provider calls so."""
        return next((user for user in self._users.values() if user.subject == subject), None)

    def find(self, token: str, now: datetime) -> Actor | None:
        """Whoever calls with the token; None: it is unknown, revoked or expired. Takes the same time for all."""
        wanted = token_hash(token)
        saved = self._tokens.get(self._by_hash.get(wanted, ""))
        if not hmac.compare_digest(wanted, "" if saved is None else saved.hash) or saved is None:
            return None
        if saved.expires_at is not None and now >= saved.expires_at:
            return None
        return Actor(f"token/{saved.id}", saved.name, saved.grant)
