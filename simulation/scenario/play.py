"""Runs scenarios one after the other, and checks each against its `expect` part."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.settings.credentials import ProviderName
from simulation.scenario import expect
from simulation.scenario.driver_run import DriverWorld
from simulation.scenario.expect import Difference
from simulation.scenario.format import Loaded, Scenario
from simulation.scenario.render import StepError
from simulation.scenario.run import Finished, run
from simulation.scenario.support import NotSupported, check_supported, moved

Verdict = Literal["passed", "failed", "unusable"]
Perform = Callable[[Scenario, bool], Awaitable[Finished]]
"""Runs one scenario; true: its result holds the records too. Raises StepError."""


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended. problems: why it could not be run."""

    loaded: Loaded
    finished: Finished | None = None
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.finished is None:
            return "unusable"
        return "failed" if self.differences else "passed"


async def in_memory(scenario: Scenario, with_records: bool) -> Finished:
    """Run one scenario on the in-memory driver."""
    return await run(scenario, await DriverWorld.build(scenario), with_records=with_records)


async def play(
    loaded: Iterable[Loaded],
    perform: Perform = in_memory,
    *,
    with_records: bool = False,
    provider: ProviderName | None = None,
) -> AsyncIterator[Outcome]:
    """Run each scenario and check it. provider: that of all channels, in place of their own."""
    for one in loaded:
        if one.scenario is None:
            yield Outcome(one, problems=one.problems)
            continue
        try:
            scenario = one.scenario if provider is None else moved(one.scenario, provider)
            check_supported(scenario)
            finished = await perform(scenario, with_records)
        except (NotSupported, StepError) as error:
            yield Outcome(one, problems=(f"{one.where}: {error}",))
            continue
        yield Outcome(one, finished, _check(scenario, finished))


def _check(scenario: Scenario, finished: Finished) -> tuple[Difference, ...]:
    return expect.check(scenario.expect, finished.result.as_json())
