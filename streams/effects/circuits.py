"""Circuit breakers: who is called no more, for a while, since calls fail."""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

logger = logging.getLogger(__name__)

THRESHOLD: Final = 5
"""Failures in a row, over all keys, that mean that who is called is down."""
PROBE_EVERY_S: Final = 60.0

IdT = TypeVar("IdT", bound=Hashable)
CauseT = TypeVar("CauseT", bound=str)


@dataclass(slots=True)
class _Circuit(Generic[CauseT]):
    failures: int = 0
    cause: CauseT | None = None
    next_probe: float = 0.0


class Circuits(Generic[IdT, CauseT]):
    """One breaker for each id: while it is open there is one probe a minute. In memory: a new process finds out anew.

    now: seconds. name: what is paused, for the log. down: the cause after `threshold` failures in a row.
    """

    def __init__(
        self, now: Callable[[], float], name: Callable[[IdT], str], down: CauseT, *, threshold: int = THRESHOLD
    ) -> None:
        self._now, self._name, self._down, self._threshold = now, name, down, threshold
        self._circuits: dict[IdT, _Circuit[CauseT]] = {}

    @property
    def open(self) -> dict[IdT, CauseT]:
        """Those that are paused, and why."""
        return {id: one.cause for id, one in self._circuits.items() if one.cause is not None}

    def wait_s(self, id: IdT) -> float | None:
        """Seconds until it may be tried; None: now, and where its breaker is open this is the probe."""
        circuit, now = self._circuits.get(id), self._now()
        if circuit is None or circuit.cause is None:
            return None
        if now < circuit.next_probe:
            return circuit.next_probe - now
        circuit.next_probe = now + PROBE_EVERY_S
        return None

    def well(self, id: IdT) -> None:
        """A call was answered."""
        circuit = self._circuits.pop(id, None)
        if circuit is not None and circuit.cause is not None:
            logger.warning("%s is resumed", self._name(id))

    def failed(self, id: IdT) -> None:
        """A call failed, as it may when nobody is there."""
        circuit = self._circuits.setdefault(id, _Circuit())
        circuit.failures += 1
        if circuit.cause is None and circuit.failures >= self._threshold:
            self.broken(id, self._down)

    def broken(self, id: IdT, cause: CauseT) -> None:
        """No call can succeed: one failure is enough."""
        circuit = self._circuits.setdefault(id, _Circuit())
        if circuit.cause != cause:
            logger.error("%s is paused: %s", self._name(id), cause)
            circuit.cause = cause
            circuit.next_probe = self._now() + PROBE_EVERY_S
