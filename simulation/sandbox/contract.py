"""What a provider's stand-in is made of: one value says all that differs from one provider to another."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from re import Pattern
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl

import orjson
from pydantic import JsonValue, SecretStr

from schemas.settings.credentials import Credentials, ProviderName
from simulation.sandbox.accounts import Account, digits, is_user_id
from simulation.sandbox.media import StoredFile

if TYPE_CHECKING:
    from simulation.sandbox.providers import Providers

Json: TypeAlias = dict[str, JsonValue]

Refusal: TypeAlias = Literal[
    "retry", "throttled", "credentials", "account", "window_closed", "recipient", "template", "request"
]
"""What a refusal means, whatever the provider's code for it."""

Failure: TypeAlias = Literal["unconnected", "silent", "refused"]
"""How a callback failed: there was no connection; no answer came; another answer than the provider takes."""

MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")
MEDIA_MIME = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "audio": "audio/ogg",
    "document": "application/pdf",
    "sticker": "image/webp",
}


# --- calls and answers ---------------------------------------------------------------------------------------------


class ApiError(Exception):
    """A call that is refused with a provider's code. http_status: None: what the provider pairs with the code."""

    def __init__(self, code: int, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.http_status = code, http_status


@dataclass(frozen=True)
class Request:
    """A call to a provider's API. headers: by name in lower case. base_url: where it was called."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    base_url: str = ""

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def basic(self) -> tuple[str, str] | None:
        """The name and secret of HTTP Basic credentials."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (name, secret) if separator else None


@dataclass(frozen=True)
class Reply:
    """The answer. status None: none; the connection is cut, where it hangs after the caller's patience.

    padding: so many zeros follow the body. callbacks: what follows.
    """

    status: int | None = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    padding: int = 0
    callbacks: tuple[ScheduledCallback, ...] = ()


def json_reply(value: JsonValue, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, orjson.dumps(value))


def is_secret(given: str, secret: SecretStr | None) -> bool:
    """Whether it is the secret. In constant time."""
    return secret is not None and hmac.compare_digest(given.encode(), secret.get_secret_value().encode())


CUT = Reply(None)
"""No answer at all: the connection is cut."""


@dataclass(frozen=True)
class Asked:
    """A call that found its route. match: the parts of its path by name."""

    request: Request
    match: Mapping[str, str]
    providers: Providers
    now: datetime


@dataclass(frozen=True)
class Route:
    """A part of the API beside sends. handle: raises ApiError."""

    method: str
    path: Pattern[str]
    handle: Callable[[Asked], Reply]


# --- what we send --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SendRequest:
    """A valid send. contact: digits or a user id. content: the object of its type. sender: None: the account's number.

    id, conversation: ours, where the send says them. echo: what the provider is to send back with receipts.
    """

    contact: str
    type: str
    content: Json
    text: str | None = None
    template: Json | None = None
    sender: str | None = None
    id: str | None = None
    conversation: str | None = None
    echo: JsonValue = None
    raw: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A status that a message comes to, so many seconds after it was taken. error: code and text."""

    after: float
    status: str
    error: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Taken:
    """A message that passed through: of ours, with the stages of its life, or a customer's."""

    at: datetime
    account: str
    message_id: str
    contact: str
    text: str | None
    is_inbound: bool = False
    stages: tuple[Stage, ...] = ()

    def status(self, now: datetime) -> tuple[str, int]:
        """Where it stands, in a neutral word, and the code of its failure."""
        passed = (now - self.at).total_seconds()
        come_to = [stage for stage in self.stages if stage.after <= passed]
        return (come_to[-1].status, come_to[-1].error[0]) if come_to else ("plan", 0)


@dataclass(frozen=True)
class Mark:
    """A customer's message that was marked as read, with or without the sign that somebody types."""

    at: datetime
    account: str
    message_id: str
    typing: bool


# --- what the provider tells us ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Customer:
    """contact: a phone number, or the user id of who shows none. bsuid: the user id beside the number."""

    contact: str
    name: str | None = None
    bsuid: str | None = None

    @property
    def user_id(self) -> str | None:
        """Meta's id of the user."""
        return self.contact if is_user_id(self.contact) else self.bsuid

    @property
    def wa_id(self) -> str:
        """Digits, without +; empty where the number is not shown."""
        return "" if is_user_id(self.contact) else digits(self.contact)

    @property
    def e164(self) -> str:
        """The number with its +; empty where it is not shown."""
        return f"+{self.wa_id}" if self.wa_id else ""


@dataclass(frozen=True)
class Quote:
    """The message that a reply quotes. id: our own id of it, or the provider's id of a message of the customer's."""

    id: str
    ours: bool = True


@dataclass(frozen=True)
class Written:
    """A customer's message, reaction (text: the emoji) or deletion, or the news that their number changed (system).

    id: the provider's. text: the body, caption, button or list title. target: the provider's id of the message that a
    reaction or deletion is about, or the id of the chosen button or list row. new_contact: of a changed number.
    file: one that the sandbox keeps, in place of a link; base_url: where the provider's API is called.
    """

    id: str
    customer: Customer
    at: datetime
    type: str = "text"
    text: str | None = None
    link: str | None = None
    filename: str | None = None
    file: StoredFile | None = None
    base_url: str = ""
    target: str | None = None
    quotes: Quote | None = None
    new_contact: str | None = None


@dataclass(frozen=True)
class SentMessage:
    """A message of ours at the provider. seed: what its ids derive from: our own id, if it has one.

    copy: how many of the same seed came before. echo: as StandIn.echo gives it; None: nothing of ours comes back.
    """

    seed: str
    customer: Customer
    copy: int = 0
    echo: JsonValue = None


@dataclass(frozen=True)
class Reported:
    """A receipt. status: as agents/status.py has it, or any other word as it is. error_code 0: none."""

    message: SentMessage
    status: str
    at: datetime
    error_code: int = 0
    error_message: str = ""


Happening: TypeAlias = Written | Reported


@dataclass(frozen=True)
class CallbackRequest:
    """What is posted. to: the address; empty: the account's."""

    body: bytes
    content_type: str = "application/json"
    to: str = ""


@dataclass(frozen=True)
class ScheduledCallback:
    """A callback to post at an instant for an account."""

    at: datetime
    account: str
    request: CallbackRequest

    @property
    def body(self) -> bytes:
        """The body of the request."""
        return self.request.body


@dataclass(frozen=True)
class ReadStatus:
    """A receipt as read back from a callback. status: a neutral word."""

    message_id: str
    status: str


@dataclass(frozen=True)
class ReadCallback:
    """What a callback of the stand-in's holds: ids of customers' messages, and receipts."""

    inbound: tuple[str, ...] = ()
    receipts: tuple[ReadStatus, ...] = ()


# --- the value -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StandIn:
    """One provider, played.

    Accounts. key: the credential that tells accounts apart; make_key: a valid one from any text. make_credentials: made
    up for an account id.

    Sends. send_path: of its POST. authenticate: the account that calls. read_send: the send, or an answer to what is
    no send. check: whether the account may. All three raise ApiError. accepted: the answer to what was taken. down: the
    answer while nobody can be reached. message_id: its id of a message, from the sender's number, our id and the count
    of copies; inbound_id: of a customer's, from any text. codes: for each meaning, the code that stands for it first.
    http_status: of codes, else 400. error: the body of a refusal, from code, text and status. rate_codes: of too many
    messages from a number, and to one recipient. refuses_closed_window: in the answer; else a receipt says so.
    reports_unasked: whether there are receipts where a send names nothing to send back. max_text: characters.
    template_name: what a channel names a template by, from name and language.

    Callbacks. words: its words for the neutral statuses that it has. failures: code and text of failed messages. lacks:
    kinds of Written that it does not report. sends_times: whether callbacks say when things happened. echo: what a send
    of ours makes it send back, from our id, the conversation and the channel's webhook address. render: the callbacks
    of what happened. content_type: theirs. read: the inverse. sign: headers, for an address. takes: whether an answer,
    by status and Content-Type, counts as taken. callback_timeout_s: seconds. retry_after_s: seconds to the next
    attempt, from the number of this one (from 1), how it failed and the seconds since the first; None: there is none.

    routes: its API beside sends.
    """

    name: ProviderName
    key: str
    make_key: Callable[[str], str]
    make_credentials: Callable[[str], Mapping[str, str]]
    send_path: Pattern[str]
    authenticate: Callable[[Asked], Account]
    read_send: Callable[[Asked, Account | None], SendRequest | Reply]
    check: Callable[[SendRequest, Account], None]
    accepted: Callable[[SendRequest, Account, str, datetime], Reply]
    down: Reply
    message_id: Callable[[str, str, int], str]
    inbound_id: Callable[[str], str]
    codes: Mapping[Refusal, tuple[int, ...]]
    http_status: Mapping[int, int]
    error: Callable[[int, str, int], Json]
    max_text: int
    words: Mapping[str, str]
    failures: Mapping[str, tuple[int, str]]
    echo: Callable[[str, str, str], JsonValue]
    render: Callable[[Account, Sequence[Happening]], tuple[CallbackRequest, ...]]
    read: Callable[[bytes], ReadCallback]
    sign: Callable[[Credentials, str, CallbackRequest, datetime], Mapping[str, str]]
    retry_after_s: Callable[[int, Failure, float], float | None]
    content_type: str = "application/json"
    takes: Callable[[int, str], bool] = lambda status, _content_type: status == 200
    callback_timeout_s: float = 10.0
    rate_codes: tuple[int | None, int | None] = (None, None)
    refuses_closed_window: bool = False
    reports_unasked: bool = True
    template_name: Callable[[str, str], str] = lambda name, _language: name
    lacks: frozenset[str] = frozenset()
    sends_times: bool = True
    routes: tuple[Route, ...] = ()

    def refusal(self, error: ApiError) -> Reply:
        """The answer to a refused call."""
        status = error.http_status or self.http_status.get(error.code, 400)
        return json_reply(self.error(error.code, str(error), status), status)

    def meaning(self, code: int) -> Refusal:
        """What its code means; what is not among `codes` is final."""
        return next((meaning for meaning, codes in self.codes.items() if code in codes), "request")
