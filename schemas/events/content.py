"""What a message or notice holds beside its text: typed, and bounded by whoever reads a callback or a command.

A part that does not apply is left out. Texts, names and numbers are a customer's: they reach no log.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

MAX_ITEMS = 50
"""Cards, numbers of a card, goods of an order."""
MAX_TEXT = 1_024
"""Characters of each text in a content, but for an edited message's."""
MAX_ANSWERS = 4_096
"""Bytes of a form's answers as JSON."""
MAX_INTERACTIVE_TEXT = 1_024
"""Characters of what buttons, a list or a request for the number say (Meta docs, confirmed for buttons)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Location(_Part):
    """A place that the customer shared. latitude, longitude: degrees."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    url: str | None = None


class ContactCard(_Part):
    """A contact card that the customer shared."""

    name: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    organization: str | None = None


class Reaction(_Part):
    """A reaction to a message. emoji: None: it was taken back."""

    emoji: str | None = None
    removed: bool = False


class Choice(_Part):
    """The button or list item that the customer chose. id: what the business gave it, a button's payload too."""

    id: str | None = None
    title: str | None = None
    description: str | None = None


class Form(_Part):
    """A form that the customer filled in. answers: by field; None where they can't be read or are too many."""

    name: str | None = None
    body: str | None = None
    answers: dict[str, JsonValue] | None = None


class OrderItem(_Part):
    """Goods of an order. price: of one, in the currency's main unit."""

    product: str | None = None
    quantity: float | None = None
    price: float | None = None
    currency: str | None = None


class Order(_Part):
    """An order from the catalog. more_items: how many are left out here."""

    catalog: str | None = None
    note: str | None = None
    items: tuple[OrderItem, ...] = ()
    more_items: int = 0


class Referral(_Part):
    """The ad or post that led the customer here. click_id: of the click, for attribution."""

    source_type: str | None = None
    source_id: str | None = None
    source_url: str | None = None
    headline: str | None = None
    body: str | None = None
    media_type: str | None = None
    click_id: str | None = None


class Edit(_Part):
    """A message's new text; the thread keeps the old one. text: None: the new message has none."""

    kind: str | None = None
    text: str | None = None


class SystemNotice(_Part):
    """What WhatsApp says of a customer. new_contact: the new number or user id, as the provider writes it."""

    type: str | None = None
    body: str | None = None
    new_contact: str | None = None


class Content(_Part):
    """Everything of a message or notice that is neither its text nor its file.

    caption: of a file; it is the message's text too. quotes: the quoted message's id. more_contacts: cards left out.
    """

    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    more_contacts: int = 0
    reaction: Reaction | None = None
    choice: Choice | None = None
    form: Form | None = None
    order: Order | None = None
    referral: Referral | None = None
    edit: Edit | None = None
    system: SystemNotice | None = None
    caption: str | None = None
    quotes: str | None = None
    forwarded: bool = False


class Attachment(_Part):
    """A file that is sent: kept in the media store under `file`, or fetched by the provider from `link`.

    kind: how the customer sees it; a voice note is Ogg with Opus. mime_type, size (bytes): of the stored file, from its
    bytes. filename: what the customer sees of a document. animated: of a stored sticker: whether it moves.
    """

    kind: Literal["image", "video", "audio", "voice", "document", "sticker"]
    file: str | None = None
    link: str | None = None
    mime_type: str | None = None
    size: int | None = None
    filename: str | None = None
    animated: bool = False


class Button(_Part):
    """A reply button. id: what comes back when the customer taps it."""

    id: str
    title: str


class ListRow(_Part):
    """One item of a list. id: what comes back when the customer chooses it."""

    id: str
    title: str
    description: str | None = None


class ListMenu(_Part):
    """A list that the customer opens with a button. title: above its rows."""

    button: str
    rows: tuple[ListRow, ...]
    title: str | None = None


class SentReaction(_Part):
    """A reaction of ours to a customer's message. emoji: empty: it is taken back."""

    message_id: str
    emoji: str


OutgoingKind = Literal["buttons", "list", "location", "contacts", "reaction", "contact_request", "quotes"]


class Outgoing(_Part):
    """What a message that is sent holds beside its text, which is a file's caption, or what buttons or a list say.

    One of them at most; quotes goes with all but a reaction: the id of the customer's message that it answers.
    contact_request: asks the customer, who shows no phone number, for it.
    """

    media: Attachment | None = None
    buttons: tuple[Button, ...] = ()
    list: ListMenu | None = None
    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    reaction: SentReaction | None = None
    contact_request: bool = False
    quotes: str | None = None

    @property
    def kinds(self) -> tuple[OutgoingKind, ...]:
        """What it holds, beside a file."""
        held: dict[OutgoingKind, object] = {
            "buttons": self.buttons,
            "list": self.list,
            "location": self.location,
            "contacts": self.contacts,
            "reaction": self.reaction,
            "contact_request": self.contact_request,
            "quotes": self.quotes,
        }
        return tuple(kind for kind, part in held.items() if part)


class Citation(BaseModel):
    """A passage that an AI agent's answer rests on. id: `{collection}/{document}/{number}`; title: the document's."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
