"""Effects: what a stage asks to be done outside, performed after the commit (docs/design.md, 4.3, 4.7)."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime

from pydantic import JsonValue

from agents.stage import Effect
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of, derived_id
from schemas.record import Record
from streams.effects.contract import Done, Outcome, Performers, Postponed, Unknown

logger = logging.getLogger(__name__)

START_WITHIN = 5.0
"""Seconds from the attempt's record to its call: later, it is discarded, so that a resumed zombie sends nothing old."""

DRAIN_S = 10.0
"""Less than a rebalance waits."""


def end_id(stage: str, effect_id: str) -> str:
    """The id of the record of an attempt's end: the cause of what the stage writes of it."""
    return derived_id(stage, effect_id, "ended")


def end_record(stage: str, key: str, end: EffectEnded, now: datetime, correlation_id: str | None) -> Record:
    """The end of an effect as a record for the stage's own input."""
    return Record(
        id=end_id(stage, end.effect_id),
        source=f"/livedesk/{stage}",
        time=now,
        subject=key,
        event=end,
        channel=channel_of(key),
        correlation_id=correlation_id,
        causation_id=end.effect_id,
    )


def ended(effect_id: str, outcome: Outcome) -> EffectEnded:
    """The event that reports to the stage how its effect ended."""
    match outcome:
        case Done(result):
            return EffectEnded(effect_id=effect_id, outcome="done", result=result)
        case Postponed(after_s):
            wait: dict[str, JsonValue] = {} if after_s is None else {"retry_after_s": after_s}
            return EffectEnded(effect_id=effect_id, outcome="postponed", result=wait)
        case Unknown():
            return EffectEnded(effect_id=effect_id, outcome="unknown")


class EffectRunner:
    """Performs the effects of one task, each in a task of its own, and hands on how they ended.

    on_end is called in the event loop with the key and the end, where that is awaited.
    """

    def __init__(self, performers: Performers, on_end: Callable[[str, EffectEnded], None]) -> None:
        self._performers, self._on_end = performers, on_end
        self._running: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._running)

    def start(self, key: str, effect: Effect, attempted_at: float) -> None:
        """Perform the effect. attempted_at: time.monotonic() when the attempt was decided, before its commit."""
        task = asyncio.create_task(self._run(key, effect, attempted_at))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def drain(self) -> None:
        """Wait for the calls under way, as long as a message takes. What takes longer is cut off: it ends unknown."""
        if self._running:
            _, late = await asyncio.wait(self._running.copy(), timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str, effect: Effect, attempted_at: float) -> None:
        outcome = await self._outcome(effect, attempted_at)
        if effect.request.awaited:
            self._on_end(key, ended(effect.id, outcome))

    async def _outcome(self, effect: Effect, attempted_at: float) -> Outcome:
        request = effect.request
        perform = self._performers[type(request)]
        if time.monotonic() - attempted_at > START_WITHIN:
            return Postponed()
        try:
            async with asyncio.timeout(request.ends_within_s):
                return await perform(request)
        except TimeoutError:
            return Unknown()
        except Exception as error:  # noqa: BLE001 - whatever broke, the call may have been made
            logger.error("an effect failed in a way its performer does not know: %s", type(error).__name__)
            return Unknown()
