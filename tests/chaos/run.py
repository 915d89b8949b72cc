"""One run: the system under load, faults at their times, then the verdict."""

import asyncio
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import ClientSession

from tests.chaos.checker import Verdict, check
from tests.chaos.faults import Saboteur
from tests.chaos.figures import FaultSpan, Figures, figures
from tests.chaos.history import History
from tests.chaos.load import Load, Rates
from tests.chaos.posting import Asked
from tests.chaos.read_model import check_read_model
from tests.chaos.reading import Rest, broker_errors, read_history, settle
from tests.chaos.schedule import Fault, Limits, draw
from tests.chaos.system import System
from tests.chaos.watch import Watch

logger = logging.getLogger(__name__)

SETTLE_S = 600.0
"""A reply in doubt waits a minute for its receipt, is repeated, may wait another; a breaker probes once a minute; who
waits for an agent is served at the pace of a fair window."""


@dataclass(frozen=True)
class Plan:
    """What a run is to be. seconds: of load and faults; settling comes on top."""

    seed: int
    seconds: float
    rates: Rates
    limits: Limits = field(default_factory=Limits)
    workers: int = 3
    partitions: int = 4


@dataclass
class Progress:
    """What shows while it runs."""

    phase: str = "starting"
    began: float = field(default_factory=time.monotonic)
    asked: Asked = field(default_factory=Asked)
    saboteur: Saboteur | None = None
    watch: Watch | None = None
    schedule: tuple[Fault, ...] = ()
    workers: int = 0


@dataclass(frozen=True)
class Report:
    """What came of it. exits: exit codes of workers that ended by themselves or were killed.

    broker_starts: how often Kafka was started; broker_errors: its log's ERROR lines, with how often each came.
    """

    plan: Plan
    folder: Path
    history: History
    verdict: Verdict
    figures: Figures
    done: tuple[tuple[str, bool], ...]
    skipped: int
    exits: dict[int, int]
    asked: Asked
    broker_starts: int
    broker_errors: Counter[str]
    longest_stall: tuple[float, str]
    settled_s: float


async def run(plan: Plan, folder: Path, show: Callable[[Progress], None]) -> Report:
    """The whole run. show is called about twice a second."""
    progress = Progress(schedule=draw(plan.seed, plan.seconds, plan.limits))
    async with System(folder, workers=plan.workers, partitions=plan.partitions, seed=plan.seed) as system:
        showing = asyncio.create_task(_show(progress, system, show))
        watch = Watch(system.settings.kafka, system.settings.topic_prefix)
        watching = asyncio.create_task(watch.run())
        try:
            progress.watch = watch
            saboteur = progress.saboteur = Saboteur(system)
            load = Load(system.stack, plan.seed, plan.rates)
            progress.asked, progress.phase = load.asked, "load and faults"
            began = progress.began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run(plan.seconds, began))
                tasks.create_task(saboteur.run(progress.schedule, began))
            progress.phase = "settling"
            rest, took = await _come_to_rest(system)
            progress.phase = "reading"
            history = await read_history(system, load.asked, rest)
            read_model = await check_read_model(system)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        progress.phase = "stopping"
    spans = [FaultSpan(d.fault.name, int(d.at * 1000), int(d.until * 1000)) for d in saboteur.done]
    progress.phase = "checking"
    # In a thread, so that the time shown goes on.
    verdict = await asyncio.to_thread(check, history)
    verdict = replace(verdict, violations=(*verdict.violations, *read_model))
    reported = await asyncio.to_thread(figures, history, spans)
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    return Report(
        plan,
        folder,
        history,
        verdict,
        reported,
        tuple((d.fault.name, d.hit) for d in saboteur.done),
        saboteur.skipped.total(),
        dict(system.exits),
        load.asked,
        len(system.broker_logs),
        broker_errors(system.broker_logs),
        watch.longest_stall,
        took,
    )


async def _come_to_rest(system: System) -> tuple[Rest, float]:
    """Heal everything, wait until nothing is under way, stop the workers. What still was, and the seconds it took."""
    began = time.monotonic()
    for process in (system.stack.sandbox, system.stack.ingress, *system.workers.values()):
        process.signal(signal.SIGCONT)
    async with ClientSession() as http:
        for channel in system.stack.channels.channels:
            body = {"answer": "accept", "account": channel.id}
            async with http.post(f"{system.stack.sandbox_url}/sandbox/behaviour", json=body) as response:
                assert response.status == 200
        async with http.post(f"{system.stack.sandbox_url}/sandbox/files/fault", json={"fault": None}) as response:
            assert response.status == 200
    await system.models.heal()
    with suppress(TimeoutError):
        await system.all_ready()
    rest = await settle(system, SETTLE_S)
    took = time.monotonic() - began
    await system.stop_workers()
    return rest, took


async def _show(progress: Progress, system: System, show: Callable[[Progress], None]) -> None:
    while True:
        progress.workers = sum(worker.running and not worker.stopped for worker in system.workers.values())
        show(progress)
        await asyncio.sleep(0.5)
