"""The journal on Kafka: every change is one transaction, and changes happen one after the other in all processes."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import RecordMetadata

from bus.aiokafka_fixes import discard_producer
from bus.connection import KafkaConnection, client_options
from bus.publisher import NotDurable
from desk.journal import Change, Fill, Message

TRANSACTION_TIMEOUT_MS = 10_000
"""How long the open transaction of a process that died may hold readers back."""
_MAX_REQUEST_BYTES = 3_500_000
_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 2.0


class Follower(Protocol):
    """What reads a topic into the directory."""

    async def caught_up(self) -> None:
        """Wait until everything written before this call has been applied."""
        ...

    async def reached(self, partition: int, offset: int) -> None:
        """Wait until a committed message has been applied."""
        ...


class KafkaJournal:
    """Writes changes. followers: of the topics that the directory is fed from, by their full names.

    deadline: seconds until it gives up.
    """

    # All desk processes share a transactional id, and each write opens a producer with it: that ends the transaction
    # of another process, which then decides anew, and makes what is read afterwards final. So two processes never save
    # the same revision, and nothing that died half-way is left open.

    def __init__(
        self,
        connection: KafkaConnection,
        followers: Mapping[str, Follower],
        *,
        prefix: str,
        encrypt: Callable[[str], str],
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        deadline: float = 10.0,
    ) -> None:
        self._connection, self._followers = connection, followers
        self._prefix, self._encrypt, self._clock, self._new_id = prefix, encrypt, clock, new_id
        self._deadline = deadline
        self._lock = asyncio.Lock()

    def new_change(self) -> Change:
        """An empty change under a new id."""
        return self._change(self._new_id())

    async def write(self, fill: Fill) -> None:
        """See Journal. A change that is empty, or refused, disturbs no other process."""
        id, pause = self._new_id(), _PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._deadline), self._lock:
                await self._read_on()
                while self._filled(fill, id):
                    try:
                        await self._transact(fill, id)
                    except (ProducerFenced, IllegalOperation):  # the latter where it learned that before it sent
                        # Longer each time: two processes that fence each other in turns must come apart.
                        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
                        pause = min(2 * pause, _MAX_PAUSE_SECONDS)
                        await self._read_on()
                    else:
                        return
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotDurable(type(error).__name__) from error

    def _change(self, id: str) -> Change:
        return Change(self._prefix, id, self._clock(), self._encrypt)

    def _filled(self, fill: Fill, id: str) -> Sequence[Message]:
        change = self._change(id)
        fill(change)
        return change.messages

    async def _transact(self, fill: Fill, id: str) -> None:
        producer = AIOKafkaProducer(
            **client_options(self._connection),
            transactional_id=f"{self._prefix}ingress",
            acks="all",
            linger_ms=0,
            retry_backoff_ms=10,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=_MAX_REQUEST_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
        )
        try:
            await _start(producer)
            await self._read_on()
            written = await _write(producer, self._filled(fill, id))
        finally:
            await discard_producer(producer)
        for place in written:
            if place.topic in self._followers:
                await self._followers[place.topic].reached(place.partition, place.offset)

    async def _read_on(self) -> None:
        try:
            await asyncio.gather(*(follower.caught_up() for follower in self._followers.values()))
        except Exception as error:
            # Whatever stopped a follower, what it would have read is not known.
            raise NotDurable(f"the settings can't be read up to their end: {type(error).__name__}") from error


async def _start(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except AssertionError as error:
        # aiokafka asserts that a broker names itself (client.py l. 532): one that just came back may not yet.
        raise NotDurable("Kafka is starting") from error


async def _write(producer: AIOKafkaProducer, messages: Sequence[Message]) -> list[RecordMetadata]:
    if not messages:
        return []
    for topic in {message[0] for message in messages}:
        await producer.partitions_for(topic)
    # Left open when something fails: to abort it would wait for a Kafka that may be gone, and the next one ends it.
    await producer.begin_transaction()
    sent: list[asyncio.Future[RecordMetadata]] = []
    for topic, key, value, headers in messages:
        sent.append(await producer.send(topic, value, key, headers=headers))
        # When another one fails first, nobody asks for it: asyncio would log that.
        sent[-1].add_done_callback(lambda future: future.cancelled() or future.exception())
    written = await asyncio.gather(*sent)
    await producer.commit_transaction()
    return written
