"""Sessions of people: opaque cookies of 256 bits, of which only the hashes are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from desk.access.directory import AccessDirectory
from desk.access.permissions import Actor
from desk.access.store import AccessStore, Purge, Session
from desk.access.tokens import new_token, token_hash
from schemas.events.access import UserSaved

COOKIE: Final = "__Host-livedesk"
IDLE: Final = timedelta(hours=2)
ABSOLUTE: Final = timedelta(hours=12)
_SEEN_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose session it is, and until when at the longest."""

    user: UserSaved
    ends_at: datetime
    actor: Actor


class Sessions:
    """Begins, finds and ends sessions. require_strong: without a second factor its user may do next to nothing."""

    def __init__(
        self,
        directory: AccessDirectory,
        store: AccessStore,
        random_bytes: Callable[[int], bytes],
        *,
        require_strong: bool = False,
    ) -> None:
        self._directory, self._store, self._random_bytes = directory, store, random_bytes
        self._require_strong, self._purge = require_strong, Purge(store)

    async def begin(self, user: UserSaved, now: datetime, *, strong: bool) -> tuple[str, SignedIn]:
        """A new session, and what its cookie holds. strong: with a second factor, or at the OIDC provider."""
        await self._purge(now)
        cookie = new_token(self._random_bytes, "lds_")
        session = Session(token_hash(cookie), user.id, user.epoch, now, now, strong)
        await self._store.add_session(session)
        return cookie, self._signed_in(user, session)

    async def find(self, cookie: str, now: datetime, *, used: bool = True) -> SignedIn | None:
        """Whose session it is; None: it has ended, or never was. used: False: it is only looked at.

        It ends when it was not used for IDLE, ABSOLUTE after it began, and with a change of its user's epoch.
        """
        session = await self._store.session(token_hash(cookie))
        if session is None:
            return None
        if now >= min(session.began_at + ABSOLUTE, session.seen_at + IDLE):
            await self._store.end_session(session.hash)
            return None
        user = self._directory.user(session.user)
        # Another process may have begun it under an epoch that this one has not read yet.
        if user is None or user.disabled or session.epoch < user.epoch:
            return None
        if used and now - session.seen_at >= _SEEN_EVERY:
            await self._store.session_seen(session.hash, now)
        return self._signed_in(user, session)

    def _signed_in(self, user: UserSaved, session: Session) -> SignedIn:
        limited = self._require_strong and not session.strong
        actor = Actor(f"user/{user.id}", user.name, user.grant, limited)
        return SignedIn(user, session.began_at + ABSOLUTE, actor)

    async def end(self, cookie: str) -> None:
        """Sign out."""
        await self._store.end_session(token_hash(cookie))


def set_cookie(value: str, max_age: timedelta = ABSOLUTE, name: str = COOKIE) -> str:
    """The Set-Cookie header. An empty value deletes the cookie."""
    # Lax, not Strict: a browser that comes back from the OIDC provider must send it.
    seconds = int(max_age.total_seconds()) if value else 0
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
