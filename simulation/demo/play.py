"""Plays the plan on a running stack: customers, agents and an administrator, until nothing is under way."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka.errors import KafkaError
from pydantic import JsonValue

from agents.ai.tools import HAND_OVER
from schemas.events.conversation import Status
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings
from simulation.demo.clients import ControlClient, SandboxClient
from simulation.demo.conversations import Conversations
from simulation.demo.plan import AI_ANSWER, COLLECTION, FAQ, FOR_A_PERSON, GPT_ANSWER, Callback, Customer, Plan
from simulation.demo.watch import Watch
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.gpt.script import Called, GptScript, GptTurn

POLL_SECONDS = 0.2
QUIET_SECONDS = 1.5
"""For how long nothing may happen before all is taken to be over: a call to the provider shows nowhere meanwhile."""

ARRIVAL_SECONDS = 10.0
"""For how long a customer waits for their last message to arrive before they write the next."""

FAILURES: Final = frozenset({"sent_failed", "delivered_failed"})
SEEN: Final = frozenset({"delivered", "read"})
ENDINGS: Final = SEEN | FAILURES
"""Where every message ends up in the demo: none stays without a receipt."""

LATE_CHANNEL = "support"
LATE_AGENT = "ines"
ALL_WEEK = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


@dataclass(frozen=True)
class Resolved:
    """A resolution: by whom, and the rating that the customer answered with, if any. rating_id: of that message."""

    agent: str
    rating: int | None = None
    rating_id: str = ""


class Play:
    """Everybody in the demo.

    written: ids of the customers' messages. replies: of the agents', with who sent them. resolved: by contact.
    """

    def __init__(
        self,
        plan: Plan,
        channels: Mapping[str, ChannelSettings],
        sandbox: SandboxClient,
        control: ControlClient,
        conversations: Conversations,
    ) -> None:
        self._plan, self._channels, self._sandbox, self._control = plan, channels, sandbox, control
        self._conversations = conversations
        self._opened = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last_seq = -1
        self._callbacks_pending = self._callbacks_done = 0
        self.written: set[str] = set()
        self.replies: dict[str, str] = {}
        self.resolved: dict[str, Resolved] = {}

    async def begin(self) -> None:
        """Set the AI agents' answers, add the FAQ, and have the agents begin to work. Raises LiveDeskError."""
        await self._set_ai(AI_ANSWER)
        for channel in self._channels.values():
            if any(isinstance(agent, GptAgent) for agent in channel.ai_agents):
                for id, entry in FAQ.items():
                    await self._control.add_document(channel.account, COLLECTION, id, entry.document)
        for script in _scripts():
            await self._sandbox.set_model(script)
        for customer in self._plan.customers.values():
            self._tasks[customer.contact] = asyncio.create_task(self._serve(customer))

    async def _set_ai(self, answer: str) -> None:
        for channel in self._channels.values():
            if channel.ai.enabled:
                await self._sandbox.set_ai(channel.id, answer)

    async def customers_write(self, act: int) -> None:
        """Every callback of the act at its time. Raises LiveDeskError."""
        began = time.monotonic()
        for callback in self._plan.acts[act]:
            while (wait := began + callback.at - time.monotonic()) > 0:
                await self._look()
                await asyncio.sleep(min(wait, POLL_SECONDS))
            await self._until(partial(self._come_after, callback), ARRIVAL_SECONDS)
            await self._sandbox.write(callback.channel, callback.messages, callback.copies)
            self.written |= {message.id or "" for message in callback.messages}

    async def settle(self, seconds: float) -> None:
        """Wait until all notices and answers that are due before support opens are sent."""
        await self._until(lambda: all(map(self._is_settled, self._plan.customers.values())), seconds)

    async def open(self) -> None:
        """The administrator opens support, an agent comes, and the AI agent hands over. Raises LiveDeskError."""
        await self._control.change_settings(LATE_CHANNEL, {"business_hours": {"week": ALL_WEEK}})
        await self._control.set_presence(self._channels[LATE_CHANNEL].account, LATE_AGENT, "online")
        await self._set_ai("handoff")
        self._opened.set()

    async def wait_for_end(self, watch: Watch, seconds: float) -> list[str]:
        """Wait until all is served, delivered and processed. Returns what still was not when the time was up."""
        deadline = time.monotonic() + seconds
        quiet_since, before = time.monotonic(), None
        while True:
            await self._look()
            missing = await self._missing(watch)
            now = time.monotonic()
            seen = (self._last_seq, self._callbacks_done)
            if missing or seen != before:
                quiet_since, before = now, seen
            if now - quiet_since >= QUIET_SECONDS:
                return []
            if now > deadline:
                return missing or ["the sandbox is still busy"]
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Send everybody home."""
        tasks = self._tasks.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- an agent and a customer -------------------------------------------------------------------------------------

    async def _serve(self, customer: Customer) -> None:
        """An agent answers the customer, and resolves; the customer rates that."""
        work, conversations, contact = customer.work, self._conversations, customer.contact
        agent = work.resolver if customer.kind == "parcel" else await self._answer(customer)
        await conversations.until(lambda: self._is_finished(customer))
        if work.note is not None:
            await self._command(customer, agent, "note", text=work.note)
        if work.label is not None:
            await self._command(customer, agent, "label", add=[work.label])
        if work.resolve_after is None:
            return
        await asyncio.sleep(work.resolve_after)
        await self._command(customer, agent, "resolve")
        self.resolved[contact] = Resolved(agent)
        if customer.is_asked:
            await conversations.until(lambda: conversations.survey_status(contact) in ENDINGS)
            if conversations.survey_status(contact) in SEEN:
                await self._rate(customer, agent)

    async def _answer(self, customer: Customer) -> str:
        """Whoever was given the conversation replies. Returns who."""
        conversations, contact = self._conversations, customer.contact
        await conversations.until(lambda: conversations.holder(contact) is not None)
        if customer.channel == LATE_CHANNEL:
            await self._opened.wait()
        await asyncio.sleep(customer.work.after)
        agent = conversations.holder(contact) or ""
        await self._command(customer, agent, "reply", text=customer.work.reply)
        self.replies[f"reply-{contact}"] = agent
        await conversations.until(lambda: conversations.times_sent(contact, "reply") > 0)
        return agent

    async def _rate(self, customer: Customer, agent: str) -> None:
        rating = customer.rating
        if rating is None:
            return
        await asyncio.sleep(rating.after)
        id = f"wamid.demo-{self._plan.seed}-rating-{customer.contact}"
        message = CustomerMessage(contact=customer.contact, text=rating.text, id=id)
        await self._sandbox.write(customer.channel, [message])
        self.written.add(id)
        self.resolved[customer.contact] = Resolved(agent, rating.value, id)

    async def _command(self, customer: Customer, agent: str, type: str, **fields: object) -> None:
        body = {"type": type, "id": f"{type}-{customer.contact}", "by": agent, **fields}
        await self._control.command(customer.channel, customer.contact, body)

    # --- what can be seen --------------------------------------------------------------------------------------------

    def _come_after(self, callback: Callback) -> bool:
        """Whether all that its customers wrote before has arrived: callbacks may overtake each other."""
        now = {message.id for message in callback.messages}
        customers = [self._plan.customers[message.contact] for message in callback.messages]
        before = {id for customer in customers for ids in customer.written for id in ids if id in self.written}
        return self._conversations.has(before - now)

    def _is_settled(self, customer: Customer) -> bool:
        conversations, contact, written = self._conversations, customer.contact, customer.written[0]
        if not conversations.has(written):
            return False
        match customer.kind:
            case "early":
                return conversations.times_sent(contact, "unavailable") > 0
            case "parcel" | "person":
                return conversations.is_answered(contact, len(written))
        return True

    def _is_finished(self, customer: Customer) -> bool:
        """Whether the customer has written everything, and the AI agent has answered what it is to answer."""
        written = [id for ids in customer.written for id in ids]
        by_ai = len(customer.written[0]) if customer.kind in ("parcel", "person") else 0
        return self._conversations.has(written) and self._conversations.is_answered(customer.contact, by_ai)

    async def _until(self, seen: Callable[[], bool], seconds: float) -> None:
        """Poll until `seen()` or the deadline; the final checks report what is missing."""
        deadline = time.monotonic() + seconds
        while not seen() and time.monotonic() < deadline:
            await self._look()
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        """See what the provider was asked to send, and whether an agent has failed."""
        for entry in await self._sandbox.sent(self._last_seq):
            self._last_seq = entry.seq
        for task in self._tasks.values():
            if task.done():
                task.result()
        counts = (await self._sandbox.callbacks()).counts
        self._callbacks_pending, self._callbacks_done = counts.pending, counts.delivered + counts.failed

    async def _missing(self, watch: Watch) -> list[str]:
        served = sum(not task.done() for task in self._tasks.values())
        closing = [customer.contact for customer in self._plan.customers.values() if customer.is_resolved]
        not_closed = sum(self._conversations.status(contact) is not Status.CLOSED for contact in closing)
        try:
            lag = {stage: records for stage, records in (await watch.lag()).items() if records}
        except KafkaError as error:
            return [f"Kafka does not answer ({type(error).__name__})"]
        found = (
            (served, f"{served} customers are still served"),
            (not_closed, f"{not_closed} conversations are not closed"),
            (self._callbacks_pending, f"{self._callbacks_pending} callbacks are not delivered"),
            (lag, f"not processed: {', '.join(f'{records} by {stage}' for stage, records in lag.items())}"),
        )
        return [text for missing, text in found if missing]


def _scripts() -> Iterator[GptScript]:
    """What the GPT agent's model does: it answers by the FAQ, and hands over who wants a person."""
    yield GptScript(turns=(GptTurn(text=GPT_ANSWER),))
    for entry in FAQ.values():
        yield GptScript(when=entry.asked, turns=(GptTurn(text=entry.answer),))
    for said in FOR_A_PERSON:
        arguments: dict[str, JsonValue] = {"reason": "asked_for_person", "summary": f"Asked about an order. {said}"}
        yield GptScript(when=said, turns=(GptTurn(calls=(Called(name=HAND_OVER, arguments=arguments),)),))
