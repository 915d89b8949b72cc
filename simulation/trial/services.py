"""What GPT agents call, for worlds in memory: connections on an event loop of their own, in another thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import httpx2
from aiohttp import ClientSession
from anyio.from_thread import BlockingPortal, start_blocking_portal

from desk.ai_services import Tried, try_agent
from providers.provider import Answer, Call
from schemas.effects import EffectRequest, GptRequest, KnowledgeRequest, ToolRequest
from schemas.settings.ai import GptAgent
from schemas.settings.memory import SettingsMemory
from streams.effects.contract import Outcome, Perform, Performers, RequestT, Unknown
from streams.effects.gpt import GptClient, model_connections
from streams.effects.http import HttpTransport, NoAnswer, NotSent
from streams.effects.knowledge import KnowledgeFinder
from streams.effects.outside import Outside, outside_session
from streams.effects.spending import Spending
from streams.effects.tools import MAX_TEXT, ToolClient
from streams.runtime.settings_store import SettingsStore

CHECK_S: Final = 8.0
INDEXED_S: Final = 600.0
"""Documents are taken in when a trial begins: its first question waits for that."""

_T = TypeVar("_T")
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Seen:
    """A call that was made, and how it ended."""

    request: EffectRequest
    outcome: Outcome


class Services:
    """Made by `open_services`. Each method waits for its end, in whichever thread it is called."""

    def __init__(
        self, portal: BlockingPortal, models: httpx2.AsyncClient, tools: ClientSession, outside: Outside
    ) -> None:
        self._portal, self._models, self._tools, self._outside = portal, models, tools, outside

    def wait(self, made: Callable[[], Awaitable[_T]]) -> _T:
        """The result of what is done on the loop."""
        return self._portal.call(_awaited, made)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.wait(partial(asyncio.sleep, seconds))

    def finder(self, settings: SettingsMemory) -> KnowledgeFinder:
        """Finds passages for agents of these channels. Whoever asked for it closes it."""
        return KnowledgeFinder(settings.newest, self._models, wait_s=INDEXED_S)

    def model(self, settings: SettingsMemory, clock: Clock) -> GptClient:
        """Calls models. Its budgets begin anew."""
        return GptClient(self._models, settings, Spending(clock), clock, time.monotonic)

    def performers(self, store: SettingsStore, clock: Clock, finder: KnowledgeFinder, seen: list[Seen]) -> Performers:
        """Performers for a world in memory: they block. seen: takes each call, once it has ended."""
        model = self.model(store, clock)
        tools = ToolClient(HttpTransport(self._tools, self._outside, MAX_TEXT + 1), store.newest, time.monotonic)

        def blocking(perform: Perform[RequestT]) -> Perform[RequestT]:
            async def performed(request: RequestT) -> Outcome:
                outcome = self.wait(partial(perform, request))
                seen.append(Seen(request, outcome))
                return outcome

            return performed

        return {
            KnowledgeRequest: blocking(finder.perform),
            GptRequest: blocking(partial(_within, model.perform)),
            ToolRequest: blocking(partial(_within, tools.perform)),
        }

    def tried(self, agent: GptAgent) -> Tried:
        """What is wrong with the agent's service, as far as one small call tells."""
        return self.wait(partial(_tried, agent))


async def _awaited(made: Callable[[], Awaitable[_T]]) -> _T:
    return await made()


async def _within(perform: Perform[RequestT], request: RequestT) -> Outcome:
    try:
        async with asyncio.timeout(request.ends_within_s):
            return await perform(request)
    except TimeoutError:
        return Unknown()


async def _tried(agent: GptAgent) -> Tried:
    async with ClientSession() as session:
        transport = HttpTransport(session)

        async def reach(base_url: str, call: Call) -> Answer | None:
            try:
                return await transport(base_url, call, CHECK_S)
            except (NotSent, NoAnswer):
                return None

        return await try_agent(agent, reach)


@contextmanager
def open_services(tool_urls: Iterable[str], limit: int) -> Iterator[Services]:
    """Connections for as long as the block runs. tool_urls: LIVEDESK_TOOL_URLS. limit: of connections of a kind."""
    outside = Outside(tool_urls)

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[httpx2.AsyncClient, ClientSession]]:
        async with model_connections(limit) as models, outside_session(outside, limit) as tools:
            yield models, tools

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened()) as (models, tools):
        yield Services(portal, models, tools, outside)
