"""Does the faults of a schedule to a running system, each at its time, and undoes them."""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout

from simulation.sandbox.gpt.script import GptScript
from simulation.sandbox.media import FileFault
from simulation.sandbox.stand_in import STAND_INS
from tests.chaos.gpt import FAILS, GPT_AGENT, HANGS, LIMITS, script
from tests.chaos.points import Order, Point
from tests.chaos.schedule import OF_BROKER, OF_MODEL, OF_PROVIDER, Fault, Kind
from tests.chaos.system import CHANNELS, ChaosWorker, System

logger = logging.getLogger(__name__)

REACHED_WITHIN_S = 12.0
RESTORED_WITHIN_S = 30.0
"""A worker that was just started first has to join its groups."""
MOST_WORKERS = 4
FILE_FAULTS: tuple[FileFault, ...] = ("vanished", "redirected", "lying", "hanging")
LOADED_AFTER_S = 20.0
"""Seconds after its start, or a pause, in which the broker is not paused. Kafka 3.9.2 that is paused while it reads its
transactions back resumes with a part of them, and then aborts what ended long ago: docs/reliability.md, Limits."""


@dataclass(frozen=True)
class Done:
    """A fault that was done. at, until: unix seconds. hit: False: its moment did not come in time."""

    fault: Fault
    at: float
    until: float
    hit: bool


class Saboteur:
    """Carries out a schedule. done: what was done so far; skipped: faults for which no worker was free."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.done: list[Done] = []
        self.skipped: Counter[str] = Counter()
        self.under_way: set[str] = set()
        self._broker, self._provider, self._rebalance = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._added = self._scripts = 0
        self._broker_came = time.monotonic()

    async def run(self, schedule: tuple[Fault, ...], began: float) -> None:
        """All of it; returns when every fault is over. began: time.monotonic() of second 0."""
        async with asyncio.TaskGroup() as faults:
            for fault in schedule:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                faults.create_task(self._do(fault))

    async def _do(self, fault: Fault) -> None:
        self.under_way.add(fault.name)
        at = time.time()
        try:
            hit = await self._carry_out(fault)
        finally:
            self.under_way.discard(fault.name)
        if hit is None:
            self.skipped[fault.name] += 1
        else:
            logger.info("%s: %s", fault.name, "done" if hit else "its moment did not come")
            self.done.append(Done(fault, at, time.time(), hit))

    async def _carry_out(self, fault: Fault) -> bool | None:
        """Whether it hit; None: skipped."""
        if fault.kind in OF_BROKER:
            async with self._broker:
                hit = await self._to_broker(fault)
                self._broker_came = time.monotonic()
                return hit
        if fault.kind in OF_PROVIDER:
            async with self._provider:
                return await self._to_provider(fault)
        if fault.kind in OF_MODEL:
            # The sandbox plays it, too.
            async with self._provider:
                return await self._to_model(fault)
        match fault.kind:
            case Kind.STOP_INGRESS:
                await self._system.stack.ingress.stop()
                return True
            case Kind.KILL_INGRESS:
                self._system.stack.ingress.kill()
                return True
            case Kind.KILL_DESK:
                for _ in range(fault.count):
                    self._system.stack.desk.kill()
                    # Also while it starts, which takes some seconds.
                    await asyncio.sleep(1 + 5 * fault.pick)
                return True
            case Kind.ADD_WORKER | Kind.REMOVE_WORKER | Kind.KILL_IN_REBALANCE:
                async with self._rebalance:
                    return await self._rebalanced(fault)
        return await self._to_workers(fault)

    # --- workers ---------------------------------------------------------------------------------------------------

    async def _to_workers(self, fault: Fault) -> bool | None:
        workers = self._free(fault)
        if not workers:
            return None
        workers = workers[: fault.count if fault.kind is Kind.KILL_SEVERAL else 1]
        for worker in workers:
            worker.busy = True
        try:
            return await self._to_these(fault, workers)
        finally:
            for worker in workers:
                worker.busy = False

    async def _to_these(self, fault: Fault, workers: list[ChaosWorker]) -> bool:
        worker = workers[0]
        match fault.kind:
            case Kind.KILL | Kind.KILL_SEVERAL:
                for victim in workers:
                    victim.kill()
                return True
            case Kind.STOP | Kind.STOP_BRIEFLY:
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                worker.signal(signal.SIGCONT)
                return True
            case Kind.REPLACE_STOPPED:
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(1)
                successor = self._system.add(worker.name)
                await self._until(lambda: not successor.running, fault.seconds)
                worker.signal(signal.SIGCONT)
                # Its name is taken: it has to end by itself.
                ended = await self._until(lambda: not worker.running, 60)
                if not ended:
                    logger.warning("%s goes on beside its replacement", worker.name)
                    await worker.stop()
                return True
            case _:
                return await self._at_point(fault, worker)

    async def _at_point(self, fault: Fault, worker: ChaosWorker) -> bool:
        assert fault.point is not None
        action = "kill" if fault.kind is Kind.KILL_AT else "stop"
        order = Order(point=fault.point, action=action, stage=fault.stage)
        before = worker.orders_reached
        if fault.point is Point.RESTORE:
            # The order comes with a fresh start, which restores.
            worker.wanted = False
            worker.kill()
            worker.busy = False
            worker = self._system.add(worker.name, order)
            worker.busy = True
        elif not await worker.order(order):
            return False
        within = RESTORED_WITHIN_S if fault.point is Point.RESTORE else REACHED_WITHIN_S
        hit = await self._until(lambda: worker.orders_reached > before, within)
        if not hit and fault.stage is not None and fault.point is not Point.RESTORE:
            # That stage runs elsewhere: any other will do.
            await worker.order(order.model_copy(update={"stage": None}))
            hit = await self._until(lambda: worker.orders_reached > before, REACHED_WITHIN_S)
        if not hit:
            await worker.disarm()
        elif fault.kind is Kind.STOP_AT:
            await asyncio.sleep(fault.seconds)
        worker.signal(signal.SIGCONT)
        worker.busy = False
        return hit

    async def _rebalanced(self, fault: Fault) -> bool | None:
        system = self._system
        extra = [worker for worker in system.workers.values() if worker.name.startswith("extra") and not worker.busy]
        if fault.kind is Kind.REMOVE_WORKER and not extra:
            # Nobody may have been added yet: a plain worker goes, and comes back.
            workers = self._free(fault)
            if len(workers) < 2:
                return None
            await system.remove(workers[0])
            await asyncio.sleep(fault.seconds)
            system.add(workers[0].name)
            return True
        if extra and (fault.kind is Kind.REMOVE_WORKER or len(system.workers) >= MOST_WORKERS):
            leaving = asyncio.create_task(system.remove(extra[0]))
        else:
            self._added += 1
            system.add(f"extra-{self._added}")
            leaving = None
        killed = True
        if fault.kind is Kind.KILL_IN_REBALANCE:
            # A worker needs about two seconds from its start until it joins.
            await asyncio.sleep(0.2 + 3 * fault.pick)
            victims = self._free(fault)[:1]
            for worker in victims:
                worker.kill()
            killed = bool(victims)
        if leaving is not None:
            await leaving
        return killed

    def _free(self, fault: Fault) -> list[ChaosWorker]:
        """The workers that no other fault is about, the picked one first."""
        free = [w for _, w in sorted(self._system.workers.items()) if not w.busy and w.running and not w.stopped]
        first = int(fault.pick * len(free))
        return free[first:] + free[:first]

    @staticmethod
    async def _until(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    # --- the broker and the provider -------------------------------------------------------------------------------

    async def _to_broker(self, fault: Fault) -> bool:
        match fault.kind:
            case Kind.KILL_BROKER:
                await self._system.restart_broker(fault.seconds, by_force=True)
            case Kind.RESTART_BROKER:
                await self._system.restart_broker(fault.seconds, by_force=False)
            case Kind.BROKER_AND_INGRESS:
                # What ingress took meanwhile is in its spool.
                away = asyncio.create_task(self._system.restart_broker(fault.seconds, by_force=True))
                for _ in range(2):
                    await asyncio.sleep(fault.seconds / 3)
                    self._system.stack.ingress.kill()
                await away
            case _:
                await asyncio.sleep(self._broker_came + LOADED_AFTER_S - time.monotonic())
                # To its clients a stopped process is a machine that is cut off: no answer, no reset.
                pid = (await asyncio.to_thread(self._system.broker.status)).pid
                assert pid is not None
                os.kill(pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(fault.seconds)
                finally:
                    os.kill(pid, signal.SIGCONT)
        return True

    async def _to_provider(self, fault: Fault) -> bool:
        sandbox = self._system.stack.sandbox
        if fault.kind is Kind.PROVIDER_SLOW:
            sandbox.signal(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            sandbox.signal(signal.SIGCONT)
            return True
        if fault.kind is Kind.PROVIDER_SPOILS_FILES:
            spoiled = FILE_FAULTS[int(fault.pick * len(FILE_FAULTS))]
            hit = await self._ask("files/fault", {"fault": spoiled})
            await asyncio.sleep(fault.seconds)
            # Where the sandbox is away just now it forgets the fault with all else, or is healed at the end.
            await self._ask("files/fault", {"fault": None})
            return hit
        times, channel = fault.count, self._system.stack.channels.channels[int(fault.pick * CHANNELS)]
        codes = STAND_INS[channel.provider].codes
        behaviours: dict[Kind, dict[str, object]] = {
            Kind.PROVIDER_LOSES: {"answer": "timeout", "times": times, "receipts": fault.pick < 0.5},
            Kind.PROVIDER_REFUSES: {"answer": "refuse", "code": codes["recipient"][0], "times": times},
            Kind.PROVIDER_RETRIES: {"answer": "refuse", "code": codes["retry"][0], "times": times},
            Kind.PROVIDER_UNREACHABLE: {"answer": "unreachable", "times": times},
        }
        return await self._ask("behaviour", behaviours[fault.kind] | {"account": channel.id})

    async def _to_model(self, fault: Fault) -> bool:
        turn = {Kind.MODEL_FAILS: FAILS, Kind.MODEL_HANGS: HANGS, Kind.MODEL_LIMITS: LIMITS}[fault.kind]
        self._scripts += 1
        spoiled, before = GptScript(agent=GPT_AGENT, turns=(turn,)), script(self._system.models.seed, self._scripts)
        hit = await self._ask("gpt", spoiled.model_dump(mode="json", exclude_unset=True))
        await asyncio.sleep(fault.seconds)
        await self._ask("gpt", before.model_dump(mode="json", exclude_unset=True))
        return hit

    async def _ask(self, path: str, body: dict[str, object]) -> bool:
        """Tell the sandbox how to behave. Whether it heard."""
        url = f"{self._system.stack.sandbox_url}/sandbox/{path}"
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=15)) as http,
                http.post(url, json=body) as response,
            ):
                return response.status == 200
        except (ClientError, TimeoutError, OSError):
            return False
