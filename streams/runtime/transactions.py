"""The transactions of a process: each of all that its tasks have ready by then."""

import asyncio
import logging
import os
import uuid
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from aiokafka import AIOKafkaProducer

from bus.transactional import Message, build_batches
from streams.runtime.shared import Environment

logger = logging.getLogger(__name__)

FATAL = 70
"""The exit code of a process that can't be sure of a transaction, or of a partition: it must start over."""
LANES = 2
"""Transactions at a time: while one is written the next can fill. More of them only make each one slower."""
MAX_MESSAGES = 10_000
"""Messages after which a transaction takes in no further batch: every reader waits for its end."""

Messages = Mapping[tuple[str, int], Sequence[Message]]
"""By topic and partition."""
Offsets = Mapping[tuple[str, int], int]
"""By topic and partition: where the last batch of a transaction begins there."""


class _Waiting(NamedTuple):
    messages: Messages
    done: asyncio.Future[Offsets]


class Transactions:
    """Commits the batches of a process' tasks: those that come while transactions run go together into the next one.

    A transaction costs much the same for one partition as for many. Their producers have transactional ids that are
    this process' alone: `owner` lists them. A task owns its partition while the changelog of the partition names it as
    the owner; whoever takes the partition over fences it first (Task._open). Any doubt about a transaction ends the
    process.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        process = uuid.uuid4()
        ids = [f"{env.prefix}worker-{process}-{lane}" for lane in range(LANES)]
        self.owner = ",".join(ids)
        self._producers = [env.new_producer(env.connection, id) for id in ids]
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._fenced: dict[str, asyncio.Task[None]] = {}
        self._lanes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect."""
        await asyncio.gather(*(producer.start() for producer in self._producers))
        self._lanes = [asyncio.create_task(self._run(producer)) for producer in self._producers]

    async def stop(self) -> None:
        """Disconnect. No task may be waiting for a commit."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        await asyncio.gather(*(producer.stop() for producer in self._producers))

    async def partitions_for(self, topic: str) -> tuple[int, ...]:
        """The partitions of a topic."""
        return tuple(sorted(await self._producers[0].partitions_for(topic)))

    async def commit(self, messages: Messages) -> Offsets:
        """Write the messages in one transaction, with what others have to write. Returns when it is committed."""
        waiting = _Waiting(messages, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.done

    async def fence(self, owner: str) -> None:
        """End another process's commits. What it has committed can be read when this returns."""
        fencing = self._fenced.get(owner)
        if fencing is None:
            fencing = self._fenced[owner] = asyncio.create_task(self._fence(owner))
        await asyncio.shield(fencing)

    async def _fence(self, owner: str) -> None:
        for id in owner.split(","):
            # InitProducerId aborts an open transaction.
            producer = self._env.new_producer(self._env.connection, id)
            await producer.start()
            await producer.stop()

    async def _run(self, producer: AIOKafkaProducer) -> None:
        try:
            while True:
                while not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                await self._transact(producer)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - commit or die: nothing may continue after a doubt
            die("a transaction", error)

    async def _transact(self, producer: AIOKafkaProducer) -> None:
        """Nothing is caught, retried or logged away between begin and commit."""
        together = self._together()
        messages: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for waiting in together:
            for where, some in waiting.messages.items():
                messages[where] += some
        with self._env.metrics.transactions.time():
            offsets = await write(producer, messages)
        for waiting in together:
            waiting.done.set_result(offsets)

    def _together(self) -> list[_Waiting]:
        together, count = [], 0
        while self._waiting and count < MAX_MESSAGES:
            waiting = self._waiting.popleft()
            together.append(waiting)
            count += sum(map(len, waiting.messages.values()))
        return together


async def write(producer: AIOKafkaProducer, messages: Messages) -> Offsets:
    """Write the messages in one transaction."""
    await producer.begin_transaction()
    sent = [
        ((topic, partition), await producer.send_batch(built, topic, partition=partition))
        for (topic, partition), some in messages.items()
        for built in build_batches(producer.create_batch, some)
    ]
    # A failed send does not poison the transaction: each one must be awaited.
    acknowledged = await asyncio.gather(*(acknowledgement for _, acknowledgement in sent))
    await producer.commit_transaction()
    return {where: metadata.offset for (where, _), metadata in zip(sent, acknowledged, strict=True)}


def die(what: str, error: BaseException) -> NoReturn:
    """End the process: it must start over from the fence."""
    logger.critical(
        "%s ends the process, to start over from the fence: %s: %s", what, type(error).__name__, error, exc_info=error
    )
    logging.shutdown()
    os._exit(FATAL)
