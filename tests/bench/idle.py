"""What the system costs when nothing happens, and stock Faust apps beside it."""

import asyncio
from collections.abc import Sequence

import psutil

from deploy.kafka.topics import apply
from schemas.topics import Topic
from streams.topology import TOPOLOGY
from tests.bench.customers import Customers
from tests.bench.peers.faust_idle import READY
from tests.bench.programs import peer, running
from tests.bench.report import Report, Verdict
from tests.bench.session import Session, broker
from tests.bench.system import CpuClock, System

APPS = 9
PARTITIONS = 4
START_S = 120.0
FAUST_PREFIX = "stock."


async def run(session: Session) -> Sequence[Report]:
    """One after the other, on one broker."""
    rest, seconds = session.pick((1.0, 2.0), (10.0, 30.0), (20.0, 60.0))
    with broker(session) as found:
        async with (
            Customers(receipts=False) as customers,
            System(found.kafka, session.folder / "system", customers.provider_url, partitions=PARTITIONS) as system,
        ):
            pids = {
                f"a worker, all {len(TOPOLOGY)} stages": system.workers[0].pid,
                "ingress": system.ingress.pid,
                "broker meanwhile": found.pid,
            }
            session.say(f"our processes at rest for {seconds:.0f} s")
            rows = await _at_rest(pids, rest, seconds)
        topics = [Topic(f"idle{number}", key="any", writers={}, holds="nothing") for number in range(APPS)]
        await apply(found.kafka, FAUST_PREFIX, topics, PARTITIONS, 1)
        command = peer("faust_idle", found.kafka.bootstrap_servers, FAUST_PREFIX, str(APPS), str(PARTITIONS))
        with running("faust-idle", command, session.folder) as program:
            await program.wait_until_said(READY, START_S)
            session.say(f"stock Faust at rest for {seconds:.0f} s")
            pids = {f"{APPS} stock Faust apps in a process": program.pid, "broker meanwhile ": found.pid}
            rows += await _at_rest(pids, rest, seconds)
    used = {name: cpu for name, cpu, _ in rows}
    worker = Verdict("a worker's CPU, of a core", used[rows[0][0]] * 100, 5, " %", most=True)
    table = [(name, f"{cpu:.1%}", f"{memory / 2**20:,.0f} MiB") for name, cpu, memory in rows]
    title = f"At rest for {seconds:.0f} s, {PARTITIONS} partitions"
    return [Report(title, ("process", "of a core", "resident"), table, (worker,))]


async def _at_rest(pids: dict[str, int], rest: float, seconds: float) -> list[tuple[str, float, int]]:
    """Name, share of a core and resident bytes of each."""
    await asyncio.sleep(rest)
    clock = CpuClock({name: [pid] for name, pid in pids.items()})
    await asyncio.sleep(seconds)
    used = clock.seconds()
    return [(name, used[name] / seconds, psutil.Process(pid).memory_info().rss) for name, pid in pids.items()]
