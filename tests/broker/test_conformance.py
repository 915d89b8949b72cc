"""The in-memory driver and the Faust stages on a real Kafka: the same steps, the same records."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.scenario.broker_run import Bench, BrokerWorld, running
from deploy.scenario.driver_run import DriverWorld
from deploy.scenario.expect import check
from deploy.scenario.format import Scenario, load_file
from deploy.scenario.prefix import prefixed, stripped
from deploy.scenario.result import Result
from deploy.scenario.run import run
from deploy.scenario.world import Evidence
from deploy.settings import load_settings
from schemas.connection import KafkaConnection
from schemas.record import Record
from schemas.system import DeadLettered, WebhookReceived
from schemas.topics import ACCOUNT_INBOX, CHANNELS

SCENARIOS = [
    loaded.scenario
    for file in sorted((Path(__file__).parent.parent / "scenarios").glob("*.jsonl"))
    for loaded in load_file(file)
    if loaded.scenario is not None
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(kafka: KafkaConnection, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One ingress, worker and sandbox serve all the scenarios."""
    settings = load_settings().model_copy(update={"kafka": kafka, "data_dir": tmp_path_factory.mktemp("data")})
    async with running(settings) as bench:
        yield bench


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("number", "scenario"), list(enumerate(SCENARIOS)), ids=[s.name for s in SCENARIOS])
async def test_driver_and_broker_write_the_same_records(bench: Bench, number: int, scenario: Scenario) -> None:
    prefix = f"c{number}c-"
    ours = prefixed(scenario, prefix)
    in_memory = await run(ours, await DriverWorld.build(ours))
    on_broker = await run(ours, await BrokerWorld.build(ours, bench, prefix))
    assert check(scenario.expect, stripped(on_broker, scenario, prefix).result.as_json()) == ()
    assert comparable_result(on_broker.result) == comparable_result(in_memory.result)
    assert by_key(on_broker.evidence) == by_key(in_memory.evidence)


def comparable_result(result: Result) -> Result:
    """The result without the words of refusals, and in one order where customers did things in one instant."""
    update = {
        "refused": tuple((r.step, r.code) for r in result.refused),
        "conversations": tuple(sorted(result.conversations, key=lambda c: (c.opened_at, c.contact, c.id))),
        "messages": tuple(sorted(result.messages, key=lambda m: (m.contact, m.id))),
    }
    return result.model_copy(update=update)


def by_key(evidence: Evidence) -> dict[tuple[str, str, str], list[Record]]:
    """The records of each topic and key, in order; of an account's, those of each conversation."""
    found = defaultdict(list)
    for topic, record in evidence.records:
        if topic != CHANNELS:  # its credentials are encrypted on one side only
            conversation = getattr(record.event, "conversation_id", "") if topic == ACCOUNT_INBOX else ""
            found[topic.name, record.subject, conversation].append(comparable(record))
    return dict(found)


def comparable(record: Record) -> Record:
    """The record without what only one side has: offsets, and the headers of a real request."""
    event = record.event
    if isinstance(event, DeadLettered):
        return replace(record, event=event.model_copy(update={"partition": None, "offset": None, "headers": {}}))
    if isinstance(event, WebhookReceived):
        return replace(record, event=event.model_copy(update={"request_headers": {}}))
    return record
