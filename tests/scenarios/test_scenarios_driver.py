"""Every scenario beside this file, in memory, at every provider."""

from pathlib import Path

import pytest

from schemas.settings.credentials import ProviderName
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Loaded, load_file
from simulation.scenario.play import Outcome, play

SCENARIOS = [loaded for file in sorted(Path(__file__).parent.glob("*.jsonl")) for loaded in load_file(file)]


async def played(loaded: Loaded, provider: ProviderName | None = None) -> Outcome:
    async for outcome in play([loaded], with_records=True, provider=provider):
        return outcome
    raise AssertionError("nothing was played")


@pytest.mark.parametrize("provider", [stand_in.name for stand_in in STAND_INS.values()])
@pytest.mark.parametrize("loaded", SCENARIOS, ids=lambda loaded: loaded.name)
async def test_scenario(loaded: Loaded, provider: ProviderName) -> None:
    outcome = await played(loaded, provider)

    if outcome.verdict == "unusable":
        assert all(f"can not be run on {provider}: " in problem for problem in outcome.problems)
        pytest.skip("; ".join(outcome.problems))
    assert [str(difference) for difference in outcome.differences] == []


@pytest.mark.parametrize("loaded", SCENARIOS, ids=lambda loaded: loaded.name)
async def test_a_second_run_is_the_same_to_the_last_record(loaded: Loaded) -> None:
    first, second = await played(loaded), await played(loaded)

    assert first.finished is not None
    assert second.finished is not None
    assert first.finished.result.as_json() == second.finished.result.as_json()


def test_every_scenario_expects_something_and_has_a_name_of_its_own() -> None:
    assert all(loaded.scenario is not None and loaded.scenario.expect for loaded in SCENARIOS)
    assert len({loaded.name for loaded in SCENARIOS}) == len(SCENARIOS)
