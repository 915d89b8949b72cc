"""When nearly everything fails, the stage stops and says so (docs/design.md, 4.8): dead letters have a limit."""

from collections import deque


class TooManyFailures(RuntimeError):
    """Nearly all of a stage's latest records failed: it is not the records."""


class Failures:
    """The latest records of a task, and how many of them failed."""

    WINDOW = 200
    SHARE = 0.9

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._latest: deque[tuple[int, int]] = deque()
        self._records = self._failed = 0

    def count(self, records: int, failed: int) -> None:
        """Take note of a batch. Raises TooManyFailures."""
        self._latest.append((records, failed))
        self._records += records
        self._failed += failed
        while self._records - self._latest[0][0] >= self.WINDOW:
            old_records, old_failed = self._latest.popleft()
            self._records -= old_records
            self._failed -= old_failed
        if self._records >= self.WINDOW and self._failed >= self.SHARE * self._records:
            raise TooManyFailures(f"{self._failed} of the latest {self._records} records of {self._stage} failed")
