"""Where a topic ends, as Kafka has it now."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection, client_options

_WITHIN_S = 1.0


class TopicEnds:
    """Asks for the ends of one topic's partitions, whatever is written there, committed or not."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        consumer = AIOKafkaConsumer(self._topic, **client_options(self._connection), enable_auto_commit=False)
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        consumer.pause(*consumer.assignment())
        self._consumer = consumer

    async def now(self) -> dict[TopicPartition, int]:
        """The offset behind the last record of each partition; none where Kafka does not say so within a second."""
        if self._consumer is None:
            raise RuntimeError("not started")
        try:
            async with asyncio.timeout(_WITHIN_S):
                return dict(await self._consumer.end_offsets(list(self._consumer.assignment())))
        except (KafkaError, OSError, TimeoutError):
            return {}

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()
