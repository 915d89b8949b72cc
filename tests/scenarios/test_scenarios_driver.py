"""Every scenario beside this file, in memory, at every provider."""

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from schemas.settings.credentials import ProviderName
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Loaded, load_file
from simulation.scenario.play import Outcome, play
from simulation.scenario.support import NotSupported, check_supported, moved

SCENARIOS = [loaded for file in sorted(Path(__file__).parent.glob("*.jsonl")) for loaded in load_file(file)]
PROVIDERS = [stand_in.name for stand_in in STAND_INS.values()]
NOT_RUN = yaml.safe_load(Path(__file__).with_name("not_run.yaml").read_text(encoding="utf-8"))
"""By provider and by reason, the scenarios that ask for what the provider does not do."""


def why_not(loaded: Loaded, provider: ProviderName) -> NotSupported | None:
    assert loaded.scenario is not None, loaded.problems
    try:
        check_supported(moved(loaded.scenario, provider))
    except NotSupported as error:
        return error
    return None


WHY_NOT = [(loaded, provider, why_not(loaded, provider)) for loaded in SCENARIOS for provider in PROVIDERS]
RUN = [pytest.param(one, at, id=f"{one.name}-{at}") for one, at, reason in WHY_NOT if reason is None]


async def played(loaded: Loaded, provider: ProviderName | None = None) -> Outcome:
    async for outcome in play([loaded], with_records=True, provider=provider):
        return outcome
    raise AssertionError("nothing was played")


@pytest.mark.parametrize(("loaded", "provider"), RUN)
async def test_scenario(loaded: Loaded, provider: ProviderName) -> None:
    outcome = await played(loaded, provider)

    assert outcome.problems == ()
    assert [str(difference) for difference in outcome.differences] == []


@pytest.mark.parametrize("loaded", SCENARIOS[::4], ids=lambda loaded: loaded.name)
async def test_a_second_run_is_the_same_to_the_last_record(loaded: Loaded) -> None:
    first, second = await played(loaded), await played(loaded)

    assert first.finished is not None
    assert second.finished is not None
    assert first.finished.result.as_json() == second.finished.result.as_json()


def test_what_is_not_run_at_a_provider_is_listed_with_the_reason() -> None:
    found: dict[str, dict[str, list[str]]] = {provider: defaultdict(list) for provider in PROVIDERS}
    for loaded, provider, reason in WHY_NOT:
        if reason is not None:
            found[provider][reason.what].append(loaded.name)
    assert {provider: dict(reasons) for provider, reasons in found.items()} == NOT_RUN


def test_every_scenario_runs_at_its_own_provider() -> None:
    own = {loaded.name: loaded.scenario.channels[0].provider for loaded in SCENARIOS if loaded.scenario is not None}
    assert [loaded.name for loaded, provider, reason in WHY_NOT if reason and provider == own[loaded.name]] == []


def test_every_scenario_expects_something_and_has_a_name_of_its_own() -> None:
    assert all(loaded.scenario is not None and loaded.scenario.expect for loaded in SCENARIOS)
    assert len({loaded.name for loaded in SCENARIOS}) == len(SCENARIOS)
