"""Waits between tries to sign in, which grow: for a login, and for the address that it is tried from."""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from desk.access.store import FORGOTTEN_AFTER, AccessStore, Purge, Tries

LONGEST: Final = timedelta(minutes=15)


@dataclass(frozen=True)
class Limit:
    """free: how many tries may fail without a wait. Then it is a second, and twice as long each time, up to LONGEST."""

    free: int

    def wait(self, count: int) -> timedelta:
        """After so many tries."""
        over = count - self.free
        return timedelta(0) if over < 0 else min(LONGEST, timedelta(seconds=2 ** min(over, 20)))


OF_A_LOGIN: Final = Limit(free=5)
OF_AN_ADDRESS: Final = Limit(free=30)
"""A whole office may share one. Who succeeds uses none up."""


def login_subject(login: str) -> str:
    """Whose tries are counted. A hash: what people type there may be a password."""
    return f"login/{hashlib.sha256(login.encode(errors='replace')).hexdigest()[:32]}"


def address_subject(address: str | None) -> str:
    """From where they are counted: an IPv4 address, or the network of an IPv6 one, which has many."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "address/unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return f"address/{found.ipv4_mapped}"
        return f"address/{ipaddress.ip_network((found, 64), strict=False).network_address}"
    return f"address/{found}"


class Lockout:
    """Counts tries before they are judged, so that many at once are no way around it."""

    def __init__(self, store: AccessStore) -> None:
        self._store, self._purge = store, Purge(store)

    async def admit(self, subject: str, limit: Limit, now: datetime) -> timedelta | None:
        """Count a try. Returns how long to wait instead, and counts nothing, where it comes too early."""
        await self._purge(now)
        while True:
            known = await self._store.tries(subject)
            if known is not None and now < known.again_at:
                return known.again_at - now
            count = 1 if known is None or now >= known.again_at + FORGOTTEN_AFTER else known.number + 1
            if await self._store.replace_tries(subject, known, Tries(count, now + limit.wait(count))):
                return None

    async def take_back(self, subject: str, now: datetime) -> None:
        """A try that was admitted did not fail."""
        while (known := await self._store.tries(subject)) is not None:
            left = Tries(known.number - 1, now) if known.number > 1 else None
            if await self._store.replace_tries(subject, known, left):
                return

    async def forget(self, subject: str) -> None:
        """Forget all tries: the last one succeeded."""
        while (known := await self._store.tries(subject)) is not None:
            if await self._store.replace_tries(subject, known, None):
                return
