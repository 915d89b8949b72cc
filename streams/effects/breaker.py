"""A circuit breaker per channel: while nothing can be sent, nothing is tried but for one probe a minute."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.effects import SendRequest, SendResult
from streams.effects.contract import Done, Outcome, Postponed

logger = logging.getLogger(__name__)

Cause = Literal["credentials", "provider_down"]
Verdict = Literal["well", "credentials", "failing"]

THRESHOLD: Final = 5
"""Failures in a row, over all keys of the channel, that mean that the provider is down."""
PROBE_EVERY_S: Final = 60.0


@dataclass(slots=True)
class _Channel:
    failures: int = 0
    cause: Cause | None = None
    next_probe: float = 0.0


class Breaker:
    """Stands before a client. In memory: a new process finds out anew.

    perform: the client's. now: monotonic seconds.
    """

    def __init__(
        self,
        perform: Callable[[SendRequest], Awaitable[Outcome]],
        now: Callable[[], float],
        *,
        threshold: int = THRESHOLD,
    ) -> None:
        self._perform, self._now, self._threshold = perform, now, threshold
        self._channels: dict[str, _Channel] = {}

    @property
    def open(self) -> Mapping[str, Cause]:
        """The channels whose sending is paused, and why."""
        return {id: channel.cause for id, channel in self._channels.items() if channel.cause is not None}

    async def perform(self, request: SendRequest) -> Outcome:
        """Call the client, or postpone while the channel's breaker is open."""
        if not self._may_call(request.channel):
            return Postponed()
        outcome = await self._perform(request)
        self._learn(request.channel, outcome)
        return outcome

    def _may_call(self, id: str) -> bool:
        channel = self._channels.get(id)
        if channel is None or channel.cause is None:
            return True
        now = self._now()
        if now < channel.next_probe:
            return False
        channel.next_probe = now + PROBE_EVERY_S
        return True

    def _learn(self, id: str, outcome: Outcome) -> None:
        verdict = _judge(outcome)
        if verdict is None:
            return
        if verdict == "well":
            channel = self._channels.pop(id, None)
            if channel is not None and channel.cause is not None:
                logger.warning("channel %s: sending is resumed", id)
            return
        channel = self._channels.setdefault(id, _Channel())
        channel.failures += 1
        if verdict == "credentials":
            self._open(id, channel, "credentials")
        elif channel.cause is None and channel.failures >= self._threshold:
            self._open(id, channel, "provider_down")

    def _open(self, id: str, channel: _Channel, cause: Cause) -> None:
        if channel.cause != cause:
            logger.error("channel %s: sending is paused: %s", id, cause)
            channel.cause = cause
            channel.next_probe = self._now() + PROBE_EVERY_S


def _judge(outcome: Outcome) -> Verdict | None:
    match outcome:
        case Postponed():
            return None
        case Done(result):
            return _judge_answer(SendResult.model_validate(result))
    return "failing"


def _judge_answer(result: SendResult) -> Verdict | None:
    match result.answer:
        case "window_closed":
            return None  # there was no call
        case "credentials":
            return "credentials"
        case "retry":
            # Too many requests: the provider is well, and says how long to wait.
            return "well" if result.http_status == 429 else "failing"
        case "template_unavailable":
            return "well" if 200 <= result.http_status < 300 else "failing"
        case "accepted" | "refused":
            return "well"
