"""The AI agent's stand-in, in process and over HTTP with the real client."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import ClientSession
from pydantic import JsonValue

from schemas.effects import AiMessage, AiQuestion, AiRequest
from simulation.sandbox.ai import CANNED, AiBehaviour, AiStandIn
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.gpt.stand_in import AI_PATH
from simulation.sandbox.providers import Providers
from streams.effects.ai import AiClient, read_answer
from streams.effects.contract import Done, Outcome
from streams.effects.http import HttpTransport
from tests.support.sandbox import channel_at

CHANNEL = channel_at("engagelab")
TEXT = Done({"answer": "text", "text": "Good evening."})
HANDOFF = Done({"answer": "handoff"})
ERROR = Done({"answer": "error"})


def request(channel: str = "kiosk") -> AiRequest:
    message = AiMessage(id="m1", kind="image")
    question = AiQuestion(request_id="q1", conversation="c1", channel=channel, agent="robot", message=message)
    return AiRequest(effect_id="e1", question=question)


def answer(ai: AiStandIn, channel: str = "kiosk") -> Outcome:
    """What the client makes of the answer."""
    status, body = ai.handle(request(channel).question.model_dump_json().encode())
    return read_answer(status, orjson.dumps(body))


@dataclass
class Sandbox:
    ai: AiStandIn
    url: str
    http: ClientSession

    async def ask(self, channel: str = "kiosk") -> Outcome:
        return await AiClient(HttpTransport(self.http), lambda _: CHANNEL, self.url + AI_PATH).perform(request(channel))

    async def post(self, path: str, body: JsonValue) -> tuple[int, JsonValue]:
        async with self.http.post(self.url + path, json=body) as response:
            return response.status, await response.json()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    ai = AiStandIn()
    app = build_app(Providers(), lambda: datetime.now(UTC), ai=ai)
    async with serve(app) as url, ClientSession() as http:
        yield Sandbox(ai, url, http)


def test_the_ai_stand_in_has_a_canned_answer() -> None:
    assert answer(AiStandIn()) == Done({"answer": "text", "text": CANNED})


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ("Good evening.", TEXT),
        ("handoff", HANDOFF),
        ("error", ERROR),
        ("text", Done({"answer": "text", "text": "text"})),
        ("Error", Done({"answer": "text", "text": "Error"})),
    ],
)
def test_the_ai_stand_in_answers_as_it_was_set(given: str, outcome: Outcome) -> None:
    ai = AiStandIn()
    ai.set_behaviour(AiBehaviour(answer=given))
    assert answer(ai) == outcome


def test_a_channel_has_an_answer_of_its_own() -> None:
    ai = AiStandIn()
    ai.set_behaviour(AiBehaviour(answer="handoff", channel="kiosk"))
    ai.set_behaviour(AiBehaviour(answer="error"))
    assert (answer(ai, "kiosk"), answer(ai, "shop")) == (HANDOFF, ERROR)
    ai.set_behaviour(AiBehaviour(answer="Good evening.", channel="kiosk"))
    assert (answer(ai, "kiosk"), answer(ai, "shop")) == (TEXT, ERROR)


async def test_the_ai_stand_in_is_asked_over_http(sandbox: Sandbox) -> None:
    assert await sandbox.ask() == Done({"answer": "text", "text": CANNED})
    sandbox.ai.set_behaviour(AiBehaviour(answer="error"))
    assert await sandbox.ask() == ERROR


async def test_the_ai_stand_in_s_answers_are_set_over_http(sandbox: Sandbox) -> None:
    assert await sandbox.post("/sandbox/ai", {"answer": "handoff"}) == (200, {"answer": "handoff", "channel": None})
    wanted: JsonValue = {"answer": "Good evening.", "channel": "shop"}
    assert await sandbox.post("/sandbox/ai", wanted) == (200, wanted)
    assert (await sandbox.ask("kiosk"), await sandbox.ask("shop")) == (HANDOFF, TEXT)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "answer"),
        ({"answer": " "}, "text: is missing"),
        ({"answer": "x" * 65_537}, "more than 65536"),
        ({"answer": 5}, "answer"),
        ({"answer": "error", "times": 2}, "times"),
        ([], "JSON object"),
    ],
)
async def test_an_answer_that_can_t_be_is_refused(sandbox: Sandbox, body: JsonValue, why: str) -> None:
    status, refusal = await sandbox.post("/sandbox/ai", body)
    assert status == 400
    assert isinstance(refusal, dict)
    assert why in str(refusal["error"])
    assert await sandbox.ask() == Done({"answer": "text", "text": CANNED})


async def test_a_question_that_can_t_be_read_is_refused(sandbox: Sandbox) -> None:
    status, refusal = await sandbox.post("/ai/v1/answers", {"request_id": "q1", "message": {"id": "m1"}})
    assert status == 400
    assert isinstance(refusal, dict)
    assert "message.kind" in str(refusal["error"])
