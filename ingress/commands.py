"""What the control listener is asked to do with a conversation: the bodies, and the events they become."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from schemas import channel
from schemas.conversation import Command, Reply, Resolve, Template
from schemas.setting_types import Id, SettingsModel, Text

MAX_PARAMETER = 1024


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class TemplateRequest(channel.Template):
    """The template to send, with the parameters of its body in order."""

    parameters: tuple[Annotated[str, StringConstraints(max_length=MAX_PARAMETER)], ...] = ()


class CommandRequest(SettingsModel):
    """What all commands have. id: of the command, and of the message it sends; by: a human agent."""

    id: Id | None = None
    by: Id


class ReplyRequest(CommandRequest):
    """Send a text or a template."""

    type: Literal["reply"]
    text: Annotated[Text, AfterValidator(_not_blank)] | None = None
    template: TemplateRequest | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.template is None):
            raise ValueError("a reply has either a text or a template")
        return self

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        template = None if self.template is None else Template(**self.template.model_dump())
        return Reply(command_id=command_id, by=self.by, text=self.text, template=template)


class ResolveRequest(CommandRequest):
    """The problem is solved."""

    type: Literal["resolve"]

    def command(self, command_id: str) -> Command:
        """The command for the conversation."""
        return Resolve(command_id=command_id, by=self.by)


COMMAND_REQUEST: TypeAdapter[ReplyRequest | ResolveRequest] = TypeAdapter(
    Annotated[ReplyRequest | ResolveRequest, Field(discriminator="type")]
)
