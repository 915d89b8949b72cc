"""A front door whose means are the test's."""

import os
from collections.abc import Callable
from datetime import datetime
from itertools import count

from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from desk.access.admission import AdmissionRules
from desk.access.directory import AccessDirectory
from desk.access.oidc import OidcClient
from desk.access.passwords import Passwords
from desk.access.store import AccessStore, MemoryStore
from desk.front_door import FrontDoor, Means
from desk.journal import Change, Fill
from schemas.codec import Headers
from schemas.topics import ACCESS


def scramble(text: str) -> str:
    return "enc:" + text[::-1]


def unscramble(text: str) -> str:
    return text.removeprefix("enc:")[::-1]


def cheap_passwords() -> Passwords:
    """With the cheapest parameters: what they cost in earnest is no part of what is tested."""
    return Passwords(PasswordHasher.from_parameters(CHEAPEST))


def front_door(
    journal: "AccessJournal",
    clock: Callable[[], datetime],
    *,
    store: AccessStore | None = None,
    oidc: tuple[OidcClient, AdmissionRules] | None = None,
) -> FrontDoor:
    ids = (f"id{number}" for number in count(1))
    means = Means(b"unit", scramble, unscramble, os.urandom, lambda: next(ids), clock)
    return FrontDoor(journal.directory, journal, store or MemoryStore(), means, passwords=cheap_passwords(), oidc=oidc)


class AccessJournal:
    """A journal whose directory knows at once what was written."""

    def __init__(self, directory: AccessDirectory, clock: Callable[[], datetime]) -> None:
        self.directory, self._clock = directory, clock
        self.messages: list[tuple[str, bytes, bytes, Headers]] = []

    async def write(self, fill: Fill) -> None:
        change = Change("t.", f"change{len(self.messages)}", self._clock(), scramble)
        fill(change)
        self.messages += change.messages
        for topic, key, value, _ in change.messages:
            if topic == ACCESS.full_name("t."):
                self.directory.apply(key, value)
