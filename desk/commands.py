"""What the control API is asked to do with a conversation: the bodies, and the commands they become."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from desk.contents import (
    MAX_WITH_TEXT,
    WITHOUT_TEXT,
    Buttons,
    Cards,
    FileRequest,
    ListRequest,
    LocationRequest,
    MessageId,
    ReactionRequest,
    TemplateRequest,
    not_blank,
)
from schemas.events.content import Outgoing
from schemas.events.conversation import Assignee
from schemas.events.inbox import (
    AddNote,
    Assign,
    Block,
    Command,
    HandOver,
    Label,
    Mute,
    Reopen,
    Reply,
    Resolve,
    Seen,
    Snooze,
    Unblock,
)
from schemas.events.template import Template as MessageTemplate
from schemas.settings.channel import ChannelSettings, Directory
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Flag, Id, Instant, SettingsModel, Text

MAX_LABEL = 64
MAX_LABELS = 50
"""That one command adds, and removes."""


Written = Annotated[Text, AfterValidator(not_blank)]
Labels = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=MAX_LABEL), AfterValidator(not_blank)], ...],
    Field(max_length=MAX_LABELS),
]


class _Request(SettingsModel):
    """What all commands have. id: of the command, and of the message it sends.

    by: the human agent in whose name it is given; left out: the caller's own.
    """

    id: Id | None = None
    by: Id | None = None

    @property
    def sender(self) -> str:
        """Who gives it, once that is known."""
        return self.by or ""


class ReplyRequest(_Request):
    """Send a text, other content with or without one, or a template."""

    type: Literal["reply"]
    text: Written | None = None
    media: FileRequest | None = None
    template: TemplateRequest | None = None
    buttons: Buttons = ()
    list: ListRequest | None = None
    location: LocationRequest | None = None
    contacts: Cards = ()
    reaction: ReactionRequest | None = None
    contact_request: Flag = False
    quotes: MessageId | None = None

    def contradictions(self) -> Iterator[FieldError]:
        """What does not go together."""
        content = self._content()
        kinds = (*(("media",) if self.media else ()), *(kind for kind in content.kinds if kind != "quotes"))
        if (self.text is not None or bool(kinds)) == (self.template is not None):
            yield FieldError("", "a reply has either a text or other content, or a template")
        for second in kinds[1:]:
            yield FieldError(second, f"can't be sent together with {kinds[0]}")
        for kind in kinds[:1]:
            needed = MAX_WITH_TEXT.get(kind)
            if needed is not None and (self.text is None or len(self.text) > needed):
                yield FieldError("text", f"{kind}: needs a text of at most {needed} characters")
            if kind in WITHOUT_TEXT and self.text is not None:
                yield FieldError("text", f"{kind}: has no text")
        if content.quotes is not None and (self.template is not None or content.reaction is not None):
            yield FieldError("quotes", "goes with a text or other content, but with no template and no reaction")

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        template = None if self.template is None else MessageTemplate.model_validate(self.template.model_dump())
        content = self._content()
        held = None if content == _NOTHING else content
        return Reply(command_id=command_id, by=self.sender, text=self.text, template=template, content=held)

    def _content(self) -> Outgoing:
        return Outgoing.model_validate(self.model_dump(include=set(Outgoing.model_fields)))


class NoteRequest(_Request):
    """A note for the agents."""

    type: Literal["note"]
    text: Written

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return AddNote(command_id=command_id, by=self.sender, text=self.text)


class SnoozeRequest(_Request):
    """Put it aside until an instant; without one until the customer writes."""

    type: Literal["snooze"]
    until: Instant | None = None

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return Snooze(command_id=command_id, by=self.sender, until=self.until)


class AssignTo(SettingsModel):
    """Whom to give it to."""

    kind: Literal["human", "team", "ai"]
    id: Id


class AssignRequest(_Request):
    """Give it to a human agent, a team or an AI agent."""

    type: Literal["assign"]
    to: AssignTo

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        to = Assignee(kind=self.to.kind, id=self.to.id)
        return Assign(command_id=command_id, by=self.sender, to=to)


class LabelRequest(_Request):
    """Add and remove labels; one that is in both is removed."""

    type: Literal["label"]
    add: Labels = ()
    remove: Labels = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.add or self.remove):
            raise ValueError("there is no label to add or remove")
        return self

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return Label(command_id=command_id, by=self.sender, add=self.add, remove=self.remove)


_PLAIN: Mapping[str, type[Command]] = {
    "resolve": Resolve,
    "reopen": Reopen,
    "hand_over": HandOver,
    "block": Block,
    "unblock": Unblock,
    "mute": Mute,
    "seen": Seen,
}


class PlainRequest(_Request):
    """The commands that need nothing more."""

    type: Literal["resolve", "reopen", "hand_over", "block", "unblock", "mute", "seen"]

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return _PLAIN[self.type](command_id=command_id, by=self.sender)


_NOTHING = Outgoing()

CommandRequest = ReplyRequest | NoteRequest | SnoozeRequest | AssignRequest | LabelRequest | PlainRequest

COMMAND_REQUEST: TypeAdapter[CommandRequest] = TypeAdapter(Annotated[CommandRequest, Field(discriminator="type")])


def parse_command(body: object) -> CommandRequest:
    """The command in a body, as JSON gives it. Raises InvalidSettings."""
    try:
        asked = COMMAND_REQUEST.validate_python(body)
    except ValidationError as error:
        found = InvalidSettings.from_pydantic(error).errors
        # Pydantic's path starts with the type of the command.
        raise InvalidSettings(tuple(FieldError(item.field.partition(".")[2], item.message) for item in found)) from None
    if isinstance(asked, ReplyRequest) and (wrong := tuple(asked.contradictions())):
        raise InvalidSettings(wrong)
    return asked


def unknown_agents(asked: CommandRequest, settings: ChannelSettings, people: Directory) -> tuple[FieldError, ...]:
    """Whom the command names and nobody knows. people: of the channel's account."""
    return tuple(_unknown_agents(asked, settings, people))


def _unknown_agents(asked: CommandRequest, settings: ChannelSettings, people: Directory) -> Iterator[FieldError]:
    if asked.sender not in people.human_agents:
        yield FieldError("by", "is not a human agent of the account")
    if not isinstance(asked, AssignRequest):
        return
    to = asked.to
    if to.kind == "human" and to.id not in people.human_agents:
        yield FieldError("to.id", "is not a human agent of the account")
    if to.kind == "team" and to.id not in people.teams:
        yield FieldError("to.id", "is not a team of the account: no agent is in it")
    if to.kind == "ai" and all(agent.id != to.id for agent in settings.ai.agents):
        yield FieldError("to.id", "is not an AI agent of the channel")
