"""Performs a scenario's steps in a world, and collects what came of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agents.opening import is_open, next_opening
from desk.people import PresenceRequest
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.collection import collect, sent_messages
from simulation.scenario.format import Scenario, in_words_of
from simulation.scenario.render import Callbacks, Posted, StepError
from simulation.scenario.result import OpenResult, RefusedResult, Result
from simulation.scenario.steps import (
    AiAnswer,
    CommandStep,
    Inbound,
    Presence,
    Probe,
    ProviderAnswer,
    RawCallback,
    SettingsChange,
    StatusUpdate,
    Step,
)
from simulation.scenario.world import Evidence, Refusal, World


@dataclass(frozen=True)
class Finished:
    """A scenario's run."""

    scenario: Scenario
    result: Result
    evidence: Evidence


async def run(scenario: Scenario, world: World, *, with_records: bool = False) -> Finished:
    """Perform the steps. Raises StepError, which names the step."""
    run_ = _Run(scenario, world)
    for group in groups(scenario):
        await run_.perform(group)
    evidence = await world.evidence()
    result = collect(scenario, evidence, run_.refused, run_.open, with_records=with_records)
    return Finished(scenario, result, evidence)


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
        self._callbacks = Callbacks(scenario, world.webhook_url)
        self.refused: list[RefusedResult] = []
        self.open: list[OpenResult] = []

    async def perform(self, group: list[tuple[int, Step]]) -> None:
        """Let time pass until the first of the steps, hand all of them in, and let the pipeline work."""
        await self._world.advance(group[0][1].at)
        for index, step in group:
            await self._world.begin(index, step.at)
            try:
                refusals = await self._hand_in(index, step)
            except StepError as error:
                raise StepError(f"steps[{index}]: {error}") from None
            self.refused += (RefusedResult(step=index, code=one.code, reason=one.reason) for one in refusals if one)
        await self._world.settle(group[-1][1].at)

    async def _hand_in(self, index: int, step: Step) -> Iterable[Refusal | None]:
        """Perform the step; what ingress refused of it."""
        world, scenario = self._world, self._scenario
        match step.action:
            case Inbound() | StatusUpdate() as row:
                await self._rows(index, (row,))
            case tuple(entries):
                await self._rows(index, tuple(entry.row for entry in entries))
            case str(id):
                await self._post(self._callbacks.again(id))
            case RawCallback() as raw:
                channel = scenario.channel(raw.channel)
                to = world.webhook_url(channel.id) + raw.path
                request = CallbackRequest(raw.content, STAND_INS[channel.provider].content_type, to)
                await self._post((channel.id, (request,)))
            case CommandStep() as command:
                channel = scenario.channel(command.channel)
                body = in_words_of(STAND_INS[channel.provider], command.body)
                return [await world.hand_in_command(channel.id, command.contact, body, command.id or f"step-{index}")]
            case SettingsChange() as change:
                channel = scenario.channel(change.channel)
                changed = in_words_of(STAND_INS[channel.provider], change.change)
                return [await world.change_settings(channel.id, changed)]
            case Presence() as presence:
                return await self._presence(presence)
            case ProviderAnswer() as answer:
                for one in scenario.channels:
                    if answer.channel in (None, one.id):
                        await world.set_provider(one.id, answer.behaviour(STAND_INS[one.provider]))
            case AiAnswer(answer=says):
                for one in scenario.channels:
                    await world.set_ai(one.id, says)
            case GptScript() as script:
                await world.set_gpt(script)
            case ToolScript() as script:
                await world.set_tool(script)
            case Probe(channel=probed):
                await self._probe(step, scenario.channel(probed).id)
        return ()

    async def _rows(self, index: int, rows: tuple[Inbound | StatusUpdate, ...]) -> None:
        sent = sent_messages(await self._world.evidence()) if any(_refers_to_sent(row) for row in rows) else ()
        posted = self._callbacks.render(index, rows, sent)
        inbound = [row for row in rows if isinstance(row, Inbound)]
        for row in inbound:
            await self._world.provider_keeps(posted[0], self._callbacks.written(index, row, sent))
        if not any(row.lost for row in inbound):
            await self._post(posted)

    async def _post(self, posted: Posted) -> None:
        channel, requests = posted
        for request in requests:
            await self._world.hand_in_callback(channel, request)

    async def _presence(self, presence: Presence) -> list[Refusal | None]:
        """The scenario's agents belong to each of its accounts."""
        world, agent = self._world, presence.agent
        channels = [one for one in self._scenario.channels if presence.channel in (None, one.id)]
        accounts = sorted({channel.account for channel in channels})
        if presence.state is not None:
            request = PresenceRequest(state=presence.state, source=presence.source)
            return [await world.set_presence(account, agent, request) for account in accounts]
        if presence.member is not None:
            member = presence.member
            return [await world.set_member(account, presence.channel, agent, member) for account in accounts]
        return [await world.delete_agent(account, agent) for account in accounts]

    async def _probe(self, step: Step, channel: str) -> None:
        hours = (await self._world.settings(channel)).business_hours
        opens = next_opening(hours, step.at)
        self.open.append(OpenResult(at=step.at, channel=channel, open=is_open(hours, step.at), next_opening=opens))


def _refers_to_sent(row: Inbound | StatusUpdate) -> bool:
    reference = row.quotes if isinstance(row, Inbound) else row.message
    return reference is not None and not isinstance(reference, str)
