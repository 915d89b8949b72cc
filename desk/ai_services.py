"""Trying an AI agent: one small call to its service, and what the answer says of its settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from providers.provider import Answer, Call
from schemas.settings.ai import GptAgent, HttpAgent, address_of

Reach = Callable[[str, Call], Awaitable[Answer | None]]
"""Makes a call below an address; None: it gave no answer."""


@dataclass(frozen=True)
class Tried:
    """What came of it. problem: None: it works; field: of the settings, that is wrong."""

    problem: str | None
    message: str
    field: str | None = None


async def try_agent(agent: GptAgent | HttpAgent, reach: Reach) -> Tried:
    """A GPT agent's model is asked for one word; an HTTP agent's address is looked at, without a question.

    problem: unreachable, wrong_key, unknown_model, wrong_address, throttled, unreadable.
    """
    key = {} if agent.api_key is None else {"Authorization": f"Bearer {agent.api_key.get_secret_value()}"}
    if isinstance(agent, HttpAgent):
        answer = await reach(agent.url, Call("GET", "/v1/answers", key))
    else:
        asked = {"model": agent.model, "messages": [{"role": "user", "content": "Answer with the word: yes"}]}
        headers = {**key, "Content-Type": "application/json"}
        answer = await reach(agent.base_url, Call("POST", "/chat/completions", headers, body=orjson.dumps(asked)))
    if answer is None:
        return Tried("unreachable", f"{address_of(agent)} can't be reached: try again later, or correct the address")
    return _http(answer.status) if isinstance(agent, HttpAgent) else _gpt(agent, answer)


def _http(status: int) -> Tried:
    if status in (401, 403):
        return Tried("wrong_key", "the AI agent does not take the key", "api_key")
    if status == 404:
        return Tried("wrong_address", "the AI agent has no /v1/answers there", "url")
    if status >= 500:
        return Tried("unreadable", f"the AI agent answers HTTP {status}")
    return Tried(None, "The AI agent is reached; no question was asked.")


def _gpt(agent: GptAgent, answer: Answer) -> Tried:
    body = _json(answer.body)
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    # Never its message: services repeat there what they were sent.
    said = {str(error.get(name)) for name in ("code", "param", "type")}
    match answer.status:
        case 200 if isinstance(body.get("choices"), list) and body["choices"]:
            return Tried(None, f"{agent.model} answers.")
        case 401 | 403:
            return Tried("wrong_key", "the service does not take the key", "api_key")
        case 400 | 404 | 422 if (answer.status == 404 and error) or said & {"model", "model_not_found"}:
            return Tried("unknown_model", f"the service has no model {agent.model!r}", "model")
        case 404 | 405:
            return Tried("wrong_address", "there is no /chat/completions: most addresses end with /v1", "base_url")
        case 429:
            return Tried("throttled", "the service takes no more calls now, or its quota is used up")
    return Tried("unreadable", f"the service's answer can't be used (HTTP {answer.status})")


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
