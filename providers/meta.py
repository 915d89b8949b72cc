"""Meta's shapes of a message's parts, which providers pass on (WhatsApp Cloud API docs, confirmed).

Whatever can't be read is left out; lists and texts are cut (schemas/events/content.py says where).
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from providers.media import hex_sha256
from providers.provider import MediaRule
from providers.reading import (
    MAX_ID,
    MAX_INBOUND_TEXT,
    MAX_LABEL,
    Json,
    RowError,
    clipped,
    deeper_than,
    finite,
    label,
    part_of,
    string,
    text_of,
    whole,
)
from providers.rows import BadRowReason, Media
from schemas.events.content import (
    MAX_ANSWERS,
    MAX_ITEMS,
    MAX_TEXT,
    Choice,
    ContactCard,
    Content,
    Edit,
    Form,
    Location,
    Order,
    OrderItem,
    Reaction,
    Referral,
    SystemNotice,
)
from schemas.settings.types import MAX_TEXT as MAX_MESSAGE_TEXT

WINDOW_CLOSED: Final = 131047
"""The code of a text outside the 24-hour window."""
OPTED_OUT: Final = 131050
"""The code of marketing to a customer who wants none."""
OTHER_FORMAT: Final = 132012
"""The code of a template that is filled in order and not by name, or the other way about."""
MAX_ANSWERS_DEPTH: Final = 16
MEDIA_TYPES: Final = frozenset({"image", "audio", "voice", "video", "document", "sticker"})
NOTICES: Final = frozenset({"reaction", "edit", "revoke", "system"})
"""Types of message that are no message of the customer's."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
DOCUMENTS: Final = frozenset(
    {
        "text/plain",
        "application/pdf",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        f"{_OFFICE}wordprocessingml.document",
        f"{_OFFICE}spreadsheetml.sheet",
        f"{_OFFICE}presentationml.presentation",
    }
)
AUDIO: Final = frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg; codecs=opus"})
VOICE: Final = frozenset({"audio/ogg; codecs=opus"})
IMAGES: Final = frozenset({"image/jpeg", "image/png"})
VIDEOS: Final = frozenset({"video/mp4", "video/3gpp"})
MB: Final = 2**20
MAX_CAPTION: Final = 1_024
MEDIA_RULES: Final[Mapping[str, MediaRule]] = {
    "image": MediaRule(IMAGES, 5 * MB, MAX_CAPTION),
    "video": MediaRule(VIDEOS, 16 * MB, MAX_CAPTION),
    "audio": MediaRule(AUDIO, 16 * MB),
    "voice": MediaRule(VOICE, 16 * MB),
    "document": MediaRule(DOCUMENTS, 100 * MB, MAX_CAPTION),
    "sticker": MediaRule(frozenset({"image/webp"}), 500 * 2**10, max_still_bytes=100 * 2**10),
}
"""What WhatsApp takes (Meta docs, confirmed)."""

_MAX_LINK: Final = 4_096
_CAPTIONED: Final = frozenset({"image", "video", "document"})


def read_content(kind: str, message: Json, quotes: str | None = None) -> Content | None:
    """What the message holds beside text and file; None: nothing. kind: its type. quotes: the quoted message's id."""
    if kind == "text" and quotes is None and not message.keys() & {"referral", "context"}:
        return None  # nearly every message: spare the model
    part = part_of(message, kind)
    cards = list(_objects(message.get("contacts"))) if kind == "contacts" else []
    context = part_of(message, "context")
    content = Content(
        location=_location(part) if kind == "location" else None,
        contacts=tuple(_card(card) for card in cards[:MAX_ITEMS]),
        more_contacts=max(0, len(cards) - MAX_ITEMS),
        reaction=_reaction(part) if kind == "reaction" else None,
        choice=_choice(kind, part),
        form=_form(part_of(part, "nfm_reply")) if "nfm_reply" in part else None,
        order=_order(part) if kind == "order" else None,
        referral=_referral(part_of(message, "referral")) if message.get("referral") else None,
        edit=_edit(part) if kind == "edit" else None,
        system=_system(part) if kind == "system" else None,
        caption=_text(part, "caption") if kind in _CAPTIONED else None,
        quotes=quotes,
        forwarded=bool(context.get("forwarded") or context.get("frequently_forwarded")),
    )
    return None if content == _NOTHING else content


_NOTHING: Final = Content()


def message_type(message: Json, default: str = "unknown") -> str:
    """The message's type. What is not supported may say what it is: an edit then is no message either."""
    type_ = label(message, "type") or default
    if type_ in ("unsupported", "unknown"):
        meant = string(part_of(message, type_).get("type"))
        return meant if meant in NOTICES else type_
    return type_


def message_text(type_: str, part: Json) -> str | None:
    """What the customer wrote or chose, in words: texts for rules. part: of the type. Raises RowError."""
    text = _words(type_, part)
    if text is not None and len(text) > MAX_INBOUND_TEXT:
        raise RowError(BadRowReason.TEXT_TOO_LONG, type_)
    return text


def _words(type_: str, part: Json) -> str | None:
    if type_ == "text":
        body = part.get("body")
        if body is None or isinstance(body, str):
            return body
        if isinstance(body, int | float) and not isinstance(body, bool):
            return str(body)
        # A text is all that such a message has: better put aside than shown empty.
        raise RowError(BadRowReason.WRONG_TYPE, "body")
    if type_ in MEDIA_TYPES:
        return string(part.get("caption"))
    if type_ == "interactive":
        return string(part_of(part, "button_reply").get("title")) or string(part_of(part, "list_reply").get("title"))
    return string(part.get("text")) if type_ in ("button", "order") else None


def read_media(part: Json, type_: str = "") -> Media | None:
    """The file that came with a message. type_: the message's type."""
    link = text_of(part, "link", _MAX_LINK) or text_of(part, "url", _MAX_LINK)
    id_ = text_of(part, "id", MAX_ID)
    if link is None and id_ is None:
        return None
    size = whole(part.get("file_size"))
    return Media(
        link,
        id_,
        mime_type=text_of(part, "mime_type", MAX_LABEL),
        filename=clipped(part.get("filename"), MAX_LABEL),
        sha256=hex_sha256(text_of(part, "sha256", MAX_LABEL)),
        size=size if size is not None and size >= 0 else None,
        voice=type_ == "voice" or part.get("voice") is True,
    )


def _text(part: Json, field: str) -> str | None:
    return clipped(part.get(field), MAX_TEXT)


def _objects(value: object) -> Iterator[Json]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def _number(part: Json, field: str) -> float | None:
    value = finite(part.get(field))
    return None if value is None else float(value)


def _location(part: Json) -> Location | None:
    latitude, longitude = _number(part, "latitude"), _number(part, "longitude")
    if latitude is None or longitude is None:
        return None
    return Location(
        latitude=latitude,
        longitude=longitude,
        name=_text(part, "name"),
        address=_text(part, "address"),
        url=_text(part, "url"),
    )


def _card(card: Json) -> ContactCard:
    name, organization = part_of(card, "name"), part_of(card, "org")
    full = _text(name, "formatted_name") or _text(name, "first_name")
    return ContactCard(
        name=full,
        phones=_listed(card.get("phones"), "phone", "wa_id"),
        emails=_listed(card.get("emails"), "email"),
        organization=_text(organization, "company"),
    )


def _listed(entries: object, *fields: str) -> tuple[str, ...]:
    """The first of the fields that each entry has."""
    found = (next((text for field in fields if (text := _text(entry, field))), None) for entry in _objects(entries))
    return tuple(text for text in found if text is not None)[:MAX_ITEMS]


def _reaction(part: Json) -> Reaction:
    emoji = clipped(part.get("emoji"), 64)
    return Reaction(emoji=emoji, removed=emoji is None)


def _choice(kind: str, part: Json) -> Choice | None:
    if kind == "button":
        return Choice(id=_text(part, "payload"), title=_text(part, "text"))
    reply = part_of(part, "button_reply") or part_of(part, "list_reply")
    if kind != "interactive" or not reply:
        return None
    return Choice(id=_text(reply, "id"), title=_text(reply, "title"), description=_text(reply, "description"))


def _form(part: Json) -> Form:
    return Form(name=_text(part, "name"), body=_text(part, "body"), answers=_answers(part.get("response_json")))


def _answers(value: object) -> dict[str, object] | None:
    """A form's answers, which Meta sends as JSON in a string."""
    if isinstance(value, str) and len(value) <= MAX_ANSWERS:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if not isinstance(value, dict) or deeper_than(MAX_ANSWERS_DEPTH, value):
        return None
    return value if len(orjson.dumps(value)) <= MAX_ANSWERS else None


def _order(part: Json) -> Order:
    items = list(_objects(part.get("product_items")))
    return Order(
        catalog=_text(part, "catalog_id"),
        note=_text(part, "text"),
        items=tuple(_item(item) for item in items[:MAX_ITEMS]),
        more_items=max(0, len(items) - MAX_ITEMS),
    )


def _item(item: Json) -> OrderItem:
    return OrderItem(
        product=_text(item, "product_retailer_id"),
        quantity=_number(item, "quantity"),
        price=_number(item, "item_price"),
        currency=clipped(item.get("currency"), 16),
    )


def _referral(part: Json) -> Referral:
    return Referral(
        source_type=_text(part, "source_type"),
        source_id=_text(part, "source_id"),
        source_url=_text(part, "source_url"),
        headline=_text(part, "headline"),
        body=_text(part, "body"),
        media_type=_text(part, "media_type"),
        click_id=_text(part, "ctwa_clid"),
    )


def _edit(part: Json) -> Edit:
    message = part_of(part, "message")
    kind = string(message.get("type"))
    new = part_of(message, kind or "")
    return Edit(kind=kind, text=clipped(new.get("body") or new.get("caption"), MAX_MESSAGE_TEXT))


def _system(part: Json) -> SystemNotice:
    new = _text(part, "wa_id") or _text(part, "new_wa_id") or _text(part, "user_id")
    return SystemNotice(type=_text(part, "type"), body=_text(part, "body"), new_contact=new)
