"""Effects performed by the runtime: which of them have an end that is reported."""

import time

from agents.stage import Effect
from schemas.effects import EffectRequest, SettleRequest, SignalRequest
from schemas.events.sending import EffectEnded
from streams.effects.contract import Done, Outcome
from streams.effects.runner import EffectRunner
from tests.support.sends import NOON

SETTLE = SettleRequest(effect_id="e1", message_id="m1", channel="c", contact="34655000001", since=NOON)
SIGNAL = SignalRequest(effect_id="e2", channel="c", provider_message_id="p1")


async def test_the_end_of_an_effect_is_reported_unless_nobody_waits_for_it() -> None:
    performed: list[EffectRequest] = []
    reported: list[tuple[str, EffectEnded]] = []

    async def perform(request: EffectRequest) -> Outcome:
        performed.append(request)
        return Done()

    runner = EffectRunner(
        {SettleRequest: perform, SignalRequest: perform}, lambda key, end: reported.append((key, end))
    )
    for request in (SETTLE, SIGNAL):
        runner.start("c:34655000001", Effect(request.effect_id, request), time.monotonic())
    await runner.drain()
    assert performed == [SETTLE, SIGNAL]
    assert reported == [("c:34655000001", EffectEnded(effect_id="e1", outcome="done"))]
    assert runner.running == 0
