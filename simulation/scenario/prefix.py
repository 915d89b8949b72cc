"""Many scenarios share one running system: each one's ids get a prefix, taken off again in what it shows."""

from collections.abc import Mapping
from dataclasses import replace

import orjson
from pydantic import SecretStr, ValidationError

from schemas.record import Record, decode, encode
from schemas.settings.credentials import ENCRYPTED, Credentials
from schemas.settings.routing import Condition, RoutingRule
from schemas.settings.types import SettingsModel
from schemas.topics import Topic
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Scenario, ScenarioChannel
from simulation.scenario.result import Result
from simulation.scenario.run import Finished
from simulation.scenario.steps import BatchEntry, CommandStep, Inbound, Presence, SettingsChange, StatusUpdate, Step


def prefixed(scenario: Scenario, prefix: str) -> Scenario:
    """The scenario with the prefix before the ids of its accounts, channels, agents (human and AI) and teams."""
    return scenario.model_copy(
        update={
            "agents": tuple(
                agent.model_copy(update={"id": prefix + agent.id, "teams": tuple(prefix + t for t in agent.teams)})
                for agent in scenario.agents
            ),
            "ai_agents": tuple(agent.model_copy(update={"id": prefix + agent.id}) for agent in scenario.ai_agents),
            "channels": tuple(_channel(channel, prefix) for channel in scenario.channels),
            "steps": tuple(_step(step, prefix, _made_up(scenario, prefix)) for step in scenario.steps),
        }
    )


def _made_up(scenario: Scenario, prefix: str) -> Mapping[str, str]:
    """The channels' made-up credentials, and what they are with the prefix."""
    found: dict[str, str] = {}
    for channel in scenario.channels:
        stand_in = STAND_INS[channel.provider]
        before, after = stand_in.make_credentials(channel.id), stand_in.make_credentials(prefix + channel.id)
        found |= {before[name]: after[name] for name in before}
    return found


def _channel(channel: ScenarioChannel, prefix: str) -> ScenarioChannel:
    rules = tuple(_rule(rule, prefix) for rule in channel.assignment.rules)
    agents = tuple(agent.model_copy(update={"id": prefix + agent.id}) for agent in channel.ai.agents)
    return channel.model_copy(
        update={
            "id": prefix + channel.id,
            "account": prefix + channel.account,
            "human_agents": tuple(prefix + id for id in channel.human_agents),
            "assignment": channel.assignment.model_copy(update={"rules": rules}),
            "ai": channel.ai.model_copy(update={"agents": agents}),
            **_credentials({name: getattr(channel, name) for name in Credentials.model_fields}, prefix, {}),
        }
    )


def _rule(rule: RoutingRule, prefix: str) -> RoutingRule:
    to = rule.to.model_copy(update={"id": prefix + rule.to.id})
    return rule.model_copy(update={"to": to, "when": tuple(_condition(one, prefix) for one in rule.when)})


def _condition(condition: Condition, prefix: str) -> Condition:
    """A condition on the channel compares its id."""
    value = condition.value
    if condition.field == "channel":
        match condition.op, value:
            case "equals" | "not_equals" | "starts_with", str():
                value = prefix + value
            case "in", tuple():
                value = tuple(f"{prefix}{id}" for id in value)
            case "matches", str() if value.startswith("^"):
                value = f"^{prefix}{value[1:]}"
    return condition.model_copy(update={"value": value})


def _step(step: Step, prefix: str, made_up: Mapping[str, str]) -> Step:
    kind, action = step.kind, step.action
    if kind is None or action is None or isinstance(action, str):
        return step
    changed = tuple(_entry(entry, prefix) for entry in action) if isinstance(action, tuple) else _own(action, prefix)
    if isinstance(changed, SettingsChange):
        changed = changed.model_copy(update=_credentials(changed.change, prefix, made_up))
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
            if to is not None:
                update["to"] = to.model_copy(update={"id": prefix + to.id})
        case Presence(agent=str(agent)) | GptScript(agent=str(agent)) | ToolScript(agent=str(agent)):
            update["agent"] = prefix + agent
        case Inbound(quotes=reference) if isinstance(reference, SettingsModel):
            update["quotes"] = _own(reference, prefix)
        case StatusUpdate(message=reference) if isinstance(reference, SettingsModel):
            update["message"] = _own(reference, prefix)
        case SettingsChange():
            update |= _settings(action.change, prefix)
    return action.model_copy(update=update)


def _settings(change: Mapping[str, object], prefix: str) -> dict[str, object]:
    """The parts of a change that hold ids. What can't be saved stays: it is to be refused as it is."""
    changed: dict[str, object] = {}
    if isinstance(account := change.get("account"), str):
        changed["account"] = prefix + account
    if isinstance(members := change.get("human_agents"), list):
        changed["human_agents"] = [prefix + id if isinstance(id, str) else id for id in members]
    for name, part, prefixed_part in (("assignment", "rules", _changed_rule), ("ai", "agents", _changed_agent)):
        outer = change.get(name)
        if isinstance(outer, dict) and isinstance(outer.get(part), list):
            changed[name] = {**outer, part: [prefixed_part(one, prefix) for one in outer[part]]}
    return changed


def _credentials(data: Mapping[str, object], prefix: str, made_up: Mapping[str, str]) -> dict[str, object]:
    """Secrets are others, so that nobody signs for another scenario's channel, and so is what is made up of its id."""
    changed: dict[str, object] = {}
    for name, value in data.items():
        match value:
            case SecretStr():
                changed[name] = SecretStr(prefix + value.get_secret_value())
            case str() if value in made_up:
                changed[name] = made_up[value]
            case str() if name in ENCRYPTED:
                changed[name] = prefix + value
    return changed


def _changed_rule(rule: object, prefix: str) -> object:
    try:
        return _rule(RoutingRule.model_validate(rule), prefix).model_dump(mode="json")
    except ValidationError:
        return rule


def _changed_agent(agent: object, prefix: str) -> object:
    if isinstance(agent, dict) and isinstance(id := agent.get("id"), str):
        # A name that is left out is the id.
        return {"name": id, **agent, "id": prefix + id}
    return agent


def stripped(finished: Finished, scenario: Scenario, prefix: str) -> Finished:
    """What came of a prefixed scenario, without the prefix."""
    result = Result.model_validate_json(orjson.dumps(finished.result.as_json()).replace(prefix.encode(), b""))
    records = tuple((topic, _strip(topic, record, prefix)) for topic, record in finished.evidence.records)
    return Finished(scenario, result, replace(finished.evidence, records=records))


def _strip(topic: Topic, record: Record, prefix: str) -> Record:
    if topic.raw:
        bare = record.subject.removeprefix(prefix)
        return replace(record, subject=bare, channel=bare)
    return decode(encode(record).replace(prefix.encode(), b""), topic.types)
