"""What happens in the demo: what the customers write and when, and whom an agent answers. All of it from the seed."""

import random
from dataclasses import dataclass, replace

from deploy.sandbox.customers import CustomerMessage, script

REDELIVERED = 0.1
REPEATED = 0.08
"""How often a callback also carries a message that an earlier one has brought."""
BATCHED = 0.2
ANSWERED = 0.6
RESOLVED = 0.5
"""Of the customers who are answered."""

RECEIPT_FAULTS = {
    "sent_failed": 0.03,
    "delivered_failed": 0.04,
    "read": 0.8,
    "duplicate": 0.08,
    "reorder": 0.15,
    "batch": 0.2,
    "delay": 0.03,
    "delay_seconds": 3,
    "pace": 0.3,
}
"""What goes wrong with receipts: see deploy.sandbox.receipts.Faults."""

REPLIES = (
    "Good morning! I am looking into it.",
    "Thank you for your patience, here is what I found.",
    "Could you send me the number of your order?",
    "It is on its way to you and arrives tomorrow.",
    "That is settled now. Anything else?",
)


@dataclass(frozen=True)
class Callback:
    """One callback with customers' messages, `at` seconds into the demo. copies: how often it is delivered."""

    at: float
    messages: tuple[CustomerMessage, ...]
    copies: int = 1


@dataclass(frozen=True)
class Answer:
    """An agent's reply, `after` seconds from the greeting; resolve_after: seconds from the reply, None: stays open."""

    agent: str
    text: str
    after: float
    resolve_after: float | None


@dataclass(frozen=True)
class Plan:
    """The whole demo. answers: by contact."""

    seed: int
    callbacks: tuple[Callback, ...]
    answers: dict[str, Answer]

    @property
    def messages(self) -> frozenset[str]:
        """The ids of the messages that the customers write."""
        return frozenset(message.id or "" for callback in self.callbacks for message in callback.messages)

    @property
    def contacts(self) -> frozenset[str]:
        """The customers."""
        return frozenset(message.contact for callback in self.callbacks for message in callback.messages)


def make_plan(seed: int, customers: int, agents: tuple[str, ...], seconds: float) -> Plan:
    """The demo of a seed; the last message is written after `seconds`. The same arguments give the same plan."""
    rng = random.Random(f"demo:{seed}")
    callbacks = _callbacks(rng, seed, customers, seconds)
    contacts = list(dict.fromkeys(message.contact for callback in callbacks for message in callback.messages))
    chosen = rng.sample(contacts, max(1, round(ANSWERED * len(contacts))))
    return Plan(seed, callbacks, {contact: _answer(rng, agents) for contact in sorted(chosen)})


def _callbacks(rng: random.Random, seed: int, customers: int, seconds: float) -> tuple[Callback, ...]:
    steps = script(seed, customers, batch=BATCHED, redeliver=REDELIVERED)
    # The script plays in the time that people take; the demo has not that long.
    pace = seconds / max(step.offset for step in steps)
    callbacks: list[Callback] = []
    written = 0
    for step in steps:
        if step.kind == "redeliver":
            callbacks[-1] = replace(callbacks[-1], copies=2)
            continue
        messages = []
        for message in step.messages:
            written += 1
            messages.append(message.model_copy(update={"id": f"wamid.demo-{seed}-{written}"}))
        if callbacks and rng.random() < REPEATED:
            messages.insert(0, rng.choice(callbacks).messages[0])
        callbacks.append(Callback(step.offset * pace, tuple(messages)))
    return tuple(callbacks)


def _answer(rng: random.Random, agents: tuple[str, ...]) -> Answer:
    return Answer(
        agent=rng.choice(agents),
        text=rng.choice(REPLIES),
        after=rng.uniform(0.5, 4),
        resolve_after=rng.uniform(0.5, 2) if rng.random() < RESOLVED else None,
    )
