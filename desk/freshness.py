"""Reading what one wrote: an answer says what was written, and a query may ask to be answered when the view has it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

from desk.view.applier import Place
from desk.view.progress import Progress
from desk.view.queries import Queries

HEADER: Final = "View-Position"
WAIT_S: Final = 2.0
"""Seconds that a query waits at most."""
_LOOK_S: Final = 0.1
_PART: Final = re.compile(r"([A-Za-z0-9._-]{1,249})/(\d{1,9}):(\d{1,18})")

Ends = Callable[[], Awaitable[Mapping[Place, int]]]
"""Offsets behind all that this process knows to be written."""


async def nothing() -> Mapping[Place, int]:
    """The ends where nothing is written that the view reads."""
    return {}


class Freshness:
    """What is written and the view may not have read. ends: what there is; progress: how far the view has read."""

    def __init__(self, progress: Progress, ends: Ends = nothing) -> None:
        self.progress, self._ends = progress, ends

    async def position(self) -> str | None:
        """Where the view must have read to for what was written so far; None: it has."""
        read = self.progress.positions
        left = {place: end for place, end in (await self._ends()).items() if read.get(place, 0) < end}
        return ",".join(f"{place.topic}/{place.partition}:{end}" for place, end in sorted(left.items())) or None

    async def wait(self, position: str, queries: Queries) -> bool:
        """Wait until the view has read so far. False: it has not yet. Raises ValueError: it is no position."""
        found = [_PART.fullmatch(part) for part in position.split(",")]
        if not all(found):
            raise ValueError("no position of ours")
        places = {Place(part[1], int(part[2])): int(part[3]) for part in found if part}
        until = monotonic() + WAIT_S
        # By the database, as another process may be the one that writes to it just now.
        while True:
            read = await queries.positions()
            if all(read.get(place, 0) >= end for place, end in places.items()):
                return True
            if monotonic() >= until:
                return False
            await self.progress.moved(_LOOK_S)
