"""Customers who write: what one says, and a script of what many do."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulation.sandbox.happenings import Customer, Quote, Written
from simulation.sandbox.media import Files

NAMES = ("Ana", "Bruno", "Carmen", "Diego", "Elena", "Farid", "Gloria", "Hugo", "Ines", "Joan", "Karim", "Lucia")
OPENINGS = (
    "Hello, is anybody there?",
    "Hi, I would like to know where my parcel is",
    "Good morning, a question about my invoice",
    "The app does not let me log in",
    "Do you deliver to the islands?",
    "I want to change my booking",
)
FOLLOW_UPS = ("It is rather urgent", "Thanks!", "The number is 48213", "Any news?", "ok", "And how much would it cost?")


class CustomerMessage(BaseModel):
    """What a customer writes.

    contact: the phone number, or the user id of who shows none; user_id: beside the number. id: the provider's id of
    the message, made up where missing. quotes: our own id of the message that it answers. target, new_contact: see
    Written. file: the id of one that the sandbox keeps (POST /sandbox/files).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    contact: str = Field(pattern="[0-9]")
    user_id: str | None = None
    text: str | None = None
    name: str | None = None
    type: str = "text"
    link: str | None = None
    filename: str | None = None
    id: str | None = None
    quotes: str | None = None
    target: str | None = None
    file: str | None = None
    new_contact: str | None = None


@dataclass(frozen=True)
class Step:
    """Something that customers do, `offset` seconds into the script.

    write: the messages arrive in one callback. redeliver: the callback of step number `of` comes again, byte for byte.
    """

    offset: float
    kind: Literal["write", "redeliver"]
    messages: tuple[CustomerMessage, ...] = ()
    of: int | None = None


def script(
    seed: int,
    customers: int,
    *,
    rate: float = 1.0,
    follow_ups: int = 2,
    batch: float = 0.1,
    redeliver: float = 0.05,
    first_number: int = 34_600_100_000,
) -> tuple[Step, ...]:
    """What customers do, in order of time: each writes once, and up to `follow_ups` times more.

    rate: new customers a second. batch, redeliver: probabilities that a callback also carries the next message, and
    that it comes twice. The same arguments give the same script.
    """
    if customers < 1 or rate <= 0:
        raise ValueError(f"a script needs customers and a rate: got {customers} and {rate}")
    rng = random.Random(f"customers:{seed}")
    timed: list[tuple[float, CustomerMessage]] = []
    for index in range(customers):
        at = index / rate + rng.uniform(0, 1 / rate)
        who = {"contact": str(first_number + index), "name": rng.choice(NAMES)}
        timed.append((at, CustomerMessage(**who, text=rng.choice(OPENINGS))))
        for _ in range(rng.randint(0, follow_ups)):
            at += rng.uniform(1, 20)
            timed.append((at, CustomerMessage(**who, text=rng.choice(FOLLOW_UPS))))
    timed.sort(key=lambda item: item[0])
    return _steps(timed, rng, batch, redeliver)


def _steps(
    timed: list[tuple[float, CustomerMessage]], rng: random.Random, batch: float, redeliver: float
) -> tuple[Step, ...]:
    steps: list[Step] = []
    waiting: list[CustomerMessage] = []
    for index, (at, message) in enumerate(timed):
        waiting.append(message)
        if index + 1 < len(timed) and rng.random() < batch:
            continue
        steps.append(Step(at, "write", tuple(waiting)))
        if rng.random() < redeliver:
            steps.append(Step(at, "redeliver", of=len(steps) - 1))
        waiting = []
    return tuple(steps)


def written(message: CustomerMessage, id: str, at: datetime, files: Files, base_url: str) -> Written:
    """What a customer does, with the id `id`. base_url: of the links to files. Raises ValueError."""
    file = None if message.file is None else files.find(message.file)
    if message.file is not None and file is None:
        raise ValueError(f"file: the sandbox has no {message.file!r}")
    return Written(
        id=id,
        customer=Customer(message.contact, message.name, message.user_id),
        at=at,
        type=message.type,
        text=message.text,
        link=message.link,
        filename=message.filename or (file.filename if file else None),
        file=file,
        base_url=base_url,
        target=message.target or (id if message.type == "deleted" else None),
        quotes=None if message.quotes is None else Quote(message.quotes),
        new_contact=message.new_contact,
    )
