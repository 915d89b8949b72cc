"""How fast something may happen: a steady rate, and a burst on credit."""

from collections.abc import Hashable
from datetime import datetime, timedelta


class Rates:
    """The rates of any number of keys."""

    def __init__(self) -> None:
        self._paid_until: dict[Hashable, datetime] = {}

    def take(self, key: Hashable, seconds: float, burst: int, now: datetime) -> bool:
        """Whether it may happen now: once in so many seconds, and `burst` times at once, which is then paid back."""
        step = timedelta(seconds=seconds)
        paid = max(self._paid_until.get(key, now), now)
        if paid - now > step * (burst - 1):
            return False
        self._paid_until[key] = paid + step
        return True
