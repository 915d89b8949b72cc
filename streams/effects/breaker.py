"""What holds a channel's sends back: a circuit breaker while nothing can be sent, a pace where it sends too fast."""

import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.effects import SendRequest, SendResult, SignalRequest
from streams.effects.circuits import THRESHOLD, Circuits
from streams.effects.contract import Done, Outcome, Perform, Postponed

logger = logging.getLogger(__name__)

Cause = Literal["credentials", "provider_down", "throttled"]
Verdict = Literal["well", "credentials", "failing", "throttled"]

SLOWEST_S: Final = 60.0
SLOW_S: Final = 1.0
FAST_S: Final = 0.02
"""Seconds from one send of a throttled channel to the next: at most; at least after a refusal; at least."""
CALM_S: Final = 60.0
"""Seconds without a refusal after which a channel that is as fast as that is no longer paced."""
IDLE_S: Final = 300.0
"""Seconds without a message after which it is no longer paced, either."""
SPREAD_S: Final = 60.0
"""Seconds over which the messages that wait for a paced channel come back, at most: together they would be a storm."""


@dataclass(slots=True)
class _Pace:
    """One message each every_s, the next one at next_at. slowed_at: when the provider last said that it is too fast.

    waiting: how many messages were sent away meanwhile.
    """

    slowed_at: float
    every_s: float = SLOW_S
    next_at: float = 0.0
    waiting: int = 0


class Breaker:
    """Stands before a client. In memory: a new process finds out anew.

    Broken credentials and a provider that is down pause a channel: one probe a minute. Where its number or account
    sends too fast it goes on slowly: one message at a time, at growing distances while it is refused, at shrinking ones
    while it is taken. What one recipient is sent too fast holds back no other, and is the stage's to wait for.
    perform: the client's. now: monotonic seconds.
    """

    def __init__(
        self,
        perform: Callable[[SendRequest], Awaitable[Outcome]],
        now: Callable[[], float],
        *,
        threshold: int = THRESHOLD,
    ) -> None:
        self._perform, self._now = perform, now
        self._circuits = Circuits[str, Cause](now, "channel {}: sending".format, "provider_down", threshold=threshold)
        self._paces: dict[str, _Pace] = {}

    @property
    def open(self) -> Mapping[str, Cause]:
        """The channels whose sending is paused or slowed down, and why."""
        causes: dict[str, Cause] = {id: "throttled" for id in tuple(self._paces) if self._pace(id) is not None}
        return causes | self._circuits.open

    def unless_held(self, perform: Perform[SignalRequest]) -> Perform[SignalRequest]:
        """The performer of a courtesy, which is left out while the channel's messages are held back."""

        async def performed(request: SignalRequest) -> Outcome:
            return Postponed() if request.channel in self.open else await perform(request)

        return performed

    async def perform(self, request: SendRequest) -> Outcome:
        """Call the client, or postpone while the channel's breaker is open, or another message's turn."""
        wait = self._wait(request)
        if wait is not None:
            return wait
        began = self._now()
        outcome = await self._perform(request)
        self._learn(request.channel, outcome, began)
        return outcome

    def _wait(self, request: SendRequest) -> Postponed | None:
        now, pace = self._now(), self._pace(request.channel)
        if pace is not None and now < pace.next_at:
            pace.waiting += 1
            # By the message's id, so that a scenario is the same each time.
            share = zlib.crc32(request.message_id.encode()) / 2**32
            return Postponed(pace.next_at - now + share * min(SPREAD_S, pace.waiting * pace.every_s))
        if self._circuits.wait_s(request.channel) is not None:
            return Postponed()
        if pace is not None:
            pace.next_at = now + pace.every_s
            pace.waiting = max(0, pace.waiting - 1)
        return None

    def _learn(self, id: str, outcome: Outcome, began: float) -> None:
        result = SendResult.model_validate(outcome.result) if isinstance(outcome, Done) else None
        verdict = None if isinstance(outcome, Postponed) else "failing" if result is None else _judge(result)
        match verdict:
            case "well":
                self._circuits.well(id)
                self._speed_up(id, began)
            case "throttled":
                # The provider answers; how fast the channel may go on is another matter.
                self._circuits.well(id)
                self._slow_down(id, began, 0.0 if result is None else result.retry_after_s or 0.0)
            case "credentials":
                self._circuits.broken(id, "credentials")
            case "failing":
                self._circuits.failed(id)

    def _pace(self, id: str) -> _Pace | None:
        pace = self._paces.get(id)
        if pace is None or self._now() - pace.next_at <= IDLE_S:
            return pace
        del self._paces[id]
        return None

    def _slow_down(self, id: str, began: float, asked_s: float) -> None:
        now, pace = self._now(), self._paces.get(id)
        if pace is None:
            logger.warning("channel %s: sending is slowed down", id)
            pace = self._paces[id] = _Pace(now)
        elif began > pace.slowed_at:
            # Not what was under way already when the channel slowed down: many calls may be refused for one cause.
            pace.every_s = min(SLOWEST_S, max(SLOW_S, 2 * pace.every_s))
            pace.slowed_at = now
        pace.next_at = max(pace.next_at, now + max(pace.every_s, asked_s))

    def _speed_up(self, id: str, began: float) -> None:
        now, pace = self._now(), self._paces.get(id)
        if pace is None or began <= pace.slowed_at:
            return
        if now - pace.slowed_at > CALM_S and pace.every_s <= FAST_S:
            del self._paces[id]
            logger.warning("channel %s: sending is as fast as before", id)
            return
        pace.every_s = max(FAST_S, pace.every_s / 2)
        pace.next_at = min(pace.next_at, now + pace.every_s)


def _judge(result: SendResult) -> Verdict | None:
    match result.answer:
        case "window_closed":
            return "well" if result.http_status else None  # else there was no call
        case "template_unavailable":
            return None  # this may be about the list of templates alone
        case "credentials":
            return "credentials"
        case "retry" if result.throttled == "number":
            return "throttled"
        case "retry":
            return "well" if result.throttled else "failing"
        case "accepted" | "refused":
            return "well"
