"""Evaluation files: conversations with GPT agents, and what is expected of each."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, ValidationError

from agents.ai import tools
from deploy.channels_file import parse_data, read_data
from deploy.errors import LiveDeskError
from schemas.events.content import Citation
from schemas.settings.ai import GptAgent, Price, Url
from schemas.settings.errors import FieldError, InvalidSettings, repeated_ids
from schemas.settings.types import Flag, Id, Instant, Name, SettingsModel
from simulation.scenario.steps import Contact, not_empty
from simulation.trial.talk import CUSTOMER, ToolCall, Turn, Written

HINT: Final = "docs/evaluation.example.yaml shows every setting."
OWN_TOOLS: Final = (tools.HAND_OVER, tools.LABEL, tools.NOTE, tools.RESOLVE, tools.PROPOSE_TIME)
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _regular(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class Said(SettingsModel):
    """What an answer is searched for, whatever its case: a text, or a regular expression."""

    text: Line | None = None
    regex: Annotated[Line, AfterValidator(_regular)] | None = None

    def is_in(self, text: str) -> bool:
        """Whether the text has it. Blanks and ends of lines are all alike to a text."""
        if self.regex is not None:
            return re.search(self.regex, text, re.IGNORECASE | re.MULTILINE) is not None
        return " ".join((self.text or "").casefold().split()) in " ".join(text.casefold().split())

    def __str__(self) -> str:
        return f"/{self.regex}/" if self.regex is not None else f'"{self.text}"'


def _as_said(value: object) -> object:
    if isinstance(value, dict) and set(value) != {"regex"}:
        raise ValueError("must be a text, or have regex alone")
    return {"text": value} if isinstance(value, str) else value


def _as_written(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


def _as_list(value: object) -> object:
    """One may stand without a list."""
    return [value] if isinstance(value, str | dict) else value


SaidOne = Annotated[Said, BeforeValidator(_as_said)]
Texts = Annotated[tuple[SaidOne, ...], BeforeValidator(_as_list)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(_as_list)]


class Expected(SettingsModel):
    """What is expected of a whole conversation.

    must_say, must_not_say: in what the customer reads. cites: documents, by title or by their names
    (`collection/document`). calls, not_calls: tools. max_cost: in the currency of the agent's prices. criteria: for the
    judge.
    """

    handed_over: Flag | None = None
    reason: Lines = ()
    must_say: Texts = ()
    must_not_say: Texts = ()
    cites: Lines = ()
    calls: Lines = ()
    not_calls: Lines = ()
    max_cost: Price | None = None
    criteria: Lines = ()

    def failures(self, turns: tuple[Turn, ...]) -> Iterator[str]:
        """What is not as expected, in words."""
        yield from self._of_the_end(turns)
        read = "\n".join(text for turn in turns for text in turn.read)
        yield from (f"must say {said}" for said in self.must_say if not said.is_in(read))
        yield from (f"must not say {said}" for said in self.must_not_say if said.is_in(read))
        cited = [one for turn in turns for one in turn.citations]
        yield from (f"must cite {name}" for name in self.cites if not any(_is_of(name, one) for one in cited))
        called = {call.name for call in calls_of(turns)}
        yield from (f"must call {name}" for name in self.calls if name not in called)
        yield from (f"must not call {name}" for name in self.not_calls if name in called)
        cost = Decimal(sum(turn.cost_micros for turn in turns)) / 1_000_000
        if self.max_cost is not None and cost > self.max_cost:
            yield f"costs {cost:f}, more than {self.max_cost:f}"

    def _of_the_end(self, turns: tuple[Turn, ...]) -> Iterator[str]:
        over = next((turn.handed_over for turn in turns if turn.handed_over is not None), None)
        if self.handed_over and over is None:
            yield "must hand over"
        elif self.handed_over is False and over is not None:
            yield f"must not hand over, but did: {over.reason}"
        elif self.reason and over is not None and over.reason not in self.reason:
            yield f"must hand over for {' or '.join(self.reason)}, not {over.reason}"
        elif self.reason and over is None:
            yield f"must hand over for {' or '.join(self.reason)}"


def calls_of(turns: tuple[Turn, ...]) -> Iterator[ToolCall]:
    """The calls of tools in all of them."""
    for turn in turns:
        yield from turn.calls


def _is_of(name: str, cited: Citation) -> bool:
    """Whether a passage is of the document of that name or title."""
    document = cited.id.rpartition("/")[0]
    return name.casefold() in {cited.title.casefold(), document.casefold(), document.partition("/")[2].casefold()}


class Customer(SettingsModel):
    """Who writes."""

    name: Name | None = None
    number: Contact = CUSTOMER


class Judge(SettingsModel):
    """A model that says of each criterion whether a conversation meets it. base_url: None: the agent's own service.

    criteria: for all conversations. The key is in LIVEDESK_JUDGE_KEY; else, at the agent's service, it is the agent's.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    base_url: Url | None = None
    criteria: Lines = ()
    price_in: Price = Decimal(0)
    price_out: Price = Decimal(0)

    def as_agent(self, of: GptAgent, key: str | None) -> GptAgent:
        """The judge of an agent's conversations."""
        own = of.api_key if self.base_url is None else None
        return GptAgent(
            id="judge",
            model=self.model,
            base_url=self.base_url or of.base_url,
            api_key=SecretStr(key) if key else own,
            price_in=self.price_in,
            price_out=self.price_out,
        )


class Conversation(SettingsModel):
    """One conversation. at: when it begins; None: now. knowledge: files and folders, from the file's own folder on."""

    name: Line
    agent: Id | None = None
    channel: Id | None = None
    knowledge: Lines = ()
    at: Instant | None = None
    contact: Customer = Customer()
    messages: Annotated[
        tuple[Annotated[Written, BeforeValidator(_as_written)], ...],
        AfterValidator(not_empty),
        BeforeValidator(_as_list),
    ]
    expect: Expected = Expected()


class Evaluation(SettingsModel):
    """What a file says. agent, channel, knowledge, at: of each conversation that says none."""

    agent: Id | None = None
    channel: Id | None = None
    knowledge: Lines = ()
    at: Instant | None = None
    judge: Judge | None = None
    conversations: Annotated[tuple[Conversation, ...], Field(min_length=1)]

    @cached_property
    def whole(self) -> tuple[Conversation, ...]:
        """The conversations, with what is said for all."""
        return tuple(
            one.model_copy(
                update={name: getattr(one, name) or getattr(self, name) for name in ("agent", "channel", "at")}
                | {"knowledge": (*self.knowledge, *one.knowledge)}
            )
            for one in self.conversations
        )


class WrongFile(LiveDeskError):
    """A file can't be used; the message names every wrong field."""

    def __init__(self, path: Path, errors: list[FieldError]) -> None:
        super().__init__(f"{path} can't be used:" + "".join(f"\n  {error}" for error in errors), HINT)


def load_evaluation(path: Path) -> Evaluation:
    """Read a file: YAML, JSON, or a conversation a line (.jsonl). Raises LiveDeskError."""
    data = _data(path)
    try:
        found = Evaluation.model_validate({"conversations": data} if isinstance(data, list) else data)
    except ValidationError as error:
        raise WrongFile(path, list(InvalidSettings.from_pydantic(error).errors)) from None
    errors = list(repeated_ids("conversations[{}].name", tuple(one.name for one in found.conversations)))
    for index, one in enumerate(found.whole):
        where = f"conversations[{index}]"
        if one.agent is None:
            errors.append(FieldError(f"{where}.agent", "is required, here or for the whole file"))
        if one.expect.criteria and found.judge is None:
            errors.append(FieldError(f"{where}.expect.criteria", "there is no judge: name one for the whole file"))
        if one.expect.reason and one.expect.handed_over is False:
            errors.append(FieldError(f"{where}.expect.reason", "contradicts handed_over: false"))
    if errors:
        raise WrongFile(path, errors)
    return found


def _data(path: Path) -> Any:
    if path.suffix.lower() != ".jsonl":
        return read_data(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LiveDeskError(f"{path} can't be read: {error}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    return [parse_data(line, source=f"{path}, row {number}", is_json=True) for number, line in lines]
