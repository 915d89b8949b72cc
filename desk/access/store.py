"""What is remembered of who signs in, and may be lost: it is kept beside the read model, on no topic."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

FORGOTTEN_AFTER: Final = timedelta(hours=24)
"""Since a session began, or a try could be repeated."""
PURGE_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in. hash: of the cookie; epoch: the user's, when it began; seen_at: to the minute.

    strong: with a second factor, or at the OIDC provider.
    """

    hash: str = field(repr=False)
    user: str
    epoch: int
    began_at: datetime
    seen_at: datetime
    strong: bool = False


class Tries(NamedTuple):
    """How often somebody has tried to sign in, and from when they may try again."""

    number: int
    again_at: datetime


class AccessStore(Protocol):
    """Sessions, tries, the last code that each authenticator showed, and when who was last seen."""

    async def add_session(self, session: Session) -> None:
        """Keep a session."""
        ...

    async def session(self, hash: str) -> Session | None:
        """The session of that hash."""
        ...

    async def session_seen(self, hash: str, at: datetime) -> None:
        """Its user called."""
        ...

    async def end_session(self, hash: str) -> None:
        """Forget it, if it is there."""
        ...

    async def tries(self, subject: str) -> Tries | None:
        """Those of one subject, such as a login."""
        ...

    async def replace_tries(self, subject: str, before: Tries | None, after: Tries | None) -> bool:
        """Keep or, None, forget them. False, and nothing is done: they are no longer as before."""
        ...

    async def use_step(self, user: str, step: int) -> bool:
        """Take a user's code of that step. False: one of that step, or a later one, was taken."""
        ...

    async def used(self, actor: str, at: datetime) -> None:
        """An actor called."""
        ...

    async def last_used(self) -> dict[str, datetime]:
        """When each actor called last, as far as it is known."""
        ...

    async def purge(self, before: datetime) -> None:
        """Forget the sessions that began, and the tries that could be repeated, before then."""
        ...


class Purge:
    """Forgets in a store what is a day old, when it is called, at most once an hour."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._last: datetime | None = None

    async def __call__(self, now: datetime) -> None:
        """Forget, if it is time."""
        if self._last is None or now - self._last >= PURGE_EVERY:
            self._last = now
            await self._store.purge(now - FORGOTTEN_AFTER)


class MemoryStore:
    """An AccessStore that ends with its process: for tests, and the terminal."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._tries: dict[str, Tries] = {}
        self._steps: dict[str, int] = {}
        self._used: dict[str, datetime] = {}

    async def add_session(self, session: Session) -> None:
        """See AccessStore."""
        self._sessions[session.hash] = session

    async def session(self, hash: str) -> Session | None:
        """See AccessStore."""
        return self._sessions.get(hash)

    async def session_seen(self, hash: str, at: datetime) -> None:
        """See AccessStore."""
        if (session := self._sessions.get(hash)) is not None:
            self._sessions[hash] = replace(session, seen_at=at)

    async def end_session(self, hash: str) -> None:
        """See AccessStore."""
        self._sessions.pop(hash, None)

    async def tries(self, subject: str) -> Tries | None:
        """See AccessStore."""
        return self._tries.get(subject)

    async def replace_tries(self, subject: str, before: Tries | None, after: Tries | None) -> bool:
        """See AccessStore."""
        if self._tries.get(subject) != before:
            return False
        if after is None:
            self._tries.pop(subject, None)
        else:
            self._tries[subject] = after
        return True

    async def use_step(self, user: str, step: int) -> bool:
        """See AccessStore."""
        if step <= self._steps.get(user, -1):
            return False
        self._steps[user] = step
        return True

    async def used(self, actor: str, at: datetime) -> None:
        """See AccessStore."""
        self._used[actor] = at

    async def last_used(self) -> dict[str, datetime]:
        """See AccessStore."""
        return dict(self._used)

    async def purge(self, before: datetime) -> None:
        """See AccessStore."""
        self._sessions = {hash: one for hash, one in self._sessions.items() if one.began_at >= before}
        self._tries = {subject: one for subject, one in self._tries.items() if one.again_at >= before}
