"""The prefix that keeps the scenarios of one running system apart."""

from pydantic import JsonValue

from schemas.topics import WEBHOOKS
from simulation.scenario.driver_run import DriverWorld
from simulation.scenario.prefix import prefixed, stripped
from simulation.scenario.run import run
from tests.support.scenario import CONTACT, inbound, scenario

AT = "2026-03-09T08:00:00Z"
CHANNEL: JsonValue = {
    "id": "shop",
    "phone_number": "+34910222333",
    "human_agents": ["nadia", "olaf"],
    "ai": {"enabled": True, "agents": [{"id": "bot"}]},
    "assignment": {
        "rules": [
            {"when": [{"field": "channel", "op": "matches", "value": "^help"}], "to": {"kind": "human", "id": "olaf"}},
            {
                "when": [
                    {"field": "channel", "op": "in", "value": ["shop", "help"]},
                    {"field": "text", "op": "contains", "value": "night"},
                ],
                "to": {"kind": "team", "id": "night"},
            },
        ]
    },
}
AGENTS: JsonValue = [{"id": "nadia", "state": "online"}, {"id": "olaf", "state": "online", "teams": ["night"]}]
RULE: JsonValue = {"name": "all", "to": {"kind": "ai", "id": "bot"}}
COMMAND: dict[str, JsonValue] = {"type": "assign", "contact": CONTACT, "by": "nadia"}
STEPS: list[dict[str, JsonValue]] = [
    inbound(AT, "in-1", text="at night"),
    {"at": AT, "command": {**COMMAND, "to": {"kind": "ai", "id": "bot"}}},
    {"at": AT, "command": {**COMMAND, "to": {"kind": "team", "id": "night"}}},
    {"at": AT, "presence": {"agent": "olaf", "member": False, "channel": "shop"}},
    {"at": AT, "settings": {"assignment": {"rules": [RULE]}, "human_agents": ["nadia"], "account": "main"}},
    {"at": AT, "settings": {"ai": {"agents": [{"id": "bot"}, {"id": "robot"}]}, "greeting": {"text": 5}}},
    {"at": AT, "settings": {"assignment": {"rules": [{"to": "nobody"}]}}},
    inbound(AT, "in-2", contact="34655010277"),
    {"at": AT, "status": {"message": {"contact": "34655010277", "kind": "ai"}, "status": "read"}},
    {"at": AT, "probe": {"channel": "shop"}},
    {"at": AT, "presence": {"agent": "nadia", "deleted": True}},
]


async def test_a_prefixed_scenario_comes_to_the_same_without_its_prefix() -> None:
    plain = scenario(*STEPS, channels=[CHANNEL], agents=AGENTS)
    ours = prefixed(plain, "y7y-")

    expected = await run(plain, await DriverWorld.build(plain))
    found = await run(ours, await DriverWorld.build(ours))

    assert expected.result.refused != ()
    assert _without_ids(stripped(found, plain, "y7y-").result.as_json()) == _without_ids(expected.result.as_json())


async def test_everything_that_a_prefixed_scenario_writes_names_it() -> None:
    ours = prefixed(scenario(*STEPS, channels=[CHANNEL], agents=AGENTS), "y7y-")

    finished = await run(ours, await DriverWorld.build(ours))

    assert [record.subject for _, record in finished.evidence.records if "y7y-" not in record.subject] == []
    assert WEBHOOKS in [topic for topic, _ in stripped(finished, ours, "y7y-").evidence.records]


def _without_ids(value: JsonValue) -> JsonValue:
    """Ids that derive from other ids differ."""
    if isinstance(value, dict):
        return {name: _without_ids(one) for name, one in value.items() if name not in ("id", "conversation")} | (
            {"agent": value["id"]} if value.get("kind") == "human" else {}
        )
    if isinstance(value, list):
        return [_without_ids(one) for one in value]
    return "an id" if isinstance(value, str) and value.count("-") == 4 else value
