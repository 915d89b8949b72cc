"""Plays scripts of customers in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from simulation.sandbox.customers import Step
from simulation.sandbox.engagelab.provider import Provider
from simulation.sandbox.engagelab.receipts import ScheduledCallback
from simulation.sandbox.sender import CallbackSender


class Player:
    """The scripts that are being played, each a task."""

    def __init__(self, provider: Provider, sender: CallbackSender, clock: Callable[[], datetime]) -> None:
        self._provider = provider
        self._sender = sender
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, steps: Sequence[Step], dev_key: str | None = None) -> None:
        """Play a script to an account's number from now on. Raises KeyError for an unknown account."""
        account = self._provider.accounts.get(dev_key)
        task = asyncio.get_running_loop().create_task(self._play(steps, account.dev_key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cut every script short."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _play(self, steps: Sequence[Step], dev_key: str) -> None:
        started = self._clock()
        written: dict[int, ScheduledCallback] = {}
        for number, step in enumerate(steps):
            due = started + timedelta(seconds=step.offset)
            await asyncio.sleep(max(0.0, (due - self._clock()).total_seconds()))
            if step.of is not None:
                callback = replace(written[step.of], at=self._clock())
            else:
                callback = self._provider.customers_write(step.messages, self._clock(), dev_key)
                written[number] = callback
            self._sender.schedule([callback])
