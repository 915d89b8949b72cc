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
    SettingsChange,
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
        case Inbound(lost=True) if not stand_in.lists_messages:
            yield "lost", "what customers wrote can't be looked up"
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
    _check_length(channel.model_dump(), STAND_INS[channel.provider], stand_in, f"channels[{index}]")
    none = {name: field.default for name, field in Credentials.model_fields.items()}
    return channel.model_copy(update=none | {"provider": stand_in.name})


def _step(scenario: Scenario, stand_in: StandIn, index: int, step: Step) -> Step:
    action, where = step.action, f"steps[{index}].{step.kind}"
    others = [STAND_INS[name] for name in _providers(scenario, action) if name != stand_in.name]
    if not others:
        return step
    before = others[0]
    match action:
        case RawCallback():
            raise NotSupported(stand_in.name, where, f"it is in the words of {before.name}")
        case CommandStep(text=said) | AiAnswer(answer=said) | SettingsChange(change=said):
            _check_length(said, before, stand_in, where)
        case ProviderAnswer(answer="timeout") if stand_in.lists_messages != before.lists_messages:
            lists = "is looked up: no outcome stays unknown" if stand_in.lists_messages else "can't be looked up"
            raise NotSupported(stand_in.name, where, f"what it took {lists}")
        case ProviderAnswer(code=int(code)):
            return step.model_copy(update={"provider": action.model_copy(update={"code": before.meaning(code)})})
    return step


def _check_length(said: object, before: StandIn, stand_in: StandIn, where: str) -> None:
    """Raises NotSupported: a text is too long for the provider, but was not for the one before."""
    if before.max_text > stand_in.max_text and any(len(text) > stand_in.max_text for text in _texts(said)):
        raise NotSupported(stand_in.name, where, f"its texts have at most {stand_in.max_text} characters")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _providers(scenario: Scenario, action: Action | None) -> Iterator[ProviderName]:
    """The providers of the channels that the action is about."""
    channel = None if isinstance(action, str | tuple) else getattr(action, "channel", None)
    for one in scenario.channels:
        if channel in (None, one.id):
            yield one.provider
