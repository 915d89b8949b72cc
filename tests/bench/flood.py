"""As many callbacks as the system takes without falling behind, and what they cost."""

import asyncio
import os
from dataclasses import dataclass

from tests.bench.customers import Customers
from tests.bench.lag import Lag, by_stage
from tests.bench.session import Broker
from tests.bench.system import CpuClock, System

LAG_AT_LIMIT = 2000
"""Records that may wait: about a second's work, so that no stage falls behind unseen."""
PAUSE_S = 0.002


@dataclass(frozen=True)
class Limit:
    """What the system did at most. cpu: seconds by process; records, transactions and mean lag by stage."""

    callbacks: float
    seconds: float
    cpu: dict[str, float]
    records: dict[str, float]
    transactions: dict[str, float]
    lag: dict[str, float]

    @property
    def rate(self) -> float:
        """Callbacks a second."""
        return self.callbacks / self.seconds

    @property
    def worker_micros(self) -> float:
        """CPU time of the workers for a callback, in microseconds."""
        return self.cpu["workers"] / self.callbacks * 1e6


async def flood(customers: Customers, lag: Lag, system: System, broker: Broker, seconds: float) -> Limit:
    """New customers as fast as the lag stays bounded, for a quarter longer than is measured."""
    await _press(customers, lag, seconds / 4)
    loop = asyncio.get_running_loop()
    began, callbacks, samples = loop.time(), customers.acknowledged, len(lag.samples)
    clock = _cpu_clock(system, broker)
    records, transactions = await _counted(system)
    await _press(customers, lag, seconds)
    took, acknowledged, cpu = loop.time() - began, customers.acknowledged - callbacks, clock.seconds()
    records_now, transactions_now = await _counted(system)
    return Limit(
        acknowledged,
        took,
        cpu,
        _less(records_now, records),
        _less(transactions_now, transactions),
        by_stage(lag.samples[samples:]),
    )


async def _press(customers: Customers, lag: Lag, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        while lag.now < LAG_AT_LIMIT and customers.take_one():
            pass
        await asyncio.sleep(PAUSE_S)


async def _counted(system: System) -> tuple[dict[str, float], dict[str, float]]:
    return await system.metric("livedesk_records_total"), await system.metric("livedesk_transaction_seconds_count")


def _less(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def _cpu_clock(system: System, broker: Broker) -> CpuClock:
    return CpuClock(
        {
            "broker": [broker.pid],
            "ingress": [system.ingress.pid],
            "workers": [worker.pid for worker in system.workers],
            "customers and provider": [os.getpid()],
        }
    )
