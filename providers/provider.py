"""A provider as one value, and the neutral results of reading its callbacks."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias

from pydantic import JsonValue

from schemas.effects import (
    ListRequest,
    ListResult,
    MediaResult,
    SendAnswer,
    SendRequest,
    SendResult,
    SettleRequest,
    SettleResult,
    SignalRequest,
    Throttled,
)
from schemas.events.content import Attachment, Content, OutgoingKind
from schemas.events.conversation import Media as FileOffer
from schemas.settings.channel import ChannelSettings

InboundEvent: TypeAlias = Literal["received", "reply", "order", "echo"]
"""echo: the business wrote it, in WhatsApp's own app."""
Sendable: TypeAlias = OutgoingKind | Literal["template_header", "template_buttons"]


ErrorClass: TypeAlias = Literal[
    "retry",
    "throttled",
    "recipient_throttled",
    "credentials",
    "account",
    "window_closed",
    "recipient",
    "opted_out",
    "marketing",
    "template",
    "media",
    "request",
]
"""What a provider's error code means: try later; too fast, for the number or account, or for this recipient; the
channel's credentials are broken; its account is restricted; a text outside the 24-hour window; this recipient can't
be reached, does not want it, or is sent no marketing for a day; this template, file or message can't be sent.
"""

ANSWERS: Final[Mapping[ErrorClass, SendAnswer]] = {
    "retry": "retry",
    "throttled": "retry",
    "recipient_throttled": "retry",
    "credentials": "credentials",
    "account": "credentials",
    "window_closed": "window_closed",
    "recipient": "refused",
    "opted_out": "refused",
    "marketing": "refused",
    "template": "template_unavailable",
    "media": "refused",
    "request": "refused",
}
"""How an attempt ends that was answered with a code of the class. A restricted account pauses the channel, too."""

THROTTLED: Final[Mapping[ErrorClass, Throttled]] = {"throttled": "number", "recipient_throttled": "recipient"}


NO_CREDENTIALS: Final = SendResult(answer="credentials", message="the channel has no usable credentials")


class BadRowReason(StrEnum):
    """Why a row was refused: stable codes, fit for metric labels."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    ROWS_MISSING = "rows_missing"
    ROW_NOT_AN_OBJECT = "row_not_an_object"
    UNKNOWN_ROW_KIND = "unknown_row_kind"
    AMBIGUOUS_ROW_KIND = "ambiguous_row_kind"
    WRONG_SERVER = "wrong_server"
    FOREIGN_NUMBER = "foreign_number"
    MISSING_CONTACT = "missing_contact"
    MISSING_EVENT = "missing_event"
    MISSING_MESSAGE_ID = "missing_message_id"
    MISSING_STATUS = "missing_status"
    TEXT_TOO_LONG = "text_too_long"
    TOO_DEEP = "too_deep"
    TOO_MANY_ROWS = "too_many_rows"
    GROUP = "group"
    WRONG_TYPE = "wrong_type"


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with a message; `link`, `id` or both. The shape is Meta's; EngageLab publishes no example.

    sha256: in hex. size: in bytes. voice: a voice note.
    """

    link: str | None
    id: str | None
    mime_type: str | None
    filename: str | None
    sha256: str | None = None
    size: int | None = None
    voice: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that a customer's message answers: EngageLab's id of it, Meta's id of it, or both."""

    message_id: str | None
    channel_message_id: str | None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A customer's message, or an echo. `type` is kept as sent: one nobody knows is still a message, without text.

    message_id: Meta's id, with the channel the message's identity; EngageLab's where the row has none of Meta's.
    contact: as contact_id gives it. user_id: where contact is a number and the row names the customer by both.
    sent_at: unix seconds; None where absent or absurd.
    text: a text's body, a file's caption, an order's note, the title of the button or list item that was chosen.
    more_media: where one message has several files, those after the first.
    """

    event: InboundEvent
    message_id: str
    provider_message_id: str | None
    contact: str
    name: str | None
    type: str
    text: str | None
    media: Media | None
    sent_at: int | None
    quotes: Quote | None
    content: Content | None = None
    more_media: tuple[Media, ...] = ()
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewNames:
    """The number, user id or both that a customer has from now on. previous_user_id: the one that they had."""

    phone: str | None
    user_id: str | None
    previous_user_id: str | None


@dataclass(frozen=True, slots=True)
class InboundNotice:
    """Something that happened which is no message: a reaction, an edit, a deletion, a system notice, an unknown event.

    kind: "reaction", "edit", "revoke", "system", "marketing_stopped" or "marketing_resumed" (the customer's choice in
    WhatsApp, under an id made of it), or the event's name. Identity: (channel, kind, message_id): a deletion may carry
    the id of the message it deletes. user_id: as an InboundMessage's. renamed: it says that the customer, who was
    `contact`, has another number or user id.
    """

    kind: str
    contact: str
    message_id: str
    refers_to: str | None
    sent_at: int | None
    content: Content | None = None
    user_id: str | None = None
    renamed: NewNames | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message of ours. Identity: (channel, provider_message_id, status); `status` is kept as sent.

    ref_id, ref_key: `id` and `conversation` of our own custom_args. Callbacks are not signed: check ref_key's channel.
    contact: from `to`, else from ref_key; user_id: as an InboundMessage's. at: unix seconds. error_code: 0 = none.
    """

    provider_message_id: str
    status: str
    at: int | None
    contact: str | None
    ref_id: str | None
    ref_key: str | None
    error_code: int
    error_message: str | None
    channel_message_id: str | None
    loss_step: int | None
    loss_source: str | None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """News about the account (balance, templates, numbers): `data` as sent. at: unix seconds."""

    event: str
    data: dict[str, JsonValue]
    at: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row, or a whole body, that can't be used. detail: the field, never its value.

    row: the row as JSON; the body, byte for byte, where no single row can be read or written.
    """

    reason: BadRowReason
    detail: str
    row: bytes


CallbackRow: TypeAlias = InboundMessage | InboundNotice | Receipt | Notification | BadRow


@dataclass(frozen=True, slots=True)
class Callback:
    """A stored callback. query: of the address that it was posted to, as it came, without "?".

    elsewhere: numbers and accounts whose rows are in another channel's record of the same request.
    """

    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ParsedCallback:
    """One result per row, in the order of the rows; one BadRow where the body has no rows that can be read."""

    rows: tuple[CallbackRow, ...]


class WebhookRequest(NamedTuple):
    """A request to a channel's webhook address.

    url: as the provider called it: the configured public address, then path and query as they stood in the request
    line. headers: by name, in whatever case.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """The answer to such a request."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Screened:
    """A request that is no callback to store. outcome: for the metrics: handshake, forbidden, bad_signature."""

    outcome: Literal["handshake", "forbidden", "bad_signature"]
    answer: WebhookAnswer


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request below a base URL. Its headers may hold credentials.

    service: of the provider, where it has several base URLs.
    """

    method: Literal["GET", "POST"]
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    service: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer to a call. retry_after: that header, empty where it is missing."""

    status: int
    body: bytes = field(default=b"", repr=False)
    retry_after: str = ""


SetUpProblem: TypeAlias = Literal["wrong_credentials", "wrong_number", "not_permitted", "inactive", "unreadable"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of trying a channel's credentials. field: the setting that is wrong; message: what to do about it.

    problem: None: they work. notes: what was not checked, or is still to be done.
    """

    problem: SetUpProblem | None = None
    field: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()


Checking: TypeAlias = Generator[Call, Answer, Checked]
"""Calls to make one after the other; each is sent its answer."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """What an administrator does at the provider. callbacks: to tick there; steps: in words, with the addresses."""

    callbacks: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """A message template of the account. status, category, parameter_format: in upper case; empty: not said."""

    name: str
    language: str
    status: str
    category: str = ""
    parameter_format: str = ""


@dataclass(frozen=True, slots=True)
class TemplatePage:
    """A page of the account's templates. next: the cursor of the page after it; None: it is the last one."""

    templates: tuple[ListedTemplate, ...]
    next: str | None = None


class Settling(NamedTuple):
    """How a provider is asked whether it took a message. plan: None: it can't be asked now."""

    plan: Callable[[SettleRequest, ChannelSettings], Call | None]
    read: Callable[[SettleRequest, Answer], SettleResult]


class Listing(NamedTuple):
    """How customers' messages are found whose callback never came. plan: None: they can't be asked for now.

    A found message's body is read as a callback's.
    """

    plan: Callable[[ListRequest, ChannelSettings], Call | None]
    read: Callable[[ListRequest, Answer], ListResult]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A GET of a customer's file or, with is_lookup, of what says where it is.

    url: whole. headers: credentials, for this address alone: they never follow a redirect. sha256: the file's, in hex,
    where the provider says it.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_lookup: bool = False
    sha256: str | None = None


class Fetching(NamedTuple):
    """How a customer's file is fetched.

    plan: the first request, or why there is none; given the provider's base URL. read_lookup: the next one, after an
    answer of status 200. read_failure: what any other answer means.
    """

    plan: Callable[[FileOffer, ChannelSettings, str], Fetch | MediaResult]
    read_lookup: Callable[[Answer, ChannelSettings, str], Fetch | MediaResult]
    read_failure: Callable[[Answer], MediaResult]


class MediaRule(NamedTuple):
    """What files of one kind may be sent. types: as media/types.py names them. max_caption: characters; 0: none.

    max_still_bytes: of one that does not move, where that is less.
    """

    types: frozenset[str]
    max_bytes: int
    max_caption: int = 0
    max_still_bytes: int | None = None


class Uploading(NamedTuple):
    """How a file is handed over before the message that sends it. read: the provider's id of it, or why there is none.

    plan: is also given the file's bytes.
    """

    plan: Callable[[Attachment, bytes, ChannelSettings], Call | SendResult]
    read: Callable[[Answer], str | SendResult]


@dataclass(frozen=True, slots=True)
class Provider:
    """Everything that differs from one provider to another: pure functions and constants.

    name: in settings, records and webhook addresses. base_urls: of its REST API ("") and of each service that has one
    of its own. max_text: characters of a text that is sent. sends: what it can send beside texts, files, and templates
    whose body alone is filled. kept_headers: of a callback, in lower case, stored with it. accepts: whether a callback
    may have that Content-Type. screen: the answer to a request that only tries out the address, or that the provider
    did not sign; None: it is a callback. methods: of requests. acknowledgement: the answer to a callback that is
    stored. addressees: the ids of all numbers and accounts in a callback's body, where one may hold several; addresses:
    those that are the channel's. parse: a callback, read for the channel.
    plan_send: the call that sends a message, or why it can't be written; it is also given the channel's webhook
    address, None where nobody can reach it. read_send: what its answer means; None: it is unknown whether the message
    was taken. classify: what an error code in a receipt means. plan_templates, read_templates: the call that lists the
    account's templates from a cursor on, and the page in its answer, or why there is none. one_language: a template's
    name says its language, too. settling: None: it can't be asked what it took. listing: None: it has no list of what
    customers wrote. plan_signal: the call that shows that a message was read; None: it has none.
    fetching: None: customers' files can't be fetched. media: the kinds of files that can be sent. uploading: None: the
    provider fetches them from a link.
    check: tries the channel's credentials and number. set_up: what is to be done at the provider, given the channel's
    webhook address. subscribe: does what of it can be done by calls; None: nothing can.
    """

    name: str
    base_urls: Mapping[str, str]
    max_text: int
    kept_headers: tuple[str, ...]
    accepts: Callable[[str], bool]
    screen: Callable[[WebhookRequest, ChannelSettings], Screened | None]
    parse: Callable[[Callback, ChannelSettings], ParsedCallback]
    plan_send: Callable[[SendRequest, ChannelSettings, str | None], Call | SendResult]
    read_send: Callable[[Answer], SendResult | None]
    classify: Callable[[int], ErrorClass]
    plan_templates: Callable[[ChannelSettings, str | None], Call | SendResult]
    read_templates: Callable[[Answer], TemplatePage | SendResult]
    check: Callable[[ChannelSettings], Checking]
    set_up: Callable[[ChannelSettings, str], SetUp]
    one_language: bool = False
    settling: Settling | None = None
    listing: Listing | None = None
    plan_signal: Callable[[SignalRequest, ChannelSettings], Call | None] = lambda _request, _settings: None
    sends: frozenset[Sendable] = frozenset()
    methods: tuple[str, ...] = ("POST",)
    acknowledgement: WebhookAnswer = WebhookAnswer(body=b'{"status":"ok"}', content_type="application/json")
    addressees: Callable[[bytes], frozenset[str]] = lambda _body: frozenset()
    addresses: Callable[[ChannelSettings], frozenset[str]] = lambda _settings: frozenset()
    fetching: Fetching | None = None
    media: Mapping[str, MediaRule] = field(default_factory=dict)
    uploading: Uploading | None = None
    subscribe: Callable[[ChannelSettings, str], Checking] | None = None
