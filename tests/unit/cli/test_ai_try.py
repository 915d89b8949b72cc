"""`livedesk ai try`, over HTTP to the sandbox's model."""

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from schemas.settings.credentials import ProviderName
from simulation.sandbox.gpt.script import Called, GptTurn
from simulation.sandbox.gpt.service import INVALID_KEY
from simulation.sandbox.stand_in import STAND_INS
from tests.support.ai_calls import calling
from tests.support.trial import WEEK, Terminal, terminal


@pytest.fixture
async def livedesk(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal(tmp_path) as made:
        yield made


async def test_answers_are_shown_as_the_customer_reads_them_with_what_they_rest_on(livedesk: Terminal) -> None:
    livedesk.script("return", "**Yes**, within 30 days. [1]")
    ran = await livedesk.talk("Can I return shoes?", options=["--knowledge", str(livedesk.folder / "faq.yaml")])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert "you       Can I return shoes?" in ran.output
    assert "helper    *Yes*, within 30 days.\n" in ran.output
    assert "cited     faq/faq.yaml/1 faq.yaml: Can I return shoes?" in ran.output
    spent = sum(entry.cost_micros for entry in livedesk.stand_in.service.log)
    assert spent
    assert f"cost {spent / 1_000_000:.6f}" in ran.output.splitlines()[-1]


async def test_tools_are_called_and_their_results_shown(livedesk: Terminal) -> None:
    livedesk.script("order", calling("order_status", {"number": "A1"}), "It is on its way. [1]")
    livedesk.tool("order A1: on its way")
    ran = await livedesk.talk("Where is my order A1?")
    assert 'tool      order_status({"number":"A1"}) -> order A1: on its way' in ran.output
    assert "helper    It is on its way." in ran.output


async def test_a_talk_is_remembered_until_it_is_handed_over(livedesk: Terminal) -> None:
    over = {"reason": "anger", "summary": "The parcel came broken.", "customer_text": "A colleague comes."}
    livedesk.script(None, "Hello.", GptTurn(calls=(Called(name="hand_over", arguments=over),)), "Hello again.")
    ran = await livedesk.talk("hello", "it is broken!", "anybody?")
    assert "helper    A colleague comes." in ran.output
    assert "handed over to a person: anger. The parcel came broken." in ran.output
    assert "The next line begins a new conversation." in ran.output
    _, second, third = livedesk.stand_in.service.requests
    assert "hello" in str(second["messages"])
    assert "broken" not in str(third["messages"])


async def test_lines_that_come_at_once_are_no_machine(livedesk: Terminal) -> None:
    ran = await livedesk.talk(*(f"question {number}" for number in range(6)))
    assert ran.output.count("Thank you") == 6
    assert "handed over" not in ran.output


async def test_two_talks_are_different_calls_to_the_service(livedesk: Terminal) -> None:
    await livedesk.talk("hello")
    await livedesk.talk("hello")
    first, second = livedesk.stand_in.service.log
    assert first.key != second.key
    assert not second.repeat


@pytest.mark.parametrize(
    ("hour", "said"),
    [("12:00", "A colleague comes."), ("23:30", "We are closed."), ("2026-06-01T23:30:00Z", "We are closed.")],
)
async def test_the_hour_is_the_channels(livedesk: Terminal, hour: str, said: str) -> None:
    week = {**WEEK, "sat": WEEK["mon"], "sun": WEEK["mon"]}
    rules = {"phrases": ["a person"], "text": "A colleague comes.", "closed_text": "We are closed."}
    livedesk.save({"business_hours": {"enabled": True, "timezone": "Europe/Madrid", "week": week}}, hand_over=rules)
    ran = await livedesk.talk("give me a person", options=["--hour", hour])
    assert f"helper    {said}" in ran.output
    wrong = await livedesk.talk("hello", options=["--hour", "late"])
    assert "--hour 'late' is no time" in str(wrong.exception)


async def test_a_key_that_is_refused_and_none_say_what_to_do(livedesk: Terminal) -> None:
    livedesk.save(api_key=INVALID_KEY)
    refused = await livedesk.talk("hello")
    assert refused.exit_code == 1
    assert (
        f"no answer (failed): The service does not take the key. Give it another: its entry in {livedesk.file}."
        in refused.output
    )
    livedesk.save(api_key=None)
    none = await livedesk.talk("hello", LIVEDESK_AI_KEY=INVALID_KEY)
    assert "Give it another" in none.output
    assert (await livedesk.talk("hello", LIVEDESK_AI_KEY="sk-y")).exit_code == 0


async def test_what_is_not_there_is_named(livedesk: Terminal) -> None:
    async def wrong(*arguments: str) -> str:
        ran = await livedesk("try", *arguments)
        return f"{ran.exception} {getattr(ran.exception, 'hint', '')}"

    assert "no AI agent 'nobody'" in await wrong("nobody", "--file", livedesk.file)
    assert "AI agents there: helper, own" in await wrong("nobody", "--file", livedesk.file)
    assert "kind http" in await wrong("own", "--file", livedesk.file)
    assert "Channels there: shop" in await wrong("helper", "--file", livedesk.file, "--channel", "x")
    assert "is of the account x: main." in await wrong("helper", "--file", livedesk.file, "--account", "x")
    assert "--file channels.yaml" in await wrong("helper")


async def test_the_sandbox_takes_the_place_of_service_and_tools(livedesk: Terminal) -> None:
    gone = {"name": "order_status", "description": "x", "url": "https://erp.example.com"}
    livedesk.save(base_url="https://api.example.com/v1", tools=[gone])
    livedesk.script(None, calling("order_status", {}), "On its way. [1]")
    livedesk.tool("on its way")
    ran = await livedesk.talk("hello", options=["--sandbox", livedesk.url], LIVEDESK_TOOL_URLS="")
    assert "-> on its way" in ran.output


async def test_a_tool_in_the_own_network_is_not_called_unless_it_may_be(livedesk: Terminal) -> None:
    livedesk.script(None, calling("order_status", {}), "I don't know.")
    ran = await livedesk.talk("hello", LIVEDESK_TOOL_URLS="")
    assert "tool order_status gave no answer" in ran.stderr
    assert "see LIVEDESK_TOOL_URLS" in ran.stderr
    assert "It was not called." in ran.stdout


@pytest.mark.parametrize("provider", get_args(ProviderName))
async def test_a_channel_at_any_provider_may_be_the_one(livedesk: Terminal, provider: ProviderName) -> None:
    credentials = STAND_INS[provider].make_credentials("own")
    livedesk.save({"provider": provider, **credentials, "human_agents": [], "greeting": {"enabled": False}})
    assert "helper    Thank you" in (await livedesk.talk("hello", options=["--channel", "shop"])).output


async def test_text_of_a_model_does_nothing_to_the_terminal(livedesk: Terminal) -> None:
    livedesk.script(None, "\x1b[31m[red]x[/red] می\u200cخواهم")
    assert "helper     [31m[red]x[/red] می\u200cخواهم" in (await livedesk.talk("hello")).output


async def test_at_a_terminal_ctrl_d_ends(livedesk: Terminal) -> None:
    ours, theirs = pty.openpty()
    command = ("-m", "cli.main", "ai", "try", "helper", "--file", livedesk.file)
    env = {**os.environ, **livedesk.env, "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    shown = [b""]

    async def until(words: bytes) -> None:
        """Read on, until they stand in what has come since."""
        shown.append(b"")
        while words not in shown[-1]:
            shown[-1] += await asyncio.to_thread(os.read, ours, 1)

    try:
        async with asyncio.timeout(60):
            await until(b"Ctrl-D ends.")
            await until(b"you       ")
            os.write(ours, b"hello\n")
            await until(b" s\r\n")
            await until(b"you       ")
            os.write(ours, b"\x04")
            await until(b"1 messages")
            assert await process.wait() == 0
    finally:
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"helper    Thank you for your message." in b"".join(shown)
