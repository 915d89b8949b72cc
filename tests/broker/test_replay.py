"""What the stages wrote to a real Kafka is what replaying their input makes of it; what is not, is found."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from agents.greeting import GREETING
from agents.stage import NOTHING, Context, Decision, Rows, TimerFired
from deploy.cli_replay import replay_stages
from deploy.scenario.broker_run import Bench, running
from deploy.scenario.format import load_file
from deploy.settings import load_settings
from schemas.connection import KafkaConnection
from schemas.event import Event
from streams.topology import TOPOLOGY

SCENARIOS = [
    loaded.scenario
    for file in sorted((Path(__file__).parent.parent / "scenarios").glob("*.jsonl"))
    for loaded in load_file(file)
    if loaded.scenario is not None
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(kafka: KafkaConnection, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """A system that a dozen scenarios have gone through. Their clocks jump back from one to the next."""
    settings = load_settings().model_copy(update={"kafka": kafka, "data_dir": tmp_path_factory.mktemp("data")})
    async with running(settings) as bench:
        for scenario in SCENARIOS[:: len(SCENARIOS) // 12]:
            await bench.perform(scenario, False)
        yield bench


async def test_the_log_of_the_scenarios_is_identical_to_its_replay(bench: Bench) -> None:
    reports = await replay_stages(bench.env.connection, bench.env.prefix, TOPOLOGY)
    assert [(report.stage, report.difference) for report in reports] == [(stage.name, None) for stage in TOPOLOGY]
    assert all(report.inputs and report.outputs for report in reports)
    assert any(report.timers for report in reports)
    assert any(report.effects for report in reports)
    assert not any(report.skipped or report.gone or report.pending for report in reports)


async def test_a_single_partition_can_be_replayed(bench: Bench) -> None:
    both = [await replay_stages(bench.env.connection, bench.env.prefix, TOPOLOGY, number) for number in (0, 1)]
    assert all(report.identical for reports in both for report in reports)
    assert all(sum(report.inputs for report in stage) for stage in zip(*both, strict=True))


async def test_a_stage_that_decides_otherwise_is_found(bench: Bench) -> None:
    def silent(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        return NOTHING

    (report,) = await replay_stages(bench.env.connection, bench.env.prefix, [replace(GREETING, decide=silent)])
    assert report.difference is not None
    assert (report.difference.problem, report.difference.topic) == ("unexpected", "outbound")


async def test_a_stage_that_words_it_otherwise_is_found(bench: Bench) -> None:
    def louder(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
        decision = GREETING.decide(rows, event, ctx)
        emit = tuple(replace(one, event=one.event.model_copy(update={"text": "HELLO"})) for one in decision.emit)
        return replace(decision, emit=emit)

    (report,) = await replay_stages(bench.env.connection, bench.env.prefix, [replace(GREETING, decide=louder)])
    assert report.difference is not None
    assert (report.difference.problem, report.difference.attribute) == ("different", "data.text")
    assert report.difference.expected == '"HELLO"'
