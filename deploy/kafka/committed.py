"""Reading topics whole, as far as they are committed: what `livedesk replay` and `livedesk dead-letters` look at."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import ConsumerRecord

from bus.aiokafka_fixes import believe_loaded_offsets_only
from bus.connection import KafkaConnection, client_options
from deploy.errors import LiveDeskError

Progress = Callable[[int, int], None]
"""Called with offsets read so far, and how many there are to read."""

STALLED_S = 30.0
_FETCH_BYTES = 4 << 20


class CommittedReader:
    """Reads committed messages. Made by `committed_reader`. Topics go by their full names."""

    def __init__(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, watermarks: AIOKafkaConsumer) -> None:
        self._admin, self._consumer, self._watermarks = admin, consumer, watermarks

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """The topic's partitions. Raises LiveDeskError: there is no such topic."""
        (described,) = await self._admin.describe_topics([topic])
        if described["error_code"]:
            raise LiveDeskError(f"There is no topic {topic}.", "livedesk topics list; livedesk topics apply")
        return [TopicPartition(topic, number) for number in range(len(described["partitions"]))]

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offsets by partition of the topic."""
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {tp.partition: entry.offset for tp, entry in offsets.items() if tp.topic == topic}

    async def begins(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offsets that are still there."""
        found: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(tps))
        return found

    async def read(
        self, tps: Iterable[TopicPartition], progress: Progress = lambda _done, _all: None
    ) -> list[ConsumerRecord]:
        """Every message that was there at the call and is or becomes committed, in order within a partition.

        Some that came later may be among them. Raises LiveDeskError when no more comes.
        """
        tps = list(tps)
        # High watermarks: what a transaction wrote before this call is below them, its markers written or not.
        ends: dict[TopicPartition, int] = await self._watermarks.end_offsets(tps)
        self._consumer.assign(tps)
        await self._consumer.seek_to_beginning(*tps)
        first = {tp: await self._consumer.position(tp) for tp in tps}
        total = sum(max(0, ends[tp] - first[tp]) for tp in tps)
        found: list[ConsumerRecord] = []
        left, moved = set(tps), time.monotonic()
        done = -1
        while True:
            positions = {tp: await self._consumer.position(tp) for tp in tps}
            for tp in [tp for tp in left if positions[tp] >= ends[tp]]:
                self._consumer.pause(tp)
                left.discard(tp)
            now_done = sum(min(positions[tp], ends[tp]) - first[tp] for tp in tps if ends[tp] > first[tp])
            if now_done > done:
                done, moved = now_done, time.monotonic()
                progress(done, total)
            if not left:
                return found
            if time.monotonic() - moved > STALLED_S:
                raise LiveDeskError(f"Kafka has shown nothing more of {_names(left)} for {STALLED_S:.0f} s.")
            for messages in (await self._consumer.getmany(*left, timeout_ms=200)).values():
                found += messages


def _names(tps: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted({tp.topic for tp in tps}))


@asynccontextmanager
async def committed_reader(connection: KafkaConnection) -> AsyncIterator[CommittedReader]:
    """A reader for as long as the block runs. Raises LiveDeskError: Kafka can't be reached."""
    options = client_options(connection)
    admin = AIOKafkaAdminClient(**options)
    believe_loaded_offsets_only(admin)
    reading = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "max_partition_fetch_bytes": _FETCH_BYTES}
    consumer = AIOKafkaConsumer(**options, **reading, isolation_level="read_committed", fetch_max_wait_ms=100)
    watermarks = AIOKafkaConsumer(**options, enable_auto_commit=False, isolation_level="read_uncommitted")
    clients = (admin, consumer, watermarks)
    try:
        for client in clients:
            await client.start()
        yield CommittedReader(*clients)
    except KafkaConnectionError as error:
        raise LiveDeskError(
            f"Kafka can't be reached at {connection.bootstrap_servers}.",
            "Start it (livedesk broker start), or set KAFKA_BOOTSTRAP_SERVERS.",
        ) from error
    except KafkaError as error:
        raise LiveDeskError(f"Kafka answers with an error: {type(error).__name__}.") from error
    finally:
        await asyncio.gather(admin.close(), consumer.stop(), watermarks.stop(), return_exceptions=True)
