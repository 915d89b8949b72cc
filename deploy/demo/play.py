"""Plays the plan on a running stack: customers write, agents answer, until nothing is under way any more."""

import asyncio
import time
from collections import Counter

from aiokafka.errors import KafkaError

from deploy.demo.clients import DeskClient, SandboxClient
from deploy.demo.plan import Answer, Plan
from deploy.demo.watch import Watch

POLL_SECONDS = 0.25
QUIET_SECONDS = 1.5
"""For how long nothing may happen before all is taken to be over: a call to the provider shows nowhere meanwhile."""


class Play:
    """The customers and the agents."""

    def __init__(self, plan: Plan, sandbox: SandboxClient, desk: DeskClient) -> None:
        self._plan, self._sandbox, self._desk = plan, sandbox, desk
        self._last_seq = -1
        self._accepted: Counter[str] = Counter()
        self._reached: dict[str, asyncio.Event] = {}
        self._greeted: set[str] = set()
        self._answering: dict[str, asyncio.Task[None]] = {}
        self.written: set[str] = set()
        self.replies: set[str] = set()
        self.callbacks_pending = 0
        self.callbacks_done = 0

    async def customers_write(self) -> None:
        """Every callback of the plan at its time; agents answer meanwhile. Raises LiveDeskError."""
        began = time.monotonic()
        for callback in self._plan.callbacks:
            while (wait := began + callback.at - time.monotonic()) > 0:
                await self._look()
                await asyncio.sleep(min(wait, POLL_SECONDS))
            await self._sandbox.write(callback.messages, callback.copies)
            self.written |= {message.id or "" for message in callback.messages}

    async def wait_for_end(self, watch: Watch, seconds: float) -> list[str]:
        """Wait until all is answered, delivered and processed. Returns what still was not when the time was up."""
        deadline = time.monotonic() + seconds
        quiet_since, before = time.monotonic(), None
        while True:
            await self._look()
            missing = await self._missing(watch)
            now = time.monotonic()
            seen = (self._last_seq, self.callbacks_done)
            if missing or seen != before:
                quiet_since, before = now, seen
            if now - quiet_since >= QUIET_SECONDS:
                return []
            if now > deadline:
                return missing or ["the sandbox is still busy"]
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Send the agents home."""
        tasks = self._answering.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """See what the provider was asked to send; whoever is greeted is answered, if that is planned."""
        for entry in await self._sandbox.sent(self._last_seq):
            self._last_seq = entry.seq
            if entry.outcome != "accepted" or entry.contact is None:
                continue
            self._accepted[entry.id or ""] += 1
            if entry.id in self._reached:
                self._reached[entry.id].set()
            # The first message to a customer is the greeting: agents answer only who is greeted.
            self._greeted.add(entry.contact)
            answer = self._plan.answers.get(entry.contact)
            if answer is not None and entry.contact not in self._answering:
                self._answering[entry.contact] = asyncio.create_task(self._answer(entry.contact, answer))
        for task in self._answering.values():
            if task.done():
                task.result()
        counts = (await self._sandbox.callbacks()).counts
        self.callbacks_pending, self.callbacks_done = counts.pending, counts.delivered + counts.failed

    async def _answer(self, contact: str, answer: Answer) -> None:
        await asyncio.sleep(answer.after)
        reply = f"reply-{contact}"
        reached = self._reached[reply] = asyncio.Event()
        await self._desk.reply(contact, reply, answer.agent, answer.text)
        self.replies.add(reply)
        if answer.resolve_after is not None:
            await reached.wait()
            await asyncio.sleep(answer.resolve_after)
            await self._desk.resolve(contact, f"resolve-{contact}", answer.agent)

    async def _missing(self, watch: Watch) -> list[str]:
        greetings = len(self._plan.contacts - self._greeted)
        answers = sum(not task.done() for task in self._answering.values())
        replies = sum(not self._accepted[reply] for reply in self.replies)
        try:
            lag = {stage: records for stage, records in (await watch.lag()).items() if records}
        except KafkaError as error:
            return [f"Kafka does not answer ({type(error).__name__})"]
        found = (
            (greetings, f"{greetings} customers are not greeted"),
            (answers, f"{answers} agents have not finished"),
            (replies, f"{replies} replies have not reached the provider"),
            (self.callbacks_pending, f"{self.callbacks_pending} callbacks are not delivered"),
            (lag, f"not processed: {', '.join(f'{records} by {stage}' for stage, records in lag.items())}"),
        )
        return [text for missing, text in found if missing]
