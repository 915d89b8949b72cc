"""Conversations that a stage already knows: the rows of one that really was, over and over under other contacts."""

from collections.abc import Iterator, Sequence

from aiokafka import AIOKafkaProducer

from agents.stage import Stage
from bus.connection import KafkaConnection, client_options
from schemas.topics import state_topic
from streams.topology import TOPOLOGY
from tests.support.reading import committed_messages

Rows = Sequence[tuple[bytes, bytes]]
"""Keys and values of a changelog."""

BATCH_BYTES = 1_000_000


async def rows_of(kafka: KafkaConnection, prefix: str, stage: Stage, contact: str) -> Rows:
    """The rows that the stage keeps of a contact."""
    newest: dict[bytes, bytes | None] = {}
    for message in await committed_messages(kafka, state_topic(stage.name).full_name(prefix)):
        if contact.encode() in message.key:
            newest[message.key] = message.value
    return [(key, value) for key, value in newest.items() if value is not None]


async def rows_by_stage(kafka: KafkaConnection, prefix: str, contact: str) -> dict[Stage, Rows]:
    """The same of every stage that keeps any."""
    stages = [stage for stage in TOPOLOGY if stage.state and not stage.shared]
    found = {stage: await rows_of(kafka, prefix, stage, contact) for stage in stages}
    return {stage: rows for stage, rows in found.items() if rows}


def size(rows: Rows) -> int:
    """Bytes of keys and values."""
    return sum(len(key) + len(value) for key, value in rows)


def copies(rows: Rows, contact: str, numbers: range) -> Iterator[list[tuple[bytes, bytes]]]:
    """The rows of each further contact, whose digits take the place of the first one's."""
    before = contact.encode()
    for number in numbers:
        after = b"999%08d" % number
        yield [(key.replace(before, after), value.replace(before, after)) for key, value in rows]


async def populate(
    kafka: KafkaConnection, topic: str, partitions: int, population: Iterator[list[tuple[bytes, bytes]]]
) -> None:
    """Write them to a changelog of so many partitions, one contact's rows on one of them.

    Not where the contact's key would put them: nobody there writes again, and hashing the keys would take longer.
    """
    async with AIOKafkaProducer(**client_options(kafka), acks="all", max_batch_size=BATCH_BYTES) as producer:
        batches = [producer.create_batch() for _ in range(partitions)]

        async def send(partition: int) -> None:
            batch = batches[partition]
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))
            batches[partition] = producer.create_batch()

        for number, rows in enumerate(population):
            partition = number % partitions
            for key, value in rows:
                if batches[partition].append(timestamp=None, key=key, value=value) is None:
                    await send(partition)
                    batches[partition].append(timestamp=None, key=key, value=value)
        for partition in range(partitions):
            await send(partition)
