"""The human and AI agents and the channels that an installation starts with (`livedesk up --channels FILE`)."""

from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator, ValidationError

from schemas.events.people import PresenceState
from schemas.settings.ai import AiAgentSettings, without_kind
from schemas.settings.channel import DEFAULT_ACCOUNT, ChannelSettings, Directory, channel_errors, taken_number
from schemas.settings.errors import FieldError, InvalidSettings, repeated_ids
from schemas.settings.types import Id, NameOrId, SettingsModel

BESIDE: Final = "is a list of its own, beside the channels"


def _limit(value: object) -> object:
    if value is None or value == "default" or (type(value) is int and value >= 0):
        return value
    raise ValueError("must be a whole number of at least 0, null (no limit) or left out (the channel's default)")


Workload = Annotated[
    int | Literal["default"] | None,
    PlainValidator(_limit, json_schema_input_type=Annotated[int, Field(ge=0)] | None | Literal["default"]),
]


class Agent(SettingsModel):
    """A human agent of an account.

    workload: open conversations at most; None: no limit; "default", as when left out: the channel's workload_default.
    """

    id: Id
    name: NameOrId = ""
    workload: Workload = "default"
    teams: tuple[Id, ...] = ()


class HumanAgent(Agent):
    """A human agent in the file. state: until somebody changes it; of an agent that is known already it is ignored."""

    state: PresenceState = "offline"

    @property
    def as_agent(self) -> Agent:
        """What is kept of them for good."""
        return Agent(**self.model_dump(exclude={"state"}))


class ChannelsFile(SettingsModel):
    """The file's content: the `agents`, `ai_agents` and `channels` of a scenario.

    The agents, human and AI, belong to each account that the channels name.
    """

    agents: tuple[HumanAgent, ...] = ()
    ai_agents: tuple[AiAgentSettings, ...] = ()
    channels: tuple[ChannelSettings, ...] = ()

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that the channels belong to; without channels, the default one."""
        return tuple(sorted({channel.account for channel in self.channels})) or (DEFAULT_ACCOUNT,)

    @property
    def directory(self) -> Directory:
        """Whom the channels may name: the agents, and the teams that have a member."""
        return Directory(
            human_agents=frozenset(agent.id for agent in self.agents),
            teams=frozenset(team for agent in self.agents for team in agent.teams),
        )


def parse_channels_file(data: object) -> ChannelsFile:
    """Read the file's content from plain data, as YAML or JSON give it. Raises InvalidSettings."""
    try:
        file = ChannelsFile.model_validate(data)
    except ValidationError as exc:
        errors = list(InvalidSettings.from_pydantic(exc).errors)
        raise InvalidSettings(tuple(FieldError(without_kind(one.field), one.message) for one in errors)) from None
    errors = [*repeated_ids("agents[{}].id", tuple(agent.id for agent in file.agents))]
    errors += repeated_ids("ai_agents[{}].id", tuple(agent.id for agent in file.ai_agents))
    errors += repeated_ids("channels[{}].id", tuple(channel.id for channel in file.channels))
    for index, channel in enumerate(file.channels):
        if channel.ai_agents:
            errors.append(FieldError(f"channels[{index}].ai_agents", BESIDE))
        errors += (
            FieldError(f"channels[{index}].{error.field}", error.message)
            for error in (*channel_errors(channel, file.directory), *taken_number(channel, file.channels[:index]))
        )
    if errors:
        raise InvalidSettings(tuple(errors))
    channels = tuple(channel.with_agents_of(file.ai_agents) for channel in file.channels)
    return file.model_copy(update={"channels": channels})
