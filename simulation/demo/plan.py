"""What happens in the demo: who writes what and when, and what the agents do about it. All of it from the seed."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from simulation.sandbox.customers import NAMES, CustomerMessage

REDELIVERED = 0.1
REPEATED = 0.1
"""How often a callback also carries a message that an earlier one has brought."""
BATCHED = 0.25
FOLLOWED_UP = 0.4
NOTED = 0.2
UNASKED = 0.1
"""How many conversations are labelled so that nobody is asked for a rating."""
RATED = 0.75
"""Of those who are asked."""
STAY_OPEN = 2
"""Conversations that nobody resolves."""

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
"""What goes wrong with receipts: see simulation.sandbox.receipts.Faults."""

AI_ANSWER = "Your order is on its way and arrives tomorrow. Is there anything else?"
"""What the account's own AI agent says to everything, until it hands over."""


@dataclass(frozen=True)
class Entry:
    """An entry of the GPT agent's FAQ. answer: what its model says to who asks that."""

    asked: str
    document: str
    answer: str


COLLECTION = "faq"
FAQ: Final[Mapping[str, Entry]] = {
    "where": Entry(
        "Hi, where is my parcel?",
        "# Where is my parcel?\n\nThe mail that confirmed the order has a link that shows where the parcel is.",
        "The link in the mail that confirmed your order shows where it is. [1] Is there anything else?",
    ),
    "sent": Entry(
        "Good morning, has my order been sent?",
        "# Has my order been sent?\n\nWhat is paid before noon is sent on the same day, and a mail says so.",
        "What is paid before noon is sent on the same day, and you get a mail. [1] Is there anything else?",
    ),
    "arrival": Entry(
        "When does my order arrive?",
        "# When does my order arrive?\n\nIt takes one day within the country, and three abroad.",
        "It takes one day within the country, and three abroad. [1] Is there anything else?",
    ),
}
"""By the document's name."""
GPT_ANSWER = "Thank you. Is there anything else?"
"""What its model says to all else."""
NO_SURVEY = "no-survey"
"""The label in demo.yaml of conversations that nobody is asked about."""

Kind = Literal["refund", "invoice", "parcel", "person", "early", "late"]
"""Customers of shop and orders: refund, invoice: rules give them to people; parcel: the AI agent answers; person: it
answers, then hands over. Customers of support: early: they write while it is closed; late: when it is open.
"""

CHANNELS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    **dict.fromkeys(("refund", "invoice", "parcel", "person"), ("shop", "orders")),
    **dict.fromkeys(("early", "late"), ("support",)),
}
"""Of several channels the customers take turns."""

ACTS: Final = (0, 1)
"""Before and after support opens."""

MIX: Sequence[Kind] = (
    *("early", "refund", "parcel", "early", "person", "late"),
    *("invoice", "parcel", "early", "refund", "person", "late"),
)
"""The kinds of the first twelve customers, and of each twelve after them."""

_PARCEL = tuple(entry.asked for entry in FAQ.values())
_TROUBLE = ("The app does not let me log in", "I want to change my booking", "I can't open my account")
_OPENINGS: Mapping[Kind, Sequence[str]] = {
    "refund": ("I would like a refund, please", "The lamp arrived broken, I want my money back"),
    "invoice": ("A question about my invoice", "There is a mistake on my invoice"),
    "parcel": _PARCEL,
    "person": _PARCEL,
    "early": _TROUBLE,
    "late": _TROUBLE,
}
_FOLLOW_UPS = ("It is rather urgent", "The number is 48213", "Thanks!", "Can you help me?")
FOR_A_PERSON = ("I would rather talk to a person", "That does not help me, is anybody there?")
_REPLIES = (
    "Good morning! I am looking into it.",
    "Thank you for your patience, here is what I found.",
    "That is done now. Anything else?",
)
_NOTES = ("Called back, all is clear now", "The same question as last week")
_RATINGS = (("5", 5), ("4", 4), ("5", 5), ("4/5", 4), ("⭐⭐⭐⭐⭐", 5), ("３", 3), (" 4 ", 4), ("2", 2), ("1", 1))


@dataclass(frozen=True)
class Callback:
    """One callback with customers' messages, `at` seconds into its act. copies: how often it is delivered."""

    at: float
    channel: str
    messages: tuple[CustomerMessage, ...]
    copies: int = 1


@dataclass(frozen=True)
class Work:
    """What an agent does.

    after: seconds from being given the conversation to the reply; resolve_after: seconds from then, None: it stays
    open. resolver: who resolves a conversation that the AI agent holds.
    """

    reply: str
    after: float
    note: str | None
    label: str | None
    resolve_after: float | None
    resolver: str


@dataclass(frozen=True)
class Rating:
    """What a customer answers to the survey, `after` seconds, and what it counts as."""

    text: str
    value: int
    after: float


@dataclass(frozen=True)
class Customer:
    """channel: which they write to. written: the ids of the messages, by act. rating: None: they ignore the survey.

    about: the entry of FAQ that answers their first message.
    """

    contact: str
    kind: Kind
    channel: str
    written: tuple[tuple[str, ...], tuple[str, ...]]
    work: Work
    rating: Rating | None
    about: str | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether somebody resolves the conversation."""
        return self.work.resolve_after is not None

    @property
    def is_asked(self) -> bool:
        """Whether a survey follows."""
        return self.is_resolved and self.work.label != NO_SURVEY


@dataclass(frozen=True)
class Plan:
    """The whole demo. acts: the callbacks of each of ACTS. customers: by contact."""

    seed: int
    acts: tuple[tuple[Callback, ...], tuple[Callback, ...]]
    customers: Mapping[str, Customer]


@dataclass(frozen=True)
class _Line:
    act: int
    at: float
    message: CustomerMessage


def make_plan(seed: int, customers: int, agents: Mapping[str, Sequence[str]], seconds: float) -> Plan:
    """The demo of a seed. agents: by channel. seconds: of each act. The same arguments give the same plan."""
    rng = random.Random(f"demo:{seed}")
    kinds = {str(34_600_100_000 + number): MIX[number % len(MIX)] for number in range(customers)}
    lines = sorted(_written(rng, seed, kinds, seconds), key=lambda line: (line.act, line.at))
    by_people = [contact for contact, kind in kinds.items() if kind in ("refund", "invoice")]
    stay_open = rng.sample(by_people, min(STAY_OPEN, len(by_people) // 2))
    people = {}
    for number, (contact, kind) in enumerate(kinds.items()):
        channel = CHANNELS_OF[kind][number % len(CHANNELS_OF[kind])]
        own = [line for line in lines if line.message.contact == contact]
        written = [tuple(line.message.id or "" for line in own if line.act == act) for act in ACTS]
        work = _work(rng, agents[channel], resolved=contact not in stay_open)
        about = next((id for id, entry in FAQ.items() if entry.asked == own[0].message.text), None)
        people[contact] = Customer(contact, kind, channel, (written[0], written[1]), work, _rating(rng), about)
    acts = [_callbacks(rng, [line for line in lines if line.act == act], people) for act in ACTS]
    return Plan(seed, (acts[0], acts[1]), people)


def _written(rng: random.Random, seed: int, kinds: Mapping[str, Kind], seconds: float) -> Iterator[_Line]:
    number = 0
    for index, (contact, kind) in enumerate(kinds.items()):
        name = rng.choice(NAMES)
        for act, at, text in _texts(rng, index, kind, seconds):
            number += 1
            id = f"wamid.demo-{seed}-{number}"
            yield _Line(act, at, CustomerMessage(contact=contact, name=name, text=text, id=id))


def _texts(rng: random.Random, index: int, kind: Kind, seconds: float) -> Iterator[tuple[int, float, str]]:
    # Whom a rule gives to people may write at any time; the AI agent answers before support opens, and then hands over.
    act = {"late": 1, "refund": index % 2, "invoice": index % 4 // 2}.get(kind, 0)
    at = rng.uniform(0, seconds / 2)
    yield act, at, rng.choice(_OPENINGS[kind])
    if kind == "person":
        yield 1, rng.uniform(0, seconds), rng.choice(FOR_A_PERSON)
    elif rng.random() < FOLLOWED_UP:
        yield act, rng.uniform(at, seconds), rng.choice(_FOLLOW_UPS)


def _work(rng: random.Random, agents: Sequence[str], *, resolved: bool) -> Work:
    return Work(
        reply=rng.choice(_REPLIES),
        after=rng.uniform(0.3, 1.5),
        note=rng.choice(_NOTES) if rng.random() < NOTED else None,
        label=NO_SURVEY if rng.random() < UNASKED else None,
        resolve_after=rng.uniform(0.3, 1.2) if resolved else None,
        resolver=rng.choice(agents),
    )


def _rating(rng: random.Random) -> Rating | None:
    text, value = rng.choice(_RATINGS)
    after = rng.uniform(0.3, 1.5)
    return Rating(text, value, after) if rng.random() < RATED else None


def _callbacks(rng: random.Random, lines: Sequence[_Line], people: Mapping[str, Customer]) -> tuple[Callback, ...]:
    callbacks: list[Callback] = []
    waiting: defaultdict[str, list[CustomerMessage]] = defaultdict(list)
    brought: defaultdict[str, list[CustomerMessage]] = defaultdict(list)
    last = {people[line.message.contact].channel: line for line in lines}
    for line in lines:
        channel = people[line.message.contact].channel
        messages, before = waiting[channel], brought[channel]
        messages.append(line.message)
        if line is not last[channel] and rng.random() < BATCHED:
            continue
        again = [rng.choice(before)] if before and rng.random() < REPEATED else []
        copies = 2 if rng.random() < REDELIVERED else 1
        callbacks.append(Callback(line.at, channel, (*again, *messages), copies))
        before += messages
        waiting[channel] = []
    return tuple(callbacks)
