"""The client of GPT agents' models: over HTTP to the sandbox, and without, as scenarios run in memory."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Literal

import pytest
from aiohttp import web
from pydantic import JsonValue

from schemas.effects import GptCall, GptResult
from simulation.sandbox.gpt.script import GptTurn
from simulation.sandbox.gpt.service import INVALID_KEY, PRICE_IN, PRICE_OUT
from streams.effects.circuits import PROBE_EVERY_S, THRESHOLD
from streams.effects.contract import Postponed
from streams.effects.gpt import MAX_BODY
from tests.support.ai_calls import KEY, MESSAGES, NOW, TOOL, WORDS, Bench, asking, calling, gpt_agent, gpt_bench
from tests.support.http import CLOSING, Handler, answering, answering_bytes

TEXT = GptTurn(text="We will send another.")


@pytest.fixture(params=["http", "memory"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    where: Literal["http", "memory"] = request.param
    async with gpt_bench(where) as made:
        yield made


@pytest.fixture
async def over_http() -> AsyncIterator[Bench]:
    async with gpt_bench() as made:
        yield made


class Server:
    """A service that answers as a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self.answer: Handler = answering(200, {})

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        await request.read()
        return await self.answer(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app[CLOSING] = asyncio.Event()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    app[CLOSING].set()
    await runner.cleanup()


def completion(**choice: JsonValue) -> Handler:
    return answering(200, {"choices": [choice]})


async def test_a_text_comes_back_with_its_tokens_and_what_they_cost(bench: Bench) -> None:
    bench.script(TEXT)
    answer = await bench.ask(tools=(TOOL,))
    assert (answer.answer, answer.text, answer.finish) == ("answered", TEXT.text, "stop")
    assert answer.model == "sandbox-gpt"
    assert answer.tokens_in > 0 < answer.tokens_out
    assert answer.cost_micros == answer.tokens_in * PRICE_IN + answer.tokens_out * PRICE_OUT
    [logged] = bench.stand_in.service.log
    assert (logged.key, logged.agent, logged.model, logged.cost_micros) == (
        "c1",
        "helper",
        "sandbox-gpt",
        answer.cost_micros,
    )
    [body] = bench.stand_in.service.requests
    assert (body["messages"], body["tools"]) == (list(MESSAGES), [TOOL])
    assert bench.counted[0][:4] == ("main", "helper", "model", "answered")


async def test_calls_of_tools_come_back_as_the_model_wrote_them(bench: Bench) -> None:
    bench.script(calling("order", {"id": "A1"}), calling("no_such_tool", '{"id": '))
    assert (await bench.ask(1)).calls == (GptCall(id="call_1", name="order", arguments='{"id":"A1"}'),)
    broken = await bench.ask(2)
    assert (broken.answer, broken.finish) == ("answered", "tool_calls")
    assert [(call.name, call.arguments) for call in broken.calls] == [("no_such_tool", '{"id": ')]


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (GptTurn(does="fail", status=500), GptResult(answer="later")),
        (GptTurn(does="fail", status=503, retry_after="7"), GptResult(answer="later", retry_after_s=7)),
        (GptTurn(does="fail", status=429, retry_after="30"), GptResult(answer="later", retry_after_s=30)),
        (
            GptTurn(does="fail", status=429, retry_after="Mon, 01 Jun 2026 10:01:30 GMT"),
            GptResult(answer="later", retry_after_s=90),
        ),
        (GptTurn(does="fail", status=429, retry_after="soon"), GptResult(answer="later")),
        (GptTurn(does="fail", status=429, code="insufficient_quota"), GptResult(answer="failed")),
        (GptTurn(does="fail", status=408), GptResult(answer="later")),
        (GptTurn(does="fail", status=409), GptResult(answer="later")),
        (GptTurn(does="fail", status=400), GptResult(answer="failed")),
        (GptTurn(does="fail", status=401), GptResult(answer="failed")),
        (GptTurn(does="fail", status=403), GptResult(answer="failed")),
        (GptTurn(does="fail", status=404), GptResult(answer="failed")),
        (GptTurn(does="cut"), GptResult(answer="later")),
        (GptTurn(does="hang"), GptResult(answer="later")),
        (GptTurn(text="late", slow_s=30), GptResult(answer="later")),
        (GptTurn(does="garbage"), GptResult(answer="later")),
        (GptTurn(does="empty"), GptResult(answer="later")),
    ],
)
async def test_a_call_that_fails_is_for_later_or_for_good(bench: Bench, turn: GptTurn, expected: GptResult) -> None:
    bench.script(turn)
    assert await bench.ask(timeout_s=1) == expected
    assert bench.counted[0][3] == expected.answer


async def test_what_the_service_cut_or_filtered_is_an_answer_that_says_so(bench: Bench) -> None:
    bench.script(GptTurn(does="length", text="We will"), GptTurn(does="filter"), GptTurn(text=" "))
    assert [(answer.answer, answer.text, answer.finish) for answer in [await bench.ask(n) for n in (1, 2, 3)]] == [
        ("answered", "We will", "length"),
        ("answered", None, "content_filter"),
        ("answered", None, "stop"),
    ]


async def test_tokens_are_estimated_where_the_service_does_not_tell_them(bench: Bench) -> None:
    bench.script(GptTurn(does="no_usage", text="x" * 400))
    answer = await bench.ask()
    assert answer.tokens_in > 20
    assert 100 <= answer.tokens_out <= 102
    assert answer.cost_micros == answer.tokens_in * PRICE_IN + answer.tokens_out * PRICE_OUT


async def test_the_same_call_again_has_the_same_answer_at_no_cost(bench: Bench) -> None:
    bench.script(TEXT, GptTurn(text="Another."))
    first, again = await bench.ask(1), await bench.ask(1, effect_id="e2")
    assert first == again
    assert [entry.repeat for entry in bench.stand_in.service.log] == [False, True]


async def test_the_newest_settings_count(bench: Bench) -> None:
    bench.save(gpt_agent(api_key=INVALID_KEY))
    assert (await bench.ask(1)).answer == "failed"
    bench.save(gpt_agent(revision=2, model="other"), revision=2)
    assert (await bench.ask(2)).model == "other"


async def test_without_settings_of_the_agent_it_fails(bench: Bench) -> None:
    assert (await bench.ask(agent="somebody")).answer == "failed"
    assert await bench.client.perform(asking(channel="elsewhere")) == Postponed()
    assert bench.calls == 0


async def test_nobody_there_is_for_later(over_http: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        over_http.save(gpt_agent(), at=f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        assert await over_http.ask() == GptResult(answer="later")


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (answering_bytes(200, b"x" * (MAX_BODY + 1)), GptResult(answer="later")),
        (answering(200, {"choices": [{"message": {"content": [1, 2]}}]}), None),
        (answering(200, []), GptResult(answer="later")),
        (answering(307, {}, {"Location": "/elsewhere"}), GptResult(answer="failed")),
        (answering(429, {}, {"retry-after-ms": "1500"}), GptResult(answer="later", retry_after_s=1.5)),
        (answering(418, {"error": "a teapot"}), GptResult(answer="failed")),
    ],
)
async def test_services_of_other_habits_are_understood(
    over_http: Bench, server: Server, handler: Handler, expected: GptResult | None
) -> None:
    server.answer = handler
    over_http.save(gpt_agent(), at=f"{server.url}/v1")
    answer = await over_http.ask()
    assert answer == expected if expected else answer.answer == "answered"
    assert len(server.headers) == 1


async def test_parts_arguments_as_objects_and_missing_ids_are_read(over_http: Bench, server: Server) -> None:
    over_http.save(gpt_agent(), at=f"{server.url}/v1")
    server.answer = completion(
        message={"content": [{"type": "text", "text": "So "}, {"type": "text", "text": "be it."}]}
    )
    assert (await over_http.ask(1)).text == "So be it."
    server.answer = completion(message={"tool_calls": [{"function": {"name": "order", "arguments": {"id": 1}}}]})
    assert (await over_http.ask(2)).calls == (GptCall(id="call_0", name="order", arguments='{"id":1}'),)
    server.answer = completion(message={"refusal": "I can't."}, finish_reason="stop")
    assert (await over_http.ask(3)).finish == "content_filter"


async def test_the_key_is_the_agents_alone(over_http: Bench, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "the-operators-own")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.answer = completion(message={"content": "Yes"})
    for key, sent in ((KEY, f"Bearer {KEY}"), (None, "Bearer none")):
        over_http.save(gpt_agent(api_key=key), at=f"{server.url}/v1")
        assert (await over_http.ask()).text == "Yes"
        headers = server.headers.pop()
        assert (headers["authorization"], headers["idempotency-key"]) == (sent, "c1")
        assert "the-operators-own" not in str(headers)


async def test_a_service_that_is_down_is_called_once_a_minute(bench: Bench) -> None:
    bench.script(*[GptTurn(does="fail")] * (THRESHOLD + 1), TEXT)
    for number in range(THRESHOLD):
        await bench.ask(number)
    assert bench.client.paused == {("main", "helper"): "service_down"}
    assert await bench.ask() == GptResult(answer="later", retry_after_s=PROBE_EVERY_S)
    assert bench.calls == THRESHOLD
    bench.seconds += PROBE_EVERY_S
    assert (await bench.ask(7)).answer == "later"
    assert bench.calls == THRESHOLD + 1
    bench.seconds += PROBE_EVERY_S
    assert (await bench.ask(8)).answer == "answered"
    assert bench.client.paused == {}


async def test_a_key_that_is_refused_is_not_tried_again_and_a_new_one_at_once(bench: Bench) -> None:
    bench.save(gpt_agent(api_key=INVALID_KEY))
    await bench.ask(1)
    assert bench.client.paused == {("main", "helper"): "credentials"}
    assert (await bench.ask(2)).answer == "failed"
    bench.save(gpt_agent(revision=2), revision=2)
    assert (await bench.ask(3)).answer == "answered"


async def test_a_limit_of_the_rate_pauses_nobody(bench: Bench) -> None:
    bench.script(GptTurn(does="fail", status=429))
    for number in range(THRESHOLD + 1):
        assert (await bench.ask(number)).answer == "later"
    assert bench.client.paused == {}


@pytest.mark.parametrize("limits", [{"tokens_a_day": 60}, {"cost_a_day": "0.0002"}])
async def test_nobody_is_asked_once_the_days_budget_is_used_up(bench: Bench, limits: dict[str, object]) -> None:
    bench.save(gpt_agent(limits=limits))
    bench.script(TEXT)
    answers = [(await bench.ask(number)).answer for number in range(4)]
    assert answers == ["answered", "answered", "budget", "budget"]
    assert bench.calls == 2
    bench.now = NOW + timedelta(days=1)
    assert (await bench.ask(5)).answer == "answered"


@pytest.mark.parametrize(
    "turn",
    [
        GptTurn(text="Your secret answer"),
        GptTurn(does="fail", status=500),
        GptTurn(does="fail", status=401, code="Incorrect key sk-planted-secret"),
        GptTurn(does="garbage"),
        GptTurn(does="cut"),
        GptTurn(does="leak"),
    ],
)
async def test_no_key_and_no_text_is_logged(over_http: Bench, turn: GptTurn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    over_http.script(turn)
    await over_http.ask()
    for planted in (KEY, WORDS, "Your secret answer", "help desk of a kiosk"):
        assert planted not in caplog.text
    failed = turn.does not in (None, "leak")
    assert len([one for one in caplog.records if one.name == "streams.effects.gpt"]) == failed
