"""One idempotent producer: a record is published when Kafka has acknowledged it, or is reported as not durable."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.codec import Headers
from schemas.connection import KafkaConnection, client_options

logger = logging.getLogger(__name__)

MAX_RECORD_BYTES = 4 * 2**20
"""What the pipeline's topics take (max.message.bytes)."""

CONNECT_SECONDS = 10.0
_MAX_BATCH_BYTES = 512 * 1024
_REQUEST_TIMEOUT_MS = 2000
_RECONNECT_SECONDS = 0.5


class NotDurable(Exception):
    """Kafka has not acknowledged the record in time. It may be written all the same."""


class Publish(Protocol):
    """What the applications need of a publisher."""

    @property
    def connected(self) -> bool:
        """Whether there is a producer that is not in doubt."""
        ...

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Returns when the record is durable. Raises NotDurable."""
        ...


class Publisher:
    """Publishes to `topics` (full names), in the order of the calls within a partition.

    deadline: seconds until publish gives up. EngageLab wants its 200 within 3 s (EngageLab docs, confirmed).
    """

    def __init__(self, connection: KafkaConnection, topics: Iterable[str], *, deadline: float = 2.5) -> None:
        self._connection, self._topics, self._deadline = connection, tuple(topics), deadline
        self._producer: AIOKafkaProducer | None = None
        self._reopened = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a producer that is not in doubt."""
        return self._producer is not None

    async def start(self) -> None:
        """Connect. Raises KafkaError, or TimeoutError; LookupError when a topic is missing."""
        self._producer = await self._open()

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Returns when every in-sync replica has the record. Raises NotDurable."""
        producer = None
        try:
            async with asyncio.timeout(self._deadline):
                producer = self._producer or await self._next_producer()
                # Batches form by themselves: while one is under way, what comes in gathers in the next.
                await (await producer.send(topic, value, key, headers=list(headers)))
        except TimeoutError:
            # An idempotent producer never gives up a batch: left alone, it would deliver it at any later time.
            self._replace(producer)
            raise NotDurable(f"not acknowledged within {self._deadline} s") from None
        except KafkaError as error:
            # A failed batch leaves a gap in the sequence numbers: the broker would refuse all that follows.
            self._replace(producer)
            raise NotDurable(type(error).__name__) from None

    async def stop(self) -> None:
        """Write what is under way, within the deadline, and disconnect."""
        self._closed = True
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.flush(), self._deadline)
            await _discard(producer)

    async def _next_producer(self) -> AIOKafkaProducer:
        while self._producer is None:
            if self._closed:
                raise NotDurable("the publisher is closed")
            await self._reopened.wait()
        return self._producer

    def _replace(self, doubtful: AIOKafkaProducer | None) -> None:
        if doubtful is None or doubtful is not self._producer or self._closed:
            return
        logger.warning("Kafka does not acknowledge: the producer is replaced")
        self._producer = None
        self._reopened.clear()
        self._reopening = asyncio.create_task(self._reopen(doubtful))

    async def _reopen(self, doubtful: AIOKafkaProducer) -> None:
        await _discard(doubtful)
        while True:
            try:
                self._producer = await self._open()
            except (KafkaError, OSError, TimeoutError, LookupError) as error:
                logger.warning("no producer yet: %s", type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                logger.info("the producer is connected again")
                self._reopened.set()
                return

    async def _open(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._connection),
            enable_idempotence=True,
            acks="all",
            # Waiting for more to come makes callbacks slower and, with this many at once, no batch larger.
            linger_ms=0,
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await producer.start()
                for topic in self._topics:
                    await _check_exists(producer, topic)
        except BaseException:
            await _discard(producer)
            raise
        return producer


async def _check_exists(producer: AIOKafkaProducer, topic: str) -> None:
    try:
        await producer.partitions_for(topic)
    except KafkaError:
        raise LookupError(f"topic {topic} does not exist: run `livedesk topics apply`") from None


async def _discard(producer: AIOKafkaProducer) -> None:
    """Disconnect, without the flush of `stop()`, which would wait for the batch that is never given up."""
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        # Cut the connections before waiting: the sender first waits for the answers that it is still owed.
        await producer.client.close()
        while not sender.done():
            await asyncio.wait([sender], timeout=1)
            sender.cancel()
        producer._message_accumulator.fail_all(KafkaError("the producer was replaced"))
    await producer.stop()
