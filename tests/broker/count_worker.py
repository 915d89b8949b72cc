"""A worker process that runs the counting stage: `python -m tests.broker.count_worker BOOTSTRAP PREFIX NAME [FAULT]`.

FAULT stall: stops itself (SIGSTOP) inside its first transaction that has outputs, just before the commit.
stall-unfenced: the same with a transactional id of its own, so that its successor does not fence it.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from bus.connection import KafkaConnection, client_options
from bus.transactional import MAX_BATCH_BYTES, transactional_producer
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from tests.broker.counting import COUNT


class StallingProducer(AIOKafkaProducer):  # type: ignore[misc]
    """Stops the process just before it would commit its first outputs."""

    stalled = False
    sent = False

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        self.sent = True
        return await super().send_batch(*args, **kwargs)

    async def commit_transaction(self) -> None:
        if self.sent and not StallingProducer.stalled:
            StallingProducer.stalled = True
            say("STALLED")
            os.kill(os.getpid(), signal.SIGSTOP)
            say("RESUMED")
        await super().commit_transaction()


def stalling(connection: KafkaConnection, transactional_id: str, *, fenced: bool) -> AIOKafkaProducer:
    # Of the worker's transactions, not of those by which its tasks claim their partitions.
    stalls = "worker-" in transactional_id
    return (StallingProducer if stalls else AIOKafkaProducer)(
        **client_options(connection),
        transactional_id=transactional_id if fenced else f"{transactional_id}-{os.getpid()}",
        acks="all",
        retry_backoff_ms=10,
        transaction_timeout_ms=60_000,
        max_batch_size=MAX_BATCH_BYTES,
    )


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


async def main(bootstrap: str, prefix: str, name: str, fault: str) -> None:
    producers = {
        "": transactional_producer,
        "stall": lambda connection, id: stalling(connection, id, fenced=True),
        "stall-unfenced": lambda connection, id: stalling(connection, id, fenced=False),
    }
    env = Environment(
        KafkaConnection(bootstrap_servers=bootstrap),
        prefix,
        SettingsStore(lambda text: text),
        wall_clock,
        Metrics(),
        new_producer=producers[fault],
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = Worker(env, [COUNT], topology=(COUNT,), instance_id=name, tick=0.2)
    running = asyncio.create_task(worker.run(stop))
    while not worker.ready and not running.done():  # noqa: ASYNC110 - readiness is a condition, not an event
        await asyncio.sleep(0.01)
    say("READY")
    await running


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    BOOTSTRAP, PREFIX, NAME, FAULT = [*sys.argv[1:], ""][:4]
    asyncio.run(main(BOOTSTRAP, PREFIX, NAME, FAULT))
