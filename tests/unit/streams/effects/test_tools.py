"""The client of the accounts' tools: over HTTP to the sandbox, and without, as scenarios run in memory."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import JsonValue

from providers.provider import Answer
from schemas.effects import ToolRequest, ToolResult
from schemas.settings.channel import ChannelSettings
from schemas.settings.memory import SettingsMemory
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.gpt.script import ToolScript, ToolTurn
from simulation.sandbox.gpt.stand_in import GptStandIn, ToolsInMemory, at_sandbox
from simulation.sandbox.providers import Providers
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.http import HttpTransport, Transport
from streams.effects.outside import Outside, outside_session
from streams.effects.tools import CUT, MAX_TEXT, ToolClient, read_answer, why_invalid
from tests.support.ai_calls import NOW, channel_with, gpt_agent

TOKEN = "planted-token-of-the-shop"
WORDS = "order-of-a-customer"
PARAMETERS: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"id": {"type": "string", "minLength": 2}, "count": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["id"],
    "additionalProperties": False,
}
ORDER = {
    "name": "order",
    "description": "Looks an order up.",
    "url": "http://shop.example/orders",
    "parameters": PARAMETERS,
    "headers": {"X-Token": TOKEN, "Idempotency-Key": "theirs", "Host": "elsewhere.example"},
}
CANCEL = {**ORDER, "name": "cancel", "method": "POST", "description": "Cancels an order."}
AGENT = gpt_agent(tools=[ORDER, CANCEL])


@dataclass
class Bench:
    transport: Transport
    url: str
    stand_in: GptStandIn
    counted: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def channel(self) -> ChannelSettings:
        moved = at_sandbox(AGENT, self.url)
        assert moved.kind == "gpt"
        return channel_with(moved)

    def script(self, *turns: ToolTurn, tool: str = "order") -> None:
        self.stand_in.tools.set_script(ToolScript(agent="helper", tool=tool, turns=turns))

    async def perform(self, tool: str = "order", **arguments: JsonValue) -> Outcome:
        request = {"effect_id": "e1", "call_id": "c1", "channel": "kiosk", "agent": "helper", "tool": tool}
        client = ToolClient(self.transport, {"kiosk": self.channel}.__getitem__, lambda: 0.0, count=self._count)
        return await client.perform(
            ToolRequest.model_validate({**request, "arguments": arguments or {"id": WORDS}, "timeout_s": 1})
        )

    async def call(self, tool: str = "order", **arguments: JsonValue) -> ToolResult:
        outcome = await self.perform(tool, **arguments)
        assert isinstance(outcome, Done)
        return ToolResult.model_validate(outcome.result)

    def _count(self, *args: Any, **_: Any) -> None:
        self.counted.append(args)


@pytest.fixture(params=["http", "memory"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    stand_in = GptStandIn()
    if request.param == "memory":
        yield Bench(ToolsInMemory(stand_in, lambda: NOW), "http://sandbox", stand_in)
        return
    async with serve(build_app(Providers(), lambda: NOW, gpt=stand_in)) as url:
        outside = Outside([url])
        async with outside_session(outside, 10) as session:
            yield Bench(HttpTransport(session, outside, MAX_TEXT + 1), url, stand_in)


async def test_a_get_has_its_arguments_in_the_query_and_the_settings_headers(bench: Bench) -> None:
    bench.script(ToolTurn(json={"state": "sent"}))
    found = await bench.call(id="A 1&x=2", count=3, tags=["a"])
    assert found == ToolResult(answer="done", status=200, text='{"state":"sent"}')
    [logged] = bench.stand_in.tools.log
    assert (logged.method, logged.arguments) == ("GET", {"id": "A 1&x=2", "count": "3", "tags": '["a"]'})
    assert (logged.key, logged.headers["x-token"]) == ("c1", TOKEN)
    assert bench.counted == [("main", "helper", "tool", "done", 0.0)]


async def test_a_post_has_them_as_json(bench: Bench) -> None:
    await bench.call("cancel", id="A1", count=3)
    [logged] = bench.stand_in.tools.log
    assert (logged.method, logged.arguments, logged.key) == ("POST", {"id": "A1", "count": 3}, "c1")


@pytest.mark.parametrize(
    ("does", "tool"), [("hang", "order"), ("hang", "cancel"), ("cut", "cancel"), ("lose", "cancel")]
)
async def test_a_lost_answer_is_unknown_and_the_repeat_carries_nothing_out_twice(
    bench: Bench, does: Any, tool: str
) -> None:
    bench.script(ToolTurn(does=does, json={"state": "cancelled"}), ToolTurn(json={"state": "cancelled"}), tool=tool)
    assert await bench.perform(tool) == Unknown()
    assert (await bench.call(tool)).text == '{"state":"cancelled"}'
    assert [entry.carried_out for entry in bench.stand_in.tools.log] == [does == "lose", does != "lose"]
    assert [entry[3] for entry in bench.counted] == ["unknown", "done"]


@pytest.mark.parametrize(
    ("turn", "status", "says"),
    [
        (ToolTurn(status=404, text="no such order"), 404, "The tool answered with an error, HTTP 404. no such order"),
        (ToolTurn(status=503, text=""), 503, "The tool answered with an error, HTTP 503."),
        (ToolTurn(does="redirect"), 302, "The tool answered with a redirect."),
        (ToolTurn(does="binary"), 200, "The tool answered with something other than text."),
    ],
)
async def test_an_answer_that_is_none_is_refused_with_the_reason(
    bench: Bench, turn: ToolTurn, status: int, says: str
) -> None:
    bench.script(turn)
    assert await bench.call() == ToolResult(answer="refused", status=status, text=says)


async def test_a_long_answer_is_cut(bench: Bench) -> None:
    bench.script(ToolTurn(does="huge"))
    assert (await bench.call()).text == "x" * MAX_TEXT + CUT


async def test_a_secret_that_the_service_repeats_is_not_shown(bench: Bench) -> None:
    bench.script(ToolTurn(text=f"you came with {TOKEN}"), ToolTurn(status=401, text=TOKEN))
    assert (await bench.call()).text == "you came with ***"
    assert TOKEN not in (await bench.call()).text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"count": 1}, "Wrong arguments, at $: 'id' is a required property"),
        ({"id": "x"}, "Wrong arguments, at $.id: 'x' is too short"),
        ({"id": "A1", "count": "three"}, "Wrong arguments, at $.count: 'three' is not of type 'integer'"),
        ({"id": "A1", "url": "http://evil"}, "Wrong arguments, at $: Additional properties are not allowed"),
        ({"id": "x" * 10_000}, "The arguments are too long"),
    ],
)
async def test_arguments_that_do_not_fit_the_schema_are_refused_before_the_call(
    bench: Bench, arguments: dict[str, JsonValue], says: str
) -> None:
    refused = await bench.call("order", **arguments)
    assert refused.answer == "refused"
    assert refused.text.startswith(says)
    assert not bench.stand_in.tools.log


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/schema"}, {"pattern": "("}])
def test_a_schema_that_is_none_refuses_all_and_is_looked_up_nowhere(schema: dict[str, JsonValue]) -> None:
    assert why_invalid(schema, {"id": "A1"}) is not None or "pattern" in schema


async def test_a_tool_that_does_not_exist_is_refused(bench: Bench) -> None:
    assert (await bench.call("delete_all")).text == "There is no such tool."
    client = ToolClient(bench.transport, SettingsMemory(str).newest, lambda: 0.0)
    request = ToolRequest(effect_id="e", call_id="c", channel="x", agent="helper", tool="order", arguments={})
    assert await client.perform(request) == Postponed()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
async def test_private_addresses_are_not_called(host: str) -> None:
    stand_in = GptStandIn()
    async with serve(build_app(Providers(), lambda: NOW, gpt=stand_in)) as url:
        outside = Outside([])
        async with outside_session(outside, 10) as session:
            bench = Bench(HttpTransport(session, outside, 100), url.replace("127.0.0.1", host), stand_in)
            assert await bench.call() == ToolResult(answer="refused", text="The tool can't be called.")
    assert not stand_in.tools.log


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [("application/json", "done"), ("application/problem+json", "done"), ("text/plain", "done"), ("", "refused")],
)
def test_only_texts_are_read(content_type: str, answer: str) -> None:
    assert read_answer(AGENT.tools[0], Answer(200, b"{}", content_type=content_type)).answer == answer


@pytest.mark.parametrize("turn", [ToolTurn(text="ok"), ToolTurn(status=500, text=WORDS), ToolTurn(does="cut")])
async def test_no_secret_and_no_argument_is_logged(
    bench: Bench, turn: ToolTurn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.script(turn)
    await bench.perform()
    assert TOKEN not in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "streams.effects.tools"]
    assert not any(WORDS in line for line in lines)
    assert len(lines) == (turn.text != "ok")
