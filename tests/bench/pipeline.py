"""The whole pipeline on one machine: new customers write and are greeted, receipts come back."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.customers import CALLBACKS, Customers, percentile
from tests.bench.flood import Limit, flood
from tests.bench.lag import Lag, Sample, growth
from tests.bench.report import Report, Verdict
from tests.bench.session import Session, broker
from tests.bench.system import System

RATE = 1000.0
SETTLE_S = 120.0
PARTS = 5


async def run(session: Session) -> Sequence[Report]:
    """At a steady rate, then at the limit."""
    seconds, at_limit = session.pick((6.0, 4.0), (45.0, 15.0), (300.0, 60.0))
    rate = session.pick(60.0, RATE, RATE)
    with broker(session) as found:
        async with (
            Customers(receipts=True) as customers,
            System(found.kafka, session.folder / "system", customers.provider_url) as system,
            Lag(found.kafka) as lag,
        ):
            await customers.connect(system.urls)
            session.say("warming up")
            await customers.steady(rate / CALLBACKS, session.pick(1.0, 15.0, 30.0))
            session.say(f"{rate:,.0f} callbacks/s for {seconds:.0f} s")
            steady = await _steady(customers, lag, rate, seconds)
            session.say(f"as fast as it goes, for {at_limit:.0f} s")
            limit = await flood(customers, lag, system, found, at_limit)
    return [steady, *limit_reports(limit)]


async def _steady(customers: Customers, lag: Lag, rate: float, seconds: float) -> Report:
    began, since = time.monotonic(), asyncio.get_running_loop().time()
    before = customers.acknowledged
    await customers.steady(rate / CALLBACKS, seconds)
    acknowledged = (customers.acknowledged - before) / (time.monotonic() - began)
    samples = [sample for sample in lag.samples if sample.at >= began]
    await customers.answered(SETTLE_S)
    delays = customers.delays(since)
    rows = [
        (
            f"{part.start:.0f} - {part.stop:.0f} s",
            f"{min(totals):,}",
            f"{totals[len(totals) // 2]:,}",
            f"{max(totals):,}",
        )
        for part, totals in _parts(samples, began, seconds)
    ]
    # The beginning is left out: what the first seconds leave behind is no growth.
    slope = growth([sample for sample in samples if sample.at >= began + seconds / 4])
    verdicts = (
        Verdict("callbacks acknowledged, of those wanted", acknowledged / rate, 0.98),
        Verdict("growth of the lag, of the rate", slope / rate, 0.01, most=True),
    )
    notes = (
        f"{acknowledged:,.0f} callbacks/s acknowledged, {len(delays):,} customers greeted",
        f"callback to provider call: median {percentile(delays, 50):.0f} ms, 99th percentile "
        f"{percentile(delays, 99):.0f} ms",
    )
    title = f"The whole pipeline at {rate:,.0f} callbacks/s for {seconds:.0f} s: records that waited, of all stages"
    return Report(title, ("time", "lowest", "median", "highest"), rows, verdicts, notes)


@dataclass(frozen=True)
class _Part:
    start: float
    stop: float


def _parts(samples: Sequence[Sample], began: float, seconds: float) -> list[tuple[_Part, list[int]]]:
    parts = [_Part(seconds * n / PARTS, seconds * (n + 1) / PARTS) for n in range(PARTS)]
    found = [(part, sorted(s.total for s in samples if part.start <= s.at - began < part.stop)) for part in parts]
    return [(part, totals) for part, totals in found if totals]


def limit_reports(limit: Limit) -> list[Report]:
    """Where the machine's time goes, and before which stage work waits."""
    title = f"The whole pipeline at its limit: {limit.rate:,.0f} callbacks/s"
    processes = []
    for name, used in limit.cpu.items():
        processes.append((name, f"{limit.a_second(used):.0%}", f"{limit.micros(name):,.0f}"))
    cores = limit.a_second(sum(limit.cpu.values()))
    busiest = max(limit.cpu, key=lambda name: limit.cpu[name])
    reported = f"{cores:.2f} of {os.cpu_count()} cores used; busiest: {busiest}"
    stages = []
    for stage, waiting in limit.lag.items():
        records, batches = (limit.a_second(found.get(stage, 0.0)) for found in (limit.records, limit.batches))
        stages.append((stage, f"{records:,.0f}", f"{batches:,.1f}", f"{waiting:,.0f}"))
    behind = max(limit.lag, key=lambda stage: limit.lag[stage])
    return [
        Report(title, ("process", "of a core", "µs a callback"), processes, (), (reported,)),
        Report(
            f"{title}: stages",
            ("stage", "records/s", "batches/s", "mean lag"),
            stages,
            (),
            (f"most waits before: {behind}",),
        ),
    ]
