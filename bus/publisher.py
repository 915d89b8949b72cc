"""One idempotent producer: a record is published when Kafka has acknowledged it, or is reported as not durable."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from bus.aiokafka_fixes import discard_producer
from bus.connection import KafkaConnection, client_options
from schemas.codec import Headers

logger = logging.getLogger(__name__)

MAX_BATCH_BYTES = 512 * 1024
"""A larger record travels in a batch of its own."""

CONNECT_SECONDS = 10.0
DEADLINE_SECONDS = 2.5
_REQUEST_TIMEOUT_MS = 2000
_RECONNECT_SECONDS = 0.5
_SAY_EVERY_SECONDS = 60.0


class NotDurable(Exception):
    """Kafka has not acknowledged the record in time. It may be written all the same."""


class Publish(Protocol):
    """What the applications need of a publisher."""

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Returns when the record is durable. Raises NotDurable."""
        ...


@dataclass(slots=True)
class Message:
    """A record on its way. due: when its time is over, by the loop's clock."""

    key: bytes
    value: bytes
    headers: Headers
    due: float
    acknowledged: asyncio.Future[None]


@dataclass(slots=True)
class _Lane:
    """What goes to one partition: one batch is under way, the messages behind it will be the next."""

    topic: str
    partition: int
    sending: list[Message] = field(default_factory=list)
    waiting: deque[Message] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


def fail(messages: Iterable[Message], reason: str) -> None:
    """Tell those who wait for the messages that they are not durable."""
    for message in messages:
        if not message.acknowledged.done():
            message.acknowledged.set_exception(NotDurable(reason))


class Publisher:
    """Publishes to `topics` (full names), in the order of the calls within a partition.

    deadline: seconds until it gives up. Providers want their 200 within 3 s (docs, confirmed).
    given_up: what to do with all that is pending once Kafka has not acknowledged one message in time, and why; each
    partition's in order. The batches under way may be written all the same. It is called before any later publish().
    """

    # Batches are built here, one future each: aiokafka's send() takes twice the CPU time for each record.

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Iterable[str],
        *,
        deadline: float = DEADLINE_SECONDS,
        given_up: Callable[[Sequence[Message], str], None] = fail,
    ) -> None:
        self._connection, self._topics, self._deadline = connection, tuple(topics), deadline
        self._given_up, self._rounds = given_up, 0
        self._partitioner = DefaultPartitioner()
        self._partitions: dict[str, list[int]] = {}
        self._lanes: dict[tuple[str, int], _Lane] = {}
        # Hashing a channel's id again for each callback would be a tenth of the work.
        self._lane = lru_cache(maxsize=1024)(self._find_lane)
        self._producer: AIOKafkaProducer | None = None
        self._reopened = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None
        self._discarding: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a producer that is not in doubt."""
        return self._producer is not None

    async def start(self) -> None:
        """Connect. Raises KafkaError, or TimeoutError; LookupError when a topic is missing."""
        self._producer = await self._open()
        self._reopened.set()

    async def until_connected(self) -> None:
        """Wait until there is a producer that is not in doubt."""
        await self._next_producer()

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Returns when every in-sync replica has the record. Raises NotDurable."""
        await self.put(topic, key, value, headers)

    def put(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> asyncio.Future[None]:
        """As publish, for whoever has more to hand over before the first is acknowledged. Raises NotDurable."""
        if self._closed:
            raise NotDurable("the publisher is closed")
        loop = asyncio.get_running_loop()
        lane = self._lane(topic, key)
        message = Message(key, value, headers, loop.time() + self._deadline, loop.create_future())
        lane.waiting.append(message)
        if lane.task is None:
            # Runs in the loop's next round: its batch holds whatever else comes in during this one.
            lane.task = loop.create_task(self._send(lane))
        return message.acknowledged

    async def stop(self) -> None:
        """Write what is under way, within the deadline, and disconnect."""
        self._closed = True
        sending = [lane.task for lane in self._lanes.values() if lane.task is not None]
        await asyncio.gather(*sending)
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        if self._discarding is not None:
            await self._discarding
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard_producer(producer)

    def _find_lane(self, topic: str, key: bytes) -> _Lane:
        partitions = self._partitions[topic]
        # The partitioner of every Kafka client, so that all agree where a key lives.
        partition = self._partitioner(key, partitions, partitions)
        return self._lanes.setdefault((topic, partition), _Lane(topic, partition))

    async def _send(self, lane: _Lane) -> None:
        while lane.waiting:
            producer: AIOKafkaProducer | None = None
            rounds = self._rounds
            try:
                async with asyncio.timeout_at(lane.waiting[0].due):
                    producer = self._producer or await self._next_producer()
                    if not lane.waiting:
                        break
                    batch = producer.create_batch()
                    _fill(batch, lane)
                    await (await producer.send_batch(batch, lane.topic, partition=lane.partition))
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for an answer for ever
                # An idempotent producer never gives up a batch: left alone, it would deliver it at any later time.
                # And one that failed leaves a gap in the sequence numbers: all that follow would be refused.
                self._replace(producer)
                if rounds == self._rounds:  # else another lane has given up what this one had
                    self._give_up(type(error).__name__)
            else:
                sent, lane.sending = lane.sending, []
                for message in sent:
                    if not message.acknowledged.done():
                        message.acknowledged.set_result(None)
        lane.task = None

    def _give_up(self, reason: str) -> None:
        # All of it, also what is not yet due: sent after what was given up, it would overtake that.
        self._rounds += 1
        pending: list[Message] = []
        for lane in self._lanes.values():
            pending += (*lane.sending, *lane.waiting)
            lane.sending = []
            lane.waiting.clear()
        self._given_up(pending, reason)

    async def _next_producer(self) -> AIOKafkaProducer:
        while self._producer is None:
            await self._reopened.wait()
        return self._producer

    def _replace(self, doubtful: AIOKafkaProducer | None) -> None:
        if doubtful is None or doubtful is not self._producer or self._closed:
            return
        logger.warning("Kafka does not acknowledge: the producer is replaced")
        self._producer = None
        self._reopened.clear()
        self._discarding = asyncio.create_task(discard_producer(doubtful))
        self._reopening = asyncio.create_task(self._reopen(self._discarding))

    async def _reopen(self, discarding: asyncio.Task[None]) -> None:
        await asyncio.shield(discarding)
        say_next = time.monotonic()
        while True:
            try:
                self._producer = await self._open()
            except (KafkaError, OSError, TimeoutError, LookupError) as error:
                if time.monotonic() >= say_next:
                    logger.warning("no producer yet: %s", type(error).__name__)
                    say_next = time.monotonic() + _SAY_EVERY_SECONDS
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
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _start(producer)
                for topic in self._topics:
                    self._partitions[topic] = await _partitions(producer, topic)
        except BaseException:
            await discard_producer(producer)
            raise
        return producer


async def _start(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except AssertionError as error:
        # aiokafka asserts that a broker names itself (client.py l. 532): one that just came back may not yet.
        raise KafkaConnectionError("Kafka is starting") from error


async def _partitions(producer: AIOKafkaProducer, topic: str) -> list[int]:
    try:
        return sorted(await producer.partitions_for(topic))
    except KafkaError:
        raise LookupError(f"topic {topic} does not exist: run `livedesk topics apply`") from None


def _fill(batch: BatchBuilder, lane: _Lane) -> None:
    now = int(time.time() * 1000)
    while lane.waiting:
        first = lane.waiting[0]
        if batch.append(timestamp=now, key=first.key, value=first.value, headers=first.headers) is None:
            break
        lane.sending.append(lane.waiting.popleft())
    batch.close()
