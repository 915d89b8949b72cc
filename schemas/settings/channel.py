"""A channel's settings: what they are, how they are changed, checked and stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal, Self, cast

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError

from schemas.contact import canonical_number
from schemas.settings.ai import AiAgentSettings, GptAgent, HttpAgent, agent_from_stored, agent_to_stored
from schemas.settings.business_hours import BusinessHours
from schemas.settings.credentials import (
    ENCRYPTED,
    Credentials,
    credential_errors,
    decrypt_credentials,
    encrypt_credentials,
)
from schemas.settings.duration import Duration, PositiveDuration
from schemas.settings.errors import FieldError, InvalidSettings, repeated_ids
from schemas.settings.network import Network
from schemas.settings.phone import InvalidPhoneNumber, digits
from schemas.settings.routing import RoutingRule
from schemas.settings.types import Count, Flag, Id, NameOrId, PositiveCount, SettingsModel, Template, Text, merged

DEFAULT_ACCOUNT = "main"


class Greeting(SettingsModel):
    """Sent once, on the first customer message. Placeholders ({contact.name}) are filled in; empty sends nothing.

    template: goes in the text's place where the 24-hour window is closed.
    """

    enabled: Flag = False
    text: Text = ""
    template: Template | None = None


class LabelFilter(SettingsModel):
    """Only conversations with one of the labels, or all except those. None listed: no filter."""

    mode: Literal["only", "except"] = "only"
    labels: tuple[str, ...] = ()


class CommentRequest(SettingsModel):
    """After a rating of at most `up_to` asks why; the customer's next message within `window` is the comment."""

    ask: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1)]
    up_to: Annotated[PositiveCount, Field(le=5)] = 3
    window: PositiveDuration = timedelta(minutes=15)


class Csat(SettingsModel):
    """The survey at resolution: text inside the 24-hour window, template outside it.

    credit: whose rating it is: who resolved the conversation, or the human agent who held it then.
    """

    enabled: Flag = False
    repeat: Literal["per_resolution", "per_conversation"] = "per_resolution"
    on_auto_resolve: Flag = True
    labels: LabelFilter = LabelFilter()
    text: Text = ""
    template: Template | None = None
    answer_window_days: Annotated[PositiveCount, Field(le=365)] = 14
    credit: Literal["resolver", "holder"] = "resolver"
    comment: CommentRequest | None = None


class FairWindow(SettingsModel):
    """At most `limit` assignments to an agent in any `window`."""

    limit: PositiveCount
    window: PositiveDuration


class Requeue(SettingsModel):
    """When an Open conversation that was assigned automatically goes to another agent; None: never.

    offline_after: its agent has been offline for so long. unanswered_after: its customer has waited for so long.
    """

    offline_after: PositiveDuration | None = None
    unanswered_after: PositiveDuration | None = None


class Assignment(SettingsModel):
    """Rules in order, then how human agents are chosen. workload_default: open conversations, None: no limit."""

    rules: tuple[RoutingRule, ...] = ()
    strategy: Literal["workload", "sequential"] = "workload"
    workload_default: Count | None = None
    fair_window: FairWindow | None = None
    requeue: Requeue = Requeue()


class AiAgent(SettingsModel):
    """An AI agent of the channel, of the account's by that id. enabled: it takes new conversations."""

    id: Id
    name: NameOrId = ""
    enabled: Flag = True


class Ai(SettingsModel):
    """The first agent that is switched on answers new conversations, where it is enabled and there is one."""

    enabled: Flag = False
    agents: tuple[AiAgent, ...] = ()


class ConversationSettings(SettingsModel):
    """How conversations end. single_conversation: a customer's next message reopens the last one.

    auto_resolve_while_waiting: also while the customer waits for an answer. read_receipts: the customer is shown that
    an agent opened the conversation or answers, and that the AI agent writes.
    """

    single_conversation: Flag = False
    auto_resolve_after: PositiveDuration | None = None
    auto_resolve_while_waiting: Flag = True
    goodbye_message: Text = ""
    close_after: Duration = timedelta(hours=24)
    read_receipts: Flag = False


def _phone_number(text: str) -> str:
    try:
        return "+" + digits(text)
    except InvalidPhoneNumber as exc:
        raise ValueError(f"is not a phone number with its country code, such as +34600000001: {exc}") from None


class ChannelForm(Credentials):
    """What people set of a channel. allowed_addresses: networks that callbacks may come from; none: all."""

    id: Id
    name: NameOrId = ""
    account: Id = DEFAULT_ACCOUNT
    phone_number: Annotated[str, AfterValidator(_phone_number)]
    business_account_id: str | None = None
    allowed_addresses: tuple[Network, ...] = ()
    human_agents: tuple[Id, ...] = ()
    greeting: Greeting = Greeting()
    csat: Csat = Csat()
    assignment: Assignment = Assignment()
    ai: Ai = Ai()
    business_hours: BusinessHours = BusinessHours()
    conversation: ConversationSettings = ConversationSettings()


class ChannelSettings(ChannelForm):
    """One revision of a channel's settings. The webhook token is not among them.

    Its credentials' secrets are in no dump and no repr, its AI agents in no dump; to_stored alone carries them, with
    secrets encrypted.
    state: disabled: callbacks are not found and commands are refused; deleted: so for good, and its number is free.
    webhook_rotation: how often the webhook address was replaced; webhook_previous: the one before counts, too.
    ai_agents: those of the account that the channel lists, as they were when the revision was saved: when one changes,
    the channel gets a new revision. One that is listed and not among them is asked at LIVEDESK_AI_URL.
    webhook_kept: tokens of keys that are gone, by their rotations: `{rotation}:{token}`, with blanks between.
    """

    revision: PositiveCount = 1
    state: Literal["active", "disabled", "deleted"] = "active"
    webhook_rotation: Count = 0
    webhook_previous: Flag = False
    ai_agents: tuple[AiAgentSettings, ...] = Field(default=(), exclude=True)
    webhook_kept: SecretStr | None = Field(default=None, exclude=True, repr=False)

    def ai_agent(self, id: str) -> GptAgent | HttpAgent | None:
        """The settings of an AI agent of the account that the channel lists."""
        return next((agent for agent in self.ai_agents if agent.id == id), None)

    def with_agents_of(self, account: Iterable[GptAgent | HttpAgent]) -> Self:
        """The same, with those of the account's AI agents that it lists, as they are now."""
        known = {agent.id: agent for agent in account}
        listed = tuple(known[agent.id] for agent in self.ai.agents if agent.id in known)
        return self.model_copy(update={"ai_agents": listed})

    @property
    def kept_tokens(self) -> tuple[str, ...]:
        """Those of webhook_kept that count."""
        oldest = self.webhook_rotation - (1 if self.webhook_previous else 0)
        kept = "" if self.webhook_kept is None else self.webhook_kept.get_secret_value()
        pairs = (pair.partition(":") for pair in kept.split())
        return tuple(token for rotation, _, token in pairs if int(rotation) >= oldest)


MANAGED: Final = ("revision", "state", "webhook_rotation", "webhook_previous", "webhook_kept", "ai_agents")
"""Fields that have a way of their own to be changed."""
SEALED: Final = (*ENCRYPTED, "webhook_kept")
"""Fields that are stored encrypted."""


@dataclass(frozen=True)
class Directory:
    """Who an account has, by id."""

    human_agents: frozenset[str]
    teams: frozenset[str]


def parse_channel(data: object) -> ChannelSettings:
    """Read settings from plain data, as JSON or YAML give it. Raises InvalidSettings."""
    settings = _validated(data)
    check_channel(settings)
    return settings


def apply_change(settings: ChannelSettings, change: Mapping[str, object]) -> ChannelSettings:
    """The next revision: objects of the change are merged, lists and single values replaced. Raises InvalidSettings."""
    current = _data(settings)
    fixed = tuple(
        FieldError(key, "can't be changed")
        for key in ("id", "account", "provider", *MANAGED)
        if key in change and change[key] != current[key]
    )
    if fixed:
        raise InvalidSettings(fixed)
    return parse_channel(merged(current, change) | {"revision": settings.revision + 1})


def check_channel(
    settings: ChannelSettings, directory: Directory | None = None, before: ChannelSettings | None = None
) -> None:
    """Refuse settings that contradict each other or point at nobody. Raises InvalidSettings.

    directory: whom the account has; left out, human agents and teams are taken to exist. before: the revision that
    is being changed: whom it names may have been deleted since, which must not stand in the way of another change.
    """
    errors = channel_errors(settings, directory, before)
    if errors:
        raise InvalidSettings(errors)


def channel_errors(
    settings: ChannelSettings, directory: Directory | None = None, before: ChannelSettings | None = None
) -> tuple[FieldError, ...]:
    """What check_channel would refuse."""
    return (*_contradictions(settings), *_repetitions(settings), *_dangling(settings, directory, before))


def taken_number(settings: ChannelSettings, others: Iterable[ChannelSettings]) -> Iterator[FieldError]:
    """An error if another channel has the phone number already, in whatever spelling, or the provider's id of it."""
    number = canonical_number(settings.phone_number)
    for other in others:
        if other.id == settings.id or other.state == "deleted":
            continue
        whose = f"channel {other.id!r}" if other.account == settings.account else "a channel of another account"
        says = f"{whose} has it already: a number belongs to one channel"
        if canonical_number(other.phone_number) == number:
            yield FieldError("phone_number", says)
            return
        if settings.phone_number_id is not None and settings.phone_number_id == other.phone_number_id:
            yield FieldError("phone_number_id", says)
            return


def to_stored(settings: ChannelSettings, encrypt: Callable[[str], str]) -> dict[str, object]:
    """Plain JSON data for the `channels` topic; credentials are encrypted text."""
    kept = settings.webhook_kept
    agents = [agent_to_stored(agent, encrypt) for agent in settings.ai_agents]
    stored = {**settings.model_dump(mode="json"), **encrypt_credentials(settings, encrypt), "ai_agents": agents}
    return stored if kept is None else {**stored, "webhook_kept": encrypt(kept.get_secret_value())}


def from_stored(data: Mapping[str, object], decrypt: Callable[[str], str]) -> ChannelSettings:
    """The inverse of to_stored. Raises InvalidSettings, and whatever decrypt raises."""
    kept = {"webhook_kept": decrypt(str(data["webhook_kept"]))} if data.get("webhook_kept") else {}
    stored = cast("list[dict[str, object]]", data.get("ai_agents", []))
    agents = [agent_from_stored(agent, decrypt) for agent in stored]
    return _validated({**data, **decrypt_credentials(data, decrypt), **kept, "ai_agents": agents})


def _validated(data: object) -> ChannelSettings:
    try:
        return ChannelSettings.model_validate(data)
    except ValidationError as exc:
        raise InvalidSettings.from_pydantic(exc) from None


def _data(settings: ChannelSettings) -> dict[str, object]:
    return {**settings.model_dump(), **{name: getattr(settings, name) for name in (*SEALED, "ai_agents")}}


def _contradictions(settings: ChannelSettings) -> Iterator[FieldError]:
    csat = settings.csat
    if csat.enabled and not csat.text.strip() and csat.template is None:
        yield FieldError("csat.text", "the survey is enabled, but there is neither a text nor a template to send")
    yield from credential_errors(settings)


def _repetitions(settings: ChannelSettings) -> Iterator[FieldError]:
    yield from repeated_ids("human_agents[{}]", settings.human_agents)
    yield from repeated_ids("ai.agents[{}].id", tuple(agent.id for agent in settings.ai.agents))


def _references(settings: ChannelSettings) -> Iterator[tuple[str, str, str]]:
    for index, agent in enumerate(settings.human_agents):
        yield f"human_agents[{index}]", "human", agent
    for index, rule in enumerate(settings.assignment.rules):
        yield f"assignment.rules[{index}].to.id", rule.to.kind, rule.to.id


def _dangling(
    settings: ChannelSettings, directory: Directory | None, before: ChannelSettings | None
) -> Iterator[FieldError]:
    known = {("ai", agent.id) for agent in settings.ai.agents}
    if before is not None:
        known |= {(kind, id_) for _, kind, id_ in _references(before) if kind != "ai"}
    if directory is not None:
        known |= {("human", id_) for id_ in directory.human_agents} | {("team", id_) for id_ in directory.teams}
    title = {"human": "human agent", "team": "team", "ai": "AI agent"}
    for field, kind, id_ in _references(settings):
        if (kind == "ai" or directory is not None) and (kind, id_) not in known:
            yield FieldError(field, f"points at nobody: there is no {title[kind]} {id_!r}")
