"""`livedesk ai agent` against the control API."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli.ai
from cli.main import app
from providers.provider import Answer
from tests.support.ingress import Ingress, running


class Terminal:
    """The commands, as they are typed where nobody can be asked."""

    def __init__(self, ingress: Ingress, folder: Path) -> None:
        self.ingress = ingress
        self._env = {
            "LIVEDESK_API_URL": ingress.control_url,
            "LIVEDESK_TOKEN": ingress.token(),
            "LIVEDESK_DATA_DIR": str(folder),
            "LIVEDESK_AI_KEY": "",
        }

    async def __call__(self, *arguments: str, **env: str) -> Result:
        given = ["ai", "agent", *arguments]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, given, env={**self._env, **env}))

    async def says(self, *arguments: str, **env: str) -> str:
        result = await self(*arguments, **env)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    @property
    def key(self) -> str | None:
        key = self.ingress.directory.ai_agent("main", "bot").api_key
        return None if key is None else key.get_secret_value()


@pytest.fixture
async def livedesk(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with running() as (ingress, _):
        yield Terminal(ingress, tmp_path)


async def test_an_agent_is_made_shown_changed_tried_and_deleted(livedesk: Terminal, tmp_path: Path) -> None:
    file, key = tmp_path / "agent.yaml", tmp_path / "key"
    file.write_text("hand_over: {phrases: [a person]}\nmodel: from-the-file\n")
    key.write_text("key-of-a-file\n")
    made = await livedesk.says(
        "create", "--id", "bot", "--model", "m-1", "--file", str(file), LIVEDESK_AI_KEY="key-of-the-environment"
    )
    assert "livedesk ai agent test bot" in made
    bot = livedesk.ingress.directory.ai_agent("main", "bot")
    assert bot.model_dump(include={"model", "hand_over"})["hand_over"]["phrases"] == ("a person",)
    assert livedesk.key == "key-of-the-environment"
    assert "m-1" in await livedesk.says("list")
    shown = await livedesk.says("show", "bot")
    assert "has_key: true" in shown
    assert "key-of" not in shown
    assert json.loads(await livedesk.says("show", "bot", "--json"))["channels"] == ["desk"]
    assert "revision 2" in await livedesk.says("edit", "bot", "--tone", "warm", "--key-file", str(key))
    assert livedesk.key == "key-of-a-file"
    assert "revision 3" in await livedesk.says("edit", "bot", "--file", str(file))
    assert await livedesk.says("edit", "bot", "--new-key", LIVEDESK_AI_KEY="third")
    assert livedesk.key == "third"
    livedesk.ingress.answers += [Answer(200, b'{"choices": [{}]}'), None]
    assert await livedesk.says("test", "bot") == "from-the-file answers.\n"
    refused = await livedesk("test", "bot")
    assert "can't be reached" in str(refused.exception)
    assert "channels list it: desk" in str((await livedesk("delete", "bot", "--yes")).exception)


async def test_what_is_missing_is_named_where_nobody_can_be_asked(livedesk: Terminal) -> None:
    assert "id is missing" in str((await livedesk("create")).exception)
    assert "model is missing" in str((await livedesk("create", "--id", "bot")).exception)
    assert "url is missing" in str((await livedesk("create", "--id", "bot", "--kind", "http")).exception)
    await livedesk.says("create", "--id", "bot", "--url", "https://ai.example")
    assert livedesk.key is None
    assert "no terminal" in str((await livedesk("edit", "bot")).exception)
    assert "key is missing" in str((await livedesk("edit", "bot", "--new-key")).exception)
    wrong = await livedesk("create", "--id", "b2", "--model", "m", "--base-url", "x")
    assert "base_url: must be an address" in str(wrong.exception)


def test_no_command_takes_a_key_as_an_argument() -> None:
    for command in (cli.ai.create, cli.ai.edit):
        names = {name for name in inspect.signature(command).parameters if "key" in name}
        assert names <= {"key_file", "new_key"}
