"""Effects of the stages on a broker wait until all else is quiet, as in the in-memory driver (streams/driver.py)."""

import asyncio
from dataclasses import dataclass

from schemas.effects import EffectRequest
from streams.effects.contract import Outcome, Performers
from streams.topology import TOPOLOGY


@dataclass(frozen=True)
class _Held:
    request: EffectRequest
    outcome: asyncio.Future[Outcome]


class HeldEffects:
    """Stands before the performers, and holds requests in the order of the topology."""

    def __init__(self, performers: Performers) -> None:
        self._performers = performers
        self._waiting: dict[type[EffectRequest], list[_Held]] = {
            request: [] for stage in TOPOLOGY for request in stage.effects
        }

    @property
    def waiting(self) -> int:
        """Effects that are held, but for those that the runtime gave up."""
        return sum(not held.outcome.done() for waiting in self._waiting.values() for held in waiting)

    @property
    def performers(self) -> Performers:
        """The table to hand to the runtime."""
        return dict.fromkeys(self._performers, self._hold)

    async def release(self) -> bool:
        """Perform the effects of the first stage that has some, one after the other. False: none has."""
        for request, waiting in self._waiting.items():
            if waiting:
                self._waiting[request] = []
                for held in waiting:
                    await self._perform(held)
                return True
        return False

    async def _hold(self, request: EffectRequest) -> Outcome:
        held = _Held(request, asyncio.get_running_loop().create_future())
        self._waiting[type(request)].append(held)
        return await held.outcome

    async def _perform(self, held: _Held) -> None:
        if held.outcome.cancelled():  # the runtime waited too long for it
            return
        outcome = await self._performers[type(held.request)](held.request)
        if not held.outcome.cancelled():
            held.outcome.set_result(outcome)
