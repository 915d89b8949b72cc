"""Scenario files: read, checked, and what is wrong with them said by file, line, step and field."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, JsonValue, ValidationError

from deploy.channels_file import read_data
from deploy.errors import LiveDeskError
from schemas.settings.ai import AiAgentSettings, without_kind
from schemas.settings.channel import ChannelSettings, Directory, channel_errors, parse_channel, taken_number
from schemas.settings.channels_file import BESIDE, HumanAgent
from schemas.settings.credentials import SECRETS
from schemas.settings.errors import FieldError, InvalidSettings, repeated_ids
from schemas.settings.types import Id, Name, SettingsModel
from simulation.sandbox.accounts import Account, Template
from simulation.sandbox.contract import StandIn
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario import expect
from simulation.scenario.steps import (
    Action,
    Inbound,
    Presence,
    ProviderAnswer,
    StatusUpdate,
    Step,
    not_blank,
    not_empty,
)


class ScenarioChannel(ChannelSettings):
    """A channel, and the templates that its provider lists ("unreachable": it answers nothing).

    Credentials that are left out are made up: the pipeline sends nothing without.
    """

    templates: tuple[Template, ...] | Literal["unreachable"] = ()

    @property
    def settings(self) -> ChannelSettings:
        """The settings alone, with credentials, in the provider's words."""
        stand_in = STAND_INS[self.provider]
        data = in_words_of(stand_in, self.model_dump(exclude={"templates"}))
        # model_dump leaves secrets out.
        given = {name: value for name in SECRETS if (value := getattr(self, name)) is not None}
        made_up = {name: value for name, value in stand_in.make_credentials(self.id).items() if not data.get(name)}
        return parse_channel(data | made_up | given)

    @property
    def provider_account(self) -> Account:
        """The channel's account at the sandbox."""
        return Account.of(self.settings, templates=self.templates)


def in_words_of(stand_in: StandIn, data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings or a command, its templates named as a channel at the provider names them."""
    named = dict(data)
    if isinstance(name := data.get("name"), str) and isinstance(language := data.get("language"), str):
        named["name"] = stand_in.template_name(name, language)
    return {key: in_words_of(stand_in, value) if isinstance(value, dict) else value for key, value in named.items()}


class Document(SettingsModel):
    """What GPT agents answer by: a document of a collection, in Markdown."""

    collection: Id
    document: Id
    title: Name = ""
    text: Annotated[str, AfterValidator(not_blank)]


class Scenario(SettingsModel):
    """What a scenario file says. source and why are for readers."""

    name: str = ""
    source: JsonValue = None
    why: JsonValue = None
    agents: tuple[HumanAgent, ...] = ()
    ai_agents: tuple[AiAgentSettings, ...] = ()
    knowledge: tuple[Document, ...] = ()
    channels: Annotated[tuple[ScenarioChannel, ...], AfterValidator(not_empty)]
    steps: Annotated[tuple[Step, ...], AfterValidator(not_empty)]
    expect: dict[str, JsonValue] = {}

    @property
    def directory(self) -> Directory:
        """Whom the channels may name."""
        return Directory(
            human_agents=frozenset(agent.id for agent in self.agents),
            teams=frozenset(team for agent in self.agents for team in agent.teams),
        )

    def channel(self, id: str | None) -> ScenarioChannel:
        """The channel of that id; without one, the only channel. Raises LookupError."""
        if id is None and len(self.channels) == 1:
            return self.channels[0]
        for channel in self.channels:
            if channel.id == id:
                return channel
        raise LookupError("is required: there are several channels" if id is None else f"there is no channel {id!r}")


@dataclass(frozen=True)
class Loaded:
    """A scenario and where it stands, or why it can't be used."""

    where: str
    scenario: Scenario | None = None
    problems: tuple[str, ...] = ()
    name: str = ""


def load_file(path: Path) -> Iterator[Loaded]:
    """The scenarios of a file: one, or in a .jsonl file one a line. Raises LiveDeskError: no such lines."""
    if path.suffix.lower() != ".jsonl":
        yield _parsed(str(path), lambda: read_data(path))
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LiveDeskError(f"{path} can't be read: {error}") from None
    # Not splitlines(): texts may hold its rarer ends of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _parsed(where, partial(_parse_line, line, where))


def _parse_line(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise LiveDeskError(f"{where}: not valid JSON: {error.msg} (column {error.colno})") from None


def _parsed(where: str, read: Callable[[], object]) -> Loaded:
    try:
        return parse_scenario(read(), where)
    except LiveDeskError as error:
        return Loaded(where, problems=(error.message,), name=where)


def parse_scenario(data: object, where: str) -> Loaded:
    """Read one scenario from plain data."""
    name = data.get("name", "") if isinstance(data, dict) else ""
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        found = InvalidSettings.from_pydantic(error).errors
        problems = tuple(FieldError(without_kind(one.field), one.message) for one in found)
    else:
        problems = (*_wrong_settings(scenario), *_wrong_steps(scenario), *expect.problems(scenario.expect))
        if not problems:
            named = scenario if scenario.name else scenario.model_copy(update={"name": where})
            return Loaded(where, named, name=named.name)
    return Loaded(where, problems=tuple(f"{where}: {problem}" for problem in problems), name=str(name) or where)


def _wrong_settings(scenario: Scenario) -> Iterator[FieldError]:
    yield from repeated_ids("agents[{}].id", tuple(agent.id for agent in scenario.agents))
    yield from repeated_ids("ai_agents[{}].id", tuple(agent.id for agent in scenario.ai_agents))
    yield from repeated_ids("channels[{}].id", tuple(channel.id for channel in scenario.channels))
    keys: set[str | None] = set()
    for index, channel in enumerate(scenario.channels):
        if channel.ai_agents:
            yield FieldError(f"channels[{index}].ai_agents", BESIDE)
        for error in (*channel_errors(channel, scenario.directory), *taken_number(channel, scenario.channels[:index])):
            yield FieldError(f"channels[{index}].{error.field}", error.message)
        field = STAND_INS[channel.provider].key
        key = getattr(channel, field)
        if key is not None and key in keys:
            yield FieldError(f"channels[{index}].{field}", "is another channel's: the sandbox has one number for each")
        keys.add(key)


def _wrong_steps(scenario: Scenario) -> Iterator[FieldError]:
    delivered: set[str] = set()
    replies = {step.command.id for step in scenario.steps if step.command and step.command.type == "reply"}
    for index, step in enumerate(scenario.steps):
        where = f"steps[{index}]"
        if index and step.at < scenario.steps[index - 1].at:
            yield FieldError(f"{where}.at", "goes back: steps stand in the order of their time")
        if step.concurrent and not index:
            yield FieldError(f"{where}.concurrent", "there is no step before it")
        if step.redeliver is not None and step.redeliver not in delivered:
            yield FieldError(f"{where}.redeliver", f"no earlier step has a callback of {step.redeliver!r}")
        for path, action in actions(step):
            yield from _wrong_channel(scenario, f"{where}.{path}", action)
            if isinstance(action, StatusUpdate) and isinstance(action.message, str):
                delivered.add(action.message)
                if action.message not in replies and action.contact is None:
                    message = f"no reply has the id {action.message!r}: give the contact that it went to"
                    yield FieldError(f"{where}.{path}.message", message)
            if isinstance(action, Inbound):
                delivered.add(action.id)


def actions(step: Step) -> Iterator[tuple[str, Action]]:
    """What happens in a step, each row of a batch by itself, and where it stands."""
    if step.batch is not None:
        for index, entry in enumerate(step.batch):
            yield f"batch[{index}].{'inbound' if entry.inbound else 'status'}", entry.row
    elif step.kind is not None and step.action is not None:
        yield step.kind, step.action


def _wrong_channel(scenario: Scenario, where: str, action: Action) -> Iterator[FieldError]:
    if isinstance(action, str | tuple) or not hasattr(action, "channel"):
        return
    optional = isinstance(action, Presence | ProviderAnswer | StatusUpdate)
    if optional and action.channel is None:
        return
    try:
        scenario.channel(action.channel)
    except LookupError as error:
        yield FieldError(f"{where}.channel", str(error))


def matching(loaded: Iterator[Loaded], pattern: re.Pattern[str] | None) -> Iterator[Loaded]:
    """Those whose name holds the pattern."""
    return (one for one in loaded if pattern is None or pattern.search(one.name))
