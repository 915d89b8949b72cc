"""Following the topics: from the positions in the database to their ends, and on."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError, for_code
from aiokafka.structs import ConsumerRecord

from bus.connection import KafkaConnection, client_options
from desk.view.applier import Applier, Failure, Place, Read, Superseded, reads_of
from desk.view.database import DatabaseAway
from desk.view.metrics import Metrics
from desk.view.progress import Progress
from desk.view.reading import read_all
from desk.view.schema import FOLLOWED

logger = logging.getLogger(__name__)

BATCH: Final = 2_000
"""Records of one transaction at most. When there are fewer nobody waits for more."""
_INLINE: Final = 50
"""Records that are read without a thread, which would take longer to start."""
_POLL_MS: Final = 200
_FETCH_WAIT_MS: Final = 100
_AGAIN_S: Final = 0.5
_SAY_EVERY_S: Final = 60.0


class MissingTopic(LookupError):
    """A topic does not exist."""


class OtherLog(Exception):
    """The view is not of these topics: they were made anew, Kafka has lost their end, or the prefix is another one."""


class Follower:
    """Applies every committed record of the topics that the view is made of. prefix: of the topics' names.

    What keeps it from going on, Kafka or the database, is waited for and said. following: it reads; turned_at: when it
    last went round (time.monotonic()); lag: records of each topic that are still to be read.
    """

    def __init__(
        self, connection: KafkaConnection, prefix: str, applier: Applier, progress: Progress, metrics: Metrics
    ) -> None:
        self._connection, self.applier, self._progress, self._metrics = connection, applier, progress, metrics
        self._topics = {topic.full_name(prefix): name for name, topic in FOLLOWED.items()}
        self._said: dict[str, float] = {}
        self.following = False
        self.turned_at = monotonic()
        self.lag: Counter[str] = Counter()

    async def run(self, until: asyncio.Event) -> None:
        """Follow until the event is set, and the batch that is under way then is applied. Raises MissingTopic."""
        while not until.is_set():
            try:
                async with aclosing(self._turns()) as turns:
                    async for _ in turns:
                        if until.is_set():
                            break
            except Superseded:
                self._say("another process writes to the view, too: reading on from where it is")
            except OffsetOutOfRangeError:
                self._say("Kafka does not have what is to be read next: looking for what it has")
            except Exception as error:  # noqa: BLE001 - what is not an outage is raised
                self._explain(error)
                self.turned_at = monotonic()
                await asyncio.sleep(_AGAIN_S)
            finally:
                self.following = False

    async def rebuild(self) -> AsyncGenerator[int, None]:
        """Make the view anew of what the topics hold, up to their present ends. Says how many records are left to read.

        Rows that are made of records which are no longer there stay. Raises MissingTopic, and whatever Kafka and the
        database raise.
        """
        async with self._consumer() as consumer:
            places = await self._places()
            begins, ends = (
                await _offsets(consumer.beginning_offsets, places),
                await _offsets(consumer.end_offsets, places),
            )
        await self.applier.forget(begins, {name: full for full, name in self._topics.items()})
        left = 1
        while left:
            with suppress(Superseded):
                async with aclosing(self._turns()) as turns:
                    async for _ in turns:
                        positions = self._progress.positions
                        left = sum(max(0, end - positions[place]) for place, end in ends.items())
                        yield left
                        if not left:
                            break

    async def _turns(self) -> AsyncGenerator[None, None]:
        """Read on from the positions in the database. Yields after each round, whether or not anything came."""
        async with self._consumer() as consumer:
            read_up_to = await self._begin(consumer)
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=BATCH)
                if fetched:
                    await self._apply([message for some in fetched.values() for message in some], read_up_to)
                positions = await self._look(consumer)
                if not fetched:
                    await self._pass_over(positions, read_up_to)
                yield

    async def _begin(self, consumer: AIOKafkaConsumer) -> dict[Place, Read]:
        """Start reading each partition at its position. Returns the positions in the database."""
        positions = await self.applier.positions()
        places = await self._places()
        begins, ends = await _offsets(consumer.beginning_offsets, places), await _offsets(consumer.end_offsets, places)
        other = {place.topic for place, read in positions.items() if read.position > ends.get(place, -1)}
        if other:
            raise OtherLog(", ".join(sorted(other)))
        await self._skip(positions, begins)
        consumer.assign([TopicPartition(*place) for place in places])
        for place, begin in begins.items():
            consumer.seek(TopicPartition(*place), positions[place].position if place in positions else begin)
        return positions

    async def _skip(self, positions: dict[Place, Read], begins: Mapping[Place, int]) -> None:
        """Note what Kafka deleted before it was read: it is in no row, and never will be."""
        gone = {
            place: begin for place, begin in begins.items() if place in positions and positions[place].position < begin
        }
        failures = [
            Failure(place, positions[place].position, None, f"deleted before it was read, up to offset {begin}")
            for place, begin in gone.items()
        ]
        if failures:
            reads = {place: Read(begin, positions[place].time) for place, begin in gone.items()}
            await self.applier.advance(reads, positions, failures)
            positions.update(reads)
            self._note(failures)

    async def _pass_over(self, positions: Mapping[Place, int], read_up_to: dict[Place, Read]) -> None:
        """Store that what is behind the last record is read, too: the ends of transactions, which take an offset."""
        reads = {
            place: Read(position, read_up_to[place].time if place in read_up_to else None)
            for place, position in positions.items()
            if place not in read_up_to or position > read_up_to[place].position
        }
        if reads:
            await self.applier.advance(reads, read_up_to)
            read_up_to.update(reads)

    async def _apply(self, messages: Sequence[ConsumerRecord], read_up_to: dict[Place, Read]) -> None:
        if len(messages) > _INLINE:
            # Queries of the same process go on meanwhile.
            readings = await asyncio.to_thread(read_all, messages, self._topics)
        else:
            readings = read_all(messages, self._topics)
        batch = [reading.applied for reading in readings]
        with self._metrics.transactions.time():
            failures = await self.applier.apply(batch, read_up_to)
        read_up_to.update(reads_of(batch, read_up_to))
        self._note(failures)
        for topic, number in Counter(one.place.topic for one in batch).items():
            self._metrics.records.labels(self._topics[topic]).inc(number)
        for topic, number in Counter(reading.applied.place.topic for reading in readings if reading.ignored).items():
            self._metrics.ignored.labels(self._topics[topic]).inc(number)

    async def _look(self, consumer: AIOKafkaConsumer) -> dict[Place, int]:
        """Tell how far it is read. Returns the offsets of the next records."""
        positions = {Place(tp.topic, tp.partition): await consumer.position(tp) for tp in consumer.assignment()}
        self._progress.set(positions)
        self.lag = Counter(dict.fromkeys(FOLLOWED, 0))
        for place, position in positions.items():
            end = consumer.last_stable_offset(TopicPartition(*place)) or 0
            self.lag[self._topics[place.topic]] += max(0, end - position)
        for topic, lag in self.lag.items():
            self._metrics.lag.labels(topic).set(lag)
        self.following, self.turned_at = True, monotonic()
        return positions

    def _note(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            logger.error(
                "%s, partition %d, offset %d is not in the view: %s", *failure.place, failure.offset, failure.error
            )
            self._metrics.failures.labels(self._topics[failure.place.topic]).inc()

    def _explain(self, error: Exception) -> None:
        """Say why it waits. What is not an outage is raised."""
        what = type(error).__name__
        match error:
            case OtherLog():
                self._say(f"The view is not of what {error} holds now. To make it anew: livedesk desk rebuild")
            case DatabaseAway():
                self._say(f"The database can't be used ({error}): waiting until it can")
            # aiokafka asserts that a broker names itself (client.py l. 532): one that just came back may not yet.
            case KafkaError() | OSError() | TimeoutError() | AssertionError():
                self._say(
                    f"Kafka can't be reached ({what}): waiting until it is. Kafka is looked for at "
                    f"{self._connection.bootstrap_servers}; on a laptop: livedesk broker start"
                )
            case _:
                raise error

    def _say(self, what: str) -> None:
        """Log it, once a minute."""
        now = monotonic()
        if now >= self._said.get(what, 0.0):
            logger.warning("%s", what)
            self._said[what] = now + _SAY_EVERY_S

    async def _places(self) -> list[Place]:
        admin = AIOKafkaAdminClient(**client_options(self._connection))
        try:
            await admin.start()
            described = await admin.describe_topics(list(self._topics))
        finally:
            await admin.close()
        for topic in described:
            if topic["error_code"] == UnknownTopicOrPartitionError.errno:
                raise MissingTopic(topic["topic"])
            if topic["error_code"]:
                raise for_code(topic["error_code"])
        return [Place(topic["topic"], number) for topic in described for number in range(len(topic["partitions"]))]

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **client_options(self._connection),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


async def _offsets(
    ask: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]], places: Iterable[Place]
) -> dict[Place, int]:
    found = await ask([TopicPartition(*place) for place in places])
    return {Place(tp.topic, tp.partition): offset for tp, offset in found.items()}
