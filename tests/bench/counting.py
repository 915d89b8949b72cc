"""The counting stage's input, and whether a contender's output is right and when it was complete."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from bus.connection import KafkaConnection, client_options
from schemas.record import Record, encode
from schemas.topics import Topic
from streams.clock import wall_clock
from tests.bench.session import NoResult
from tests.broker.counting import COUNTS, NUMBERS, Number
from tests.support.reading import committed_messages

VALUE_BYTES = 600
KEYS = 5000
PARTITIONS = [0, 1]
POLL_SECONDS = 0.05
QUIET_SECONDS = 1.0
"""How long the outputs must have been at rest before they are counted: counting takes a core of the machine's."""
LIMIT_SECONDS = 600.0
BATCH = 500

_N = 987_654_321
"""Stands for a number in the template of an input."""


async def produce(kafka: KafkaConnection, prefix: str, records: int) -> None:
    """Numbered inputs, each a CloudEvent of VALUE_BYTES, on the partitions of their keys."""
    place = DefaultPartitioner()
    homes = {n: place(b"k%d" % n, PARTITIONS, PARTITIONS) for n in range(KEYS)}
    template = _template()
    batches: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    producer = AIOKafkaProducer(**client_options(kafka), acks="all", max_batch_size=1_000_000)
    async with producer:

        async def send(partition: int) -> None:
            batch = producer.create_batch()
            for key, value in batches.pop(partition, []):
                batch.append(timestamp=None, key=key, value=value)
            batch.close()
            await (await producer.send_batch(batch, NUMBERS.full_name(prefix), partition=partition))

        for n in range(records):
            key = n % KEYS
            partition = homes[key]
            batches[partition].append((b"k%d" % key, template % (n, key, n)))
            if len(batches[partition]) == BATCH:
                await send(partition)
        for partition in PARTITIONS:
            await send(partition)


def _template() -> bytes:
    """An encoded input with places for id, key and number: encoding each one would take longer than counting it."""

    def value(pad: int) -> bytes:
        record = Record("r%d", "/bench", wall_clock(), "k%d", Number(n=_N, pad="x" * pad))
        return encode(record).replace(b"%d" % _N, b"%d")

    return value(VALUE_BYTES - len(value(1) % (_N, KEYS, _N)) + 1)


async def check(kafka: KafkaConnection, topic: Topic, prefix: str, name: str) -> int:
    """How many outputs there are. Raises NoResult if those of a key do not count 1, 2, 3 …"""
    counts: dict[bytes, list[int]] = defaultdict(list)
    numbers = set()
    messages = await committed_messages(kafka, topic.full_name(prefix))
    for message in messages:
        body = orjson.loads(message.value)
        output = body.get("data", body)
        counts[message.key].append(output["count"])
        numbers.add(output["n"])
    wrong = [key for key, seen in counts.items() if seen != list(range(1, len(seen) + 1))]
    if wrong or len(numbers) != len(messages):
        raise NoResult(f"{name} counted {len(wrong)} keys wrong")
    return len(messages)


async def last_output(kafka: KafkaConnection, prefix: str, name: str, records: int, ended: Callable[[], bool]) -> float:
    """When the last of so many outputs could be read (time.monotonic()). ended: whether the contender has.

    Looks at the last stable offsets, which cost nothing, and counts only what has come to rest. Raises NoResult.
    """
    outputs = [TopicPartition(COUNTS.full_name(prefix), partition) for partition in PARTITIONS]
    started = rose = time.monotonic()
    reached = 0
    consumer = AIOKafkaConsumer(**client_options(kafka), isolation_level="read_committed", enable_auto_commit=False)
    async with consumer:
        while (now := time.monotonic()) < started + LIMIT_SECONDS:
            end = sum((await consumer.end_offsets(outputs)).values())
            if end > reached:
                reached, rose = end, now
            elif now > rose + QUIET_SECONDS and reached >= records:
                # Transaction markers have offsets too: only reading tells how many records there are.
                if await check(kafka, COUNTS, prefix, name) == records:
                    return rose
                rose = now
            elif now > rose + QUIET_SECONDS and ended():
                break
            await asyncio.sleep(POLL_SECONDS)
    raise NoResult(f"{name} did not finish")
