"""Both stand-ins behind their addresses, and what reaches them without HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import httpx2

from providers.provider import Answer, Call
from schemas.settings.ai import GptAgent, HttpAgent
from simulation.sandbox.calls import Reply, Request
from simulation.sandbox.gpt.service import GptService
from simulation.sandbox.gpt.tools import ToolService
from streams.effects.http import NoAnswer

AI_PATH: Final = "/ai"
"""What is added to the sandbox's URL to give the URL of the AI agents that answer questions over HTTP."""
_SERVICE: Final = re.compile(rf"{AI_PATH}(?:/(?P<agent>[^/]+))?/v1/(?P<path>chat/completions|models|embeddings)")
_TOOL: Final = re.compile(rf"{AI_PATH}/(?P<agent>[^/]+)/tools/(?P<tool>[a-z0-9_]+)")


class GptStandIn:
    """The service of every GPT agent, and their tools."""

    def __init__(self) -> None:
        self.service, self.tools = GptService(), ToolService()

    def handle(self, request: Request, now: datetime) -> Reply | None:
        """Answer a call; None: it is none for them."""
        if called := _SERVICE.fullmatch(request.path):
            return self.service.handle(called["agent"], called["path"], request, now)
        if called := _TOOL.fullmatch(request.path):
            return self.tools.handle(called["agent"], called["tool"], request, now)
        return None


def at_sandbox(agent: GptAgent | HttpAgent, url: str) -> GptAgent | HttpAgent:
    """The agent with the sandbox in the place of its service and its tools. url: the sandbox's."""
    if isinstance(agent, HttpAgent):
        return agent.model_copy(update={"url": url + AI_PATH})
    base = f"{url}{AI_PATH}/{agent.id}"
    tools = tuple(tool.model_copy(update={"url": f"{base}/tools/{tool.name}"}) for tool in agent.tools)
    return agent.model_copy(update={"base_url": f"{base}/v1", "tools": tools})


class ModelsInMemory(httpx2.AsyncBaseTransport):
    """What the official client is given in the place of connections: answers at once."""

    def __init__(self, gpt: GptStandIn, now: Callable[[], datetime]) -> None:
        self._gpt, self._now = gpt, now

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer, as httpx2 has it. Raises its errors."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        called = Request(
            request.method, request.url.path, dict(request.url.params), headers, await request.aread(), "memory"
        )
        reply = self._gpt.handle(called, self._now())
        if reply is None:
            raise httpx2.ConnectError("nobody is there", request=request)
        if reply.hangs or reply.delay_s >= request.extensions["timeout"]["read"]:
            raise httpx2.ReadTimeout("no answer", request=request)
        if reply.status is None:
            raise httpx2.RemoteProtocolError("the connection was cut", request=request)
        headers = {**reply.headers, "Content-Type": reply.content_type}
        return httpx2.Response(reply.status, headers=headers, content=reply.body)


class ToolsInMemory:
    """The transport of tools' calls: answers at once."""

    def __init__(self, gpt: GptStandIn, now: Callable[[], datetime]) -> None:
        self._gpt, self._now = gpt, now

    async def __call__(self, base_url: str, call: Call, total_s: float) -> Answer:  # noqa: ARG002 - nothing takes time
        """The whole answer. Raises NoAnswer."""
        headers = {name.lower(): value for name, value in call.headers.items()}
        path = urlsplit(base_url).path + call.path
        request = Request(call.method, path, dict(call.params), headers, call.body or b"", base_url)
        reply = self._gpt.handle(request, self._now())
        if reply is None or reply.status is None:
            raise NoAnswer("silence")
        return Answer(reply.status, reply.body, content_type=reply.content_type)
