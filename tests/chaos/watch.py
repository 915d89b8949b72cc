"""Looks on while a run lasts: lag by Kafka, and how long a task stood still with work before it."""

import asyncio
import time

from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Progress
from streams.topology import TOPOLOGY

LOOK_S = 0.5
ANSWER_S = 5.0


class Watch:
    """lag: records before the stages. longest_stall: seconds, and whose."""

    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self._progress = Progress(connection, prefix, TOPOLOGY, Metrics())
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}
        self.lag = 0
        self.longest_stall: tuple[float, str] = (0.0, "")

    async def run(self) -> None:
        """Until cancelled."""
        await self._progress.start()
        try:
            while True:
                try:
                    async with asyncio.timeout(ANSWER_S):
                        await self._look()
                except (KafkaError, TimeoutError, OSError):
                    pass  # Kafka is away: what stands still meanwhile shows at the next look
                await asyncio.sleep(LOOK_S)
        finally:
            await self._progress.stop()

    async def _look(self) -> None:
        committed, ends = await self._progress.committed(), await self._progress.ends()
        now, total = time.monotonic(), 0
        for stage, partitions in ends.items():
            for partition, end in partitions.items():
                done = committed[stage].get(partition, 0)
                lag = max(0, end - done)
                total += lag
                before, since = self._moved.get((stage, partition), (done, now))
                if done != before or not lag:
                    self._moved[stage, partition] = (done, now)
                if done != before or lag:
                    self.longest_stall = max(self.longest_stall, (now - since, f"{stage}-{partition}"))
        self.lag = total
