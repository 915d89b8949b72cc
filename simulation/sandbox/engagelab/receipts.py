"""The life of an accepted message: which receipts follow, when, and what goes wrong on the way.

Everything is drawn from the seed and the message's id, so a run repeats however messages interleave.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulation.sandbox.accounts import Probability
from simulation.sandbox.engagelab.callbacks import Business, Customer, Json, callback_body, status_row


class Faults(BaseModel):
    """What may go wrong with receipts: probabilities for each message or receipt, and seconds.

    Of a message: sent_failed, delivered_failed, delivered_timeout (then delivered), silence (no receipt after `sent`);
    read: that the customer opens it. Of a receipt: duplicate (same bytes twice), reorder (swapped with the next), batch
    (joined with the next in one callback), delay. pace: mean seconds from one status to the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent_failed: Probability = 0
    delivered_failed: Probability = 0
    delivered_timeout: Probability = 0
    silence: Probability = 0
    read: Probability = 1
    duplicate: Probability = 0
    reorder: Probability = 0
    batch: Probability = 0
    delay: Probability = 0
    pace: float = Field(default=0.5, ge=0)
    delay_seconds: float = Field(default=20, ge=0)
    # EngageLab reports delivered_timeout when Meta has not confirmed within 5 minutes (docs, confirmed).
    timeout_seconds: float = Field(default=300, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Faults:
        if self.sent_failed + self.delivered_failed + self.delivered_timeout + self.silence > 1:
            raise ValueError("sent_failed + delivered_failed + delivered_timeout + silence: more than 1 in all")
        return self


@dataclass(frozen=True)
class AcceptedMessage:
    """What its receipts need to know of a message."""

    business: Business
    customer: Customer
    message_id: str
    channel_message_id: str
    custom_args: Json | None
    accepted_at: datetime


@dataclass(frozen=True)
class ScheduledCallback:
    """A callback to post at an instant to an account's address."""

    at: datetime
    dev_key: str
    body: bytes


@dataclass(frozen=True)
class _Receipt:
    after: float
    status: str
    error_code: int = 0
    error_message: str = ""


def plan_receipts(message: AcceptedMessage, dev_key: str, faults: Faults, seed: int) -> tuple[ScheduledCallback, ...]:
    """Every callback that a message leads to, in order of delivery. Times in rows are those of the statuses."""
    rng = random.Random(f"{seed}:{message.message_id}")
    callbacks: list[ScheduledCallback] = []
    for after, receipts in _batches(_delivery(_life(rng, faults), rng, faults), rng, faults):
        body = callback_body([_row(message, receipt) for receipt in receipts])
        at = message.accepted_at + timedelta(seconds=after)
        callbacks.append(ScheduledCallback(at, dev_key, body))
        if rng.random() < faults.duplicate:
            again = at + timedelta(seconds=_pause(rng, faults))
            callbacks.append(ScheduledCallback(again, dev_key, body))
    return tuple(sorted(callbacks, key=lambda callback: callback.at))


def _life(rng: random.Random, faults: Faults) -> list[_Receipt]:
    """The statuses in the order in which they happen."""
    after = 0.0
    life: list[_Receipt] = []
    for status in ("plan", "target_valid"):
        after += _pause(rng, faults)
        life.append(_Receipt(after, status))
    after += _pause(rng, faults)
    ending = rng.random() - faults.sent_failed
    if ending < 0:
        return [*life, _Receipt(after, "sent_failed", 131026, "Message undeliverable")]
    life.append(_Receipt(after, "sent"))
    ending -= faults.delivered_failed
    after += _pause(rng, faults)
    if ending < 0:
        return [*life, _Receipt(after, "delivered_failed", 131049, "Not delivered to keep the ecosystem healthy")]
    ending -= faults.silence
    if ending < 0:
        return life
    ending -= faults.delivered_timeout
    if ending < 0:
        after += faults.timeout_seconds
        life.append(_Receipt(after, "delivered_timeout", 0, ""))
        after += _pause(rng, faults)
    life.append(_Receipt(after, "delivered"))
    if rng.random() < faults.read:
        life.append(_Receipt(after + _pause(rng, faults), "read"))
    return life


def _delivery(life: list[_Receipt], rng: random.Random, faults: Faults) -> list[tuple[float, _Receipt]]:
    """When each receipt is delivered, in that order."""
    times = [r.after + (faults.delay_seconds if rng.random() < faults.delay else 0) for r in life]
    for index in range(len(times) - 1):
        if rng.random() < faults.reorder:
            times[index], times[index + 1] = times[index + 1], times[index]
    return sorted(zip(times, life, strict=True), key=lambda timed: timed[0])


def _batches(
    delivery: list[tuple[float, _Receipt]], rng: random.Random, faults: Faults
) -> list[tuple[float, list[_Receipt]]]:
    batches: list[tuple[float, list[_Receipt]]] = []
    joined: list[_Receipt] = []
    for index, (after, receipt) in enumerate(delivery):
        joined.append(receipt)
        if index + 1 < len(delivery) and rng.random() < faults.batch:
            continue
        batches.append((after, joined))
        joined = []
    return batches


def _pause(rng: random.Random, faults: Faults) -> float:
    return faults.pace * rng.uniform(0.5, 1.5)


def _row(message: AcceptedMessage, receipt: _Receipt) -> Json:
    return status_row(
        message.business,
        message.customer,
        message.message_id,
        receipt.status,
        message.accepted_at + timedelta(seconds=receipt.after),
        channel_message_id=message.channel_message_id,
        custom_args=message.custom_args,
        error_code=receipt.error_code,
        error_message=receipt.error_message,
    )
