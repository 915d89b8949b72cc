"""A minute of chaos on the real system: nothing lost, nothing doubled, nothing out of order."""

from pathlib import Path

import pytest

from tests.chaos.load import Rates, message_id
from tests.chaos.run import Plan, run
from tests.chaos.schedule import Kind, Limits
from tests.chaos.story import smallest, story

PLAN = Plan(seed=11, seconds=60, rates=Rates(40), limits=Limits(per_minute=10, outage_s=10), workers=2)


@pytest.mark.broker
@pytest.mark.chaos
async def test_a_minute_of_chaos_leaves_nothing_wrong(tmp_path: Path, cache_dir: Path) -> None:
    report = await run(PLAN, tmp_path, lambda _: None)
    violations = report.verdict.violations
    key = smallest(report.history, violations)
    reported = "\n".join(story(report.history, key)) if key else ""
    assert violations == (), f"seed {PLAN.seed}, logs in {tmp_path}, the smallest history:\n{reported}"
    numbered = {message_id(number) for number in range(int(PLAN.seconds * PLAN.rates.callbacks))}
    assert numbered <= report.history.acknowledged.messages.keys()
    assert sum(hit for _, hit in report.done) >= 4
    assert (Kind.KILL_DESK, True) in report.done
