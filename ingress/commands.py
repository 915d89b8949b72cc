"""What the control listener is asked to do with a conversation: the bodies, and the commands they become."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from schemas.events.content import Attachment, Outgoing
from schemas.events.conversation import Assignee
from schemas.events.conversation import Template as MessageTemplate
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
    Snooze,
    Unblock,
)
from schemas.settings import channel
from schemas.settings.channel import ChannelSettings, Directory
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Id, Instant, SettingsModel, Text

MAX_PARAMETER = 1024
MAX_LABEL = 64
MAX_LINK = 2048
MAX_FILENAME = 240
MAX_LABELS = 50
"""That one command adds, and removes."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Written = Annotated[Text, AfterValidator(_not_blank)]
Labels = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=MAX_LABEL), AfterValidator(_not_blank)], ...],
    Field(max_length=MAX_LABELS),
]


class _Request(SettingsModel):
    """What all commands have. id: of the command, and of the message it sends; by: a human agent."""

    id: Id | None = None
    by: Id


class TemplateRequest(channel.Template):
    """The template to send, with the parameters of its body in order."""

    parameters: tuple[Annotated[str, StringConstraints(max_length=MAX_PARAMETER)], ...] = ()


class FileRequest(SettingsModel):
    """A file to send: one that was uploaded or received, or one that the provider fetches from a link."""

    kind: Literal["image", "video", "audio", "voice", "document", "sticker"]
    file: Annotated[str, StringConstraints(max_length=200)] | None = None
    link: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=MAX_LINK)] | None = None
    filename: Annotated[str, StringConstraints(min_length=1, max_length=MAX_FILENAME)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.link is None):
            raise ValueError("is either a file or a link")
        return self

    @property
    def attachment(self) -> Attachment:
        """What is sent, but for what the store knows of the file."""
        return Attachment(kind=self.kind, file=self.file, link=self.link, filename=self.filename)


class ReplyRequest(_Request):
    """Send a text, a file with or without one, or a template."""

    type: Literal["reply"]
    text: Written | None = None
    media: FileRequest | None = None
    template: TemplateRequest | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None and self.media is None) == (self.template is None):
            raise ValueError("a reply has either a text or a file, or a template")
        return self

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        template = None if self.template is None else MessageTemplate(**self.template.model_dump())
        content = None if self.media is None else Outgoing(media=self.media.attachment)
        return Reply(command_id=command_id, by=self.by, text=self.text, template=template, content=content)


class NoteRequest(_Request):
    """A note for the agents."""

    type: Literal["note"]
    text: Written

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return AddNote(command_id=command_id, by=self.by, text=self.text)


class SnoozeRequest(_Request):
    """Put it aside until an instant; without one until the customer writes."""

    type: Literal["snooze"]
    until: Instant | None = None

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return Snooze(command_id=command_id, by=self.by, until=self.until)


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
        return Assign(command_id=command_id, by=self.by, to=to)


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
        return Label(command_id=command_id, by=self.by, add=self.add, remove=self.remove)


_PLAIN: Mapping[str, type[Command]] = {
    "resolve": Resolve,
    "reopen": Reopen,
    "hand_over": HandOver,
    "block": Block,
    "unblock": Unblock,
    "mute": Mute,
}


class PlainRequest(_Request):
    """The commands that need nothing more."""

    type: Literal["resolve", "reopen", "hand_over", "block", "unblock", "mute"]

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return _PLAIN[self.type](command_id=command_id, by=self.by)


CommandRequest = ReplyRequest | NoteRequest | SnoozeRequest | AssignRequest | LabelRequest | PlainRequest

COMMAND_REQUEST: TypeAdapter[CommandRequest] = TypeAdapter(Annotated[CommandRequest, Field(discriminator="type")])


def parse_command(body: object) -> CommandRequest:
    """The command in a body, as JSON gives it. Raises InvalidSettings."""
    try:
        return COMMAND_REQUEST.validate_python(body)
    except ValidationError as error:
        found = InvalidSettings.from_pydantic(error).errors
        # Pydantic's path starts with the type of the command.
        raise InvalidSettings(tuple(FieldError(item.field.partition(".")[2], item.message) for item in found)) from None


def unknown_agents(asked: CommandRequest, settings: ChannelSettings, people: Directory) -> tuple[FieldError, ...]:
    """Whom the command names and nobody knows. people: of the channel's account."""
    return tuple(_unknown_agents(asked, settings, people))


def _unknown_agents(asked: CommandRequest, settings: ChannelSettings, people: Directory) -> Iterator[FieldError]:
    if asked.by not in people.human_agents:
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
