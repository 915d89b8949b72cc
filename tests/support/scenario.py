"""Scenarios for tests of the runner itself."""

from pydantic import JsonValue

from simulation.scenario.format import Loaded, Scenario, parse_scenario
from simulation.scenario.play import Outcome, play

CONTACT = "34655010299"


def data(*steps: dict[str, JsonValue], **more: JsonValue) -> dict[str, JsonValue]:
    """A scenario with one agent and one channel that greets."""
    channel: JsonValue = {
        "id": "shop",
        "phone_number": "+34910222333",
        "human_agents": ["nadia"],
        "greeting": {"enabled": True, "text": "Welcome"},
    }
    base: dict[str, JsonValue] = {
        "name": "a test",
        "agents": [{"id": "nadia", "state": "online"}],
        "channels": [channel],
        "steps": list(steps),
    }
    return base | more


def inbound(at: str, id: str, **more: JsonValue) -> dict[str, JsonValue]:
    """A step in which the customer writes."""
    message: dict[str, JsonValue] = {"id": id, "contact": CONTACT, "text": "Hello there"}
    return {"at": at, "inbound": message | more}


def reply(at: str, id: str, **more: JsonValue) -> dict[str, JsonValue]:
    """A step in which the agent replies."""
    command: dict[str, JsonValue] = {"type": "reply", "contact": CONTACT, "by": "nadia", "id": id, "text": "Sure"}
    return {"at": at, "command": command | more}


def problems(*steps: dict[str, JsonValue], **more: JsonValue) -> tuple[str, ...]:
    """What is wrong with a scenario, as printed."""
    return parse_scenario(data(*steps, **more), "a.yaml").problems


def scenario(*steps: dict[str, JsonValue], **more: JsonValue) -> Scenario:
    """The scenario, which must be in order."""
    loaded = parse_scenario(data(*steps, **more), "a.yaml")
    assert loaded.scenario is not None, loaded.problems
    return loaded.scenario


async def outcome(*steps: dict[str, JsonValue], **more: JsonValue) -> Outcome:
    """The scenario, played in memory."""
    loaded: Loaded = parse_scenario(data(*steps, **more), "a.yaml")
    async for one in play([loaded], with_records=True):
        return one
    raise AssertionError("nothing was played")


async def result(*steps: dict[str, JsonValue], **more: JsonValue) -> dict[str, JsonValue]:
    """What came of it, as JSON."""
    played = await outcome(*steps, **more)
    assert played.finished is not None, played.problems
    return played.finished.result.as_json()
