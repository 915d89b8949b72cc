"""Agents, presence and memberships over real HTTP: what is written where, and for whom."""

from collections.abc import AsyncIterator

import pytest
from pydantic import JsonValue

from schemas.event import Event
from schemas.events.channels import ChannelChanged, ChannelSaved
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.record import Record
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import CHANNELS, DIRECTORY
from tests.support.ingress import FILE, NOW, Ingress, running
from tests.unit.desk.test_control import Control, Json, refusal


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    """Without the records of the file."""
    async with running() as (ingress, client):
        ingress.forget()
        yield Control(ingress, client)


def events(records: list[Record]) -> list[Event]:
    return [record.event for record in records]


def members(ingress: Ingress) -> dict[str, tuple[str, ...]]:
    return {channel.id: channel.human_agents for channel in ingress.directory.channels()}


AGENT = "/v1/accounts/main/agents/{}".format


async def test_a_file_s_agents_and_channels_are_reported_to_their_account() -> None:
    ingress = Ingress()
    await ingress.writer.save_file(FILE)
    saved = [
        AgentSaved(agent="irene", name="irene", teams=("front",)),
        AgentSaved(agent="paul", name="paul", workload=3),
    ]
    assert events(ingress.records(DIRECTORY)) == saved
    assert [record.subject for record in ingress.records(DIRECTORY)] == ["agent/main/irene", "agent/main/paul"]
    reported = ingress.account_inbox
    assert events(reported) == [
        saved[0],
        PresenceChanged(agent="irene", state="online"),
        saved[1],
        PresenceChanged(agent="paul", state="offline"),
        ChannelChanged(channel="desk"),
        ChannelChanged(channel="cloud"),
    ]
    assert {record.subject for record in reported} == {"main"}
    assert [(record.channel, record.settings_revision) for record in reported[3:]] == [
        (None, 0),
        ("desk", 1),
        ("cloud", 1),
    ]
    assert len({record.id for record in reported}) == len(reported)


async def test_a_file_tells_of_known_agents_only_what_differs() -> None:
    ingress = Ingress()
    await ingress.writer.save_file(FILE)
    ingress.forget()
    await ingress.writer.save_file(FILE)
    assert ingress.kafka.records == []
    irene = FILE.agents[0].model_copy(update={"name": "Irene", "state": "busy"})
    await ingress.writer.save_file(FILE.model_copy(update={"agents": (irene, FILE.agents[1])}))
    assert events(ingress.account_inbox) == [AgentSaved(agent="irene", name="Irene", teams=("front",))]


async def test_a_file_s_agents_belong_to_each_account_that_its_channels_name() -> None:
    ingress = Ingress()
    channels: list[JsonValue] = [
        {"id": name, "account": name, "phone_number": number, "human_agents": ["lea"]}
        for name, number in (("b", "+34611000114"), ("a", "+34611000115"))
    ]
    await ingress.writer.save_file(parse_channels_file({"agents": [{"id": "lea"}], "channels": channels}))
    assert [record.subject for record in ingress.records(DIRECTORY)] == ["agent/a/lea", "agent/b/lea"]
    assert ingress.directory.agents("main") == []


async def test_an_agent_is_made_replaced_and_listed(control: Control) -> None:
    body: Json = {"name": "Lea", "workload": None, "teams": ["night"]}
    assert await control.send("PUT", AGENT("lea"), body) == (200, {"agent": {"id": "lea", **body}})
    assert await control.send("PUT", AGENT("lea"), body) == (200, {"agent": {"id": "lea", **body}})
    await control.send("PUT", AGENT("lea"), {})
    saved = [AgentSaved(agent="lea", name="Lea", workload=None, teams=("night",)), AgentSaved(agent="lea", name="lea")]
    assert events(control.ingress.account_inbox) == saved
    assert events(control.ingress.records(DIRECTORY)) == saved
    _, listed = await control.send("GET", "/v1/accounts/main/agents")
    agents = listed["agents"]
    assert isinstance(agents, list)
    assert [agent["id"] for agent in agents if isinstance(agent, dict)] == ["irene", "lea", "paul"]
    assert {"id": "lea", "name": "lea", "workload": "default", "teams": []} in agents
    assert listed["teams"] == ["front"]
    assert await control.send("GET", "/v1/accounts/other/agents") == (200, {"agents": [], "teams": []})
    for path in (AGENT("no%20id"), "/v1/accounts/no%20id/agents/lea"):
        assert refusal(await control.send("PUT", path, {})) == (404, "not_found", [])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (AGENT("lea"), {"workload": -1}, "workload"),
        (AGENT("lea"), {"workload": "2"}, "workload"),
        (AGENT("lea"), {"teams": ["a b"]}, "teams[0]"),
        (AGENT("lea"), {"state": "online"}, "state"),
        (AGENT("irene") + "/presence", {"state": "away"}, "state"),
        (AGENT("irene") + "/presence", {"state": "idle", "source": "cat"}, "source"),
        (AGENT("irene") + "/presence", {}, "state"),
    ],
)
async def test_an_unusable_value_names_its_field(control: Control, path: str, body: JsonValue, field: str) -> None:
    assert refusal(await control.send("PUT", path, body)) == (422, "not_valid", [field])
    assert control.ingress.kafka.records == []


async def test_a_new_agent_may_be_named_and_a_deleted_one_not_any_more(control: Control) -> None:
    await control.send("PUT", AGENT("lea"), {"teams": ["night"]})
    assert (await control.change({"human_agents": ["lea"]}))[0] == 200
    assert (await control.command({"type": "assign", "by": "lea", "to": {"kind": "team", "id": "night"}}))[0] == 202
    assert (await control.send("DELETE", AGENT("lea")))[0] == 200
    assert refusal(await control.command({"type": "resolve", "by": "lea"}))[:2] == (409, "unknown_agent")
    assert refusal(await control.change({"human_agents": ["lea"]}))[:2] == (422, "invalid_settings")


async def test_a_deleted_agent_leaves_every_channel_and_the_rules_stay(control: Control) -> None:
    rules = [channel.assignment for channel in control.ingress.directory.channels()]
    assert await control.send("DELETE", AGENT("paul")) == (200, {})
    reported = control.ingress.account_inbox
    assert events(reported) == [
        AgentDeleted(agent="paul"),
        ChannelChanged(channel="cloud", left=("paul",)),
        ChannelChanged(channel="desk", left=("paul",)),
    ]
    assert [(record.channel, record.settings_revision) for record in reported] == [(None, 0), ("cloud", 2), ("desk", 2)]
    assert events(control.ingress.records(DIRECTORY)) == [AgentDeleted(agent="paul")]
    assert [record.subject for record in control.ingress.records(CHANNELS)] == ["cloud/2", "desk/2"]
    assert members(control.ingress) == {"cloud": (), "desk": ("irene",)}
    assert [channel.assignment for channel in control.ingress.directory.channels()] == rules
    assert refusal(await control.send("DELETE", AGENT("paul"))) == (404, "not_found", [])


async def test_an_agent_left_out_of_a_channel_s_settings_has_left_it(control: Control) -> None:
    await control.change({"human_agents": ["paul"]})
    await control.change({"name": "Front desk"})
    assert events(control.ingress.account_inbox) == [
        ChannelChanged(channel="desk", left=("irene",)),
        ChannelChanged(channel="desk"),
    ]
    assert [type(record.event) for record in control.ingress.records(CHANNELS)] == [ChannelSaved] * 2
    assert {(record.subject, record.time) for record in control.ingress.account_inbox} == {("main", NOW)}


async def test_members_come_and_go_and_nothing_is_written_where_nothing_changes(control: Control) -> None:
    one, every = "/v1/channels/{}/agents/{}".format, AGENT("irene") + "/memberships"
    for _ in range(2):
        assert (await control.send("DELETE", one("desk", "irene")))[0] == 200
    assert members(control.ingress) == {"cloud": ("paul",), "desk": ("paul",)}
    for _ in range(2):
        assert await control.send("PUT", every) == (200, {"channels": ["cloud", "desk"]})
    assert members(control.ingress) == {"cloud": ("paul", "irene"), "desk": ("paul", "irene")}
    for _ in range(2):
        assert await control.send("DELETE", every) == (200, {"channels": []})
    assert (await control.send("PUT", one("cloud", "irene")))[0] == 200
    assert members(control.ingress) == {"cloud": ("paul", "irene"), "desk": ("paul",)}
    left = [event.left for event in events(control.ingress.account_inbox) if isinstance(event, ChannelChanged)]
    assert left == [("irene",), (), (), ("irene",), ("irene",), ()]


async def test_presence_goes_to_the_account_inbox_alone(control: Control) -> None:
    path = AGENT("irene") + "/presence"
    assert (await control.send("PUT", path, {"state": "busy"}))[0] == 202
    assert (await control.send("PUT", path, {"state": "online", "source": "heartbeat"}))[0] == 202
    assert events(control.ingress.account_inbox) == [
        PresenceChanged(agent="irene", state="busy"),
        PresenceChanged(agent="irene", state="online", source="heartbeat"),
    ]
    assert {record.subject for record in control.ingress.account_inbox} == {"main"}
    assert len(control.ingress.kafka.records) == 2


async def test_an_unknown_agent_is_404(control: Control) -> None:
    nobody: tuple[int, str, list[str]] = (404, "not_found", [])
    assert refusal(await control.send("PUT", AGENT("zoe") + "/presence", {"state": "online"})) == nobody
    assert refusal(await control.send("PUT", "/v1/accounts/x/agents/irene/presence", {"state": "online"})) == nobody
    assert refusal(await control.send("DELETE", AGENT("zoe") + "/memberships")) == nobody
    assert refusal(await control.send("PUT", "/v1/channels/desk/agents/zoe")) == nobody
    assert refusal(await control.send("DELETE", "/v1/channels/no/agents/irene")) == (404, "not_found", [])
    assert control.ingress.kafka.records == []


async def test_a_change_that_is_not_durable_is_503(control: Control) -> None:
    control.ingress.kafka.down = True
    answers = [
        await control.send("PUT", AGENT("irene"), {"name": "Irene"}),
        await control.send("DELETE", AGENT("irene")),
        await control.send("PUT", AGENT("irene") + "/presence", {"state": "online"}),
    ]
    assert [refusal(answer) for answer in answers] == [(503, "not_durable", [])] * 3
