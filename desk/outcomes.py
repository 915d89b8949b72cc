"""What commands lead to: whoever gave one waits for the first event of the conversations topic that it caused."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from schemas.events.conversation import ConversationCommandRefused
from schemas.record import Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """The first event that a command led to. refused: it led to nothing else."""

    event: str
    at: datetime
    refused: ConversationCommandRefused | None = None


class Expected:
    """An outcome that is waited for."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> Outcome | None:
        """The outcome; None: it did not come in time."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._future)
        except TimeoutError:
            return None

    def came(self, outcome: Outcome) -> None:
        """The first one counts."""
        if not self._future.done():
            self._future.set_result(outcome)


class Outcomes:
    """Those who wait, by the id of their command's record. Fed with every new record of the conversations topic."""

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}

    @contextmanager
    def expect(self, record_id: str) -> Iterator[Expected]:
        """Wait for what the record leads to, from before it is written."""
        expected = self._expected[record_id] = Expected()
        try:
            yield expected
        finally:
            del self._expected[record_id]

    def apply(self, record: Record) -> None:
        """A record that is committed."""
        expected = self._expected.get(record.correlation_id or "")
        if expected is None:
            return
        refused = record.event if isinstance(record.event, ConversationCommandRefused) else None
        expected.came(Outcome(record.event.type, record.time, refused))
