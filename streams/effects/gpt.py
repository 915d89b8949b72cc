"""Calls GPT agents' models, at any OpenAI-compatible service, with the official client (ADR 27)."""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, Protocol

import httpx2
import orjson
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, OpenAIError
from pydantic import BaseModel, Field, JsonValue, ValidationError

from providers.reading import retry_seconds
from schemas.effects import GptCall, GptRequest, GptResult
from schemas.settings.ai import GptAgent
from schemas.settings.memory import SettingsMemory
from streams.clock import Clock
from streams.effects.circuits import Circuits
from streams.effects.contract import Done, Outcome, Postponed
from streams.effects.spending import Spending

logger = logging.getLogger(__name__)

MAX_BODY: Final = 256 << 10
"""Bytes of a service's answer."""
CONNECT_S: Final = 3.0
_AGAIN: Final = (408, 409, 429)
_KEY_REFUSED: Final = (401, 403)
_NO_CREDIT: Final = "insufficient_quota"
_NO_KEY: Final = "none"
"""In place of a key, where the agent has none: the client would take one from the environment."""

Cause = Literal["credentials", "service_down"]
Service = tuple[str, str, int]
"""Account, agent and the agent's revision: another key or address may well work."""


class CountCall(Protocol):
    """Takes how a call of a model or a tool ended, for the metrics."""

    def __call__(
        self, account: str, agent: str, call: str, outcome: str, seconds: float, tokens_in: int = 0, tokens_out: int = 0
    ) -> None: ...


def uncounted(*_: object, **__: object) -> None:
    """Counts nothing."""


def model_connections(limit: int) -> httpx2.AsyncClient:
    """Connections to the models' services, for all agents of a process.

    What the environment says of proxies and passwords is left alone, as for every other call; a redirect is not
    followed: it would take the key and a customer's words elsewhere.
    """
    return httpx2.AsyncClient(
        verify=ssl.create_default_context(),
        limits=httpx2.Limits(max_connections=limit, keepalive_expiry=15.0),
        trust_env=False,
        follow_redirects=False,
    )


class GptClient:
    """Performs GptRequest.

    http: connections; closed by whoever opened them. settings: of the channels. now: seconds.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        settings: SettingsMemory,
        spending: Spending,
        clock: Clock,
        now: Callable[[], float],
        *,
        count: CountCall = uncounted,
    ) -> None:
        self._http, self._settings, self._spending = http, settings, spending
        self._clock, self._now, self._count = clock, now, count
        self._circuits = Circuits[Service, Cause](now, _name, "service_down")

    @property
    def paused(self) -> dict[tuple[str, str], Cause]:
        """The agents, by account and id, whose service is not called now, and why."""
        return {(account, agent): cause for (account, agent, _), cause in self._circuits.open.items()}

    async def perform(self, request: GptRequest) -> Outcome:
        """Call once. Done holds a GptResult, unless the channel is not known yet."""
        settings = self._settings.find(request.channel)
        if settings is None:
            return Postponed()
        agent = settings.ai_agent(request.agent)
        if not isinstance(agent, GptAgent):
            logger.error("channel %s: AI agent %s is no GPT agent of it any more", request.channel, request.agent)
            return _done(FAILED)
        service, began = (settings.account, agent.id, agent.revision), self._now()
        result = self._unasked(service, agent)
        if result is None:
            ended = await self._ask(request, agent, service)
            result = ended.model_copy(update={"took_ms": round(1000 * (self._now() - began))})
            self._spending.add(request, result)
        seconds = self._now() - began
        self._count(settings.account, agent.id, "model", result.answer, seconds, result.tokens_in, result.tokens_out)
        return _done(result)

    def _unasked(self, service: Service, agent: GptAgent) -> GptResult | None:
        """Why nobody is asked."""
        channels = (channel.id for channel in self._settings.channels(service[0]))
        if self._spending.is_used_up(channels, agent.id, agent.limits):
            logger.warning("%s: the day's budget is used up", _name(service))
            return GptResult(answer="budget")
        wait = self._circuits.wait_s(service)
        if wait is None:
            return None
        return FAILED if self._circuits.open[service] == "credentials" else later(wait)

    async def _ask(self, request: GptRequest, agent: GptAgent, service: Service) -> GptResult:
        key = _NO_KEY if agent.api_key is None else agent.api_key.get_secret_value()
        timeout = httpx2.Timeout(request.timeout_s, connect=CONNECT_S)
        client = AsyncOpenAI(
            api_key=key, base_url=agent.base_url, http_client=self._http, max_retries=0, timeout=timeout
        )
        # The worker's environment may hold some, which are no business of the agent's service.
        client.organization = client.project = None
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await _complete(client, agent, request)
        except APIStatusError as error:
            return self._refused(error, service)
        except (APIConnectionError, httpx2.HTTPError, TimeoutError) as error:
            # An APIConnectionError hides what happened in its cause.
            return self._failed(service, type(error.__cause__ or error).__name__)
        except (OpenAIError, Unreadable, ValueError) as error:
            return self._failed(service, type(error).__name__)
        self._circuits.well(service)
        return answer

    def _refused(self, error: APIStatusError, service: Service) -> GptResult:
        status, code = error.status_code, _word(error.code)
        if code != _NO_CREDIT and (status in _AGAIN or status >= 500):
            wait = _retry_after(error.response.headers, self._clock())
            if status < 500:
                self._circuits.well(service)
                logger.warning("%s: its service answered HTTP %d %s", _name(service), status, code)
                return later(wait)
            return self._failed(service, f"HTTP {status} {code}".rstrip(), wait)
        logger.error("%s: its service refuses the call: HTTP %d %s", _name(service), status, code)
        if status in _KEY_REFUSED or code == _NO_CREDIT:
            self._circuits.broken(service, "credentials")
        else:
            self._circuits.well(service)
        return FAILED

    def _failed(self, service: Service, why: str, wait: float | None = None) -> GptResult:
        logger.warning("%s: its service gave no answer: %s", _name(service), why)
        self._circuits.failed(service)
        return later(wait)


class Unreadable(Exception):
    """It is not what a service answers."""


class _Function(BaseModel):
    name: str
    arguments: JsonValue = "{}"


class _ToolCall(BaseModel):
    id: str | None = None
    function: _Function


class _Message(BaseModel):
    content: JsonValue = None
    refusal: str | None = None
    tool_calls: tuple[_ToolCall, ...] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0, le=10**9)
    completion_tokens: int = Field(ge=0, le=10**9)


class _Completion(BaseModel):
    """What is read of a chat completion; services differ in all else."""

    model: str = ""
    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: JsonValue = None


@dataclass(frozen=True)
class _Spoken:
    text: str | None
    calls: tuple[GptCall, ...]
    finish: str | None


async def _complete(client: AsyncOpenAI, agent: GptAgent, request: GptRequest) -> GptResult:
    # As they are: the decision makes what the API takes.
    messages: Any = list(request.messages)
    more: Any = {"tools": list(request.tools)} if request.tools else {}
    async with client.chat.completions.with_streaming_response.create(
        model=agent.model, messages=messages, extra_headers={"Idempotency-Key": request.call_id}, **more
    ) as response:
        body = b""
        async for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY:
                raise Unreadable
    return read_completion(body, request, agent)


def read_completion(body: bytes, request: GptRequest, agent: GptAgent) -> GptResult:
    """What a service's answer means. Raises Unreadable.

    Where it doesn't say what it used, four characters count as a token, so that a budget holds all the same.
    """
    try:
        answer = _Completion.model_validate_json(body)
    except ValidationError:
        raise Unreadable from None
    spoken = _read(answer.choices[0])
    try:
        usage = _Usage.model_validate(answer.usage)
    except ValidationError:
        said = [spoken.text or "", *(call.arguments for call in spoken.calls)]
        usage = _Usage(prompt_tokens=_estimate([request.messages, request.tools]), completion_tokens=_estimate(said))
    # A price is for a million tokens, and so in millionths for one.
    cost = usage.prompt_tokens * agent.price_in + usage.completion_tokens * agent.price_out
    return GptResult(
        answer="answered",
        text=spoken.text,
        calls=spoken.calls,
        finish=spoken.finish,
        model=answer.model[:200] or agent.model,
        tokens_in=usage.prompt_tokens,
        tokens_out=usage.completion_tokens,
        cost_micros=int(cost.quantize(Decimal(1), ROUND_HALF_UP)),
    )


def _read(choice: _Choice) -> _Spoken:
    message = choice.message
    calls = tuple(
        GptCall(id=call.id or f"call_{number}", name=call.function.name, arguments=_text(call.function.arguments) or "")
        for number, call in enumerate(message.tool_calls or ())
    )
    text = _text(message.content)
    said_nothing = not (text and text.strip()) and not calls
    finish = "content_filter" if said_nothing and message.refusal else choice.finish_reason
    return _Spoken(None if said_nothing else text, calls, finish and finish[:40])


def _text(value: JsonValue) -> str | None:
    """A text; of a list of parts the texts; anything else as JSON: some services write arguments as an object."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and "text" in part for part in value):
        return "".join(str(part["text"]) for part in value if isinstance(part, dict))
    return orjson.dumps(value).decode()


def _estimate(sent: object) -> int:
    return -(-len(orjson.dumps(sent).decode()) // 4)


def _retry_after(headers: httpx2.Headers, now: datetime) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"[0-9]{1,7}", milliseconds):
        return int(milliseconds) / 1000
    return retry_seconds(headers.get("retry-after", ""), now)


def _word(code: str | None) -> str:
    """A code that may be logged: what a service writes may be anything."""
    return code if code is not None and re.fullmatch(r"[a-z_]{1,40}", code) else ""


def _name(service: Service) -> str:
    account, agent, _ = service
    return f"account {account}: AI agent {agent}"


def later(after_s: float | None = None) -> GptResult:
    """It may be tried again, after so many seconds where that is known."""
    return GptResult(answer="later", retry_after_s=after_s)


FAILED: Final = GptResult(answer="failed")


def _done(result: GptResult) -> Done:
    return Done(result.model_dump(mode="json", exclude_defaults=True))
