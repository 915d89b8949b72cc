"""A talk with a GPT agent whose service fails, and comes back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulation.sandbox.gpt.script import GptTurn
from simulation.trial.services import open_services
from simulation.trial.subject import from_file
from simulation.trial.talk import Talk, Turn, Written
from tests.support.trial import Terminal, terminal

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)


@pytest.fixture
async def livedesk(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal(tmp_path) as made:
        yield made


async def said(livedesk: Terminal, *texts: str) -> tuple[list[Turn], list[float], str | None]:
    """What came of the texts, the pauses made meanwhile, and what is wrong with the service afterwards."""
    pauses: list[float] = []

    def talk() -> tuple[list[Turn], str | None]:
        subject = from_file(Path(livedesk.file), None).subject("helper")
        with open_services((), limit=2) as services, closing(services.finder(subject.memory)) as finder:
            one = Talk(subject, services, finder, NOW, pause=pauses.append)
            turns = [one.say(Written(text=text)) for text in texts]
            return turns, services.tried(subject.agent).problem

    turns, problem = await asyncio.to_thread(talk)
    return turns, pauses, problem


async def test_a_service_that_asks_for_patience_is_waited_for(livedesk: Terminal) -> None:
    livedesk.script(None, GptTurn(does="fail", status=429, retry_after="7"), "At last.")
    [turn], pauses, problem = await said(livedesk, "hello")
    assert (turn.read, turn.failed, problem) == (("At last.",), None, None)
    assert pauses == [7.0]
    assert turn.cost_micros == livedesk.stand_in.service.log[1].cost_micros


async def test_nobody_there_is_said_after_three_tries(livedesk: Terminal, unused: Callable[[], str]) -> None:
    livedesk.save(base_url=unused())
    [turn], pauses, problem = await said(livedesk, "hello")
    assert turn.failed is not None
    assert (turn.failed.reason, turn.read, problem) == ("no_answer", (), "unreachable")
    assert pauses == [2.0, 4.0]


async def test_what_is_written_after_a_failure_gets_no_answer_in_the_same_conversation(livedesk: Terminal) -> None:
    livedesk.script(None, GptTurn(does="fail", status=400), "Hello.")
    first, second = (await said(livedesk, "hello", "anybody?"))[0]
    assert first.failed is not None
    assert (second.read, second.ends) == ((), ())


@pytest.fixture
def unused() -> Callable[[], str]:
    def address() -> str:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{one.getsockname()[1]}/v1"

    return address
