"""Passwords of users: which may be chosen, and their hashes, by Argon2id."""

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from zxcvbn.frequency_lists import FREQUENCY_LISTS

MIN_CHARACTERS: Final = 8
MAX_CHARACTERS: Final = 128
"""Any characters, none of them required (ASVS 5.0, 6.2)."""

_AT_ONCE: Final = 2
"""Each takes 64 MiB and a core for a tenth of a second."""

_ValueT = TypeVar("_ValueT")


def why_not(password: str, about: Iterable[str] = ()) -> str | None:
    """Why nobody may choose the password; None: they may. about: what others know of its user, such as the login."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        return f"must be {MIN_CHARACTERS} to {MAX_CHARACTERS} characters long"
    plain = password.casefold()
    if plain in _common():
        return "is one of the most common passwords: choose another"
    known = {text.casefold() for text in ("livedesk", *about) if text}
    known |= {text.partition("@")[0] for text in known}
    # With a digit or two added it is as easy to guess.
    if plain in known or plain.strip("0123456789!.-_ ") in known:
        return "must not be a name or address that others know: choose another"
    return None


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    # 30,000 of leaked ones, the most common first; 11,611 of them are long enough to be chosen.
    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_CHARACTERS)


class Checked(NamedTuple):
    """right: it is the password. stale: its hash was made with other parameters than today's."""

    right: bool
    stale: bool = False


class Passwords:
    """Hashes and verifies, in threads, two at once."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._nobody = self._hasher.hash("nobody's")
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """What is kept of a password."""
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, kept: str | None, password: str) -> Checked:
        """Whether it is the password. kept: its hash; None: it is wrong, which takes as long to say."""
        return await self._run(lambda: self._check(kept, password))

    def _check(self, kept: str | None, password: str) -> Checked:
        try:
            self._hasher.verify(self._nobody if kept is None else kept, password)
        except (VerificationError, InvalidHashError):
            return Checked(right=False)
        return Checked(kept is not None, kept is not None and self._hasher.check_needs_rehash(kept))

    async def _run(self, work: Callable[[], _ValueT]) -> _ValueT:
        async with self._turn:
            return await asyncio.to_thread(work)
