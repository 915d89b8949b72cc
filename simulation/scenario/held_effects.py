"""Effects of the stages on a broker wait until all else is quiet, as in the in-memory driver (streams/driver.py)."""

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel

from streams.effects.contract import Outcome, Performer


@dataclass(frozen=True)
class _Held:
    request: BaseModel
    performer: Performer
    outcome: asyncio.Future[Outcome]


class HeldEffects:
    """Holds the effects of the stages, which are in the order of the topology."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self._waiting: dict[str, list[_Held]] = {stage: [] for stage in stages}

    @property
    def waiting(self) -> int:
        """Effects that are held, but for those that the runtime gave up."""
        return sum(not held.outcome.done() for stage in self._waiting.values() for held in stage)

    def performer(self, stage: str, performer: Performer) -> Performer:
        """In place of the stage's own."""

        async def hold(request: BaseModel) -> Outcome:
            held = _Held(request, performer, asyncio.get_running_loop().create_future())
            self._waiting[stage].append(held)
            return await held.outcome

        return hold

    async def release(self) -> bool:
        """Perform the effects of the first stage that has some, one after the other. False: none has."""
        for stage, waiting in self._waiting.items():
            if waiting:
                self._waiting[stage] = []
                for held in waiting:
                    await _perform(held)
                return True
        return False


async def _perform(held: _Held) -> None:
    if held.outcome.cancelled():  # the runtime waited too long for it
        return
    outcome = await held.performer(held.request)
    if not held.outcome.cancelled():
        held.outcome.set_result(outcome)
