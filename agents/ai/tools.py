"""The tools that every agent has, and the account's own, as the model sees them."""

from collections.abc import Iterator
from typing import Final

import orjson
from pydantic import JsonValue

from schemas.settings.ai import GptAgent, HandOverRules, Tool

MAX_ARGUMENTS: Final = 1_500
"""Bytes."""
HAND_OVER: Final = "hand_over"
LABEL: Final = "label"
NOTE: Final = "note"
RESOLVE: Final = "resolve"
PROPOSE_TIME: Final = "propose_time"


def reasons(rules: HandOverRules) -> list[str]:
    """For what the model may hand over."""
    asked = {
        "asked_for_person": rules.asks_for_person,
        "low_confidence": rules.low_confidence,
        "anger": rules.anger,
        "topic": bool(rules.topics),
        "cannot_help": True,
    }
    return [reason for reason, is_asked in asked.items() if is_asked]


def definitions(agent: GptAgent) -> tuple[dict[str, JsonValue], ...]:
    """The tools, as POST /v1/chat/completions takes them."""
    return (*_own(agent), *(_definition(tool.name, tool.description, tool.parameters) for tool in agent.tools))


def _own(agent: GptAgent) -> Iterator[dict[str, JsonValue]]:
    why: list[JsonValue] = list(reasons(agent.hand_over))
    yield _definition(
        HAND_OVER,
        "Give the conversation to a human colleague. Nothing that you say afterwards is sent.",
        _object(
            {
                "reason": {"type": "string", "enum": why},
                "summary": _text("For the colleague: what the customer wants, and what was done so far."),
                "customer_text": _text("One short sentence to the customer, in their language."),
            },
            ("reason", "summary"),
        ),
    )
    yield _definition(LABEL, "Put a label on the conversation.", _object({"label": _text("One to three words.")}))
    yield _definition(NOTE, "Leave a note for colleagues, which the customer never sees.", _object({"text": _text("")}))
    yield _definition(
        RESOLVE,
        "End the conversation. Only after you asked whether there is anything else, and the customer said no.",
        _object({}),
    )
    yield _definition(
        PROPOSE_TIME,
        "Get times inside business hours that you may propose.",
        _object({"wanted": _text("The local time that the customer wants, such as 2026-06-01T10:00.")}, ()),
    )


def _definition(name: str, description: str, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _object(properties: dict[str, JsonValue], required: tuple[str, ...] | None = None) -> dict[str, JsonValue]:
    names: list[JsonValue] = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _text(description: str) -> dict[str, JsonValue]:
    return {"type": "string", "description": description} if description else {"type": "string"}


def read_arguments(arguments: str) -> dict[str, JsonValue] | None:
    """The arguments of a call, as the model wrote them; None: they are no JSON object, or too long."""
    if len(arguments.encode(errors="replace")) > MAX_ARGUMENTS:
        return None
    try:
        read = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None


def text_of(arguments: dict[str, JsonValue], name: str) -> str:
    """A text among the arguments; empty where there is none."""
    value = arguments.get(name)
    return value.strip() if isinstance(value, str) else ""


def canonical(arguments: dict[str, JsonValue]) -> str:
    """The same for the same arguments, whatever their order."""
    return orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()


def account_tool(agent: GptAgent, name: str) -> Tool | None:
    return next((tool for tool in agent.tools if tool.name == name), None)
