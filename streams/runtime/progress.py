"""How far every stage has come, from Kafka: lag for the metrics, and barriers so that no timer overtakes a backlog."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agents.stage import Stage
from bus.aiokafka_fixes import believe_loaded_offsets_only
from bus.connection import KafkaConnection, client_options
from schemas.topics import Topic
from streams.runtime.metrics import Metrics
from streams.runtime.task import Barrier
from streams.topology import upstream

logger = logging.getLogger(__name__)

Offsets = Mapping[int, int]

_ClientT = TypeVar("_ClientT")


class Progress:
    """Committed offsets of every stage's group and the ends of their inputs, read together.

    stages: the whole topology, those that other workers run too. reported: the committed offsets at the last poll.
    """

    def __init__(self, connection: KafkaConnection, prefix: str, stages: tuple[Stage, ...], metrics: Metrics) -> None:
        self._options = client_options(connection)
        self._prefix, self._stages, self._metrics = prefix, stages, metrics
        self._upstream = upstream(stages)
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._tps: dict[str, list[TopicPartition]] = {}
        self._pending: list[_Rising] = []
        self.barriers: dict[str, dict[int, Barrier]] = {}
        self.reported: Mapping[str, Offsets] = {}

    async def start(self) -> None:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._options)
        believe_loaded_offsets_only(self._admin)
        await self._admin.start()
        # Ends are high watermarks, not last stable offsets: a commit returns before its markers are written, and until
        # then the last stable offset leaves out what was committed.
        self._consumer = AIOKafkaConsumer(**self._options, isolation_level="read_uncommitted", enable_auto_commit=False)
        await self._consumer.start()
        self._tps = await self._inputs()

    async def _inputs(self) -> dict[str, list[TopicPartition]]:
        admin = _started(self._admin)
        inputs = {stage.name: stage.input.full_name(self._prefix) for stage in self._stages}
        counts = {
            topic["topic"]: len(topic["partitions"])
            for topic in await admin.describe_topics(sorted(set(inputs.values())))
        }
        return {name: [TopicPartition(topic, p) for p in range(counts[topic])] for name, topic in inputs.items()}

    async def missing(self, topics: Iterable[Topic]) -> list[str]:
        """The topics that do not exist, by their full names."""
        existing = set(await _started(self._admin).list_topics())
        return sorted({topic.full_name(self._prefix) for topic in topics} - existing)

    async def stop(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            await self._admin.close()
        if self._consumer is not None:
            await self._consumer.stop()

    def forget(self) -> None:
        """Drop every barrier: the clock was set back."""
        self._pending.clear()
        self.barriers.clear()

    async def committed(self) -> dict[str, Offsets]:
        """Committed offsets by stage and partition."""
        admin = _started(self._admin)
        groups = [f"{self._prefix}{stage.name}" for stage in self._stages]
        answers = await asyncio.gather(*(admin.list_consumer_group_offsets(group) for group in groups))
        return {
            stage.name: {
                tp.partition: entry.offset
                for tp, entry in answer.items()
                if tp.topic == stage.input.full_name(self._prefix)
            }
            for stage, answer in zip(self._stages, answers, strict=True)
        }

    async def ends(self) -> dict[str, Offsets]:
        """The end of every stage's input, by stage and partition."""
        ends = await self.end_offsets([tp for tps in self._tps.values() for tp in tps])
        return {name: {tp.partition: ends[tp] for tp in tps} for name, tps in self._tps.items()}

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The high watermarks of some partitions."""
        ends: dict[TopicPartition, int] = await _started(self._consumer).end_offsets(tps)
        return ends

    async def poll(self, now: datetime) -> None:
        """Read the offsets once; set the lag, and raise the barriers at `now` and those already under way."""
        # Commits first: what was committed before the ends were read covers at least what it says.
        # A poll that fails reports nothing: an old answer would look like an offset that was lost.
        self.reported = {}
        committed = self.reported = await self.committed()
        ends = await self.ends()
        for stage in self._stages:
            for partition, end in ends[stage.name].items():
                lag = max(0, end - committed[stage.name].get(partition, 0))
                self._metrics.lag.labels(stage.name, partition).set(lag)
        self._pending.append(_Rising(now))
        for rising in self._pending:
            rising.advance(self._stages, self._upstream, committed, ends)
        for rising in self._pending:
            for name, targets in rising.targets.items():
                self._raise_barrier(name, rising.time, targets)
        done = [rising for rising in self._pending if len(rising.cleared) == len(self._stages)]
        # An older barrier that is still under way behind a newer one that is through adds nothing.
        self._pending = [r for r in self._pending if not any(r.time <= d.time for d in done)][-60:]

    def _raise_barrier(self, stage: str, time: datetime, targets: Offsets) -> None:
        barriers = self.barriers.setdefault(stage, {})
        for partition, offset in targets.items():
            known = barriers.get(partition)
            if known is None or known.time < time:
                barriers[partition] = Barrier(time, offset)


class _Rising:
    """A barrier on its way down the flow: a stage gets its target once all the stages before it have cleared it."""

    def __init__(self, time: datetime) -> None:
        self.time = time
        self.targets: dict[str, Offsets] = {}
        self.cleared: set[str] = set()

    def advance(
        self,
        stages: tuple[Stage, ...],
        before: Mapping[str, tuple[Stage, ...]],
        committed: Mapping[str, Offsets],
        ends: Mapping[str, Offsets],
    ) -> None:
        for stage in stages:
            name = stage.name
            if name not in self.targets and all(earlier.name in self.cleared for earlier in before[name]):
                self.targets[name] = dict(ends[name])
            targets = self.targets.get(name)
            if targets is not None and all(committed[name].get(p, 0) >= end for p, end in targets.items()):
                self.cleared.add(name)


def _started(client: _ClientT | None) -> _ClientT:
    if client is None:
        raise RuntimeError("not started")
    return client
