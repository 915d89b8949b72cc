"""Message templates, and the one file that a message which is sent may have."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.events.content import Attachment, Outgoing


class TemplateHeader(BaseModel):
    """What fills a template's header: a text, or a file. name: the text's parameter, where the template names them."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    name: str | None = None
    media: Attachment | None = None


class TemplateButton(BaseModel):
    """What fills a button of a template. index: its place among the buttons, from 0.

    text: the end of a url button's address; what comes back when the customer taps a quick reply.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    kind: Literal["url", "quick_reply"]
    text: str


class Template(BaseModel):
    """An approved message template, by name and language.

    parameters fill its body in order, named by their names: one or the other, as the template has it. category: where
    whoever sends it knows it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    language: str
    parameters: tuple[str, ...] = ()
    named: dict[str, str] = {}
    header: TemplateHeader | None = None
    buttons: tuple[TemplateButton, ...] = ()
    category: Literal["marketing", "utility", "authentication"] | None = None


def file_of(content: Outgoing | None, template: Template | None) -> Attachment | None:
    """The one file of a message that is sent: its content's, or the one in its template's header."""
    if content is not None:
        return content.media
    return None if template is None or template.header is None else template.header.media


def with_file(
    content: Outgoing | None, template: Template | None, file: Attachment
) -> tuple[Outgoing | None, Template | None]:
    """The same, with that file in the place of theirs."""
    if content is not None:
        return content.model_copy(update={"media": file}), template
    if template is None or template.header is None:
        return content, template
    header = template.header.model_copy(update={"media": file})
    return content, template.model_copy(update={"header": header})
