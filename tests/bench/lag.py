"""How many records wait before each stage, while something runs."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from bus.connection import KafkaConnection
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Progress
from streams.topology import TOPOLOGY
from tests.bench.session import NoResult
from tests.bench.system import PREFIX


@dataclass(frozen=True)
class Sample:
    """at: time.monotonic(). waiting: records by stage."""

    at: float
    waiting: dict[str, int]

    @property
    def total(self) -> int:
        """Of all stages."""
        return sum(self.waiting.values())


class Lag:
    """Looks every so many seconds, inside `async with`."""

    def __init__(self, kafka: KafkaConnection, prefix: str = PREFIX, every: float = 0.5) -> None:
        self._progress = Progress(kafka, prefix, TOPOLOGY, Metrics())
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self.samples: list[Sample] = []

    async def __aenter__(self) -> "Lag":
        await self._progress.start()
        await self._look()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._progress.stop()

    @property
    def now(self) -> int:
        """Records that waited at the last look. Raises what stopped the looking."""
        if self._task is not None and self._task.done():
            self._task.result()
        return self.samples[-1].total

    async def gone(self, seconds: float) -> None:
        """Wait until nothing waits, at a look from now on. Raises NoResult."""
        seen, deadline = len(self.samples), time.monotonic() + seconds
        while len(self.samples) == seen or self.now:
            if time.monotonic() > deadline:
                raise NoResult(f"after {seconds:.0f} s there were still {self.now} records to process")
            await asyncio.sleep(self._every / 5)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._look()

    async def _look(self) -> None:
        committed, ends = await self._progress.committed(), await self._progress.ends()
        waiting = {
            stage: sum(max(0, end - committed[stage].get(partition, 0)) for partition, end in partitions.items())
            for stage, partitions in ends.items()
        }
        self.samples.append(Sample(time.monotonic(), waiting))


def growth(samples: Sequence[Sample]) -> float:
    """Records a second by which the total grows: the slope of the line of least squares."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression([s.at for s in samples], [s.total for s in samples]).slope


def by_stage(samples: Sequence[Sample]) -> dict[str, float]:
    """Mean of what waited before each stage."""
    return {stage: statistics.mean(s.waiting[stage] for s in samples) for stage in samples[0].waiting}
