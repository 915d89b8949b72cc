"""Looks at the running stack: Kafka's offsets, the workers' metrics, the topics, the sandbox."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from aiohttp import ClientError, ClientSession
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from bus.follower import TopicFollower
from schemas.record import UndecodableRecord, decode
from schemas.topics import ASSIGNMENTS, CONVERSATIONS, INBOX, STATUSES, Topic
from simulation.demo.conversations import Conversations
from simulation.demo.picture import Picture, StageNumbers
from simulation.stack import Stack
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Progress
from streams.topology import TOPOLOGY

LOOK_SECONDS = 0.5
RATE_SECONDS = 3.0
"""Over how long records a second are averaged."""


class Watch:
    """Keeps the picture and the conversations up to date."""

    def __init__(self, stack: Stack, session: ClientSession, picture: Picture, conversations: Conversations) -> None:
        self._stack, self._session, self._picture, self._conversations = stack, session, picture, conversations
        settings = stack.settings
        self._progress = Progress(settings.kafka, settings.topic_prefix, TOPOLOGY, Metrics())
        self._seen: deque[tuple[float, Counter[str]]] = deque()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for as long as the block runs."""
        settings = self._stack.settings
        followers = [
            TopicFollower(settings.kafka, topic.full_name(settings.topic_prefix), partial(self._apply, topic))
            for topic in (CONVERSATIONS, ASSIGNMENTS, STATUSES, INBOX)
        ]
        looking: asyncio.Task[None] | None = None
        try:
            await self._progress.start()
            for follower in followers:
                await follower.start()
            looking = asyncio.create_task(self._look_on())
            yield
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
            for follower in followers:
                await follower.stop()
            await self._progress.stop()

    async def lag(self) -> dict[str, int]:
        """Records that each stage has still to commit, by Kafka. Raises KafkaError."""
        # Commits first: what was committed before the ends were read covers at least what it says.
        committed = await self._progress.committed()
        ends = await self._progress.ends()
        return {
            stage: sum(max(0, end - committed[stage].get(partition, 0)) for partition, end in partitions.items())
            for stage, partitions in ends.items()
        }

    def _apply(self, topic: Topic, _key: bytes, value: bytes | None) -> None:
        try:
            record = decode(value or b"", topic.types)
        except UndecodableRecord:
            self._picture.counts["unreadable records"] += 1
            return
        self._picture.take(record)
        self._conversations.take(record)

    async def _look_on(self) -> None:
        while True:
            # Whatever keeps it from seeing now, the next look shows.
            with suppress(KafkaError, ClientError, TimeoutError):
                await self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        lag = await self.lag()
        now, records = time.monotonic(), await self._records()
        while self._seen and self._seen[0][0] < now - RATE_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0] if self._seen else (now, records)
        self._seen.append((now, records))
        self._picture.stages = {
            stage.name: StageNumbers(
                records=records[stage.name],
                rate=max(0, records[stage.name] - before[stage.name]) / max(now - then, LOOK_SECONDS),
                lag=lag[stage.name],
            )
            for stage in TOPOLOGY
        }

    async def _records(self) -> Counter[str]:
        pages = await asyncio.gather(*(self._page(port) for port in self._stack.ports.workers))
        records: Counter[str] = Counter()
        for page in pages:
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    if sample.name == "livedesk_records_total":
                        records[sample.labels["stage"]] += int(sample.value)
        return records

    async def _page(self, port: int) -> str:
        async with self._session.get(f"http://127.0.0.1:{port}/metrics") as response:
            return await response.text()
