"""How far the view has read, in this process: for those who wait for what they wrote."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from desk.view.applier import Place


class Progress:
    """The offset of the next record of each partition. Topics go by their full names."""

    def __init__(self) -> None:
        self._positions: dict[Place, int] = {}
        self._moved = asyncio.Event()

    @property
    def positions(self) -> Mapping[Place, int]:
        """All of them, as they are now."""
        return self._positions

    def set(self, positions: Mapping[Place, int]) -> None:
        """Everything before these offsets is in the view. Wakes who waits."""
        if any(self._positions.get(place) != position for place, position in positions.items()):
            self._positions.update(positions)
            self.wake()

    async def wait_until(self, topic: str, partition: int, offset: int, timeout: float) -> bool:
        """Wait until the record at an offset is in the view. timeout: seconds; False: it is not in it yet."""
        place = Place(topic, partition)
        try:
            async with asyncio.timeout(timeout):
                while self._positions.get(place, 0) <= offset:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def moved(self, timeout: float) -> None:
        """Wait until more is in the view, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._moved.wait()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._moved.set()
        self._moved = asyncio.Event()
