"""`livedesk ai evaluate`, over HTTP to the sandbox's model and tools."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulation.sandbox.gpt.script import Called, GptScript, GptTurn
from simulation.sandbox.gpt.service import INVALID_KEY
from simulation.trial.evaluation import Judge
from tests.support.ai_calls import calling, gpt_agent
from tests.support.trial import Terminal, terminal

DOCS = Path(__file__).parents[3] / "docs"
RETURN = "Can I return shoes?"
JUDGE: dict[str, Any] = {"model": "judge-1", "price_in": 2, "price_out": 8}


@pytest.fixture
async def livedesk(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal(tmp_path) as made:
        made.script("return", "Yes, within 30 days. [1]")
        made.script("order", calling("order_status", {"number": "A1"}), "It is on its way. [1]")
        made.tool("on its way")
        over = {"reason": "anger", "summary": "Broken.", "customer_text": "A colleague comes."}
        made.script("broken", GptTurn(calls=(Called(name="hand_over", arguments=over),)))
        yield made


def one(messages: object = RETURN, *, name: str = "it", **expect: Any) -> dict[str, Any]:
    """A file of one conversation."""
    return {"knowledge": "faq.yaml", "conversations": [{"name": name, "messages": messages, "expect": expect}]} | {
        "agent": "helper"
    }


def verdicts(*met: bool) -> str:
    found = [{"criterion": number, "met": one, "reason": f"Why {number}."} for number, one in enumerate(met, start=1)]
    return f"```json\n{json.dumps({'verdicts': found})}\n```"


async def test_the_example_passes_with_a_model_that_does_as_it_should(livedesk: Terminal) -> None:
    livedesk.script("Can I return", "Yes, within 30 days. [1]")
    livedesk.script("worn", "Only if they have not been worn. [1]")
    livedesk.script("1042", calling("order_status", {"number": "1042"}), "It is on its way. [1]")
    livedesk.script(None, verdicts(True), agent="judge")
    livedesk.script("taken back", verdicts(True, True), agent="judge")
    file, channels = str(DOCS / "evaluation.example.yaml"), str(DOCS / "channels.example.yaml")
    ran = await livedesk("evaluate", file, "--file", channels, "--sandbox", livedesk.url)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert ran.stdout.splitlines()[-1].startswith("4 passed, 0 failed; ")
    assert "It is on its way." in ran.stdout


PASSING: tuple[tuple[object, dict[str, Any]], ...] = (
    (RETURN, {"handed_over": False, "cites": "faq.yaml", "max_cost": 1}),
    (RETURN, {"must_say": ["WITHIN 30", {"regex": r"\b\d+ days"}], "must_not_say": [{"regex": "no+pe"}, "never"]}),
    (RETURN, {"cites": ["faq/faq.yaml"], "not_calls": ["order_status", "hand_over"]}),
    ("Where is my order A1?", {"calls": "order_status", "must_say": "on its way"}),
    (["hello", "it is broken!"], {"handed_over": True, "reason": ["anger", "topic"], "calls": "hand_over"}),
    ([{"type": "audio"}], {"handed_over": True, "reason": "media"}),
)


@pytest.mark.parametrize(("messages", "expect"), PASSING)
async def test_what_is_as_expected_passes(livedesk: Terminal, messages: object, expect: dict[str, Any]) -> None:
    assert await livedesk.failures(one(messages, **expect)) == {"it": []}


FAILING: tuple[tuple[object, dict[str, Any], str], ...] = (
    (RETURN, {"handed_over": True}, "must hand over"),
    (RETURN, {"reason": "anger"}, "must hand over for anger"),
    ("it is broken", {"handed_over": False}, "must not hand over, but did: anger"),
    ("it is broken", {"reason": "topic"}, "must hand over for topic, not anger"),
    (RETURN, {"must_say": ["30 days", "60 days"]}, 'must say "60 days"'),
    (RETURN, {"must_say": {"regex": "^no"}}, "must say /^no/"),
    (RETURN, {"must_not_say": "30 DAYS"}, 'must not say "30 DAYS"'),
    (RETURN, {"must_not_say": {"regex": "[0-9]+"}}, "must not say /[0-9]+/"),
    (RETURN, {"cites": "Prices"}, "must cite Prices"),
    (RETURN, {"calls": "order_status"}, "must call order_status"),
    ("Where is my order A1?", {"not_calls": "order_status"}, "must not call order_status"),
    (RETURN, {"max_cost": 0.000001}, "costs 0.0"),
)


@pytest.mark.parametrize(("messages", "expect", "failure"), FAILING)
async def test_what_is_not_as_expected_fails(
    livedesk: Terminal, messages: object, expect: dict[str, Any], failure: str
) -> None:
    [found] = (await livedesk.failures(one(messages, **expect)))["it"]
    assert found.startswith(failure)


async def test_a_judge_says_yes_or_no_to_each_criterion(livedesk: Terminal) -> None:
    livedesk.script(None, verdicts(True, False), agent="judge")
    judge = {**JUDGE, "base_url": f"{livedesk.url}/ai/judge/v1", "criteria": "It is polite."}
    file = {**one(criteria="It offers a refund."), "judge": judge}
    assert await livedesk.failures(file) == {"it": ['the judge: not "It offers a refund.": Why 2.']}
    asked = str(livedesk.stand_in.service.requests[-1]["messages"])
    assert "customer: Can I return shoes?" in asked
    assert "assistant: Yes, within 30 days." in asked
    outcome = json.loads((await livedesk.evaluate(file, "--json")).stdout)
    assert [one["met"] for one in outcome["conversations"][0]["verdicts"]] == [True, False]
    both = list(livedesk.stand_in.service.log)[-2:]
    assert {entry.agent for entry in both} == {"helper", "judge"}
    assert outcome["cost"] == sum(entry.cost_micros for entry in both) / 1_000_000


async def test_a_judge_that_gives_no_verdict_is_asked_again_once_and_fails(livedesk: Terminal) -> None:
    judge = {**JUDGE, "base_url": f"{livedesk.url}/ai/judge/v1", "criteria": "It is polite."}
    livedesk.script(None, "Yes.", verdicts(True), "Well.", agent="judge")
    assert await livedesk.failures({**one(), "judge": judge}) == {"it": []}
    [failure] = (await livedesk.failures({**one(), "judge": judge}))["it"]
    assert failure == "the judge could not be asked: its answer is no verdict"


async def test_a_judge_whose_key_is_refused_says_what_to_do(livedesk: Terminal) -> None:
    judge = {**JUDGE, "base_url": f"{livedesk.url}/ai/judge/v1", "criteria": "It is polite."}
    ran = await livedesk.evaluate({**one(), "judge": judge}, "--json", LIVEDESK_JUDGE_KEY=INVALID_KEY)
    assert ran.exit_code == 1
    assert "The service does not take the key. Give it another: judge in " in ran.stdout


async def test_a_judge_is_asked_at_the_agents_service_with_its_key_and_elsewhere_never_with_it(
    livedesk: Terminal,
) -> None:
    own, elsewhere = Judge(model="judge-1"), Judge(model="judge-1", base_url="https://judge.example/v1")
    assert own.as_agent(gpt_agent(), None).api_key == gpt_agent().api_key
    assert elsewhere.as_agent(gpt_agent(), None).api_key is None
    livedesk.stand_in.service.set_script(
        GptScript(model="judge-1", when="polite", turns=(GptTurn(text=verdicts(True)),))
    )
    livedesk.script(None, "Hello.")
    file = {**one("hello"), "judge": {"model": "judge-1", "criteria": "It is polite."}}
    assert await livedesk.failures(file) == {"it": []}


async def test_a_service_that_refuses_says_what_to_do_and_fails_all(livedesk: Terminal) -> None:
    livedesk.save(api_key=INVALID_KEY)
    [failure] = (await livedesk.failures(one(must_say="30 days")))["it"]
    assert failure.startswith("no answer (failed): The service does not take the key. Give it another: its entry in ")


async def test_each_is_run_as_often_as_wanted_and_several_at_once(livedesk: Terminal) -> None:
    livedesk.script("return", *["Yes, within 30 days. [1]"] * 3, "No.")
    file = {"agent": "helper", "knowledge": "faq.yaml", "conversations": [
        {"name": "first", "messages": RETURN, "expect": {"must_say": "30 days"}},
        {"name": "second", "messages": "hello"},
    ]}  # fmt: skip
    ran = await livedesk.evaluate(file, "--repeat", "4", "--concurrency", "3")
    assert ran.exit_code == 1
    assert "7 passed, 1 failed" in ran.stdout
    names = [line.split("│")[1].strip() for line in ran.stdout.splitlines() if re.search(r"\((\d)\)", line)]
    assert names == [f"{name} ({run})" for name in ("first", "second") for run in (1, 2, 3, 4)]
    assert not any(entry.repeat for entry in livedesk.stand_in.service.log)


async def test_a_conversation_a_line_and_a_list_alone_are_files(livedesk: Terminal) -> None:
    lines = livedesk.folder / "some.jsonl"
    conversation = {"name": "a", "agent": "helper", "messages": "hello"}
    lines.write_text(f"{json.dumps(conversation)}\n\n{json.dumps({**conversation, 'name': 'b'})}\n")
    ran = await livedesk("evaluate", str(lines), "--file", livedesk.file)
    assert "2 passed" in ran.stdout
    assert "1 passed" in (await livedesk.evaluate([conversation])).stdout


WRONG: tuple[tuple[object, str], ...] = (
    ("[", "line 1: not valid YAML"),
    ({"conversations": []}, "conversations: must not be empty"),
    ({"agent": "helper"}, "conversations: is required"),
    ({"conversations": [{"name": "a", "messages": "x"}]}, "conversations[0].agent: is required, here or for"),
    (one(RETURN, must_sya="x"), "conversations[0].expect.must_sya: is not a known setting"),
    (one([]), "conversations[0].messages: must not be empty"),
    (one([{"type": "text"}]), "conversations[0].messages[0]: must have a text, or another type"),
    (one(must_say={"regex": "("}), "conversations[0].expect.must_say[0].regex: is no regular expression"),
    (one(must_say=[{"glob": "x"}]), "conversations[0].expect.must_say[0]: must be a text, or have regex alone"),
    (one(criteria="x"), "conversations[0].expect.criteria: there is no judge"),
    (one(handed_over=False, reason="anger"), "conversations[0].expect.reason: contradicts"),
    (one(calls="order_statsu"), "conversations[0].expect.calls: helper has no tool 'order_statsu'"),
    ({**one(), "agent": "nobody"}, "conversations[0].agent: There is no AI agent 'nobody'"),
    ({**one(), "agent": "own"}, "conversations[0].agent: own is of kind http"),
    ({**one(), "channel": "none"}, "conversations[0].channel: There is no channel 'none'"),
    ({**one(), "knowledge": "none.md"}, "conversations[0].knowledge: there is no "),
    ({"agent": "helper", "conversations": [{"name": "a", "messages": "x"}] * 2}, "[1].name: 'a' is there twice"),
)


@pytest.mark.parametrize(("file", "says"), WRONG)
async def test_a_wrong_file_is_refused_by_field_and_nobody_is_asked(
    livedesk: Terminal, file: object, says: str
) -> None:
    ran = await livedesk.evaluate(file)
    assert ran.exit_code == 2
    assert says in ran.stderr
    assert not livedesk.stand_in.service.log


async def test_a_cost_without_prices_is_refused(livedesk: Terminal) -> None:
    livedesk.save(price_in=0, price_out=0)
    ran = await livedesk.evaluate(one(max_cost=1))
    assert "expect.max_cost: helper has no prices" in ran.stderr


async def test_ctrl_c_ends_it_while_a_model_hangs(livedesk: Terminal) -> None:
    livedesk.script(None, GptTurn(does="hang"))
    file = livedesk.folder / "hangs.yaml"
    file.write_text("agent: helper\nconversations: [{name: a, messages: x}, {name: b, messages: y}]\n")
    command = ("-m", "cli.main", "ai", "evaluate", str(file), "--file", livedesk.file)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, env={**os.environ, **livedesk.env})
    try:
        async with asyncio.timeout(60):
            while len(livedesk.stand_in.service.requests) < 2:  # noqa: ASYNC110 - another process asks
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
