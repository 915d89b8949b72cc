"""What a provider's stand-in is made of: one value says all that differs from one provider to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from re import Pattern
from typing import Literal, TypeAlias

from pydantic import JsonValue

from schemas.settings.credentials import Credentials, ProviderName
from simulation.sandbox.accounts import Account, Accounts
from simulation.sandbox.calls import ApiError, CallbackRequest, Json, Reply, Request, json_reply
from simulation.sandbox.happenings import Happening, Mark, ReadCallback, Taken
from simulation.sandbox.media import Files

Refusal: TypeAlias = Literal[
    "retry", "throttled", "credentials", "account", "window_closed", "recipient", "template", "request"
]
"""What a refusal means, whatever the provider's code for it."""

Failure: TypeAlias = Literal["unconnected", "silent", "refused"]
"""How a callback failed: there was no connection; no answer came; another answer than the provider takes."""


@dataclass
class State:
    """What the providers keep. marks: customers' messages that were marked as read. taken: messages, oldest first."""

    accounts: Accounts
    files: Files = field(default_factory=Files)
    marks: list[Mark] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """A call that found its route. match: the parts of its path by name."""

    request: Request
    match: Mapping[str, str]
    state: State
    now: datetime


@dataclass(frozen=True)
class Route:
    """A part of the API beside sends. handle: raises ApiError."""

    method: str
    path: Pattern[str]
    handle: Callable[[Asked], Reply]


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
class StandIn:
    """One provider, played.

    Accounts. key: the credential that tells accounts apart. make_credentials: made up for an account id.

    Sends. send_path: of its POST. authenticate: the account that calls. read_send: the send, or an answer to what is
    no send. check: whether the account may. All three raise ApiError. accepted: the answer to what was taken. down: the
    answer while nobody can be reached. message_id: its id of a message, from the sender's number, our id and the count
    of copies; inbound_id: of a customer's, from any text. codes: for each meaning, the code that stands for it first.
    http_status: of codes, else 400. error: the body of a refusal, from code, text and status. rate_codes: of too many
    messages from a number, and to one recipient. refuses_closed_window: in the answer; else a receipt says so.
    reports_unasked: whether there are receipts where a send names nothing to send back. max_text: characters.
    template_name: what a channel names a template by, from name and language. lists_messages: whether it can
    be asked what it took and what customers wrote, so that the outcome of a send does not stay unknown.

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
    lists_messages: bool = False
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
