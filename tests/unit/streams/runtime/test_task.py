"""What a task takes of what was fetched, and of its changelog, and what it leaves."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.greeting import GREETING
from bus.connection import KafkaConnection
from streams.clock import wall_clock
from streams.runtime.faust_overrides import Fetched
from streams.runtime.metrics import Metrics
from streams.runtime.processor import Processor
from streams.runtime.runner import KEPT_S, StageRunner
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.task import Leftovers, Task
from streams.runtime.transactions import Transactions
from streams.state import TaskState, row_key


class NeverStarted:
    """A producer that waits for its broker."""

    def __init__(self, *_: object) -> None: ...

    async def start(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def env() -> Environment:
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    return Environment(connection, "t.", SettingsStore(str), wall_clock, Metrics(), new_producer=NeverStarted)


def new_task(env: Environment, kept: Leftovers) -> Task:
    processor = Processor(env, GREETING, 0)
    return Task(env, Transactions(env), GREETING, 0, 1, lambda partition, queued: None, processor, kept)


@pytest.fixture
async def task(env: Environment) -> AsyncIterator[Task]:
    task = new_task(env, Leftovers())
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


class InterruptedChangelog(Changelog):
    """One that brings a row with its first fetch, and then nothing any more."""

    def __init__(self, task: Task, fetches: int) -> None:
        super().__init__(task, fetches)
        self.read = asyncio.Event()

    async def getmany(self, **options: object) -> dict[TopicPartition, list[ConsumerRecord]]:
        if self.progress:
            self.read.set()
            await asyncio.Event().wait()
        await super().getmany(**options)
        row = row_key("key", "row")
        return {self._task._changelog: [ConsumerRecord("state", 0, 6, 0, 0, row, b"value", None, 1, 1, [])]}


async def test_a_restore_that_is_interrupted_leaves_what_it_had_read(task: Task) -> None:
    changelog = InterruptedChangelog(task, 3)
    restoring = asyncio.create_task(task._restore(changelog))
    await changelog.read.wait()
    restoring.cancel()
    kept = await task.close()
    assert kept.read_to == 7
    assert list(kept.state.rows()) == [("key", "row", b"value")]


async def test_a_task_begins_with_what_was_kept_for_it(env: Environment) -> None:
    state = TaskState()
    state.write("key", "row", b"value")
    kept = Leftovers(state, read_to=7, next_offset=5, owner="somebody")
    task = new_task(env, kept)
    assert replace(await task.close(), at=kept.at) == kept


async def test_rows_that_nobody_came_back_for_are_let_go(env: Environment) -> None:
    runner = StageRunner(env, Transactions(env), GREETING, None, 1.0)
    now = time.monotonic()
    runner._kept = {0: Leftovers(at=now - KEPT_S - 1), 1: Leftovers(at=now)}
    runner.forget()
    assert list(runner._kept) == [1]


async def test_records_that_are_fetched_again_are_taken_once(task: Task) -> None:
    # Faust seeks to the committed offset after it has let a first fetch of the new assignment through.
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(0, 8), 5))
    assert taken(task, 100) == list(range(8))


async def test_a_task_takes_nothing_of_another_assignment(task: Task) -> None:
    # The last assignment's position, reported when its records have been dropped, would pass over them.
    task.deliver(Fetched(0, [], 8, assignment=2, after=None))
    task.deliver(fetched(range(0, 5), None))
    assert taken(task, 100) == list(range(5))


async def test_records_that_are_fetched_again_are_taken_once_in_small_batches(task: Task) -> None:
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(2, 9), 5))
    assert [taken(task, 4), taken(task, 4), taken(task, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
