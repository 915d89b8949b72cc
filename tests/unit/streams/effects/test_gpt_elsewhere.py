"""The client of GPT agents' models at a server that others wrote (mocktopus): a process of its own, over HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from deploy.kafka.broker import free_port
from schemas.effects import GptCall, GptResult
from simulation.sandbox.gpt.stand_in import GptStandIn
from streams.effects.gpt import model_connections
from tests.support.ai_calls import MESSAGES, TOOL, Bench, gpt_agent

CALL = {"id": "call_7", "type": "function", "function": {"name": "order", "arguments": '{"id": 1}'}}
RULES = [
    {
        "when": {"messages_contains": "order"},
        "respond": {"tool_calls": [CALL], "usage": {"input_tokens": 21, "output_tokens": 8}},
    },
    {
        "when": {"messages_contains": "hurry"},
        "error": {"error_type": "rate_limit", "message": "too fast", "status_code": 429, "retry_after": 3},
    },
    {
        "when": {"messages_contains": "break"},
        "error": {"error_type": "server_error", "message": "broken", "status_code": 500},
    },
    {
        "when": {"messages_contains": "card"},
        "respond": {"content": "We will send another.", "usage": {"input_tokens": 12, "output_tokens": 5}},
    },
]
READY_S = 60.0


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    rules, port = tmp_path / "rules.yaml", free_port()
    rules.write_text(yaml.safe_dump({"version": 1, "rules": [{"type": "llm.openai", **rule} for rule in RULES]}))
    arguments = ["-m", "mocktopus.cli", "serve", "-s", str(rules), "-p", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
            while not await answers(session, f"{url}/health"):  # noqa: ASYNC110 - readiness is a condition, not an event
                await asyncio.sleep(0.1)
        async with model_connections(10) as http:
            made = Bench(http, url, GptStandIn())
            made.save(gpt_agent(model="gpt-4o", price_in="2.5", price_out="10"), at=f"{url}/v1")
            yield made
    finally:
        process.terminate()
        await process.wait()


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def test_a_server_that_others_wrote_is_understood(bench: Bench) -> None:
    assert await bench.ask(1, tools=(TOOL,)) == GptResult(
        answer="answered",
        text="We will send another.",
        finish="stop",
        model="gpt-4o",
        tokens_in=12,
        tokens_out=5,
        cost_micros=80,
    )
    asked = {"role": "user", "content": "Where is my order?"}
    called = await bench.ask(2, messages=(MESSAGES[0], asked), tools=(TOOL,))
    assert (called.calls, called.finish) == ((GptCall(id="call_7", name="order", arguments='{"id": 1}'),), "tool_calls")
    said = [{"role": "user", "content": text} for text in ("hurry!", "break it", "of what it has no rule")]
    assert [await bench.ask(number, messages=(one,)) for number, one in enumerate(said, 3)] == [
        GptResult(answer="later", retry_after_s=3),
        GptResult(answer="later"),
        GptResult(answer="failed"),
    ]
