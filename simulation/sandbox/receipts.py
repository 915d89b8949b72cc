"""The life of an accepted message: which receipts follow, when, and what goes wrong on the way.

Everything is drawn from the seed and the message's id, so a run repeats however messages interleave.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulation.sandbox.accounts import Account, Probability
from simulation.sandbox.calls import ScheduledCallback
from simulation.sandbox.contract import StandIn
from simulation.sandbox.happenings import Reported, SentMessage, Stage

_FAILURES = ("sent_failed", "delivered_failed")


class Faults(BaseModel):
    """What may go wrong with receipts: probabilities for each message or receipt, and seconds.

    Of a message: sent_failed, delivered_failed, delivered_timeout (then delivered), silence (no receipt after `sent`);
    read: that the customer opens it. Of a receipt: duplicate (same bytes twice), reorder (swapped with the next), batch
    (joined with the next in one callback, where the provider does so), delay. pace: mean seconds from one status to the
    next.
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
    # delivered_timeout is reported when nothing was confirmed within 5 minutes (docs, confirmed).
    timeout_seconds: float = Field(default=300, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Faults:
        if self.sent_failed + self.delivered_failed + self.delivered_timeout + self.silence > 1:
            raise ValueError("sent_failed + delivered_failed + delivered_timeout + silence: more than 1 in all")
        return self


@dataclass(frozen=True)
class Life:
    """All of a message's stages, in the order in which they happen, and the callbacks that report them."""

    stages: tuple[Stage, ...] = ()
    callbacks: tuple[ScheduledCallback, ...] = ()


def plan_life(
    stand_in: StandIn,
    account: Account,
    message: SentMessage,
    accepted_at: datetime,
    faults: Faults,
    seed: int,
    *,
    window_closed: bool = False,
) -> Life:
    """What becomes of a message, and every callback that it leads to, in order of delivery.

    Times in rows are those of the statuses. window_closed: then it fails, for that reason.
    """
    rng = random.Random(f"{seed}:{stand_in.message_id(account.phone_number, message.seed, message.copy)}")
    stages = tuple(_known(stand_in, _life(stand_in, rng, faults, window_closed=window_closed)))
    callbacks: list[ScheduledCallback] = []
    for after, reported in _batches(_delivery(stages, rng, faults), rng, faults):
        rows = [_row(message, stage, accepted_at) for stage in reported]
        for request in stand_in.render(account, rows):
            at = accepted_at + timedelta(seconds=after)
            callbacks.append(ScheduledCallback(at, account.id, request))
            if rng.random() < faults.duplicate:
                again = at + timedelta(seconds=_pause(rng, faults))
                callbacks.append(ScheduledCallback(again, account.id, request))
    return Life(stages, tuple(sorted(callbacks, key=lambda callback: callback.at)))


def _life(stand_in: StandIn, rng: random.Random, faults: Faults, *, window_closed: bool) -> list[Stage]:
    """The statuses in the order in which they happen."""
    after = 0.0
    life: list[Stage] = []
    for status in ("plan", "target_valid"):
        after += _pause(rng, faults)
        life.append(Stage(after, status))
    after += _pause(rng, faults)
    if window_closed:
        return [*life, Stage(after, "sent_failed", (stand_in.codes["window_closed"][0], "The window is closed"))]
    ending = rng.random() - faults.sent_failed
    if ending < 0:
        return [*life, Stage(after, "sent_failed", stand_in.failures["sent_failed"])]
    life.append(Stage(after, "sent"))
    ending -= faults.delivered_failed
    after += _pause(rng, faults)
    if ending < 0:
        return [*life, Stage(after, "delivered_failed", stand_in.failures["delivered_failed"])]
    ending -= faults.silence
    if ending < 0:
        return life
    ending -= faults.delivered_timeout
    if ending < 0:
        after += faults.timeout_seconds
        life.append(Stage(after, "delivered_timeout"))
        after += _pause(rng, faults)
    life.append(Stage(after, "delivered"))
    if rng.random() < faults.read:
        life.append(Stage(after + _pause(rng, faults), "read"))
    return life


def _known(stand_in: StandIn, life: list[Stage]) -> list[Stage]:
    """What the provider reports of it. Where it has one word for failures, it has that for each of them."""
    failure = next(status for status in _FAILURES if status in stand_in.words)
    named = [
        replace(stage, status=failure) if stage.status in _FAILURES and stage.status not in stand_in.words else stage
        for stage in life
    ]
    return [stage for stage in named if stage.status in stand_in.words]


def _delivery(life: tuple[Stage, ...], rng: random.Random, faults: Faults) -> list[tuple[float, Stage]]:
    """When each receipt is delivered, in that order."""
    times = [stage.after + (faults.delay_seconds if rng.random() < faults.delay else 0) for stage in life]
    for index in range(len(times) - 1):
        if rng.random() < faults.reorder:
            times[index], times[index + 1] = times[index + 1], times[index]
    return sorted(zip(times, life, strict=True), key=lambda timed: timed[0])


def _batches(
    delivery: list[tuple[float, Stage]], rng: random.Random, faults: Faults
) -> list[tuple[float, list[Stage]]]:
    batches: list[tuple[float, list[Stage]]] = []
    joined: list[Stage] = []
    for index, (after, stage) in enumerate(delivery):
        joined.append(stage)
        if index + 1 < len(delivery) and rng.random() < faults.batch:
            continue
        batches.append((after, joined))
        joined = []
    return batches


def _pause(rng: random.Random, faults: Faults) -> float:
    return faults.pace * rng.uniform(0.5, 1.5)


def _row(message: SentMessage, stage: Stage, accepted_at: datetime) -> Reported:
    code, text = stage.error
    return Reported(message, stage.status, accepted_at + timedelta(seconds=stage.after), code, text)
