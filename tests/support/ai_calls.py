"""A channel with a GPT agent, and its client, before the sandbox: over HTTP and without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import httpx2
from pydantic import JsonValue

from schemas.effects import GptRequest, GptResult
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings, parse_channel
from schemas.settings.memory import SettingsMemory
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.gpt.script import Called, GptScript, GptTurn
from simulation.sandbox.gpt.service import PRICE_IN, PRICE_OUT
from simulation.sandbox.gpt.stand_in import GptStandIn, ModelsInMemory, at_sandbox
from simulation.sandbox.providers import Providers
from streams.effects.contract import Done, Outcome
from streams.effects.gpt import GptClient, model_connections
from streams.effects.spending import Spending

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
KEY = "sk-planted-secret"
WORDS = "my card is lost"
MESSAGES: tuple[dict[str, JsonValue], ...] = (
    {"role": "system", "content": "You are the help desk of a kiosk."},
    {"role": "user", "content": WORDS},
)
TOOL: dict[str, JsonValue] = {
    "type": "function",
    "function": {"name": "order", "description": "Looks an order up.", "parameters": {"type": "object"}},
}


def gpt_agent(**settings: Any) -> GptAgent:
    prices = {"price_in": PRICE_IN, "price_out": PRICE_OUT}
    return GptAgent.model_validate({"id": "helper", "model": "sandbox-gpt", "api_key": KEY, **prices, **settings})


def channel_with(agent: GptAgent, id: str = "kiosk", revision: int = 1) -> ChannelSettings:
    channel = parse_channel({"id": id, "phone_number": "+34600700001", "ai": {"agents": [{"id": agent.id}]}})
    return channel.model_copy(update={"ai_agents": (agent,), "revision": revision})


def asking(number: int = 1, **fields: Any) -> GptRequest:
    request = {"effect_id": f"e{number}", "call_id": f"c{number}", "channel": "kiosk", "agent": "helper"}
    return GptRequest.model_validate({**request, "messages": MESSAGES, "timeout_s": 5, **fields})


def result_of(outcome: Outcome) -> GptResult:
    assert isinstance(outcome, Done)
    return GptResult.model_validate(outcome.result)


@dataclass
class Bench:
    """The client, the settings that it reads and the clock that it goes by."""

    http: httpx2.AsyncClient
    url: str
    stand_in: GptStandIn
    now: datetime = NOW
    seconds: float = 1000.0
    counted: list[tuple[Any, ...]] = field(default_factory=list)
    settings: SettingsMemory = field(default_factory=lambda: SettingsMemory(str))

    def __post_init__(self) -> None:
        self.save(gpt_agent())
        self.spending = Spending(lambda: self.now)
        self.client = GptClient(
            self.http, self.settings, self.spending, lambda: self.now, lambda: self.seconds, count=self._count
        )

    def save(self, agent: GptAgent, *, revision: int = 1, at: str | None = None) -> None:
        """at: the service's base URL; None: the sandbox's."""
        moved = at_sandbox(agent, self.url) if at is None else agent.model_copy(update={"base_url": at})
        assert isinstance(moved, GptAgent)
        self.settings.add(channel_with(moved, revision=revision))

    def script(self, *turns: GptTurn, **of: str) -> None:
        self.stand_in.service.set_script(GptScript(turns=turns, **of))

    async def ask(self, number: int = 1, **fields: Any) -> GptResult:
        return result_of(await self.client.perform(asking(number, **fields)))

    @property
    def calls(self) -> int:
        """What the service was asked."""
        return len(self.stand_in.service.log)

    def _count(self, *args: Any, **_: Any) -> None:
        self.counted.append(args)


@asynccontextmanager
async def gpt_bench(where: Literal["http", "memory"] = "http") -> AsyncIterator[Bench]:
    """A bench with the sandbox's service behind it."""
    stand_in = GptStandIn()
    if where == "memory":
        async with httpx2.AsyncClient(transport=ModelsInMemory(stand_in, lambda: NOW)) as http:
            yield Bench(http, "http://sandbox", stand_in)
        return
    app = build_app(Providers(), lambda: NOW, gpt=stand_in)
    async with serve(app) as url, model_connections(10) as http:
        yield Bench(http, url, stand_in)


def calling(name: str, arguments: dict[str, JsonValue] | str) -> GptTurn:
    return GptTurn(calls=(Called(name=name, arguments=arguments),))
