"""What a reply may hold, as the control API takes it. The bounds are Meta's, the narrowest (docs, confirmed)."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.events.content import MAX_INTERACTIVE_TEXT, MAX_ITEMS, MAX_TEXT
from schemas.settings.types import SettingsModel, Template

MAX_WITH_TEXT: Mapping[str, int] = {
    "buttons": MAX_INTERACTIVE_TEXT,
    "list": MAX_INTERACTIVE_TEXT,
    "contact_request": MAX_INTERACTIVE_TEXT,
}
"""The contents that have a text beside them, and its most characters."""
WITHOUT_TEXT = frozenset({"location", "contacts", "reaction"})


def not_blank(text: str) -> str:
    """The text. Raises ValueError where it says nothing."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text


_NotBlank = AfterValidator(not_blank)
Label20 = Annotated[str, StringConstraints(max_length=20), _NotBlank]
Label24 = Annotated[str, StringConstraints(max_length=24), _NotBlank]
Said = Annotated[str, StringConstraints(max_length=MAX_TEXT), _NotBlank]
MessageId = Annotated[str, StringConstraints(max_length=256), _NotBlank]
Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]
Filename = Annotated[str, StringConstraints(max_length=240), _NotBlank]


class ButtonRequest(SettingsModel):
    """A reply button."""

    id: Annotated[str, StringConstraints(max_length=256), _NotBlank]
    title: Label20


class RowRequest(SettingsModel):
    """One item of a list."""

    id: Annotated[str, StringConstraints(max_length=200), _NotBlank]
    title: Label24
    description: Annotated[str, StringConstraints(max_length=72), _NotBlank] | None = None


_Items = TypeVar("_Items", tuple[ButtonRequest, ...], tuple[RowRequest, ...])


def _distinct(items: _Items) -> _Items:
    # By their ids the business tells its customer's choice.
    if len({item.id for item in items}) < len(items):
        raise ValueError("an id is there twice")
    return items


Buttons = Annotated[tuple[ButtonRequest, ...], Field(max_length=3), AfterValidator(_distinct)]


class ListRequest(SettingsModel):
    """A list that the customer opens with a button. title: above its rows."""

    button: Label20
    rows: Annotated[tuple[RowRequest, ...], Field(min_length=1, max_length=10), AfterValidator(_distinct)]
    title: Label24 | None = None


class LocationRequest(SettingsModel):
    """A place."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    name: Said | None = None
    address: Said | None = None


class CardRequest(SettingsModel):
    """A contact card."""

    name: Said
    phones: Annotated[tuple[Said, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    emails: Annotated[tuple[Said, ...], Field(max_length=MAX_ITEMS)] = ()
    organization: Said | None = None


Cards = Annotated[tuple[CardRequest, ...], Field(max_length=MAX_ITEMS)]


class ReactionRequest(SettingsModel):
    """A reaction to a customer's message; an empty emoji takes it back."""

    message_id: MessageId
    emoji: Annotated[str, StringConstraints(max_length=32)]


class FileRequest(SettingsModel):
    """A file to send: one that was uploaded or received, or one that the provider fetches from a link."""

    kind: Literal["image", "video", "audio", "voice", "document", "sticker"]
    file: Annotated[str, StringConstraints(max_length=200)] | None = None
    link: Link | None = None
    filename: Filename | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.link is None):
            raise ValueError("is either a file or a link")
        return self


class HeaderFileRequest(FileRequest):
    """The file in a template's header."""

    kind: Literal["image", "video", "document"]


class HeaderRequest(SettingsModel):
    """What fills a template's header: a text, with its parameter's name where the template names them, or a file."""

    text: Said | None = None
    name: Said | None = None
    media: HeaderFileRequest | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.media is None):
            raise ValueError("has either a text or media")
        return self


class TemplateButtonRequest(SettingsModel):
    """What fills a button of a template: the end of its address, or what comes back when it is tapped."""

    index: Annotated[int, Field(ge=0, le=9)]
    kind: Literal["url", "quick_reply"]
    text: Said


class TemplateRequest(Template):
    """The template to send, its body filled in order or by name."""

    parameters: tuple[Said, ...] = ()
    named: dict[Said, Said] = {}
    header: HeaderRequest | None = None
    buttons: Annotated[tuple[TemplateButtonRequest, ...], Field(max_length=10)] = ()
    category: Literal["marketing", "utility", "authentication"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.parameters and self.named:
            raise ValueError("its body is filled by parameters or by named, not by both")
        return self
