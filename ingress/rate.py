"""How many callbacks of a channel this process takes."""

from collections.abc import Callable
from typing import Final

PER_SECOND: Final = 6_000.0
"""A number carries 1,000 messages a second at most, and each has five statuses (docs, confirmed): six callbacks."""
BURST: Final = 300_000.0
"""Nearly a minute of that: what a provider may have kept. Twilio does not repeat what is refused."""


class RateLimit:
    """A token bucket for each channel. What is above it comes from no number. clock: seconds."""

    def __init__(self, clock: Callable[[], float], *, per_second: float = PER_SECOND, burst: float = BURST) -> None:
        self._clock, self._per_second, self._burst = clock, per_second, burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, channel_id: str) -> bool:
        """Whether one more is within the limit."""
        now = self._clock()
        tokens, at = self._buckets.get(channel_id, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        allowed = tokens >= 1
        self._buckets[channel_id] = tokens - allowed, now
        return allowed
