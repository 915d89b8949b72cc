"""Reading a whole topic into memory and following it: how every process knows the channels."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from bus.connection import KafkaConnection, client_options

Apply = Callable[[bytes, bytes | None], None]


class TopicFollower:
    """Applies every committed record of a topic, in order within a partition: from the beginning, or from now on.

    since: or from an instant on, known when it starts. caught_up() returns when everything written before the call has
    been applied.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        apply: Apply,
        *,
        from_now: bool = False,
        since: Callable[[], datetime] | None = None,
    ) -> None:
        self._connection, self._topic, self._apply = connection, topic, apply
        self._from_now, self._since = from_now, since
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._applied = asyncio.Event()

    async def start(self) -> None:
        """Start following, and return once the present end is reached."""
        consumer = AIOKafkaConsumer(
            self._topic,  # without a group this assigns all of its partitions
            **client_options(self._connection),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="latest" if self._from_now else "earliest",
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
            if self._since is not None:
                await _seek(consumer, self._since())
        except UnknownTopicOrPartitionError:
            await consumer.stop()
            raise LookupError(f"topic {self._topic} does not exist: run `livedesk topics apply`") from None
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._task = asyncio.create_task(self._follow(consumer))
        try:
            await self.caught_up()
        except BaseException:
            await self.stop()
            raise

    def check(self) -> None:
        """Raises what made the following stop."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def caught_up(self) -> None:
        """Wait until everything written before this call has been applied."""
        consumer = self._started()
        await self._reach(await consumer.end_offsets(list(consumer.assignment())))

    async def reached(self, partition: int, offset: int) -> None:
        """Wait until the message of a committed transaction has been applied.

        caught_up() is not enough: a commit returns before its markers are written, and until then the end is before it.
        """
        await self._reach({TopicPartition(self._topic, partition): offset + 1})

    async def positions(self) -> dict[TopicPartition, int]:
        """The offset behind what has been applied, by partition."""
        consumer = self._started()
        return {tp: await consumer.position(tp) for tp in consumer.assignment()}

    async def _reach(self, ends: Mapping[TopicPartition, int]) -> None:
        consumer = self._started()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            self.check()
            self._applied.clear()
            await self._applied.wait()
        self.check()

    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("not started")
        return self._consumer

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    for message in messages:
                        self._apply(message.key, message.value)
                self._applied.set()
        finally:
            self._applied.set()


async def _seek(consumer: AIOKafkaConsumer, since: datetime) -> None:
    found = await consumer.offsets_for_times(dict.fromkeys(consumer.assignment(), round(since.timestamp() * 1000)))
    ends = await consumer.end_offsets(list(found))
    for partition, first in found.items():
        consumer.seek(partition, ends[partition] if first is None else first.offset)
