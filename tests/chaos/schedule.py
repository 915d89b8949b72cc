"""What goes wrong when: drawn from a seed, so that the same seed gives the same schedule."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agents.reconciliation import RECONCILIATION
from streams.topology import TOPOLOGY
from tests.chaos.points import CALLS, Point

STAGES: Final = tuple(stage.name for stage in TOPOLOGY if stage is not RECONCILIATION)
"""Those that have something to do: no channel wants its callbacks looked up."""
CALLING: Final = ("delivery", "delivery", "ai")
"""Stages that call somebody outside, the busier one more often."""


class Kind(StrEnum):
    """What is done."""

    KILL = "kill -9"
    KILL_SEVERAL = "kill -9 several"
    KILL_AT = "kill"
    KILL_IN_REBALANCE = "kill during a rebalance"
    STOP = "stop past the session"
    STOP_BRIEFLY = "stop briefly"
    STOP_AT = "stop"
    REPLACE_STOPPED = "replace a stopped one"
    ADD_WORKER = "add a worker"
    REMOVE_WORKER = "remove a worker"
    STOP_INGRESS = "restart ingress"
    KILL_INGRESS = "kill -9 ingress"
    KILL_DESK = "kill -9 the desk"
    KILL_BROKER = "kill -9 the broker"
    RESTART_BROKER = "restart the broker"
    PAUSE_BROKER = "broker unreachable"
    BROKER_AND_INGRESS = "kill -9 the broker, and ingress twice"
    PROVIDER_LOSES = "provider loses answers"
    PROVIDER_REFUSES = "provider refuses"
    PROVIDER_RETRIES = "provider asks to retry"
    PROVIDER_UNREACHABLE = "provider unreachable"
    PROVIDER_SLOW = "provider delays answers"
    PROVIDER_SPOILS_FILES = "provider spoils files"
    MODEL_FAILS = "model fails"
    MODEL_HANGS = "model hangs"
    MODEL_LIMITS = "model asks to retry"


OF_BROKER: Final = frozenset({Kind.KILL_BROKER, Kind.RESTART_BROKER, Kind.PAUSE_BROKER, Kind.BROKER_AND_INGRESS})
OF_PROVIDER: Final = frozenset(
    {
        Kind.PROVIDER_LOSES,
        Kind.PROVIDER_REFUSES,
        Kind.PROVIDER_RETRIES,
        Kind.PROVIDER_UNREACHABLE,
        Kind.PROVIDER_SLOW,
        Kind.PROVIDER_SPOILS_FILES,
    }
)
OF_MODEL: Final = frozenset({Kind.MODEL_FAILS, Kind.MODEL_HANGS, Kind.MODEL_LIMITS})
STOP_POINTS: Final = tuple(point for point in Point if point not in (Point.BEGIN, Point.CALLING, Point.COMMITTING))

SESSION_S: Final = 8.0
"""After that long without a heartbeat a worker is taken for dead (streams/runtime/runner.py)."""

LAST_S: Final = 8.0
"""No fault begins so shortly before the end of the load: its moment might not come any more."""


@dataclass(frozen=True)
class Fault:
    """One fault. at: seconds into the run. seconds: how long it lasts. pick: which worker, or channel, of those there.

    count: how many workers, or answers. stage: whose task carries out an order at a point.
    """

    at: float
    kind: Kind
    point: Point | None
    stage: str | None
    seconds: float
    pick: float
    count: int

    @property
    def name(self) -> str:
        """The kind and the point."""
        return self.kind if self.point is None else f"{self.kind} {self.point}"


@dataclass(frozen=True)
class Limits:
    """per_minute: faults. outage_s: how long the broker is unreachable at most."""

    per_minute: float = 8.0
    outage_s: float = 60.0


def draw(seed: int, seconds: float, limits: Limits) -> tuple[Fault, ...]:
    """The schedule of a run: every kind comes once before any comes again."""
    rng = random.Random(f"chaos:{seed}")
    faults: list[Fault] = []
    kinds = _kinds(rng)
    at = 3.0
    while at < seconds - LAST_S:
        kind, point = next(kinds)
        faults.append(_fault(rng, at, kind, point, limits))
        at += 60 / limits.per_minute * rng.uniform(0.4, 1.6)
    return tuple(faults)


def _kinds(rng: random.Random) -> Iterator[tuple[Kind, Point | None]]:
    plain: list[tuple[Kind, Point | None]] = [(kind, None) for kind in Kind if kind not in (Kind.KILL_AT, Kind.STOP_AT)]
    at_points = [(Kind.KILL_AT, point) for point in Point]
    at_points += [(Kind.STOP_AT, point) for point in STOP_POINTS]
    # So that even a short run has both sorts, they take turns.
    while True:
        rng.shuffle(plain)
        rng.shuffle(at_points)
        for index in range(max(len(plain), len(at_points))):
            yield at_points[index % len(at_points)]
            yield plain[index % len(plain)]


def _fault(rng: random.Random, at: float, kind: Kind, point: Point | None, limits: Limits) -> Fault:
    stage = None if point is None else rng.choice(CALLING if point in CALLS else STAGES)
    if kind is Kind.STOP_BRIEFLY:
        seconds = rng.uniform(1, SESSION_S - 2)
    elif kind in (Kind.PAUSE_BROKER, Kind.BROKER_AND_INGRESS):
        seconds = rng.uniform(limits.outage_s / 3, limits.outage_s)
    elif kind is Kind.PROVIDER_SLOW:
        seconds = rng.uniform(2, 12)
    elif kind in (Kind.KILL_BROKER, Kind.RESTART_BROKER):
        seconds = rng.uniform(0, 5)
    else:
        seconds = SESSION_S + rng.uniform(1.5, 8)
    return Fault(at, kind, point, stage, seconds, rng.random(), rng.randint(2, 4))
