"""What of a scenario its providers can do, and the same scenario at another provider."""

from collections.abc import Iterator

from schemas.settings.credentials import Credentials, ProviderName
from simulation.sandbox.contract import StandIn
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Scenario, ScenarioChannel, actions
from simulation.scenario.steps import (
    Action,
    AiAnswer,
    CommandStep,
    Inbound,
    ProviderAnswer,
    RawCallback,
    StatusUpdate,
    Step,
)

_STATUSES = frozenset(status for stand_in in STAND_INS.values() for status in stand_in.words)
"""Any other word is sent as it is."""


class NotSupported(Exception):
    """The scenario asks for what a provider does not do. where: the field; what: why not."""

    def __init__(self, provider: str, where: str, what: str) -> None:
        super().__init__(f"can not be run on {provider}: {where}: {what}")
        self.provider, self.what = provider, what


def check_supported(scenario: Scenario) -> None:
    """Raises NotSupported, naming the first thing that a channel's provider does not do."""
    for index, step in enumerate(scenario.steps):
        for path, action in actions(step):
            for provider in _providers(scenario, action):
                for field, what in _not_done(STAND_INS[provider], step, action):
                    raise NotSupported(provider, f"steps[{index}].{path}.{field}", what)


def _not_done(stand_in: StandIn, step: Step, action: Action) -> Iterator[tuple[str, str]]:
    """Fields that ask for what the provider does not do, and why."""
    match action:
        case Inbound(type=kind) if kind in stand_in.lacks:
            yield "type", f"it reports no {kind}"
        case StatusUpdate(status=status) if status in _STATUSES and status not in stand_in.words:
            yield "status", f"it has no word for {status}"
        case ProviderAnswer(code=str(meaning)) if meaning not in stand_in.codes:
            yield "code", f"it has no code for {meaning}"
        case Inbound(provider_time=at) | StatusUpdate(provider_time=at):
            if at not in (None, step.at) and not stand_in.sends_times:
                yield "provider_time", "its callbacks do not say when something happened"


def moved(scenario: Scenario, provider: ProviderName) -> Scenario:
    """The scenario with all its channels at that provider, their credentials made up. Raises NotSupported."""
    stand_in = STAND_INS[provider]
    channels = tuple(_channel(channel, stand_in, index) for index, channel in enumerate(scenario.channels))
    steps = tuple(_step(scenario, stand_in, index, step) for index, step in enumerate(scenario.steps))
    return scenario.model_copy(update={"channels": channels, "steps": steps})


def _channel(channel: ScenarioChannel, stand_in: StandIn, index: int) -> ScenarioChannel:
    if channel.provider == stand_in.name:
        return channel
    before = STAND_INS[channel.provider]
    if any(_is_longer(text, stand_in, before) for text in _texts(channel.model_dump())):
        raise _too_long(stand_in, f"channels[{index}]")
    none = {name: field.default for name, field in Credentials.model_fields.items()}
    return channel.model_copy(update=none | {"provider": stand_in.name})


def _texts(settings: object) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict | list | tuple):
        for part in settings.values() if isinstance(settings, dict) else settings:
            yield from _texts(part)


def _step(scenario: Scenario, stand_in: StandIn, index: int, step: Step) -> Step:
    action = step.action
    before = [provider for provider in _providers(scenario, action) if provider != stand_in.name]
    if not before:
        return step
    match action:
        case RawCallback():
            raise NotSupported(stand_in.name, f"steps[{index}].callback", f"it is in the words of {before[0]}")
        case CommandStep(text=str(text)) | AiAnswer(answer=text) if _is_longer(text, stand_in, STAND_INS[before[0]]):
            raise _too_long(stand_in, f"steps[{index}].{step.kind}")
        case ProviderAnswer(code=int(code)):
            meant = action.model_copy(update={"code": STAND_INS[before[0]].meaning(code)})
            return step.model_copy(update={"provider": meant})
    return step


def _too_long(stand_in: StandIn, where: str) -> NotSupported:
    return NotSupported(stand_in.name, where, f"its texts have at most {stand_in.max_text} characters")


def _is_longer(text: str, stand_in: StandIn, before: StandIn) -> bool:
    return stand_in.max_text < before.max_text and len(text) > stand_in.max_text


def _providers(scenario: Scenario, action: Action | None) -> Iterator[ProviderName]:
    """The providers of the channels that the action is about."""
    channel = None if isinstance(action, str | tuple) else getattr(action, "channel", None)
    for one in scenario.channels:
        if channel in (None, one.id):
            yield one.provider
