"""As many callbacks as the system takes without falling behind, and what they cost."""

import asyncio
import os
from dataclasses import dataclass

from tests.bench.customers import Customers
from tests.bench.lag import Lag, by_stage
from tests.bench.session import Broker
from tests.bench.system import CpuClock, System

LAG_AT_LIMIT = 4000
"""Records that may wait, so that no stage falls behind unseen. Half of them wait on purpose (unhurried stages)."""
UNANSWERED_AT_LIMIT = 400
"""Customers who may wait for their greeting. The lag is looked at twice a second: too late to stop a burst."""
PAUSE_S = 0.002
SETTLE_S = 120.0


@dataclass(frozen=True)
class Limit:
    """What the system did at most. rate: callbacks a second, of the part after the first quarter.

    Of the whole, until all was done: cpu: seconds by process; records, batches by stage. lag: its mean by stage.
    """

    rate: float
    callbacks: float
    cpu: dict[str, float]
    records: dict[str, float]
    batches: dict[str, float]
    lag: dict[str, float]

    def micros(self, process: str) -> float:
        """CPU time of a process for a callback, in microseconds."""
        return self.cpu[process] / self.callbacks * 1e6

    def a_second(self, count: float) -> float:
        """What was counted over the whole, for each second at the limit."""
        return count / self.callbacks * self.rate


async def flood(customers: Customers, lag: Lag, system: System, broker: Broker, seconds: float) -> Limit:
    """New customers as fast as the lag stays bounded; then until nothing of theirs is left to do."""
    await _at_rest(customers, lag)
    loop, began = asyncio.get_running_loop(), customers.acknowledged
    clock = _cpu_clock(system, broker)
    records, batches = await _counted(system)
    await _press(customers, lag, seconds / 4)
    pressed, at, samples = customers.acknowledged, loop.time(), len(lag.samples)
    await _press(customers, lag, seconds)
    rate, waiting = (customers.acknowledged - pressed) / (loop.time() - at), by_stage(lag.samples[samples:])
    await _at_rest(customers, lag)
    records_now, batches_now = await _counted(system)
    return Limit(
        rate,
        customers.acknowledged - began,
        clock.seconds(),
        _less(records_now, records),
        _less(batches_now, batches),
        waiting,
    )


async def _at_rest(customers: Customers, lag: Lag) -> None:
    await customers.answered(SETTLE_S)
    await lag.gone(SETTLE_S)


async def _press(customers: Customers, lag: Lag, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        while customers.unanswered < UNANSWERED_AT_LIMIT and lag.now < LAG_AT_LIMIT and customers.take_one():
            pass
        await asyncio.sleep(PAUSE_S)


async def _counted(system: System) -> tuple[dict[str, float], dict[str, float]]:
    return await system.metric("livedesk_records_total"), await system.metric("livedesk_batch_seconds_count")


def _less(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def _cpu_clock(system: System, broker: Broker) -> CpuClock:
    return CpuClock(
        {
            "broker": [broker.pid],
            "ingress": [system.ingress.pid],
            "desk": [system.desk.pid],
            "workers": [worker.pid for worker in system.workers],
            "customers and provider": [os.getpid()],
        }
    )
