"""How many callbacks of a channel this process takes in a second."""

from collections.abc import Callable
from typing import Final

CALLBACKS_PER_SECOND: Final = 10_000
"""A number carries 1,000 messages a second at most, and each has five statuses (docs, confirmed): six callbacks."""


class RateLimit:
    """Counts the callbacks of each channel in each second of the clock (in seconds)."""

    def __init__(self, clock: Callable[[], float], *, per_second: int = CALLBACKS_PER_SECOND) -> None:
        self._clock, self._per_second = clock, per_second
        self._second, self._counts = -1, dict[str, int]()

    def allows(self, channel_id: str) -> bool:
        """Whether one more is within the limit."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts[channel_id] = self._counts.get(channel_id, 0) + 1
        return count <= self._per_second
