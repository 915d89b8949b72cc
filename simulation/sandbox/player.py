"""Plays scripts of customers in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from simulation.sandbox.calls import ScheduledCallback
from simulation.sandbox.customers import Step
from simulation.sandbox.providers import Providers
from simulation.sandbox.sender import CallbackSender


class Player:
    """The scripts that are being played, each a task."""

    def __init__(self, providers: Providers, sender: CallbackSender, clock: Callable[[], datetime]) -> None:
        self._providers = providers
        self._sender = sender
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, steps: Sequence[Step], account: str | None = None) -> None:
        """Play a script to an account's number from now on. Raises KeyError for an unknown account."""
        to = self._providers.state.accounts.get(account)
        task = asyncio.get_running_loop().create_task(self._play(steps, to.id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cut every script short."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _play(self, steps: Sequence[Step], account: str) -> None:
        started = self._clock()
        written: dict[int, tuple[ScheduledCallback, ...]] = {}
        for number, step in enumerate(steps):
            due = started + timedelta(seconds=step.offset)
            await asyncio.sleep(max(0.0, (due - self._clock()).total_seconds()))
            if step.of is not None:
                callbacks = tuple(replace(callback, at=self._clock()) for callback in written[step.of])
            else:
                callbacks = self._providers.customers_write(step.messages, self._clock(), account)
                written[number] = callbacks
            self._sender.schedule(callbacks)
