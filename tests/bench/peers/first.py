"""When a contender's measured part began."""

import os
import time

FIRST = "FIRST"


class FirstRecord:
    """Says once, on standard output, when the records after the warm-up began, and how many had been seen by then."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up, self._seen, self._said = warm_up, 0, False

    def see(self, records: int = 1) -> None:
        """To be called before so many records are processed."""
        if not self._said and self._seen >= self._warm_up:
            self._said = True
            os.write(1, f"{FIRST} {time.monotonic()} {self._seen}\n".encode())
        self._seen += records
