"""AI agents: settings of an account, with revisions of their own; a channel lists those that serve it."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Flag, Id, Name, NameOrId, PositiveCount, SettingsModel, Text, merged

MAX_INSTRUCTIONS: Final = 16_000
"""Characters."""
NOT_A_TOOL: Final = frozenset({"hand_over", "label", "note", "resolve", "propose_time"})
"""Names of the tools that every agent has."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://api.example.com/v1, without a query or a password")
    return text.rstrip("/")


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_url)]
Secret = Annotated[SecretStr, Field(min_length=1)]


class AiLimits(SettingsModel):
    """What an agent may spend; where it is used up, a human takes over.

    answers: in one conversation. tokens_a_day, cost_a_day (in the currency of the prices): of all its conversations, a
    UTC day; None: no limit. machine_answers: to messages in a row that seem to be another machine's.
    """

    answers: PositiveCount = 30
    machine_answers: PositiveCount = 3
    tokens_a_day: PositiveCount | None = None
    cost_a_day: Price | None = None


class HandOverRules(SettingsModel):
    """When the agent gives a conversation to a human, beside what the model decides.

    phrases: in a customer's text, whatever its case and accents: nobody asks the model. asks_for_person,
    low_confidence, anger, topics: what the model is told to hand over for. after_answers: so many answers in a row
    without the problem being solved. unreadable: what to say, in place of handing over, to a voice note or picture
    without words. text: what the customer is told at a hand-over; closed_text: outside business hours.
    """

    phrases: tuple[Words, ...] = ()
    asks_for_person: Flag = True
    low_confidence: Flag = True
    anger: Flag = True
    topics: tuple[Words, ...] = ()
    after_answers: PositiveCount | None = None
    unreadable: Text = ""
    text: Text = ""
    closed_text: Text = ""


class Tool(SettingsModel):
    """Something that the model may look up or have done: an HTTP request to the account's own service.

    parameters: a JSON Schema of type object; GET sends the arguments as a query, POST as a JSON body. headers: sent
    along, never shown to the model.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    description: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    method: Literal["GET", "POST"] = "GET"
    url: Url
    parameters: dict[str, JsonValue] = {"type": "object", "properties": {}}
    headers: dict[str, Secret] = Field(default_factory=dict, exclude=True, repr=False)
    timeout_s: Annotated[int, Field(ge=1, le=30)] = 10

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in NOT_A_TOOL:
            raise ValueError("is the name of a tool that every agent has: choose another")
        return name

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or not value.get_secret_value().isprintable():
                raise ValueError("must be names and values of HTTP headers")
        return headers


class _Agent(SettingsModel):
    id: Id
    name: NameOrId = ""
    revision: PositiveCount = 1
    api_key: Secret | None = Field(default=None, exclude=True, repr=False)


class HttpAgent(_Agent):
    """An AI agent that the account runs itself: it is sent an AiQuestion at {url}/v1/answers. api_key: as a bearer."""

    kind: Literal["http"] = "http"
    url: Url


class GptAgent(_Agent):
    """A GPT agent at any OpenAI-compatible service.

    base_url: with its /v1. language: None: the customer's. knowledge: collections of documents. grounded: an answer
    that quotes none of them is not sent. embeddings: the service's model for them, by which passages are put in order;
    None: by words alone. price_in, price_out: of a million tokens. timeout_s: of one call.
    """

    kind: Literal["gpt"] = "gpt"
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    base_url: Url = "https://api.openai.com/v1"
    instructions: Annotated[str, StringConstraints(max_length=MAX_INSTRUCTIONS)] = ""
    tone: Name = ""
    language: Name | None = None
    knowledge: tuple[Id, ...] = ()
    grounded: Flag = False
    tools: tuple[Tool, ...] = ()
    limits: AiLimits = AiLimits()
    hand_over: HandOverRules = HandOverRules()
    embeddings: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    price_in: Price = Decimal(0)
    price_out: Price = Decimal(0)
    timeout_s: Annotated[int, Field(ge=5, le=120)] = 60

    @field_validator("tools")
    @classmethod
    def _differ(cls, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        if len({tool.name for tool in tools}) < len(tools):
            raise ValueError("each tool has a name of its own")
        return tools


AiAgentSettings = Annotated[GptAgent | HttpAgent, Field(discriminator="kind")]
_AGENT: Final[TypeAdapter[GptAgent | HttpAgent]] = TypeAdapter(AiAgentSettings)


def parse_ai_agent(data: object) -> GptAgent | HttpAgent:
    """Read an agent from plain data. Raises InvalidSettings."""
    try:
        return _AGENT.validate_python(data)
    except ValidationError as exc:
        errors = InvalidSettings.from_pydantic(exc).errors
        raise InvalidSettings(tuple(FieldError(without_kind(error.field), error.message) for error in errors)) from None


def without_kind(field: str) -> str:
    """An error's path without the agent's kind, which is no field: `gpt.model`, `ai_agents[0].gpt.model`."""
    return re.sub(r"^(ai_agents\[\d+\]\.)?(?:gpt|http)(?:\.|$)", r"\1", field)


def change_ai_agent(agent: GptAgent | HttpAgent, change: Mapping[str, object]) -> GptAgent | HttpAgent:
    """The next revision: objects are merged, lists and single values replaced. Raises InvalidSettings.

    A tool's headers that are left out or null stay as they are, those of its address; the key needs to be given again
    when the agent's address changes.
    """
    current = {**agent.model_dump(), "api_key": agent.api_key}
    errors = [
        FieldError(name, "can't be changed") for name in _FIXED if change.get(name, current[name]) != current[name]
    ]
    if errors:
        raise InvalidSettings(tuple(errors))
    if isinstance(agent, GptAgent):
        current["tools"] = agent.tools
        if isinstance(tools := change.get("tools"), list | tuple):
            known = {tool.name: tool for tool in agent.tools}
            change = {**change, "tools": [_with_headers(tool, known) for tool in tools]}
    changed = parse_ai_agent({**merged(current, change), "revision": agent.revision + 1})
    if (
        agent.api_key is not None
        and "api_key" not in change
        and _origin(address_of(changed)) != _origin(address_of(agent))
    ):
        raise InvalidSettings((FieldError("api_key", "is the old address's: give the new one's, or null for none"),))
    return changed


def address_of(agent: GptAgent | HttpAgent) -> str:
    """Where it is reached."""
    return agent.base_url if isinstance(agent, GptAgent) else agent.url


_FIXED: Final = ("id", "kind", "revision")


def _with_headers(tool: object, known: Mapping[str, Tool]) -> object:
    if not isinstance(tool, Mapping):
        return tool
    before = known.get(str(tool.get("name")))
    if before is None or _origin(str(tool.get("url"))) != _origin(before.url):
        return tool
    given = tool.get("headers")
    if given is None:
        return {**tool, "headers": before.headers}
    if not isinstance(given, Mapping):
        return tool
    kept = {name: before.headers.get(name) if value is None else value for name, value in given.items()}
    return {**tool, "headers": kept}


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all, which is said elsewhere
        return "", url
    return parts.scheme, parts.netloc.lower()


def agent_to_stored(agent: GptAgent | HttpAgent, encrypt: Callable[[str], str]) -> dict[str, Any]:
    """Plain JSON data; the key and the tools' headers are encrypted text."""
    data = agent.model_dump(mode="json")
    if agent.api_key is not None:
        data["api_key"] = encrypt(agent.api_key.get_secret_value())
    if isinstance(agent, GptAgent):
        for tool, stored in zip(agent.tools, data["tools"], strict=True):
            stored["headers"] = {name: encrypt(value.get_secret_value()) for name, value in tool.headers.items()}
    return data


def agent_from_stored(data: Mapping[str, Any], decrypt: Callable[[str], str]) -> dict[str, Any]:
    """What agent_to_stored was given, as plain data. Raises whatever decrypt raises."""
    plain = dict(data)
    if plain.get("api_key"):
        plain["api_key"] = decrypt(plain["api_key"])
    if plain.get("tools"):
        plain["tools"] = [
            {**tool, "headers": {name: decrypt(value) for name, value in tool.get("headers", {}).items()}}
            for tool in plain["tools"]
        ]
    return plain
