"""Publishes callbacks to Kafka and, while Kafka does not acknowledge them in time, to the spool."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from bus.connection import KafkaConnection
from bus.publisher import Message, NotDurable, Publisher, fail
from ingress.spool.folder import SpoolFolder
from ingress.spool.format import Spooled
from schemas.codec import Headers

logger = logging.getLogger(__name__)

KAFKA_SECONDS: Final = 1.5
SPOOL_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 0.3
"""One after the other they are below the 3 s in which EngageLab wants its answer (docs, confirmed)."""
ALL_SECONDS: Final = HOLD_SECONDS + KAFKA_SECONDS + SPOOL_SECONDS
HOLD_AT: Final = 1000
"""So few records in the spool are published fast enough to let new callbacks wait for it."""
CHUNK_BYTES: Final = 2**19
_AGAIN_SECONDS: Final = 0.5
_SAY_EVERY_SECONDS: Final = 60.0

Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting:
    record: Spooled
    size: int
    durable: asyncio.Future[None]


class SpooledPublisher:
    """Publishes to one topic (its full name), in the order of the calls within a key.

    A latch: after the first message that Kafka does not acknowledge in time all go to the spool, which is published in
    order, and only when it is empty do they go straight again. It begins so, too: what the last process has left comes
    first. The batches that were under way when it latched, or when publishing the spool failed, may be written twice.

    folder: taken by this process, and given up by stop(). max_bytes: that it may take on disk.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        folder: SpoolFolder,
        *,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._topic, self._folder, self._max_bytes, self._clock = topic, folder, max_bytes, clock
        self._publisher = Publisher(connection, [topic], deadline=KAFKA_SECONDS, given_up=self._given_up)
        # Everything of the folder, so that it is done in order.
        self._disk = ThreadPoolExecutor(1, "spool")
        self._spooling = True
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._held: deque[tuple[bytes, bytes, Headers, asyncio.Future[None]]] | None = None
        self._hold_ends: asyncio.TimerHandle | None = None
        self._emptying: asyncio.Task[None] | None = None
        self._stopping = False
        self._said: dict[str, float] = {}
        self.spooled = 0
        """How many messages this process has spooled."""

    @property
    def connected(self) -> bool:
        """Whether Kafka is reached."""
        return self._publisher.connected

    @property
    def records(self) -> int:
        """How many messages are spooled and not on Kafka."""
        return self._folder.records + len(self._waiting)

    @property
    def size_bytes(self) -> int:
        """What they take on disk."""
        return self._folder.size_bytes + self._waiting_bytes

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest of them has been there."""
        oldest = self._folder.oldest
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    def start(self) -> None:
        """Take messages: into the spool, until Kafka is connected and has what is in it."""
        if self._folder.records:
            logger.warning("%d callbacks of an earlier run are in the spool: they are published first", self.records)
        self._emptying = asyncio.get_running_loop().create_task(self._empty())

    async def connect(self) -> None:
        """Connect to Kafka. Raises KafkaError, or TimeoutError; LookupError when the topic is missing."""
        await self._publisher.start()

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Coroutine[Any, Any, None]:
        """Returns when it is durable: on every in-sync replica, or on this machine's disk. Raises NotDurable."""
        if self._spooling:
            return self._spool(key, value, headers)
        # No coroutine of its own: the path without trouble is to cost nothing.
        return self._publisher.publish(topic, key, value, headers)

    async def stop(self) -> None:
        """Write what is under way, and disconnect. What is in the spool stays there for the next process."""
        self._stopping = True
        if self._emptying is not None:
            self._emptying.cancel()
            await asyncio.gather(self._emptying, return_exceptions=True)
        await self._publisher.stop()
        self._spool_held()
        while self._writing is not None:
            await self._writing
        await self._in_thread(self._folder.close)
        self._disk.shutdown()

    # --- into the spool --------------------------------------------------------------------------------------------

    async def _spool(self, key: bytes, value: bytes, headers: Headers) -> None:
        if self._held is not None:
            durable = asyncio.get_running_loop().create_future()
            self._held.append((key, value, headers, durable))
        else:
            durable = self._write(key, value, headers)
        try:
            async with asyncio.timeout(ALL_SECONDS):
                await durable
        except TimeoutError:
            raise NotDurable("the disk is too slow") from None

    def _write(self, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[None]:
        """Have it written behind all others; the future says when it is on disk."""
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()
        size = len(key) + len(value) + sum(len(name) + len(content) + 6 for name, content in headers) + 24
        if self.size_bytes + size > self._max_bytes:
            durable.set_exception(NotDurable("the spool is full"))
            self._say(logging.ERROR, "the spool is full (%d bytes): callbacks are answered with 503", self._max_bytes)
            return durable
        self._waiting.append(_Waiting(Spooled(self._clock(), key, value, headers), size, durable))
        self._waiting_bytes += size
        if self._writing is None:
            self._writing = loop.create_task(self._write_waiting())
        return durable

    async def _write_waiting(self) -> None:
        # One fsync for all that came during the last one.
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._in_thread(partial(self._folder.append, [one.record for one in batch]))
            except OSError as error:
                self._say(logging.ERROR, "callbacks can't be written to the spool: %s", error.strerror)
                for one in batch:
                    if not one.durable.done():
                        one.durable.set_exception(NotDurable("the spool can't be written"))
            else:
                self.spooled += len(batch)
                for one in batch:
                    if not one.durable.done():
                        one.durable.set_result(None)
            self._waiting_bytes -= sum(one.size for one in batch)
        self._writing = None

    def _given_up(self, messages: Sequence[Message], reason: str) -> None:
        if self._spooling:
            # The emptying's, which are in the spool.
            fail(messages, reason)
            return
        logger.warning("Kafka does not acknowledge callbacks (%s): they go to the spool", reason)
        self._spooling = True
        for message in messages:
            _follow(message.acknowledged, self._write(message.key, message.value, message.headers))
        asyncio.get_running_loop().call_later(SPOOL_SECONDS, fail, messages, "the disk is too slow")
        if not self._stopping:
            self._emptying = asyncio.get_running_loop().create_task(self._empty())

    # --- out of the spool ------------------------------------------------------------------------------------------

    async def _empty(self) -> None:
        """Publish what is in the spool, and let messages go straight once it is empty."""
        published = 0
        while True:
            try:
                published += await self._publish_some()
            except Exception as error:  # noqa: BLE001 - whatever it is: what is in the spool must get out of it
                self._spool_held()
                self._say(logging.WARNING, "%d callbacks wait in the spool (%r)", self.records, error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if not self.records and self._writing is None:
                break
            if self._held is None and self.records <= HOLD_AT:
                self._hold()
        if published:
            logger.warning("the spool is empty, after %d callbacks: they go straight to Kafka again", published)
        self._spooling = False
        self._let_go()

    async def _publish_some(self) -> int:
        await self._publisher.until_connected()
        chunk = await self._in_thread(lambda: self._folder.read(CHUNK_BYTES))
        if chunk is None:
            if self._writing is not None:
                await asyncio.wait([self._writing])
            return 0
        records = [place.record for place in chunk.places]
        sent = [self._publisher.put(self._topic, one.key, one.value, one.headers) for one in records]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        # All before the first that failed. What was acknowledged behind it is published once more.
        failed = next((number for number, outcome in enumerate(outcomes) if outcome is not None), len(outcomes))
        if failed:
            await self._in_thread(lambda: self._folder.advance(chunk, failed))
        if failed < len(outcomes):
            raise NotDurable(str(outcomes[failed]))
        return failed

    def _hold(self) -> None:
        # While new ones come into the spool it never is empty: they wait for its end, and follow it.
        self._held = deque()
        self._hold_ends = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._spool_held)

    def _spool_held(self) -> None:
        for key, value, headers, durable in self._release():
            _follow(durable, self._write(key, value, headers))

    def _let_go(self) -> None:
        for key, value, headers, durable in self._release():
            _follow(durable, self._publisher.put(self._topic, key, value, headers))

    def _release(self) -> Sequence[tuple[bytes, bytes, Headers, asyncio.Future[None]]]:
        if self._hold_ends is not None:
            self._hold_ends.cancel()
        held, self._held = self._held or (), None
        return tuple(held)

    # --- both ------------------------------------------------------------------------------------------------------

    def _in_thread(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _say(self, level: int, message: str, *arguments: object) -> None:
        """Log it, once a minute at most."""
        if time.monotonic() - self._said.get(message, float("-inf")) >= _SAY_EVERY_SECONDS:
            self._said[message] = time.monotonic()
            logger.log(level, message, *arguments)


def _follow(follower: asyncio.Future[None], durable: asyncio.Future[None]) -> None:
    """Let one future end as the other does."""

    def done(_: asyncio.Future[None]) -> None:
        if durable.cancelled():
            follower.cancel()
            return
        error = durable.exception()
        if follower.done():
            return
        if error is None:
            follower.set_result(None)
        else:
            follower.set_exception(error)

    durable.add_done_callback(done)
