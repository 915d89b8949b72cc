"""What a scenario's steps say: one model for each kind of step."""

import base64
import binascii
from typing import Annotated, Literal, Self, TypeAlias, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    model_validator,
)

from schemas.contact import InvalidContact, contact_id
from schemas.effects import MAX_ANSWER
from schemas.events.people import PresenceState
from schemas.settings.types import Flag, Id, Instant, SettingsModel
from simulation.sandbox.accounts import Answer, Behaviour
from simulation.sandbox.contract import Refusal, StandIn
from simulation.sandbox.gpt.script import GptScript, ToolScript

_T = TypeVar("_T")


def _contact(text: str) -> str:
    try:
        return contact_id(text)
    except InvalidContact as error:
        raise ValueError(f"is neither a phone number with its country code nor a user id: {error}") from None


def _spelled(text: str) -> str:
    _contact(text)
    return text


def not_blank(text: str) -> str:
    """Refuses a text of blanks: nobody can send it."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def not_empty(items: tuple[_T, ...]) -> tuple[_T, ...]:
    """Refuses an empty list. Unlike min_length, says nothing where an item is wrong."""
    if not items:
        raise ValueError("must not be empty")
    return items


Contact = Annotated[str, AfterValidator(_contact)]
Spelled = Annotated[str, AfterValidator(_spelled)]
"""A contact as the provider spells it."""
MessageId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SentMessage(SettingsModel):
    """The nth message of a kind that was sent to a contact; without nth the last."""

    contact: Contact
    kind: Literal["greeting", "unavailable", "survey", "comment", "reply", "ai", "goodbye"]
    nth: Annotated[int, Field(ge=1)] | None = None
    channel: Id | None = None


def _form_of_reference(value: object) -> str:
    return "id" if isinstance(value, str) else "sent"


MessageRef = Annotated[
    Annotated[MessageId, Tag("id")] | Annotated[SentMessage, Tag("sent")], Discriminator(_form_of_reference)
]


class Inbound(SettingsModel):
    """A customer's message. provider_time: the customer's time; left out, when it arrives.

    user_id: the provider's id of the user, beside the number. new_contact: of type system: the customer's new number.
    lost: the provider has the message, and its callback never comes.
    """

    id: MessageId
    contact: Spelled
    channel: Id | None = None
    user_id: Contact | None = None
    name: str | None = None
    type: str = "text"
    text: str | None = None
    link: str | None = None
    filename: str | None = None
    new_contact: Contact | None = None
    lost: Flag = False
    provider_time: Instant | None = None
    quotes: MessageRef | None = None


class StatusUpdate(SettingsModel):
    """The provider's receipt for a message of ours. contact: of a message that the pipeline doesn't know."""

    message: MessageRef
    status: str
    contact: Contact | None = None
    channel: Id | None = None
    error_code: int = 0
    error_message: str = ""
    provider_time: Instant | None = None


class BatchEntry(SettingsModel):
    """One row of a callback."""

    inbound: Inbound | None = None
    status: StatusUpdate | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.inbound is None) == (self.status is None):
            raise ValueError("must be one of inbound and status")
        return self

    @property
    def row(self) -> Inbound | StatusUpdate:
        """What the row is."""
        row = self.inbound or self.status
        if row is None:
            raise ValueError("neither inbound nor status")
        return row


class RawCallback(SettingsModel):
    """Any body: as JSON, as text or in base64. path: below the channel's webhook address, with a query."""

    channel: Id | None = None
    path: str = ""
    body: JsonValue = None
    body_text: str | None = None
    body_base64: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set - {"channel", "path"}) != 1:
            raise ValueError("must have one of body, body_text and body_base64")
        try:
            base64.b64decode(self.body_base64 or "", validate=True)
        except binascii.Error:
            raise ValueError("body_base64 is not base64") from None
        return self

    @property
    def content(self) -> bytes:
        """The bytes."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        return orjson.dumps(self.body) if self.body_text is None else self.body_text.encode()


class ChosenTemplate(SettingsModel):
    """The template that a reply sends."""

    name: str
    language: str
    parameters: tuple[str, ...] = ()


class AssignTo(SettingsModel):
    """Whom a person assigns to."""

    kind: Literal["human", "team", "ai"]
    id: Id


CommandType = Literal[
    "reply",
    "note",
    "resolve",
    "reopen",
    "snooze",
    "assign",
    "hand_over",
    "label",
    "block",
    "unblock",
    "mute",
    "seen",
]
_FIELDS_OF_COMMANDS: dict[str, frozenset[str]] = {
    "reply": frozenset({"text", "template"}),
    "note": frozenset({"text"}),
    "snooze": frozenset({"until"}),
    "assign": frozenset({"to"}),
    "label": frozenset({"add", "remove"}),
}
_FIELDS_OF_ALL = frozenset({"type", "contact", "by", "channel", "id"})


class CommandStep(SettingsModel):
    """What a person asks of the contact's latest conversation. id: of a reply, also its message's."""

    type: CommandType
    contact: Contact
    by: str
    channel: Id | None = None
    id: MessageId | None = None
    text: str | None = None
    template: ChosenTemplate | None = None
    until: Instant | None = None
    to: AssignTo | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _only_its_own(self) -> Self:
        own = _FIELDS_OF_COMMANDS.get(self.type, frozenset())
        strange = sorted(self.model_fields_set - own - _FIELDS_OF_ALL)
        if strange:
            raise ValueError(f"{self.type} has no {', '.join(strange)}")
        return self

    @property
    def body(self) -> dict[str, JsonValue]:
        """What is posted to the control API, but for the id."""
        data = self.model_dump(exclude={"contact", "channel", "id"}, exclude_unset=True)
        # Not mode="json": pydantic (2.14) can't write an Instant as JSON without a warning.
        body: dict[str, JsonValue] = orjson.loads(orjson.dumps(data))
        return body


class Presence(SettingsModel):
    """An agent comes, goes, or leaves for good.

    source: of the state; one that a desk's heartbeat sent holds for 90 s. member: of the channel; without a channel, of
    every one.
    """

    agent: Id
    channel: Id | None = None
    state: PresenceState | None = None
    source: Literal["person", "heartbeat"] = "person"
    member: Flag | None = None
    deleted: Flag = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.state is not None) + (self.member is not None) + self.deleted != 1:
            raise ValueError("must have one of state, member and deleted")
        if self.channel is not None and self.member is None:
            raise ValueError("presence and deletion are the account's: leave the channel out")
        return self


class SettingsChange(BaseModel):
    """A partial change of a channel's settings: everything but `channel`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    channel: Id | None = None

    @property
    def change(self) -> dict[str, object]:
        """The settings that change."""
        return dict(self.model_extra or {})


class ProviderAnswer(SettingsModel):
    """How the provider answers the next sends of a channel, or of all. times: for so many; None: from now on.

    code: of a refusal: the provider's own, or what it means; left out, the recipient can't be reached.
    """

    answer: Answer
    code: int | Refusal | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    channel: Id | None = None

    @model_validator(mode="after")
    def _code_of_a_refusal(self) -> Self:
        if self.answer != "refuse" and self.code is not None:
            raise ValueError("only a refusal has a code")
        return self

    def behaviour(self, stand_in: StandIn) -> Behaviour:
        """The behaviour that the provider's stand-in is given. Raises LookupError: it has no such code."""
        code = "recipient" if self.answer == "refuse" and self.code is None else self.code
        if isinstance(code, str):
            code = stand_in.codes[code][0]
        return Behaviour(answer=self.answer, code=code, times=self.times)


class AiAnswer(SettingsModel):
    """How the AI agents answer from now on: a text, or `error`, or `handoff`."""

    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER), AfterValidator(not_blank)]


class Probe(SettingsModel):
    """Asks whether a channel is open."""

    channel: Id | None = None


Action: TypeAlias = (
    Inbound
    | StatusUpdate
    | tuple[BatchEntry, ...]
    | str
    | RawCallback
    | CommandStep
    | Presence
    | SettingsChange
    | ProviderAnswer
    | AiAnswer
    | GptScript
    | ToolScript
    | Probe
)
"""What happens in a step; a text: the id of the message whose callback comes again."""


class Step(SettingsModel):
    """Something that happens, or only the time that passes. concurrent: together with the step before."""

    at: Instant
    concurrent: Flag = False
    inbound: Inbound | None = None
    status: StatusUpdate | None = None
    batch: Annotated[tuple[BatchEntry, ...], AfterValidator(not_empty)] | None = None
    redeliver: MessageId | None = None
    callback: RawCallback | None = None
    command: CommandStep | None = None
    presence: Presence | None = None
    settings: SettingsChange | None = None
    provider: ProviderAnswer | None = None
    ai: AiAnswer | None = None
    gpt: GptScript | None = None
    tool: ToolScript | None = None
    probe: Probe | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = sorted(self.model_fields_set - {"at", "concurrent"})
        if len(given) > 1:
            raise ValueError(f"must be one thing, not {' and '.join(given)}")
        return self

    @property
    def kind(self) -> str | None:
        """The name of what happens."""
        return next(iter(self.model_fields_set - {"at", "concurrent"}), None)

    @property
    def action(self) -> Action | None:
        """What happens; None: time passes."""
        action: Action | None = None if self.kind is None else getattr(self, self.kind)
        return action
