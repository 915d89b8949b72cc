"""A provider as one value."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from providers.rows import Callback, ParsedCallback
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
from schemas.events.content import Attachment, OutgoingKind
from schemas.events.conversation import Media as FileOffer
from schemas.settings.channel import ChannelSettings

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
    """The answer to a call. retry_after, content_type (without parameters): headers, empty where they are missing."""

    status: int
    body: bytes = field(default=b"", repr=False)
    retry_after: str = ""
    content_type: str = ""


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
