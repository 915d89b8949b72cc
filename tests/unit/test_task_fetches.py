"""What a task takes of what was fetched."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.structs import ConsumerRecord

from agents.greeting import GREETING
from schemas.connection import KafkaConnection
from streams.clock import wall_clock
from streams.environment import Environment
from streams.faust_internals import Fetched
from streams.metrics import Metrics
from streams.processor import Processor
from streams.settings_store import SettingsStore
from streams.task import Task


class NeverStarted:
    """A producer that waits for its broker."""

    def __init__(self, *_: object) -> None: ...

    async def start(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def task() -> AsyncIterator[Task]:
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    env = Environment(connection, "t.", SettingsStore(str), wall_clock, Metrics(), new_producer=NeverStarted)
    task = Task(env, GREETING, 0, 1, lambda partition, queued: None, Processor(env, GREETING, 0))
    yield task
    task._loop.cancel()
    await asyncio.gather(task._loop, return_exceptions=True)


def fetched(offsets: range, after: int | None) -> Fetched:
    records = [ConsumerRecord("gated", 0, n, 0, 0, b"k", b"v", None, 1, 1, []) for n in offsets]
    return Fetched(0, records, offsets.stop, 1, after)


def taken(task: Task, limit: int) -> list[int]:
    records, _ = task._take_records(limit)
    return [record.offset for record in records]


async def test_records_that_are_fetched_again_are_taken_once(task: Task) -> None:
    # Faust seeks to the committed offset after it has let a first fetch of the new assignment through.
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(0, 8), 5))
    assert taken(task, 100) == list(range(8))


async def test_records_that_are_fetched_again_are_taken_once_in_small_batches(task: Task) -> None:
    task.deliver(fetched(range(0, 5), None))
    task.deliver(fetched(range(2, 9), 5))
    assert [taken(task, 4), taken(task, 4), taken(task, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
