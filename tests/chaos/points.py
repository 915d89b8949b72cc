"""Named points in a worker's life at which it kills or stops itself, when it was ordered to."""

import asyncio
import os
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

from aiokafka import AIOKafkaProducer
from pydantic import BaseModel, ConfigDict

from bus.connection import KafkaConnection
from bus.transactional import transactional_producer
from schemas.effects import EffectRequest
from streams.effects.contract import Outcome, Perform

WITHIN_S = 0.004
"""How long after the beginning of a commit, a call or a restore the signal comes that is to hit it in its middle."""

REACHED = "chaos: reached the point"


class Point(StrEnum):
    """Where: as a task restores, around each step of a transaction, around a call to the provider."""

    RESTORE = "during restore"
    BEGIN = "before begin"
    BEGUN = "after begin"
    FIRST_SEND = "after the first send"
    SENT = "after all sends"
    COMMITTING = "during commit"
    COMMITTED = "after commit"
    CALL = "before the call"
    CALLING = "during the call"
    CALLED = "after the call"


CALLS = frozenset({Point.CALL, Point.CALLING, Point.CALLED})
WITHIN = frozenset({Point.RESTORE, Point.COMMITTING, Point.CALLING})


class Order(BaseModel):
    """What a worker is to do to itself, once.

    stage: only there, or in a transaction of the whole worker; None: in whichever comes first.
    """

    model_config = ConfigDict(frozen=True)

    point: Point
    action: Literal["kill", "stop"]
    stage: str | None = None


class Trigger:
    """Carries an order out when its point is reached. No order: nothing happens."""

    def __init__(self, order: Order | None = None) -> None:
        self.order = order

    def reach(self, point: Point, stage: str | None) -> None:
        """The worker is there; stage: None: with whatever stages."""
        order = self.order
        if order is None or order.point is not point or (stage is not None and order.stage not in (None, stage)):
            return
        self.order = None
        # To the log, past all buffers: the harness tells by it that the end that follows is the one it ordered.
        os.write(1, f"{REACHED} {point}\n".encode())
        number = signal.SIGKILL if order.action == "kill" else signal.SIGSTOP
        if point in WITHIN:
            asyncio.get_running_loop().call_later(WITHIN_S, os.kill, os.getpid(), number)
        else:
            os.kill(os.getpid(), number)

    def new_producer(self, prefix: str) -> Callable[[KafkaConnection, str], AIOKafkaProducer]:
        """For Environment.new_producer. prefix: of the topics' names."""

        def new(connection: KafkaConnection, transactional_id: str) -> AIOKafkaProducer:
            # A task's that claims its partition, or a worker's, whose transactions are those of all its stages.
            name = transactional_id.removeprefix(prefix)
            stage = None if name.startswith("worker-") else name.rpartition("-")[0]
            return TriggeringProducer(transactional_producer(connection, transactional_id), self, stage)

        return new

    def perform(self, stage: str, performer: Perform[Any]) -> Perform[Any]:
        """The performer, with the points before, during and after its call."""

        async def perform(request: EffectRequest) -> Outcome:
            self.reach(Point.CALL, stage)
            self.reach(Point.CALLING, stage)
            outcome = await performer(request)
            self.reach(Point.CALLED, stage)
            return outcome

        return perform


class TriggeringProducer:
    """A producer that tells a trigger how far its transaction has come."""

    def __init__(self, producer: AIOKafkaProducer, trigger: Trigger, stage: str | None) -> None:
        self._producer, self._trigger, self._stage = producer, trigger, stage
        self._sends = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    async def start(self) -> None:
        await self._producer.start()
        self._reach(Point.RESTORE)

    async def begin_transaction(self) -> None:
        self._sends = 0
        self._reach(Point.BEGIN)
        await self._producer.begin_transaction()
        self._reach(Point.BEGUN)

    async def send_batch(self, *arguments: Any, **options: Any) -> Any:
        sent = await self._producer.send_batch(*arguments, **options)
        self._sends += 1
        if self._sends == 1:
            self._reach(Point.FIRST_SEND)
        return sent

    async def commit_transaction(self) -> None:
        self._reach(Point.SENT)
        self._reach(Point.COMMITTING)
        await self._producer.commit_transaction()
        self._reach(Point.COMMITTED)

    def _reach(self, point: Point) -> None:
        self._trigger.reach(point, self._stage)
