"""Our runtime, the counting stage: `python -m tests.bench.peers.ours BOOTSTRAP PREFIX WARM_UP`. Runs until SIGTERM."""

import asyncio
import signal
import sys
from dataclasses import replace

import uvloop

from agents.stage import Context, Decision, Rows, TimerFired
from bus.connection import KafkaConnection
from schemas.event import Event
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from tests.bench.peers.first import FirstRecord
from tests.broker.counting import COUNT, decide


async def main(bootstrap: str, prefix: str, warm_up: int) -> None:
    first = FirstRecord(warm_up)

    def seen(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        first.see()
        return decide(rows, event, ctx)

    connection = KafkaConnection(bootstrap_servers=bootstrap)
    env = Environment(connection, prefix, SettingsStore(str), wall_clock, Metrics())
    stage = replace(COUNT, decide=seen)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Worker(env, [stage], topology=(stage,)).run(stop)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
