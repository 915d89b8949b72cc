"""The EngageLab stand-in without its HTTP: what it answers to a send, and which callbacks follow.

No I/O, no clock, no global randomness: the same calls give the same answers, so the in-memory driver uses it as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import JsonValue

from simulation.sandbox.accounts import Account, Accounts, Behaviour, Credentials, recipient
from simulation.sandbox.customers import CustomerMessage, render
from simulation.sandbox.engagelab.callbacks import (
    Business,
    Customer,
    Json,
    callback_body,
    channel_message_id,
    provider_message_id,
)
from simulation.sandbox.engagelab.errors import ApiError
from simulation.sandbox.engagelab.receipts import AcceptedMessage, Faults, ScheduledCallback, plan_receipts
from simulation.sandbox.engagelab.requests import SendRequest, check_permitted, parse_send

WINDOW = timedelta(hours=24)
Outcome = Literal["accepted", "refused", "timeout", "unreachable"]

GATEWAY_DOWN = 503
"""How an unreachable provider looks: its gateway answers. A dropped connection would leave the outcome unknown."""


@dataclass(frozen=True)
class LogEntry:
    """A send request as received; it holds no credentials.

    seq counts from 0. account: the sender number, None where the caller is unknown. id: custom_args.id. repeat: how
    many earlier requests of the account had the same id. code: of the refusal.
    """

    seq: int
    at: datetime
    account: str | None
    id: str | None
    contact: str | None
    type: str | None
    text: str | None
    template: Json | None
    custom_args: Json | None
    outcome: Outcome
    code: int | None
    message_id: str | None
    repeat: int


@dataclass(frozen=True)
class SendResult:
    """The answer to a send. http_status None: no answer (hang on until the caller gives up).

    entry: None where nothing was recorded. callbacks: the receipts that follow.
    """

    outcome: Outcome
    http_status: int | None = None
    body: JsonValue = None
    retry_after: int | None = None
    entry: LogEntry | None = None
    callbacks: tuple[ScheduledCallback, ...] = ()


class Provider:
    """EngageLab for any number of accounts.

    seed: of ids and of the automatic receipts. auto_receipts: whether accepted messages have receipts of themselves.
    log_limit: at least as many of the newest log entries are kept.
    """

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        *,
        seed: int = 0,
        faults: Faults | None = None,
        auto_receipts: bool = True,
        log_limit: int = 100_000,
    ) -> None:
        self.accounts = Accounts(accounts)
        self._seed = seed
        self._faults = faults or Faults()
        self._auto_receipts = auto_receipts
        self._log_limit = log_limit
        self._log: list[LogEntry] = []
        self._seq = 0
        self._requests: Counter[tuple[str, str]] = Counter()
        self._copies: Counter[tuple[str, str]] = Counter()
        self._inbound: Counter[tuple[str, str]] = Counter()
        self._wrote: dict[tuple[str, str], datetime] = {}

    @property
    def log(self) -> tuple[LogEntry, ...]:
        """The send requests so far, oldest first. May be read from another thread."""
        return tuple(self._log)

    def set_behaviour(self, behaviour: Behaviour, dev_key: str | None = None) -> None:
        """Change how the next sends of an account are answered. Raises KeyError for an unknown account."""
        account = self.accounts.get(dev_key)
        self.accounts.put(account.model_copy(update={"behaviour": behaviour}))

    def handle_send(self, credentials: Credentials | None, body: bytes, now: datetime) -> SendResult:
        """Answer a POST /v1/messages."""
        account: Account | None = None
        request: SendRequest | None = None
        retry_after: int | None = None
        parsed = _parse(body)
        if isinstance(parsed, SendRequest):
            request = parsed
        try:
            account = self.accounts.authenticate(credentials)
            if account.behaviour.answer == "unreachable":
                self._use_behaviour(account)
                return SendResult("unreachable", GATEWAY_DOWN)
            if isinstance(parsed, ApiError):
                raise parsed
            check_permitted(parsed, account)
            self._check_window(parsed, account, now)
            behaviour = self._use_behaviour(account)
            retry_after = behaviour.retry_after
            if behaviour.answer == "refuse" and behaviour.code is not None:
                raise ApiError(behaviour.code, "refused on demand", behaviour.http_status)
        except ApiError as error:
            entry = self._record(now, account, request, "refused", code=error.code)
            return SendResult("refused", error.http_status, error.body(), retry_after, entry)
        return self._accept(account, parsed, behaviour, now)

    def customers_write(
        self, messages: Sequence[CustomerMessage], now: datetime, dev_key: str | None = None
    ) -> ScheduledCallback:
        """Customers write to an account's number, all in one callback. Raises KeyError for an unknown account."""
        account = self.accounts.get(dev_key)
        business = business_of(account)
        rows: list[Json] = []
        for message in messages:
            key = (account.dev_key, recipient(message.contact))
            rows.append(render(message, business, message.id or self._inbound_id(account, key), now))
            if message.type != "deleted":
                self._wrote[key] = now
        return ScheduledCallback(now, account.dev_key, callback_body(rows))

    def _accept(self, account: Account, request: SendRequest, behaviour: Behaviour, now: datetime) -> SendResult:
        id = request.id or f"seed {self._seed} request {self._seq}"
        copy = self._copies[account.dev_key, id]
        self._copies[account.dev_key, id] += 1
        message = AcceptedMessage(
            business=business_of(account),
            customer=Customer(request.contact),
            message_id=provider_message_id(account.phone_number, id, copy),
            channel_message_id=channel_message_id(account.phone_number, id, copy),
            custom_args=request.custom_args,
            accepted_at=now,
        )
        silent = behaviour.answer == "timeout"
        callbacks: tuple[ScheduledCallback, ...] = ()
        if self._auto_receipts and (behaviour.receipts or not silent):
            callbacks = plan_receipts(message, account.dev_key, self._faults, self._seed)
        outcome: Outcome = "timeout" if silent else "accepted"
        entry = self._record(now, account, request, outcome, message_id=message.message_id)
        if silent:
            return SendResult(outcome, entry=entry, callbacks=callbacks)
        answer: Json = {"message_id": message.message_id}
        if request.request_id is not None:
            answer["request_id"] = request.request_id
        return SendResult(outcome, 200, answer, entry=entry, callbacks=callbacks)

    def _check_window(self, request: SendRequest, account: Account, now: datetime) -> None:
        if not account.enforce_window or request.template is not None:
            return
        wrote = self._wrote.get((account.dev_key, request.contact))
        if wrote is None or now - wrote >= WINDOW:
            raise ApiError(3003, "outside the 24 hours after the customer's last message only templates may be sent")

    def _use_behaviour(self, account: Account) -> Behaviour:
        behaviour = account.behaviour
        self.accounts.put(account.model_copy(update={"behaviour": behaviour.after_use()}))
        return behaviour

    def _inbound_id(self, account: Account, key: tuple[str, str]) -> str:
        self._inbound[key] += 1
        text = f"inbound:{self._seed}:{account.phone_number}:{key[1]}:{self._inbound[key]}"
        return "wamid." + hashlib.sha256(text.encode()).hexdigest()[:32].upper()

    def _record(
        self,
        now: datetime,
        account: Account | None,
        request: SendRequest | None,
        outcome: Outcome,
        *,
        code: int | None = None,
        message_id: str | None = None,
    ) -> LogEntry:
        repeat = 0
        if account and request and request.id:
            repeat = self._requests[account.dev_key, request.id]
            self._requests[account.dev_key, request.id] += 1
        entry = LogEntry(
            seq=self._seq,
            at=now,
            account=account.phone_number if account else None,
            id=request.id if request else None,
            contact=request.contact if request else None,
            type=request.type if request else None,
            text=request.text if request else None,
            template=request.template if request else None,
            custom_args=request.custom_args if request else None,
            outcome=outcome,
            code=code,
            message_id=message_id,
            repeat=repeat,
        )
        self._seq += 1
        self._log.append(entry)
        if len(self._log) > 2 * self._log_limit:
            del self._log[: self._log_limit]
        return entry


def business_of(account: Account) -> Business:
    """The account's side of a callback row."""
    return Business(account.phone_number, account.business_account_id)


def _parse(body: bytes) -> SendRequest | ApiError:
    try:
        return parse_send(body)
    except ApiError as error:
        return error
