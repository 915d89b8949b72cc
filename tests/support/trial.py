"""`livedesk ai try` and `livedesk ai evaluate` before a sandbox over HTTP, with a scripted model."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.gpt.script import GptScript, GptTurn, ToolScript, ToolTurn
from simulation.sandbox.gpt.stand_in import GptStandIn
from simulation.sandbox.providers import Providers

RETURNS = "- question: Can I return shoes?\n  answer: Shoes are taken back within 30 days.\n"
WEEK = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}


@dataclass
class Terminal:
    """The commands, as they are typed. folder: has channels.yaml with the agent `helper`, and faq.yaml."""

    folder: Path
    url: str
    stand_in: GptStandIn
    env: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return str(self.folder / "channels.yaml")

    def save(self, channel: dict[str, Any] | None = None, **agent: Any) -> None:
        """The channels file: the agent on one channel, beside an agent of kind http."""
        base = f"{self.url}/ai/helper"
        tool = {"name": "order_status", "description": "Where an order is.", "url": f"{base}/tools/order_status"}
        prices = {"price_in": 2, "price_out": 8}
        service = {"kind": "gpt", "model": "m-1", "base_url": f"{base}/v1", "api_key": "sk-x"}
        helper = {"id": "helper", **service, **prices, "knowledge": ["faq"], "tools": [tool], **agent}
        shop = {"id": "shop", "phone_number": "+34910222333", "ai": {"enabled": True, "agents": [{"id": "helper"}]}}
        own = {"id": "own", "kind": "http", "url": "https://ai.example.com"}
        (self.folder / "channels.yaml").write_text(
            yaml.safe_dump({"ai_agents": [helper, own], "channels": [{**shop, **(channel or {})}]})
        )

    def script(self, when: str | None, *turns: GptTurn | str, agent: str = "helper") -> None:
        """What the model says to customers' words that hold `when`."""
        made = tuple(GptTurn(text=turn) if isinstance(turn, str) else turn for turn in turns)
        self.stand_in.service.set_script(GptScript(agent=agent, when=when, turns=made))

    def tool(self, answer: str) -> None:
        self.stand_in.tools.set_script(ToolScript(agent="helper", tool="order_status", turns=(ToolTurn(text=answer),)))

    async def __call__(self, *arguments: str, said: str = "", **env: str) -> Result:
        """livedesk ai …, without a terminal. said: the standard input."""
        given = {**self.env, **env}
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["ai", *arguments], input=said, env=given))

    async def talk(self, *lines: str, options: Sequence[str] = (), **env: str) -> Result:
        """livedesk ai try, with the channels file."""
        return await self("try", "helper", "--file", self.file, *options, said="\n".join(lines), **env)

    async def evaluate(self, evaluation: object, *options: str, **env: str) -> Result:
        """livedesk ai evaluate, with the channels file."""
        path = self.folder / "evaluation.yaml"
        path.write_text(evaluation if isinstance(evaluation, str) else yaml.safe_dump(evaluation))
        return await self("evaluate", str(path), "--file", self.file, *options, **env)

    async def failures(self, evaluation: object, *options: str) -> dict[str, list[str]]:
        """What is not as expected, by conversation."""
        ran = await self.evaluate(evaluation, "--json", *options)
        assert ran.exit_code in (0, 1), (ran.output, ran.exception)
        outcomes = json.loads(ran.stdout)["conversations"]
        assert ran.exit_code == any(one["failures"] for one in outcomes)
        return {one["name"]: one["failures"] for one in outcomes}


@asynccontextmanager
async def terminal(folder: Path) -> AsyncIterator[Terminal]:
    """A terminal, and a sandbox with its model and tools."""
    stand_in = GptStandIn()
    async with serve(build_app(Providers(), lambda: datetime.now(UTC), gpt=stand_in)) as url:
        env = {"LIVEDESK_DATA_DIR": str(folder), "LIVEDESK_AI_KEY": "", "LIVEDESK_JUDGE_KEY": ""}
        made = Terminal(folder, url, stand_in, {**env, "LIVEDESK_TOOL_URLS": url})
        made.save()
        (folder / "faq.yaml").write_text(RETURNS)
        yield made
