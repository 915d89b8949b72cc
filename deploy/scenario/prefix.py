"""Many scenarios share one running system: each one's ids get a prefix, taken off again in what it shows."""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from deploy.scenario.format import Scenario, ScenarioChannel
from deploy.scenario.result import Result
from deploy.scenario.run import Finished
from deploy.scenario.steps import BatchEntry, CommandStep, Inbound, SettingsChange, StatusUpdate, Step
from deploy.scenario.world import Evidence
from schemas.record import Record, decode, encode
from schemas.routing import RoutingRule
from schemas.setting_types import SettingsModel
from schemas.topics import Topic


def prefixed(scenario: Scenario, prefix: str) -> Scenario:
    """The scenario with the prefix before its account, channel, agent and team ids."""
    return scenario.model_copy(
        update={
            "agents": tuple(
                agent.model_copy(update={"id": prefix + agent.id, "teams": tuple(prefix + t for t in agent.teams)})
                for agent in scenario.agents
            ),
            "channels": tuple(_channel(channel, prefix) for channel in scenario.channels),
            "steps": tuple(_step(step, prefix) for step in scenario.steps),
        }
    )


def _channel(channel: ScenarioChannel, prefix: str) -> ScenarioChannel:
    rules = tuple(_rule(rule, prefix) for rule in channel.assignment.rules)
    return channel.model_copy(
        update={
            "id": prefix + channel.id,
            "account": prefix + channel.account,
            "human_agents": tuple(prefix + id for id in channel.human_agents),
            "assignment": channel.assignment.model_copy(update={"rules": rules}),
            # The sandbox tells its accounts apart by their keys.
            "dev_key": prefix + (channel.dev_key or f"key-of-{channel.id}"),
        }
    )


def _rule(rule: RoutingRule, prefix: str) -> RoutingRule:
    if rule.to.kind == "ai":
        return rule
    return rule.model_copy(update={"to": rule.to.model_copy(update={"id": prefix + rule.to.id})})


def _step(step: Step, prefix: str) -> Step:
    kind, action = step.kind, step.action
    if kind is None or action is None or isinstance(action, str):
        return step
    changed = tuple(_entry(entry, prefix) for entry in action) if isinstance(action, tuple) else _own(action, prefix)
    return step.model_copy(update={kind: changed})


def _entry(entry: BatchEntry, prefix: str) -> BatchEntry:
    kind = "inbound" if entry.inbound else "status"
    return entry.model_copy(update={kind: _own(entry.row, prefix)})


def _own(action: SettingsModel | SettingsChange, prefix: str) -> SettingsModel | SettingsChange:
    update: dict[str, object] = {}
    channel = getattr(action, "channel", None)
    if channel is not None:
        update["channel"] = prefix + channel
    match action:
        case CommandStep(by=by, to=to):
            update["by"] = prefix + by
            if to is not None and to.kind != "ai":
                update["to"] = to.model_copy(update={"id": prefix + to.id})
        case Inbound(quotes=reference) if isinstance(reference, SettingsModel):
            update["quotes"] = _own(reference, prefix)
        case StatusUpdate(message=reference) if isinstance(reference, SettingsModel):
            update["message"] = _own(reference, prefix)
        case SettingsChange():
            update |= _settings(action.change, prefix)
    if hasattr(action, "agent"):
        update["agent"] = prefix + action.agent
    return action.model_copy(update=update)


def _settings(change: Mapping[str, object], prefix: str) -> dict[str, object]:
    agents = change.get("human_agents")
    changed: dict[str, object] = {}
    if isinstance(agents, list):
        changed["human_agents"] = [f"{prefix}{id}" for id in agents]
    assignment = change.get("assignment")
    if isinstance(assignment, dict) and isinstance(assignment.get("rules"), list):
        rules = [_rule(RoutingRule.model_validate(rule), prefix) for rule in assignment["rules"]]
        changed["assignment"] = {**assignment, "rules": [rule.model_dump(mode="json") for rule in rules]}
    return changed


def stripped(finished: Finished, scenario: Scenario, prefix: str) -> Finished:
    """What came of a prefixed scenario, without the prefix."""
    result = Result.model_validate_json(orjson.dumps(finished.result.as_json()).replace(prefix.encode(), b""))
    records = tuple((topic, _strip(topic, record, prefix)) for topic, record in finished.evidence.records)
    return Finished(scenario, result, Evidence(records, finished.evidence.log), finished.steps)


def _strip(topic: Topic, record: Record, prefix: str) -> Record:
    if topic.raw:
        bare = record.subject.removeprefix(prefix)
        return replace(record, subject=bare, channel=bare)
    return decode(encode(record).replace(prefix.encode(), b""), topic.types)
