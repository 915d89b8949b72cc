"""Our runtime, the counting stage: `python -m tests.bench.peers.ours BOOTSTRAP PREFIX`. Runs until SIGTERM."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace

from agents.stage import Context, Decision, Rows, TimerFired
from schemas.connection import KafkaConnection
from schemas.event import Event
from streams.clock import wall_clock
from streams.environment import Environment
from streams.metrics import Metrics
from streams.settings_store import SettingsStore
from streams.worker import Worker
from tests.broker.counting import COUNT, decide


class FirstRecord:
    """The stage's decision, which says when the first record came."""

    said = False

    def decide(self, rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        if not self.said:
            self.said = True
            os.write(1, f"FIRST {time.monotonic()}\n".encode())
        return decide(rows, event, ctx)


async def main(bootstrap: str, prefix: str) -> None:
    connection = KafkaConnection(bootstrap_servers=bootstrap)
    env = Environment(connection, prefix, SettingsStore(str), wall_clock, Metrics())
    stage = replace(COUNT, decide=FirstRecord().decide)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Worker(env, [stage], topology=(stage,)).run(stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
