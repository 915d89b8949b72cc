"""A log and changelogs that an earlier version wrote are read and replayed by this one.

tests/fixtures/log/6e490dc.xz was made by tests/fixtures/log/record.py at that commit.
"""

import lzma
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.media import MEDIA
from agents.reconciliation import RECONCILIATION
from agents.reports.ai import REPORTS_AI
from agents.reports.conversations import REPORTS_CONVERSATIONS
from agents.stage import Stage
from deploy.kafka.committed import CommittedReader
from deploy.stage_log import read_settings, read_stage
from schemas.codec import from_kafka, to_kafka
from schemas.topics import TOPICS
from streams.replay.rebuild import replay
from streams.state import TaskState
from streams.topology import TOPOLOGY

FILE = Path(__file__).parents[1] / "fixtures" / "log" / "6e490dc.xz"

NEW = {"delivery.failed", "conversation.changed", "media.requested"}
"""Types that this version writes where the one that wrote the log wrote nothing."""
NEWER = (MEDIA, RECONCILIATION, REPORTS_AI)
"""Stages that the log knows nothing of."""
COUNTS_ANEW = REPORTS_CONVERSATIONS
"""Since then it counts what AI agents do, too, and the first response after a reopening from there."""
WHERE_READ = {"partition", "offset"}
"""What a dead letter says of the log itself."""


class Written(NamedTuple):
    """A record as it was read from Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Recorded:
    """The recorded log in place of a Kafka, with what CommittedReader offers. Topics go by their bare names."""

    def __init__(self) -> None:
        committed, *lines = lzma.decompress(FILE.read_bytes()).splitlines()
        self._committed: dict[str, dict[str, int]] = orjson.loads(committed)
        self.topics: defaultdict[str, list[Written]] = defaultdict(list)
        for topic, partition, offset, timestamp, key, value, headers in map(orjson.loads, lines):
            decoded = [(name, text.encode("latin-1")) for name, text in headers]
            body = None if value is None else value.encode("latin-1")
            self.topics[topic].append(
                Written(topic, partition, offset, timestamp, key.encode("latin-1"), body, decoded)
            )

    async def partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(2)]

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return {int(partition): offset for partition, offset in self._committed[group].items()}

    async def begins(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def read(self, tps: Iterable[TopicPartition], progress: Any = None) -> list[ConsumerRecord]:
        wanted = set(tps)
        topics = {tp.topic for tp in wanted}
        found = (one for topic in topics for one in self.topics[topic])
        return [cast(ConsumerRecord, one) for one in found if TopicPartition(one.topic, one.partition) in wanted]


@cache
def recorded() -> Recorded:
    return Recorded()


def test_every_recorded_event_is_still_read() -> None:
    topics = {topic.full_name(""): topic for topic in TOPICS}
    read = [
        from_kafka(topics[name], one.value or b"", one.headers)
        for name, written in recorded().topics.items()
        if name in topics
        for one in written
    ]
    assert len(read) > 3000


@pytest.mark.parametrize("stage", [one for one in TOPOLOGY if one not in NEWER], ids=lambda stage: stage.name)
async def test_replay_of_the_recorded_log_gives_its_records_and_rows(stage: Stage) -> None:
    reader = cast(CommittedReader, recorded())
    log, store = await read_stage(reader, "", stage), await read_settings(reader, "")
    written = {body["id"]: body for one in log.written if (body := orjson.loads(one.value))}
    ours: dict[str, dict[str, Any]] = {}
    for partition in log.partitions:
        state = TaskState()
        for replayed in replay(stage, partition.inputs, partition.timers, store.lookup, state, None, partition.number):
            for out in replayed.step.outgoing:
                ours[out.record.id] = orjson.loads(to_kafka(out.topic, out.record)[0])
        rows = {(key, name): orjson.loads(row) for key, name, row in state.rows()}
        recorded_rows = {row: orjson.loads(value) for row, value in partition.rows.items()}
        if stage is COUNTS_ANEW:
            assert rows.keys() >= recorded_rows.keys()
        else:
            assert lost(recorded_rows, rows) == []
            assert rows.keys() == recorded_rows.keys()
    assert stage is COUNTS_ANEW or lost(written, ours) == []
    assert stage is COUNTS_ANEW or {ours[id]["type"] for id in ours.keys() - written.keys()} <= NEW
    assert log.partitions


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where the later value does not say what the earlier one did. It may say more."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in before if name not in WHERE_READ]
        return [found for name in names for found in lost(before[name], after.get(name), f"{path}.{name}")]
    return [] if before == after else [f"{path}: {before!r}, now {after!r}"]
