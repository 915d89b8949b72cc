"""What goes into one transaction, and who is fenced."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.structs import RecordMetadata, TopicPartition

from bus.connection import KafkaConnection
from bus.transactional import Message
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.transactions import LANES, MAX_MESSAGES, Offsets, Transactions


class Batch(list[bytes]):
    """A batch as aiokafka's producer makes it."""

    def append(self, *, timestamp: int, key: bytes, value: bytes, headers: object) -> object:  # type: ignore[override]
        super().append(value)
        return True

    def close(self) -> None: ...


class Kafka:
    """What its producers have committed, in order: the values of a transaction by partition. Commits wait for `go`."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.committed: list[dict[int, list[bytes]]] = []
        self.go = asyncio.Event()

    def producer(self, _: KafkaConnection, transactional_id: str) -> "Producer":
        return Producer(self, transactional_id)


class Producer:
    def __init__(self, kafka: Kafka, transactional_id: str) -> None:
        self._kafka, self._id = kafka, transactional_id
        self._open: dict[int, list[bytes]] = {}

    async def start(self) -> None:
        self._kafka.started.append(self._id)

    async def stop(self) -> None: ...

    async def begin_transaction(self) -> None:
        self._open = {}

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        offset = len(self._open.setdefault(partition, []))
        self._open[partition].extend(batch)
        sent: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        sent.set_result(RecordMetadata(topic, partition, TopicPartition(topic, partition), offset, -1, 0, 0))
        return sent

    async def commit_transaction(self) -> None:
        await self._kafka.go.wait()
        self._kafka.committed.append(self._open)


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
async def transactions(kafka: Kafka) -> AsyncIterator[Transactions]:
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    env = Environment(connection, "t.", SettingsStore(str), wall_clock, Metrics(), new_producer=kafka.producer)
    transactions = Transactions(env)
    await transactions.start()
    yield transactions
    await transactions.stop()


def to(partition: int, *values: bytes) -> dict[tuple[str, int], list[Message]]:
    return {("topic", partition): [(b"key", value, []) for value in values]}


async def fill(transactions: Transactions) -> list[asyncio.Task[Offsets]]:
    """Have each lane begin a transaction, which then waits."""
    filling = []
    for lane in range(LANES):
        filling.append(asyncio.create_task(transactions.commit(to(90 + lane, b"first"))))
        for _ in range(10):
            await asyncio.sleep(0)
    return filling


async def test_batches_that_come_while_transactions_run_go_into_one_in_their_order(
    kafka: Kafka, transactions: Transactions
) -> None:
    waiting = await fill(transactions)
    waiting += [
        asyncio.create_task(transactions.commit(batch))
        for batch in (to(1, b"a", b"b"), to(2, b"c") | to(3, b"d"), to(1, b"e"))
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    assert kafka.committed == []
    kafka.go.set()
    await asyncio.gather(*waiting)
    assert kafka.committed[LANES:] == [{1: [b"a", b"b", b"e"], 2: [b"c"], 3: [b"d"]}]


async def test_a_transaction_takes_no_more_in_once_it_is_large(kafka: Kafka, transactions: Transactions) -> None:
    waiting = await fill(transactions)
    many = [b"x"] * MAX_MESSAGES
    waiting += [asyncio.create_task(transactions.commit(to(n, *many))) for n in range(LANES + 1)]
    kafka.go.set()
    await asyncio.gather(*waiting)
    assert [list(partitions) for partitions in kafka.committed[LANES:]] == [[n] for n in range(LANES + 1)]


async def test_every_producer_of_a_process_is_fenced_once(kafka: Kafka, transactions: Transactions) -> None:
    gone = Transactions(transactions._env)
    kafka.started.clear()
    await asyncio.gather(*(transactions.fence(gone.owner) for _ in range(3)))
    assert kafka.started == gone.owner.split(",")
    assert len(set(kafka.started)) == LANES


async def test_no_two_processes_are_the_same_owner(transactions: Transactions) -> None:
    assert transactions.owner != Transactions(transactions._env).owner
