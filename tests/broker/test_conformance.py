"""The in-memory driver and the Faust stages on a real Kafka: the same steps, the same records."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
import pytest_asyncio

from bus.connection import KafkaConnection
from deploy.settings import load_settings
from desk.figures import summed
from schemas.events.callbacks import WebhookReceived
from schemas.events.channels import ChannelSaved
from schemas.events.operations import DeadLettered
from schemas.events.people import AiAgentSaved
from schemas.events.reports import ReportKind, ReportUpdated
from schemas.record import Record
from schemas.settings.credentials import ENCRYPTED
from schemas.topics import ACCOUNT_INBOX, REPORTS
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.broker_run import Bench, BrokerWorld, running
from simulation.scenario.driver_run import DriverWorld
from simulation.scenario.expect import check
from simulation.scenario.format import Scenario, load_file
from simulation.scenario.prefix import prefixed, stripped
from simulation.scenario.result import Result
from simulation.scenario.run import groups, run
from simulation.scenario.steps import CommandStep, Inbound, StatusUpdate, Step
from simulation.scenario.support import NotSupported, check_supported, moved
from simulation.scenario.world import Evidence

MANY = 50
"""Of a file with more scenarios every third is run: a second each. `livedesk scenario run --broker` runs them all."""


def chosen(file: Path) -> list[Scenario]:
    scenarios = [loaded.scenario for loaded in load_file(file) if loaded.scenario is not None]
    return scenarios[:: 3 if len(scenarios) > MANY else 1]


def somewhere(scenario: Scenario) -> Scenario:
    """The scenario at one of the providers, always the same; at its own where that one does not do what it asks for.

    At all of them they are run in memory: what differs from one to another is before the topics and behind them.
    """
    name = PROVIDERS[crc32(scenario.name.encode()) % len(PROVIDERS)]
    try:
        there = moved(scenario, name)
        check_supported(there)
    except NotSupported:
        return scenario
    return there


PROVIDERS = [stand_in.name for stand_in in STAND_INS.values()]
FILES = sorted((Path(__file__).parent.parent / "scenarios").glob("*.jsonl"))
SCENARIOS = [somewhere(scenario) for file in FILES for scenario in chosen(file)]


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
    assert figures(on_broker.evidence) == figures(in_memory.evidence)
    if max(map(len, together(scenario))) > 1:
        # Whose conversation comes to the account's partition first is luck, and with it who gets whom.
        assert but_for_assignees(on_broker.result) == but_for_assignees(in_memory.result)
        return
    assert on_broker.result == in_memory.result
    if any(step.concurrent for step in scenario.steps):
        # Stages may answer side by side to what was handed in together: what they write to a key is certain, in which
        # order is not, nor what stood in between (in a header).
        assert in_any_order(on_broker.evidence) == in_any_order(in_memory.evidence)
        return
    assert by_key(on_broker.evidence) == by_key(in_memory.evidence)
    assert account_inboxes(on_broker.evidence) == account_inboxes(in_memory.evidence)


def together(scenario: Scenario) -> list[set[str]]:
    """Of each group of steps that are handed in together, the contacts that they are about."""
    rows = [[row for _, step in group for row in rows_of(step)] for group in groups(scenario)]
    return [{row.contact for row in group if row.contact is not None} for group in rows]


def rows_of(step: Step) -> list[Inbound | StatusUpdate | CommandStep]:
    match step.action:
        case Inbound() | StatusUpdate() | CommandStep() as row:
            return [row]
        case tuple(entries):
            return [entry.row for entry in entries]
    return []


def but_for_assignees(result: Result) -> Result:
    """The result without who holds the conversations, and why."""
    unheld = {"assignee": None, "assigned_because": None}
    return result.model_copy(
        update={"conversations": tuple(one.model_copy(update=unheld) for one in result.conversations)}
    )


def in_any_order(evidence: Evidence) -> Counter[tuple[str, str, str, str]]:
    """The records of each topic and key, by type and id, which tells what caused them."""
    written = ((topic.name, record.subject, record.event.type, record.id) for topic, record in evidence.records)
    return Counter(one for one in written if one[0] != REPORTS.name)


def by_key(evidence: Evidence) -> dict[tuple[str, str], list[Record]]:
    """The records of each topic and key, in order: the whole order that the pipeline promises."""
    found = defaultdict(list)
    for topic, record in evidence.records:
        if topic not in (ACCOUNT_INBOX, REPORTS):
            found[topic.name, record.subject].append(comparable(record))
    return dict(found)


def account_inboxes(evidence: Evidence) -> dict[tuple[str, str], list[tuple[int, Record]]]:
    """The records of each account about each conversation, and about none; how many about none came before each.

    Conversations of several partitions write to an account at once: in what order they come is anybody's guess. What
    ingress wrote stands where it is: it is handed in before anything is processed.
    """
    found = defaultdict(list)
    others: Counter[str] = Counter()
    for topic, record in evidence.records:
        if topic == ACCOUNT_INBOX:
            conversation = getattr(record.event, "conversation_id", "")
            found[record.subject, conversation].append((others[record.subject], record))
            others[record.subject] += not conversation
    return dict(found)


def figures(evidence: Evidence) -> dict[str, object]:
    """What the reports add up to, by channel and by agent; of times how many there are.

    The partials depend on which conversations share a partition. Its clock dates resolutions and ends times, and does
    not go back where the next scenario begins earlier: so one running system is no judge of days and durations.
    """
    partials = [(record.subject, record.event) for _, record in evidence.records]
    reports = [(key, event) for key, event in partials if isinstance(event, ReportUpdated)]
    by_both = {**summed(reports, "channel"), **summed(reports, "agent")}
    return {group: {kind: counted(kind, sums.counts[kind]) for kind in sums.counts} for group, sums in by_both.items()}


def counted(kind: ReportKind, counts: Mapping[str, int]) -> object:
    times = kind.startswith(("first_response", "resolution"))
    return sum(counts.values()) if times else counts


def comparable(record: Record) -> Record:
    """The record without what only one side has.

    Offsets, the headers of a real request, encrypted credentials, the address of the sandbox.
    """
    event = record.event
    match event:
        case DeadLettered():
            return replace(record, event=event.model_copy(update={"partition": None, "offset": None, "headers": {}}))
        case WebhookReceived():
            return replace(record, event=event.model_copy(update={"request_headers": {}}))
        case ChannelSaved():
            plain = {name: value for name, value in event.settings.items() if name not in {*ENCRYPTED, "ai_agents"}}
            return replace(record, event=event.model_copy(update={"settings": plain}))
        case AiAgentSaved():
            plain = {name: value for name, value in event.settings.items() if name not in ("base_url", "url", "tools")}
            return replace(record, event=event.model_copy(update={"settings": plain}))
    return record
