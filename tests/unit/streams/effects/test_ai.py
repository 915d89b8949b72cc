"""The AI agent's client against a real HTTP server."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import ClientSession, web
from pydantic import JsonValue

from schemas.effects import AiMessage, AiQuestion, AiRequest, AiResult
from schemas.settings.ai import AiAgentSettings, GptAgent, HttpAgent
from schemas.settings.channel import ChannelSettings, parse_channel
from streams.effects.ai import AiClient
from streams.effects.contract import Done, Outcome, Unknown
from streams.effects.http import HttpTransport
from tests.support.http import CLOSING, Handler, answering, answering_bytes, hang_up, never_answer

SECRET_WORDS = "my card is lost"
REQUEST = AiRequest(
    effect_id="e1",
    question=AiQuestion(
        request_id="q1",
        conversation="c1",
        channel="kiosk",
        agent="robot",
        message=AiMessage(id="m1", kind="text", text=SECRET_WORDS),
    ),
)
CHANNEL: ChannelSettings = parse_channel({"id": "kiosk", "phone_number": "+34600700001"})


class Server:
    """An AI agent on this machine; how it answers is set by the tests."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[JsonValue] = []
        self.keys: list[str | None] = []
        self.answer: Handler = answering(200, {"answer": "text", "text": "We will send another."})

    async def take(self, request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/json"
        self.keys.append(request.headers.get("Authorization"))
        self.asked.append(orjson.loads(await request.read()))
        return await self.answer(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app[CLOSING] = asyncio.Event()
    app.router.add_post("/robot/v1/answers", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/robot"
    yield made
    app[CLOSING].set()
    await runner.cleanup()


async def ask(url: str | None, *, total_s: float = 9.5, agents: tuple[AiAgentSettings, ...] = ()) -> Outcome:
    channel = CHANNEL.model_copy(update={"ai_agents": agents})
    async with ClientSession() as session:
        return await AiClient(HttpTransport(session), {"kiosk": channel}.__getitem__, url, total_s=total_s).perform(
            REQUEST
        )


def result(outcome: Outcome) -> AiResult:
    assert isinstance(outcome, Done)
    return AiResult.model_validate(outcome.result)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_question_goes_out_and_its_answer_comes_back(server: Server, slash: str) -> None:
    outcome = await ask(server.url + slash)
    assert result(outcome) == AiResult(answer="text", text="We will send another.")
    assert server.asked == [
        {
            "request_id": "q1",
            "conversation": "c1",
            "channel": "kiosk",
            "agent": "robot",
            "message": {"id": "m1", "kind": "text", "text": SECRET_WORDS},
        }
    ]


@pytest.mark.parametrize("answer", ["handoff", "error"])
async def test_a_hand_over_and_an_error_are_answers(server: Server, answer: str) -> None:
    server.answer = answering(200, {"answer": answer, "text": None, "model": "newer than us"})
    assert result(await ask(server.url)).answer == answer


@pytest.mark.parametrize(
    "answer",
    [
        answering(400, {"answer": "text", "text": "no"}),
        answering(404, {}),
        answering(302, {"answer": "text", "text": "no"}, {"Location": "/robot/v1/answers"}),
        answering_bytes(200, b"<html>"),
        answering_bytes(200, b"\xff\xfe"),
        answering_bytes(204, b""),
        answering(200, []),
        answering(200, {"text": "no"}),
        answering(200, {"answer": "maybe", "text": "no"}),
        answering(200, {"answer": "text"}),
        answering(200, {"answer": "text", "text": " \n"}),
        answering(200, {"answer": "text", "text": 7}),
        answering(200, {"answer": "text", "text": "x" * 65_537}),
    ],
    ids=[
        "bad request",
        "not found",
        "redirect",
        "no JSON",
        "no UTF-8",
        "nothing",
        "a list",
        "no answer",
        "another answer",
        "no text",
        "blank text",
        "a number",
        "too long",
    ],
)
async def test_a_refusal_or_nonsense_is_an_error(server: Server, answer: Handler) -> None:
    server.answer = answer
    assert result(await ask(server.url)) == AiResult(answer="error")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [answering(500, {}), answering(503, {"answer": "error"}), answering(429, {}), answering(408, {}), hang_up],
    ids=["internal", "unavailable", "too many", "time-out", "hang up"],
)
async def test_an_error_that_may_pass_is_unknown(server: Server, answer: Handler) -> None:
    server.answer = answer
    assert await ask(server.url) == Unknown()


async def test_an_answer_that_takes_too_long_is_unknown(server: Server) -> None:
    server.answer = never_answer
    assert await ask(server.url, total_s=0.2) == Unknown()
    assert len(server.asked) == 1


async def test_a_connection_that_is_refused_is_unknown() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await ask(f"http://127.0.0.1:{unused.getsockname()[1]}") == Unknown()


async def test_without_an_ai_agent_every_question_goes_to_a_human() -> None:
    assert result(await ask(None)) == AiResult(answer="error")


async def test_an_agent_with_settings_is_asked_at_its_own_address_with_its_own_key(server: Server) -> None:
    agents = (HttpAgent.model_validate({"id": "robot", "url": server.url, "api_key": "planted"}),)
    assert result(await ask("http://127.0.0.1:1", agents=agents)).text == "We will send another."
    assert server.keys == ["Bearer planted"]
    await ask(server.url, agents=(agents[0].model_copy(update={"id": "another"}),))
    assert server.keys == ["Bearer planted", None]


async def test_a_gpt_agent_is_asked_no_such_question(server: Server) -> None:
    agents = (GptAgent(id="robot", model="m"),)
    assert result(await ask(server.url, agents=agents)) == AiResult(answer="error")
    assert not server.asked


@pytest.mark.parametrize("answer", [answering(500, {}), answering(200, {"answer": "no"}), answering(400, {}), hang_up])
async def test_no_text_is_logged(server: Server, answer: Handler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = answer
    await ask(server.url)
    lines = [record.getMessage() for record in caplog.records if record.name == "streams.effects.ai"]
    assert len(lines) == 1
    assert "channel kiosk" in lines[0]
    assert SECRET_WORDS not in caplog.text
