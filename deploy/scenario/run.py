"""Performs a scenario's steps in a world, and collects what came of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.scenario.format import Scenario
from deploy.scenario.render import Callbacks, StepError
from deploy.scenario.result import (
    RefusedResult,
    Result,
    Root,
    collect,
    refused_commands,
    sent_messages,
    steps_of,
)
from deploy.scenario.steps import (
    CommandStep,
    Inbound,
    ProviderAnswer,
    RawCallback,
    SettingsChange,
    StatusUpdate,
    Step,
)
from deploy.scenario.world import Evidence, Refusal, World
from schemas.ids import conversation_key
from schemas.topics import CHANNELS, INBOX, WEBHOOKS

SUPPORTED_COMMANDS: Final = frozenset({"reply", "resolve"})
UNSUPPORTED_STEPS: Final = frozenset({"presence", "ai", "probe"})


class NotSupported(Exception):
    """The scenario asks for what this version can't do; the message names the step."""


@dataclass(frozen=True)
class Finished:
    """A scenario's run. steps: record id -> step, of the records that were handed in."""

    scenario: Scenario
    result: Result
    evidence: Evidence
    steps: Mapping[str, int]


async def run(scenario: Scenario, world: World, *, with_records: bool = False) -> Finished:
    """Perform the steps. Raises NotSupported, StepError: both name the step."""
    check_supported(scenario)
    run_ = _Run(scenario, world)
    for group in groups(scenario):
        await run_.perform(group)
    evidence = await world.evidence()
    steps = steps_of(evidence, run_.handed_in)
    refused = (*run_.refused, *refused_commands(evidence, steps))
    return Finished(scenario, collect(scenario.name, evidence, refused, with_records=with_records), evidence, steps)


def check_supported(scenario: Scenario) -> None:
    """Raises NotSupported, naming the first thing that this version can't do."""
    for index, channel in enumerate(scenario.channels):
        if channel.provider != "engagelab":
            raise NotSupported(f"channels[{index}].provider: {channel.provider} is not supported by this version")
    for index, step in enumerate(scenario.steps):
        kind = step.kind
        if kind in UNSUPPORTED_STEPS:
            raise NotSupported(f"steps[{index}]: {kind} is not supported by this version")
        if step.command is not None and step.command.type not in SUPPORTED_COMMANDS:
            raise NotSupported(f"steps[{index}]: the command {step.command.type} is not supported by this version")
    if "report" in scenario.expect:
        raise NotSupported("expect.report is not supported by this version")


def groups(scenario: Scenario) -> Iterator[list[tuple[int, Step]]]:
    """The steps, those that are handed in together in one group."""
    group: list[tuple[int, Step]] = []
    for index, step in enumerate(scenario.steps):
        if group and not step.concurrent:
            yield group
            group = []
        group.append((index, step))
    yield group


class _Run:
    def __init__(self, scenario: Scenario, world: World) -> None:
        self._scenario, self._world = scenario, world
        self._callbacks = Callbacks(scenario)
        self.handed_in: list[tuple[int, Root]] = []
        self.refused: list[RefusedResult] = []

    async def perform(self, group: list[tuple[int, Step]]) -> None:
        """Let time pass until the first of the steps, hand all of them in, and let the pipeline work."""
        await self._world.advance(group[0][1].at)
        for index, step in group:
            try:
                await self._hand_in(index, step)
            except StepError as error:
                raise StepError(f"steps[{index}]: {error}") from None
        await self._world.settle(group[-1][1].at)

    async def _hand_in(self, index: int, step: Step) -> None:
        match step.action:
            case Inbound() | StatusUpdate() as row:
                await self._rows(index, (row,))
            case tuple(entries):
                await self._rows(index, tuple(entry.row for entry in entries))
            case str(id):
                await self._callback(index, *self._callbacks.again(id))
            case RawCallback() as raw:
                await self._callback(index, self._scenario.channel(raw.channel).id, raw.content)
            case CommandStep() as command:
                await self._command(index, command)
            case SettingsChange() as change:
                await self._settings(index, change)
            case ProviderAnswer() as answer:
                for channel in self._scenario.channels:
                    if answer.channel in (None, channel.id):
                        await self._world.set_provider(channel.id, answer.behaviour)

    async def _rows(self, index: int, rows: tuple[Inbound | StatusUpdate, ...]) -> None:
        sent = sent_messages(await self._world.evidence()) if any(_refers_to_sent(row) for row in rows) else ()
        await self._callback(index, *self._callbacks.render(index, rows, sent))

    async def _callback(self, index: int, channel: str, body: bytes) -> None:
        self.handed_in.append((index, (WEBHOOKS.name, channel, "")))
        await self._world.hand_in_callback(self._scenario.steps[index].at, channel, body)

    async def _command(self, index: int, command: CommandStep) -> None:
        channel = self._scenario.channel(command.channel).id
        command_id = command.id or f"step-{index}"
        at = self._scenario.steps[index].at
        refusal = await self._world.hand_in_command(at, channel, command, command_id)
        if not self._is_refused(index, refusal):
            self.handed_in.append((index, (INBOX.name, conversation_key(channel, command.contact), command_id)))

    async def _settings(self, index: int, change: SettingsChange) -> None:
        channel = self._scenario.channel(change.channel).id
        refusal = await self._world.change_settings(self._scenario.steps[index].at, channel, change.change)
        if not self._is_refused(index, refusal):
            self.handed_in.append((index, (CHANNELS.name, channel, "")))

    def _is_refused(self, index: int, refusal: Refusal | None) -> bool:
        if refusal is not None:
            self.refused.append(RefusedResult(step=index, code=refusal.code, reason=refusal.reason))
        return refusal is not None


def _refers_to_sent(row: Inbound | StatusUpdate) -> bool:
    reference = row.quotes if isinstance(row, Inbound) else row.message
    return reference is not None and not isinstance(reference, str)
