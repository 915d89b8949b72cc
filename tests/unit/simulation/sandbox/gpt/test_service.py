"""The official `openai` client at the sandbox's service, as it comes; and the service's control routes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from aiohttp import ClientSession
from openai import AsyncOpenAI
from pydantic import JsonValue

from simulation.sandbox.ai import CANNED
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.gpt.script import GptScript, GptTurn
from simulation.sandbox.gpt.service import INVALID_KEY, MODELS
from simulation.sandbox.gpt.stand_in import GptStandIn
from simulation.sandbox.providers import Providers
from tests.support.ai_calls import NOW, TOOL, calling

ASKED: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is order A1?"}]
TOOLS: Any = [TOOL]


@dataclass
class Sandbox:
    url: str
    gpt: GptStandIn
    http: ClientSession

    def client(self, key: str = "any", agent: str = "helper") -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/ai/{agent}/v1", api_key=key, max_retries=0)

    async def call(self, method: str, path: str, body: JsonValue = None) -> tuple[int, Any]:
        async with self.http.request(method, self.url + path, json=body) as response:
            return response.status, await response.json()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    gpt = GptStandIn()
    async with serve(build_app(Providers(), lambda: NOW, gpt=gpt)) as url, ClientSession() as http:
        yield Sandbox(url, gpt, http)


async def test_the_official_client_talks_with_tools_to_the_end(sandbox: Sandbox) -> None:
    turns = (calling("order", {"id": "A1"}), GptTurn(text="It comes tomorrow."))
    sandbox.gpt.service.set_script(GptScript(turns=turns))
    async with sandbox.client() as client:
        first = await client.chat.completions.create(model="sandbox-gpt", messages=ASKED, tools=TOOLS)
        [choice] = first.choices
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        assert choice.message.tool_calls is not None
        [call] = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("order", '{"id":"A1"}')
        result = {"role": "tool", "tool_call_id": call.id, "content": "tomorrow"}
        messages: Any = [*ASKED, choice.message.model_dump(exclude_none=True), result]
        second = await client.chat.completions.create(model="sandbox-gpt", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "It comes tomorrow."
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens
    assert second.usage.prompt_tokens > (first.usage.prompt_tokens if first.usage else 0)


async def test_the_official_client_lists_models(sandbox: Sandbox) -> None:
    sandbox.gpt.service.set_script(GptScript(model="fast", turns=(GptTurn(text="Yes"),)))
    async with sandbox.client() as client:
        assert [model.id async for model in client.models.list()] == sorted({*MODELS, "fast"})


async def test_the_official_client_gets_vectors_that_are_near_where_words_are_shared(sandbox: Sandbox) -> None:
    texts = ["Opening hours of the shop", "The shop's opening hours", "Lost luggage"]
    async with sandbox.client() as client:
        packed = await client.embeddings.create(model="sandbox-embeddings", input=texts)
        plain = await client.embeddings.create(model="sandbox-embeddings", input=texts[0], encoding_format="float")
    one, other, far = (entry.embedding for entry in packed.data)
    assert one == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert near(one, other) > 0.7 > near(one, far)


def near(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (GptTurn(does="fail", status=400), openai.BadRequestError),
        (GptTurn(does="fail", status=401), openai.AuthenticationError),
        (GptTurn(does="fail", status=403), openai.PermissionDeniedError),
        (GptTurn(does="fail", status=404), openai.NotFoundError),
        (GptTurn(does="fail", status=422), openai.UnprocessableEntityError),
        (GptTurn(does="fail", status=429), openai.RateLimitError),
        (GptTurn(does="fail", status=503), openai.InternalServerError),
        (GptTurn(does="cut"), openai.APIConnectionError),
        (GptTurn(does="hang"), openai.APITimeoutError),
    ],
)
async def test_the_official_client_maps_the_errors(
    sandbox: Sandbox, turn: GptTurn, error: type[openai.APIError]
) -> None:
    sandbox.gpt.service.set_script(GptScript(turns=(turn,)))
    async with sandbox.client() as client:
        with pytest.raises(error) as caught:
            await client.with_options(timeout=0.5).chat.completions.create(model="sandbox-gpt", messages=ASKED)
    assert type(caught.value) is error
    if isinstance(caught.value, openai.RateLimitError):
        assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "messages"),
        ([{"role": "robot", "content": "x"}], "role"),
        ([*ASKED, {"role": "tool", "tool_call_id": "c9", "content": "x"}], "role 'tool' must be a response"),
        ([{"role": "user", "content": None}], "Invalid value for 'content'"),
        (
            [*ASKED, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "a"}}]}],
            "must be followed by tool messages",
        ),
    ],
)
async def test_what_the_real_service_refuses_is_refused(sandbox: Sandbox, messages: Any, says: str) -> None:
    async with sandbox.client() as client:
        with pytest.raises(openai.BadRequestError, match=says):
            await client.chat.completions.create(model="sandbox-gpt", messages=messages)


async def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    async with sandbox.client(INVALID_KEY) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert (await sandbox.call("GET", "/ai/v1/models"))[0] == 401


async def test_the_script_that_says_most_of_a_call_counts(sandbox: Sandbox) -> None:
    for script in (
        GptScript(turns=(GptTurn(text="any"),)),
        GptScript(agent="helper", turns=(GptTurn(text="helper"),)),
        GptScript(agent="helper", when="ORDER a1", turns=(GptTurn(text="first"), GptTurn(text="then"))),
    ):
        sandbox.gpt.service.set_script(script)
    said = []
    for agent, text in (
        ("helper", "Where is order A1?"),
        ("helper", "Order A1"),
        ("helper", "order a1"),
        ("helper", "Hi"),
        ("x", "Hi"),
    ):
        async with sandbox.client(agent=agent) as client:
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
            said.append(answer.choices[0].message.content)
    assert said == ["first", "then", "then", "helper", "any"]


async def test_it_is_steered_and_read_over_http(sandbox: Sandbox) -> None:
    script: JsonValue = {"agent": "helper", "turns": [{"text": "Hello"}, {"does": "leak"}]}
    assert await sandbox.call("POST", "/sandbox/gpt", script) == (200, script)
    async with sandbox.client() as client:
        await client.chat.completions.create(model="m", messages=ASKED, extra_headers={"Idempotency-Key": "k"})
        leaked = await client.chat.completions.create(model="m", messages=ASKED)
    assert leaked.choices[0].message.content == "Be kind."
    _, read = await sandbox.call("GET", "/sandbox/gpt")
    assert [(call["key"], call["status"], call["cost_micros"] > 0) for call in read["calls"]] == [
        ("k", 200, True),
        (None, 200, True),
    ]
    assert read["requests"][0]["messages"] == ASKED
    status, refused = await sandbox.call("POST", "/sandbox/gpt", {"turns": []})
    assert (status, refused["error"]) == (400, "turns: Value error, must not be empty")


async def test_without_a_script_there_is_a_canned_text(sandbox: Sandbox) -> None:
    async with sandbox.client() as client:
        answer = await client.chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.content == CANNED
