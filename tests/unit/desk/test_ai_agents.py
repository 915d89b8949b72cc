"""AI agents of an account over real HTTP: settings with revisions, in every channel that lists them."""

from collections.abc import AsyncIterator

import orjson
import pytest
from pydantic import JsonValue

from providers.provider import Answer
from schemas.events.access import AuditRecorded, Role
from schemas.events.channels import ChannelSaved
from schemas.events.people import AiAgentDeleted, AiAgentSaved
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import AUDIT, CHANNELS, DIRECTORY
from tests.support.ingress import Ingress, running
from tests.unit.desk.test_control import Control, Json, refusal

AGENTS = "/v1/accounts/main/ai-agents"
BOT = f"{AGENTS}/bot"
GPT: Json = {
    "id": "bot",
    "kind": "gpt",
    "model": "m-1",
    "base_url": "http://127.0.0.1:9/v1",
    "api_key": "key-secret",
    "instructions": "Help.",
    "tools": [
        {
            "name": "order",
            "description": "Look an order up.",
            "url": "https://erp.example/orders",
            "headers": {"X-Key": "tool-secret"},
        }
    ],
}


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    """With the channels of the file, of which `desk` lists `bot`, and without their records."""
    async with running() as (ingress, client):
        yield Control(ingress, client)


def in_channel(ingress: Ingress, channel: str = "desk") -> dict[str, int]:
    """The revisions of the AI agents that a channel has in its settings."""
    return {agent.id: agent.revision for agent in ingress.directory.channel(channel).ai_agents}


def written(ingress: Ingress, since: int) -> list[str]:
    """The keys of what was written to directory and channels, in order."""
    kept = {topic.full_name("t.") for topic in (DIRECTORY, CHANNELS)}
    return [key.decode() for topic, key, _, _ in ingress.kafka.records[since:] if topic in kept]


async def test_an_agent_s_life_and_each_channel_that_lists_it_follows(control: Control) -> None:
    ingress, since = control.ingress, len(control.ingress.kafka.records)
    status, created = await control.send("POST", AGENTS, GPT)
    assert status == 201, created
    assert created["channels"] == ["desk"]
    agent = created["agent"]
    assert isinstance(agent, dict)
    assert (agent["revision"], agent["has_key"], agent["name"]) == (1, True, "bot")
    assert in_channel(ingress) == {"bot": 1}
    status, changed = await control.send("PATCH", BOT, {"limits": {"answers": 5}}, **{"If-Match": '"1"'})
    assert status == 200, changed
    assert in_channel(ingress) == {"bot": 2}
    assert in_channel(ingress, "cloud") == {}
    bot = ingress.directory.ai_agent("main", "bot")
    assert bot == ingress.directory.channel("desk").ai_agent("bot")
    assert bot.api_key is not None
    assert bot.api_key.get_secret_value() == "key-secret"
    assert written(ingress, since) == ["ai/main/bot", "desk/2", "ai/main/bot", "desk/3"]
    status, listed = await control.send("GET", AGENTS)
    assert (status, listed) == (200, {"agents": [changed["agent"]]})
    assert refusal(await control.send("DELETE", BOT)) == (409, "in_use", [])
    assert (await control.change({"ai": {"agents": []}}))[0] == 200
    assert in_channel(ingress) == {}
    assert (await control.send("DELETE", BOT))[0] == 200
    assert refusal(await control.send("GET", BOT)) == (404, "not_found", [])
    events = [record.event for record in ingress.records(DIRECTORY)]
    assert events[-1] == AiAgentDeleted(account="main", agent="bot")
    recorded = [event for record in ingress.records(AUDIT) if isinstance(event := record.event, AuditRecorded)]
    told = [(event.action, event.target) for event in recorded if event.target != "channels/desk"]
    assert told == [
        ("create_ai_agent", "ai-agents/bot"),
        ("change_ai_agent", "ai-agents/bot"),
        ("delete_ai_agent", "ai-agents/bot"),
    ]


async def test_no_secret_is_shown_told_or_kept_in_the_clear(control: Control) -> None:
    answers = [
        await control.send("POST", AGENTS, GPT),
        await control.send("GET", BOT),
        await control.send("GET", AGENTS),
    ]
    answers += [await control.send("GET", "/v1/channels/desk"), await control.send("PATCH", BOT, {"tone": "warm"})]
    assert [status for status, _ in answers] == [201, 200, 200, 200, 200]
    assert "-secret" not in str(answers)
    agent = answers[1][1]["agent"]
    assert isinstance(agent, dict)
    assert agent["tools"] == [
        {
            "name": "order",
            "description": "Look an order up.",
            "method": "GET",
            "url": "https://erp.example/orders",
            "parameters": {"type": "object", "properties": {}},
            "headers": {"X-Key": None},
            "timeout_s": 10,
        }
    ]
    values = b"".join(value for _, _, value, _ in control.ingress.kafka.records)
    assert b"key-secret" not in values
    assert b"tool-secret" not in values


async def test_who_may_not_change_settings_sees_no_address_of_a_tool(control: Control) -> None:
    await control.send("POST", AGENTS, GPT)
    control.token = control.ingress.token(Role.READ, account="main")
    status, shown = await control.send("GET", BOT)
    assert status == 200
    assert "erp.example" not in str(shown)
    assert refusal(await control.send("PATCH", BOT, {}))[0] == 403
    control.token = control.ingress.token(Role.ADMIN, account="main", channels=("cloud",))
    assert (await control.send("GET", BOT))[1]["channels"] == []
    for method, path in (("PATCH", BOT), ("DELETE", BOT), ("POST", f"{BOT}/test"), ("POST", AGENTS)):
        body = {"POST": GPT, "PATCH": {}}.get(method) if path in (BOT, AGENTS) else None
        assert refusal(await control.send(method, path, body))[:2] == (403, "not_allowed")
    control.token = control.ingress.token(Role.ADMIN, account="other")
    assert refusal(await control.send("GET", BOT)) == (404, "not_found", [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**GPT, "model": ""}, "model"),
        ({**GPT, "base_url": "ftp://x"}, "base_url"),
        ({**GPT, "revision": 7}, "revision"),
        ({**GPT, "limits": {"answers": 0}}, "limits.answers"),
        ({**GPT, "tools": [{"name": "note", "description": "x", "url": "https://x.example"}]}, "tools[0].name"),
        ({**GPT, "colour": "red"}, "colour"),
        ({"id": "bot", "kind": "http"}, "url"),
        ({"id": "bot", "kind": "cat"}, ""),
        ({"id": "bot"}, ""),
    ],
)
async def test_an_unusable_setting_names_its_field_and_nothing_is_saved(
    control: Control, body: Json, field: str
) -> None:
    written = len(control.ingress.kafka.records)
    assert refusal(await control.send("POST", AGENTS, body))[0::2] == (422, [field])
    assert len(control.ingress.kafka.records) == written


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": ""}, "model"),
        ({"id": "other"}, "id"),
        ({"kind": "http"}, "kind"),
        ({"revision": 9}, "revision"),
        ({"base_url": "https://elsewhere.example/v1"}, "api_key"),
        ({"tools": [{"name": "order", "description": "x", "url": "https://a.example", "headers": {"X-Key": None}}]},
         "tools[0].headers.X-Key"),
    ],
)  # fmt: skip
async def test_a_change_that_can_t_be_made_names_its_field(control: Control, change: Json, field: str) -> None:
    await control.send("POST", AGENTS, GPT)
    assert refusal(await control.send("PATCH", BOT, change)) == (422, "invalid_settings", [field])
    assert in_channel(control.ingress) == {"bot": 1}


async def test_a_change_keeps_secrets_and_takes_new_ones(control: Control) -> None:
    await control.send("POST", AGENTS, GPT)
    agent = (await control.send("GET", BOT))[1]["agent"]
    assert isinstance(agent, dict)
    assert isinstance(agent["tools"], list)
    tool = agent["tools"][0]
    assert isinstance(tool, dict)
    assert (await control.send("PATCH", BOT, {"tools": [{**tool, "timeout_s": 5}]}))[0] == 200
    await control.send("PATCH", BOT, {"base_url": "http://127.0.0.1:9/v2"})
    bot = control.ingress.directory.channel("desk").ai_agent("bot")
    assert bot is not None
    assert bot.kind == "gpt"
    assert [one.headers["X-Key"].get_secret_value() for one in bot.tools] == ["tool-secret"]
    assert bot.api_key is not None
    await control.send("PATCH", BOT, {"base_url": "https://elsewhere.example/v1", "api_key": None})
    bot = control.ingress.directory.ai_agent("main", "bot")
    assert (bot.api_key, bot.revision) == (None, 4)


async def test_a_change_based_on_an_old_revision_is_refused(control: Control) -> None:
    await control.send("POST", AGENTS, GPT)
    await control.send("PATCH", BOT, {"tone": "warm"}, **{"If-Match": '"1"'})
    refused = await control.send("PATCH", BOT, {"tone": "cold"}, **{"If-Match": '"1"'})
    assert refusal(refused) == (412, "changed_meanwhile", [])
    assert refusal(await control.send("POST", AGENTS, GPT)) == (422, "invalid_settings", ["id"])
    assert refusal(await control.send("PATCH", f"{AGENTS}/nobody", {})) == (404, "not_found", [])
    assert in_channel(control.ingress) == {"bot": 2}


async def test_a_channel_has_its_agents_whatever_is_changed_of_it_and_by_no_other_way(control: Control) -> None:
    ingress = control.ingress
    await control.send("POST", AGENTS, GPT)
    await control.send("POST", AGENTS, {"id": "echo", "kind": "http", "url": "https://echo.example"})
    assert in_channel(ingress) == {"bot": 1}
    assert (await control.change({"ai": {"agents": [{"id": "echo"}, {"id": "bot", "enabled": False}]}}))[0] == 200
    assert list(in_channel(ingress)) == ["echo", "bot"]
    await control.change({"name": "Desk"})
    await control.send("POST", "/v1/channels/desk/disable")
    await control.send("DELETE", "/v1/channels/desk/agents/irene")
    assert list(in_channel(ingress)) == ["echo", "bot"]
    refused: list[JsonValue] = [[], [GPT]]
    for given in refused:
        assert refusal(await control.change({"ai_agents": given})) == (422, "invalid_settings", ["ai_agents"])
    form: Json = {"id": "new", "phone_number": "+34600000077", "ai": {"agents": [{"id": "echo"}]}}
    assert refusal(await control.send("POST", "/v1/channels?check=false", {**form, "ai_agents": []}))[2] == [
        "ai_agents"
    ]
    assert (await control.send("POST", "/v1/channels?check=false", form))[0] == 201
    assert in_channel(ingress, "new") == {"echo": 1}
    await control.send("PATCH", f"{AGENTS}/echo", {"url": "https://other.example"})
    assert in_channel(ingress, "new") == {"echo": 2}
    await control.send("DELETE", "/v1/channels/new")
    deleted = ingress.directory.channel("new").revision
    await control.send("PATCH", f"{AGENTS}/echo", {"name": "Echo"})
    assert ingress.directory.channel("new").revision == deleted


async def test_a_file_s_agents_are_in_its_channels_and_what_differs_is_written_alone() -> None:
    ingress = Ingress()
    channel = {"id": "a", "phone_number": "+34611000114", "ai": {"enabled": True, "agents": [{"id": "bot"}]}}
    other = {**channel, "id": "b", "phone_number": "+34611000115"}
    await ingress.writer.save_file(parse_channels_file({"ai_agents": [GPT], "channels": [channel, other]}))
    assert in_channel(ingress, "a") == in_channel(ingress, "b") == {"bot": 1}
    since = len(ingress.kafka.records)
    file = parse_channels_file({"ai_agents": [GPT], "channels": [channel]})
    await ingress.writer.save_file(file)
    assert written(ingress, since) == []
    # A change of the agent reaches the channel that is not in the file, too.
    await ingress.writer.save_file(parse_channels_file({"ai_agents": [{**GPT, "tone": "warm"}], "channels": [channel]}))
    assert written(ingress, since) == ["ai/main/bot", "b/2", "a/2"]
    assert in_channel(ingress, "a") == in_channel(ingress, "b") == {"bot": 2}
    # A file that leaves the agents out takes nothing away.
    await ingress.writer.save_file(parse_channels_file({"channels": [{**channel, "name": "A"}]}))
    assert in_channel(ingress, "a") == {"bot": 2}
    saved = [record.event for record in ingress.records(DIRECTORY) if isinstance(record.event, AiAgentSaved)]
    assert len(saved) == 2
    assert all(isinstance(record.event, ChannelSaved) for record in ingress.records(CHANNELS))


def said(body: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(body))


DONE = said({"choices": [{"message": {"role": "assistant", "content": "yes"}}]})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, (504, "unreachable", [])),
        (said({"error": {"code": "invalid_api_key"}}, 401), (409, "wrong_key", ["api_key"])),
        (said({"error": {"code": "model_not_found"}}, 404), (409, "unknown_model", ["model"])),
        (said({"error": {"param": "model", "message": "key-secret"}}, 400), (409, "unknown_model", ["model"])),
        (said({"detail": "Not Found"}, 404), (409, "wrong_address", ["base_url"])),
        (said({"error": {"code": "insufficient_quota"}}, 429), (409, "throttled", [])),
        (said({"error": {"param": "messages"}}, 400), (502, "unreadable", [])),
        (Answer(200, b"<html>"), (502, "unreadable", [])),
        (said({"choices": []}), (502, "unreadable", [])),
        (Answer(503, b"key-secret"), (502, "unreadable", [])),
    ],
)
async def test_what_is_wrong_at_the_service_is_told_apart(
    control: Control, answer: Answer | None, expected: tuple[int, str, list[str]]
) -> None:
    await control.send("POST", AGENTS, GPT)
    control.ingress.answers += [answer, DONE]
    refused = await control.send("POST", f"{BOT}/test")
    assert refusal(refused) == expected
    assert "-secret" not in str(refused)
    assert await control.send("POST", f"{BOT}/test") == (200, {"message": "m-1 answers."})
    for base_url, call in control.ingress.reached:
        assert (base_url, call.path) == ("http://127.0.0.1:9/v1", "/chat/completions")
        assert call.headers["Authorization"] == "Bearer key-secret"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, (504, "unreachable", [])),
        (Answer(403, b""), (409, "wrong_key", ["api_key"])),
        (Answer(404, b""), (409, "wrong_address", ["url"])),
        (Answer(502, b""), (502, "unreadable", [])),
    ],
)
async def test_an_agent_of_the_account_s_own_is_looked_at_without_a_question(
    control: Control, answer: Answer | None, expected: tuple[int, str, list[str]]
) -> None:
    await control.send("POST", AGENTS, {"id": "echo", "kind": "http", "url": "https://echo.example"})
    control.ingress.answers += [answer, Answer(405, b"")]
    assert refusal(await control.send("POST", f"{AGENTS}/echo/test")) == expected
    assert (await control.send("POST", f"{AGENTS}/echo/test"))[0] == 200
    assert {call.method for _, call in control.ingress.reached} == {"GET"}
