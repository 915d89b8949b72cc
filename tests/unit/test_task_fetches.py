"""What a task takes of what was fetched, and of its changelog."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.greeting import GREETING
from schemas.connection import KafkaConnection
from streams.clock import wall_clock
from streams.environment import Environment
from streams.faust_internals import Fetched
from streams.metrics import Metrics
from streams.processor import Processor
from streams.settings_store import SettingsStore
from streams.task import Kept, Task
from streams.transactions import Transactions


class NeverStarted:
    """A producer that waits for its broker."""

    def __init__(self, *_: object) -> None: ...

    async def start(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def task() -> AsyncIterator[Task]:
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    env = Environment(connection, "t.", SettingsStore(str), wall_clock, Metrics(), new_producer=NeverStarted)
    processor = Processor(env, GREETING, 0)
    task = Task(env, Transactions(env), GREETING, 0, 1, lambda partition, queued: None, processor, Kept())
    yield task
    task._loop.cancel()
    await asyncio.gather(task._loop, return_exceptions=True)


def fetched(offsets: range, after: int | None) -> Fetched:
    records = [ConsumerRecord("gated", 0, n, 0, 0, b"k", b"v", None, 1, 1, []) for n in offsets]
    return Fetched(0, records, offsets.stop, 1, after)


def taken(task: Task, limit: int) -> list[int]:
    records, _ = task._take_records(limit)
    return [record.offset for record in records]


class Changelog:
    """A consumer of so many fetches, who looks at what the task tells of its progress, and makes it old."""

    def __init__(self, task: Task, fetches: int) -> None:
        self._task, self._fetches, self._position = task, fetches, 0
        self.progress: list[float] = []

    async def seek_to_beginning(self, _: TopicPartition) -> None: ...

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._fetches)

    async def position(self, _: TopicPartition) -> int:
        return self._position

    async def getmany(self, **_: object) -> dict[TopicPartition, list[ConsumerRecord]]:
        self.progress.append(self._task.last_loop)
        self._task.last_loop = 0.0
        self._position += 1
        return {}


async def test_a_restore_is_progress_however_long_it_takes(task: Task) -> None:
    changelog = Changelog(task, 3)
    await task._restore(changelog)
    assert len(changelog.progress) == 3
    assert all(changelog.progress)


async def test_records_that_are_fetched_again_are_taken_once(task: Task) -> None:
    # Faust seeks to the committed offset after it has let a first fetch of the new assignment through.
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(0, 8), 5))
    assert taken(task, 100) == list(range(8))


async def test_nothing_is_taken_of_another_assignment(task: Task) -> None:
    # The last assignment's position, told when its records have been dropped, would pass over them.
    task.deliver(Fetched(0, [], 8, assignment=2, after=None))
    task.deliver(fetched(range(0, 5), None))
    assert taken(task, 100) == list(range(5))


async def test_records_that_are_fetched_again_are_taken_once_in_small_batches(task: Task) -> None:
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(2, 9), 5))
    assert [taken(task, 4), taken(task, 4), taken(task, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
