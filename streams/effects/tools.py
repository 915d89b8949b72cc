"""Calls the accounts' own tools for GPT agents: what the model asks for, checked, and what of the answer it may see."""

import logging
import re
from collections.abc import Callable
from typing import Final

import orjson
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from providers.provider import Answer, Call
from schemas.effects import ToolRequest, ToolResult
from schemas.settings.ai import GptAgent, Tool
from schemas.settings.channel import ChannelSettings
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.gpt import CountCall, uncounted
from streams.effects.http import NoAnswer, NotSent, Transport
from streams.effects.outside import ForbiddenAddress

logger = logging.getLogger(__name__)

MAX_ARGUMENTS: Final = 8 << 10
"""Bytes of a call's arguments."""
MAX_TEXT: Final = 8 << 10
"""Bytes of an answer that the model sees."""
CUT: Final = " […]"
_MAX_PROBLEM: Final = 300
_READABLE: Final = re.compile(r"text/.+|application/(.+\+)?json")
_NOT_THEIRS: Final = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding"}
)
"""Headers that are none of the settings' business."""


class ToolClient:
    """Performs ToolRequest.

    transport: to the outside alone, which reads MAX_TEXT + 1 bytes of an answer. newest: a channel's newest settings;
    raises LookupError. now: seconds.
    """

    def __init__(
        self,
        transport: Transport,
        newest: Callable[[str], ChannelSettings],
        now: Callable[[], float],
        *,
        count: CountCall = uncounted,
    ) -> None:
        self._transport, self._newest, self._now, self._count = transport, newest, now, count

    async def perform(self, request: ToolRequest) -> Outcome:
        """Call once. Done holds a ToolResult; Unknown: it may have been carried out; calling again may help."""
        try:
            settings = self._newest(request.channel)
        except LookupError:
            return Postponed()
        began = self._now()
        result = await self._call(request, _tool(settings, request))
        seconds = self._now() - began
        outcome = "unknown" if result is None else result.answer
        self._count(settings.account, request.agent, "tool", outcome, seconds)
        if result is None:
            return Unknown()
        ended = result.model_copy(update={"took_ms": round(1000 * seconds)})
        return Done(ended.model_dump(mode="json", exclude_defaults=True))

    async def _call(self, request: ToolRequest, tool: Tool | None) -> ToolResult | None:
        if tool is None:
            return refused("There is no such tool.")
        wrong = why_invalid(tool.parameters, request.arguments)
        if wrong is not None:
            return refused(wrong)
        try:
            answer = await self._transport(tool.url, plan(tool, request), min(request.timeout_s, tool.timeout_s))
        except ForbiddenAddress:
            self._log(request, "its address is not of the public internet: see LIVEDESK_TOOL_URLS")
            return refused("The tool can't be called.")
        except (NotSent, NoAnswer) as error:
            self._log(request, str(error))
            return None
        result = read_answer(tool, answer)
        if result.answer == "refused":
            self._log(request, f"HTTP {answer.status} {answer.content_type}")
        return result

    def _log(self, request: ToolRequest, why: str) -> None:
        logger.warning(
            "channel %s: AI agent %s: tool %s gave no answer: %s", request.channel, request.agent, request.tool, why
        )


def _tool(settings: ChannelSettings, request: ToolRequest) -> Tool | None:
    agent = settings.ai_agent(request.agent)
    tools = agent.tools if isinstance(agent, GptAgent) else ()
    return next((tool for tool in tools if tool.name == request.tool), None)


def why_invalid(schema: dict[str, JsonValue], arguments: dict[str, JsonValue]) -> str | None:
    """Why the arguments don't fit the tool's JSON Schema, in words for the model."""
    if len(orjson.dumps(arguments)) > MAX_ARGUMENTS:
        return f"The arguments are too long: {MAX_ARGUMENTS} bytes at most."
    try:
        Draft202012Validator.check_schema(schema)
        # A registry of its own, as the default one fetches whatever a schema refers to.
        validator = Draft202012Validator(schema, registry=Registry())
        error = best_match(validator.iter_errors(arguments))
    except (SchemaError, Unresolvable, re.error, RecursionError):
        return "The tool can't be called: its parameters are not well described."
    if error is None:
        return None
    return f"Wrong arguments, at {error.json_path}: {error.message[:_MAX_PROBLEM]}"


def plan(tool: Tool, request: ToolRequest) -> Call:
    """The HTTP request: GET with a query, POST with JSON."""
    headers = {
        name: value.get_secret_value() for name, value in tool.headers.items() if name.lower() not in _NOT_THEIRS
    }
    headers |= {"Accept": "application/json, text/*;q=0.9", "Idempotency-Key": request.call_id}
    if tool.method == "POST":
        headers["Content-Type"] = "application/json"
        return Call("POST", "", headers, body=orjson.dumps(request.arguments))
    query = {name: _in_query(value) for name, value in request.arguments.items() if value is not None}
    return Call("GET", "", headers, params=query)


def _in_query(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def read_answer(tool: Tool, answer: Answer) -> ToolResult:
    """What the model is told of an answer: no more than its beginning, nothing that is no text, and no secret."""
    if 300 <= answer.status < 400:
        return refused("The tool answered with a redirect.", answer.status)
    if answer.body and not _READABLE.fullmatch(answer.content_type):
        return refused("The tool answered with something other than text.", answer.status)
    text = answer.body[:MAX_TEXT].decode(errors="ignore").replace("\0", "")
    for secret in tool.headers.values():
        text = text.replace(secret.get_secret_value(), "***")
    if len(answer.body) > MAX_TEXT:
        text += CUT
    if answer.status >= 400:
        return refused(f"The tool answered with an error, HTTP {answer.status}. {text}".rstrip(), answer.status)
    return ToolResult(answer="done", status=answer.status, text=text)


def refused(why: str, status: int = 0) -> ToolResult:
    """It was not called, or answered with an error; why, in words for the model."""
    return ToolResult(answer="refused", status=status, text=why)
