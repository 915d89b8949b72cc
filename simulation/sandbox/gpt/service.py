"""An OpenAI-compatible service without its HTTP: chat completions with tools, models, embeddings. No I/O, no clock."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
import unicodedata
import zlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import orjson
from pydantic import BaseModel, Field, JsonValue, ValidationError

from simulation.sandbox.ai import CANNED
from simulation.sandbox.calls import Json, Reply, Request, json_reply
from simulation.sandbox.gpt.script import GptScript, GptTurn

INVALID_KEY: Final = "sk-invalid"
"""The bearer that is refused; any other is taken."""
PRICE_IN: Final = 2
PRICE_OUT: Final = 8
"""Of a token in millionths, of every model."""
MODELS: Final = ("sandbox-gpt", "sandbox-embeddings")
DIMENSIONS: Final = 64
KEPT: Final = 100_000
"""Calls in the log."""
KEPT_ANSWERS: Final = 10_000
"""Answers that are given again by their key."""
KEPT_REQUESTS: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


@dataclass(frozen=True)
class GptLogEntry:
    """A chat completion that was asked for. seq: from 0. agent: of the path. key: the Idempotency-Key.

    status: None: no answer. repeat: answered with what was answered to the key before, at no cost.
    """

    seq: int
    at: datetime
    agent: str | None
    model: str
    key: str | None
    status: int | None
    repeat: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0


class _Function(BaseModel):
    name: str = Field(pattern=f"^{_NAME.pattern}$")
    arguments: str = ""


class _ToolCall(BaseModel):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Json] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Schema(BaseModel):
    name: str = Field(pattern=f"^{_NAME.pattern}$")
    description: str | None = None
    parameters: Json | None = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Schema


class _Asked(BaseModel):
    model: str = Field(min_length=1)
    messages: list[_Message] = Field(min_length=1)
    tools: Annotated[list[_Tool], Field(min_length=1)] | None = None


class _Input(BaseModel):
    model: str = Field(min_length=1)
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"


class GptService:
    """Answers as the scripts say; without one with a canned text."""

    def __init__(self) -> None:
        self._scripts: dict[tuple[str | None, str | None, str | None], tuple[GptScript, int]] = {}
        self._answered: dict[tuple[str | None, str, bytes], Reply] = {}
        self._next = 0
        self.log: deque[GptLogEntry] = deque(maxlen=KEPT)
        self.requests: deque[Json] = deque(maxlen=KEPT_REQUESTS)
        """The bodies of the last chat completions that were asked for."""

    def set_script(self, script: GptScript) -> None:
        """What the model does from now on, at the calls that the script is for."""
        self._scripts[script.place] = script, 0

    def forget(self) -> None:
        """All scripts, and what was asked: ids begin anew."""
        self._next = 0
        self._scripts.clear()
        self.requests.clear()

    def handle(self, agent: str | None, path: str, request: Request, now: datetime) -> Reply:
        """Answer a call. path: what follows /v1/."""
        refused = _why_no_access(request)
        if refused is not None:
            return refused
        match request.method, path:
            case "GET", "models":
                return json_reply({"object": "list", "data": [_model(id, now) for id in self._models()]})
            case "POST", "chat/completions":
                return self._complete(agent, request, now)
            case "POST", "embeddings":
                return _embeddings(request.body)
        return _error(404, f"Unknown request URL: {request.method} {request.path}", None)

    def _models(self) -> list[str]:
        return sorted({*MODELS, *(model for _, model, _ in self._scripts if model is not None)})

    def _complete(self, agent: str | None, request: Request, now: datetime) -> Reply:
        try:
            asked = _Asked.model_validate_json(request.body)
        except ValidationError as error:
            return _invalid(error)
        wrong = _why_wrong(asked.messages)
        if wrong is not None:
            return _error(400, wrong, None)
        body: Json = orjson.loads(request.body)
        self.requests.append(body)
        key = request.headers.get("idempotency-key")
        place = agent, key or "", hashlib.sha256(request.body).digest()
        known = self._answered.get(place)
        if known is not None:
            self._log(now, agent, asked, key, known, repeat=True)
            return known
        turn = self._turn(agent, asked)
        tokens = (_tokens(orjson.dumps(body["messages"]).decode()), _tokens(_said(turn, asked)))
        reply = _reply(turn, self._answer(turn, asked, tokens, now))
        self._log(now, agent, asked, key, reply, tokens=tokens)
        if key is not None and reply.status == 200 and turn.does not in ("garbage", "empty"):
            self._answered[place] = reply
            if len(self._answered) > KEPT_ANSWERS:
                del self._answered[next(iter(self._answered))]
        return reply

    def _turn(self, agent: str | None, asked: _Asked) -> GptTurn:
        said = _last_words(asked.messages).casefold()
        fitting = [
            place
            for place in self._scripts
            if place[0] in (None, agent) and place[1] in (None, asked.model) and (place[2] or "").casefold() in said
        ]
        if not fitting:
            return GptTurn(text=CANNED)
        place = max(fitting, key=lambda one: sum(part is not None for part in one))
        script, turn = self._scripts[place]
        self._scripts[place] = script, min(turn + 1, len(script.turns) - 1)
        return script.turns[turn]

    def _answer(self, turn: GptTurn, asked: _Asked, tokens: tuple[int, int], now: datetime) -> Json:
        calls: list[JsonValue] = []
        for called in turn.calls:
            given = called.arguments
            arguments = given if isinstance(given, str) else orjson.dumps(given).decode()
            self._next += 1
            function: JsonValue = {"name": called.name, "arguments": arguments}
            calls.append({"id": f"call_{self._next}", "type": "function", "function": function})
        said = _said(turn, asked) if turn.text is not None or turn.does == "leak" else None
        message: Json = {"role": "assistant", "content": None if turn.does == "filter" else said, "refusal": None}
        finish = {"filter": "content_filter", "length": "length"}.get(turn.does or "", "stop")
        if calls:
            message["tool_calls"], finish = calls, "tool_calls"
        choice: JsonValue = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        self._next += 1
        answer: Json = {
            "id": f"chatcmpl-{self._next}",
            "object": "chat.completion",
            "created": int(now.timestamp()),
            "model": asked.model,
            "choices": [] if turn.does == "empty" else [choice],
        }
        if turn.does != "no_usage":
            answer["usage"] = {
                "prompt_tokens": tokens[0],
                "completion_tokens": tokens[1],
                "total_tokens": sum(tokens),
            }
        return answer

    def _log(
        self,
        now: datetime,
        agent: str | None,
        asked: _Asked,
        key: str | None,
        reply: Reply,
        *,
        tokens: tuple[int, int] = (0, 0),
        repeat: bool = False,
    ) -> None:
        seq = self.log[-1].seq + 1 if self.log else 0
        spent = tokens if reply.status == 200 else (0, 0)
        cost = spent[0] * PRICE_IN + spent[1] * PRICE_OUT
        self.log.append(GptLogEntry(seq, now, agent, asked.model, key, reply.status, repeat, *spent, cost))


def _why_no_access(request: Request) -> Reply | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return _error(401, "You didn't provide an API key.", None)
    return _error(401, "Incorrect API key provided.") if key.strip() == INVALID_KEY else None


def _why_wrong(messages: list[_Message]) -> str | None:
    """What the real service refuses, too: tools' results and the calls that they answer belong together."""
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            open_calls.discard(message.tool_call_id)
            continue
        if open_calls:
            break
        if message.content is None and not message.tool_calls:
            return f"Invalid value for 'content': expected a string, got null, of role '{message.role}'."
        open_calls = {call.id for call in message.tool_calls or ()}
    if open_calls:
        return "An assistant message with 'tool_calls' must be followed by tool messages responding to each of them."
    return None


def _last_words(messages: list[_Message]) -> str:
    content = next((message.content for message in reversed(messages) if message.role == "user"), None)
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return content or ""


def _said(turn: GptTurn, asked: _Asked) -> str:
    if turn.does == "leak":
        return " ".join(str(one.content) for one in asked.messages if one.role in ("system", "developer"))
    return (turn.text or "") + "".join(str(called.arguments) for called in turn.calls)


def _tokens(text: str) -> int:
    return math.ceil(len(text) / 4)


def _reply(turn: GptTurn, answer: Json) -> Reply:
    match turn.does:
        case "fail":
            reply = _error(turn.status, "The service is told to fail.", turn.code or "")
        case "hang":
            return Reply(None, hangs=True)
        case "cut":
            return Reply(None, delay_s=turn.slow_s)
        case "garbage":
            reply = Reply(200, b"<html>Bad gateway</html>", "text/html")
        case _:
            reply = json_reply(answer)
    headers = {} if turn.retry_after is None else {"Retry-After": turn.retry_after}
    return Reply(reply.status, reply.body, reply.content_type, headers, delay_s=turn.slow_s)


def _error(status: int, message: str, code: str | None = "") -> Reply:
    """An error in OpenAI's shape. code: empty: what it has for the status."""
    type, usual = _TYPES.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    error: JsonValue = {"message": message, "type": type, "param": None, "code": usual if code == "" else code}
    return json_reply({"error": error}, status)


def _invalid(error: ValidationError) -> Reply:
    problems = (f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
    return _error(400, "; ".join(problems), None)


def _model(id: str, now: datetime) -> JsonValue:
    return {"id": id, "object": "model", "created": int(now.timestamp()), "owned_by": "sandbox"}


def _embeddings(body: bytes) -> Reply:
    try:
        asked = _Input.model_validate_json(body)
    except ValidationError as error:
        return _invalid(error)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    data: list[JsonValue] = []
    for index, text in enumerate(texts):
        vector = embed(text)
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        shown: JsonValue = packed if asked.encoding_format == "base64" else list(vector)
        data.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = sum(map(_tokens, texts))
    usage: JsonValue = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": data, "model": asked.model, "usage": usage})


def embed(text: str) -> list[float]:
    """A vector of length 1 by the text's words: texts that share words are near each other."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()):
        vector[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(part * part for part in vector)) or 1.0
    return [part / length for part in vector]
