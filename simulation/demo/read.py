"""The demo's topics: read whole, as any consumer downstream would see them, and deleted."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from bus.connection import KafkaConnection, client_options
from deploy.errors import LiveDeskError
from schemas.codec import from_kafka
from schemas.record import Record
from schemas.topics import Topic

READ_SECONDS = 30.0


async def read_all(connection: KafkaConnection, prefix: str, topics: Iterable[Topic]) -> dict[Topic, list[Record]]:
    """Every committed record up to the present end, in order within a partition. Raises LiveDeskError."""
    by_name = {topic.full_name(prefix): topic for topic in topics}
    records: dict[Topic, list[Record]] = {topic: [] for topic in by_name.values()}
    consumer = AIOKafkaConsumer(
        *by_name,  # without a group this assigns all of their partitions
        **client_options(connection),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        async with asyncio.timeout(READ_SECONDS):
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, messages in (await consumer.getmany(timeout_ms=100)).items():
                    topic = by_name[tp.topic]
                    records[topic] += (from_kafka(topic, message.value, message.headers) for message in messages)
    except TimeoutError:
        raise LiveDeskError(f"The topics could not be read whole within {READ_SECONDS:.0f} s.") from None
    finally:
        await consumer.stop()
    return records


async def delete_topics(connection: KafkaConnection, names: Iterable[str]) -> None:
    """Delete topics, by their full names; what is not there is not missed."""
    admin = AIOKafkaAdminClient(**client_options(connection))
    await admin.start()
    try:
        await admin.delete_topics(list(names))
    finally:
        await admin.close()
