"""Reading what is committed on a topic, and waiting for what must come true."""

import asyncio
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from bus.connection import KafkaConnection, client_options
from schemas.record import Record, decode
from schemas.topics import Topic


async def committed_messages(connection: KafkaConnection, *topics: str) -> list[ConsumerRecord]:
    """Every committed message of some topics, in order within a partition."""
    found: list[ConsumerRecord] = []
    options = {**client_options(connection), "auto_offset_reset": "earliest", "enable_auto_commit": False}
    async with (
        AIOKafkaConsumer(*topics, **options, isolation_level="read_committed") as consumer,
        AIOKafkaConsumer(*topics, **options, isolation_level="read_uncommitted") as watermarks,
    ):
        # Up to the high watermark: a commit returns before its markers are written, and what it committed shows.
        ends = await watermarks.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                found += messages
    return found


async def committed_records(connection: KafkaConnection, prefix: str, topic: Topic) -> list[Record]:
    """Every committed record of a topic of ours."""
    return [decode(m.value, topic.types) for m in await committed_messages(connection, topic.full_name(prefix))]


async def until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    """Wait until the condition holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)
