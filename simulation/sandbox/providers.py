"""All providers' stand-ins without their HTTP: what they answer to a call, and which callbacks follow.

No I/O, no clock, no global randomness: the same calls give the same answers, so the in-memory driver uses it as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from simulation.sandbox.accounts import Account, Accounts, Behaviour, recipient
from simulation.sandbox.calls import CUT, ApiError, Json, Reply, Request, ScheduledCallback
from simulation.sandbox.contract import Asked, SendRequest, StandIn, State
from simulation.sandbox.customers import CustomerMessage, written
from simulation.sandbox.happenings import Customer, SentMessage, Taken, Written
from simulation.sandbox.media import FILES_PATH
from simulation.sandbox.rates import Rates
from simulation.sandbox.receipts import Faults, Life, plan_life
from simulation.sandbox.stand_in import STAND_INS

WINDOW = timedelta(hours=24)
Outcome = Literal["accepted", "refused", "timeout", "unreachable"]


@dataclass(frozen=True)
class LogEntry:
    """A send request as received; it holds no credentials.

    seq counts from 0. account: its id, None where the caller is unknown. id, conversation: ours, where the send says
    them. content: the object of its type. repeat: how many earlier requests of the account had the same id. code: of
    the refusal.
    """

    seq: int
    at: datetime
    provider: str
    account: str | None
    id: str | None
    conversation: str | None
    contact: str | None
    type: str | None
    text: str | None
    template: Json | None
    content: Json | None
    outcome: Outcome
    code: int | None
    message_id: str | None
    repeat: int


class Providers:
    """Every provider, for any number of accounts.

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
        self.state = State(Accounts(accounts))
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
        self._rates = Rates()

    @property
    def log(self) -> tuple[LogEntry, ...]:
        """The send requests so far, oldest first. May be read from another thread."""
        return tuple(self._log)

    def set_behaviour(self, behaviour: Behaviour, account: str | None = None) -> None:
        """Change how the next sends of an account are answered. Raises KeyError for an unknown account."""
        changed = self.state.accounts.get(account)
        self.state.accounts.put(changed.model_copy(update={"behaviour": behaviour}))

    def handle(self, request: Request, now: datetime) -> Reply | None:
        """Answer a call to a provider's API; None: there is no such route."""
        if request.path.startswith(f"{FILES_PATH}/"):
            return self.state.files.public(request)
        for stand_in in STAND_INS.values():
            if request.method == "POST" and (match := stand_in.send_path.fullmatch(request.path)):
                return self._send(stand_in, Asked(request, match.groupdict(), self.state, now))
            for route in stand_in.routes:
                if request.method == route.method and (match := route.path.fullmatch(request.path)):
                    try:
                        return route.handle(Asked(request, match.groupdict(), self.state, now))
                    except ApiError as error:
                        return stand_in.refusal(error)
        return None

    def customers_write(
        self, messages: Sequence[CustomerMessage], now: datetime, account: str | None = None, base_url: str = ""
    ) -> tuple[ScheduledCallback, ...]:
        """Customers write to an account's number, in one callback where the provider can. Raises KeyError, ValueError.

        base_url: where the provider's API is called, for the links of files.
        """
        to = self.state.accounts.get(account)
        stand_in = STAND_INS[to.provider]
        happened: list[Written] = []
        for message in messages:
            if message.type in stand_in.lacks:
                raise ValueError(f"type: {to.provider} reports no {message.type}")
            id = message.id or self._inbound_id(to, recipient(message.contact))
            happened.append(written(message, id, now, self.state.files, base_url))
            self.keep(to.id, happened[-1], now)
        return tuple(ScheduledCallback(now, to.id, request) for request in stand_in.render(to, happened))

    def keep(self, account: str, message: Written, now: datetime) -> None:
        """Know of a customer's message, as the provider does whether or not its callback arrives."""
        if message.type not in ("deleted", "system"):
            contact = message.customer.contact
            self._wrote[account, recipient(contact)] = now
            taken = Taken(message.at, account, message.id, contact, message.text, is_inbound=True, file=message.file)
            self.state.taken.append(taken)

    # --- sends -----------------------------------------------------------------------------------------------------

    def _send(self, stand_in: StandIn, asked: Asked) -> Reply:
        now = asked.now
        account: Account | None = None
        request: SendRequest | None = None
        retry_after: int | None = None
        try:
            account, denied = _authenticate(stand_in, asked)
            parsed = _parse(stand_in, asked, account)
            request = parsed if isinstance(parsed, SendRequest) else None
            if denied is not None:
                raise denied
            assert account is not None  # noqa: S101 - who has none is denied
            if account.behaviour.answer == "unreachable":
                self._use_behaviour(account)
                return stand_in.down
            if isinstance(parsed, ApiError):
                raise parsed
            if isinstance(parsed, Reply):
                return parsed
            stand_in.check(parsed, account)
            closed = self._is_closed(parsed, account, now)
            if closed and stand_in.refuses_closed_window:
                code = stand_in.codes["window_closed"][0]
                raise ApiError(code, "only templates may be sent 24 hours after the customer's last message")
            self._check_rates(stand_in, parsed, account, now)
            behaviour = self._use_behaviour(account)
            retry_after = behaviour.retry_after
            if behaviour.answer == "refuse" and behaviour.code is not None:
                raise ApiError(behaviour.code, "refused on demand", behaviour.http_status)
        except ApiError as error:
            self._record(stand_in, now, account, request, "refused", code=error.code)
            reply = stand_in.refusal(error)
            headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
            return Reply(reply.status, reply.body, reply.content_type, headers)
        return self._accept(stand_in, account, parsed, behaviour, now, closed=closed)

    def _accept(
        self,
        stand_in: StandIn,
        account: Account,
        request: SendRequest,
        behaviour: Behaviour,
        now: datetime,
        *,
        closed: bool,
    ) -> Reply:
        seed = request.id or f"seed {self._seed} request {self._seq}"
        copy = self._copies[account.id, seed]
        self._copies[account.id, seed] += 1
        message = SentMessage(seed, Customer(request.contact), copy, request.echo)
        message_id = stand_in.message_id(account.phone_number, seed, copy)
        silent = behaviour.answer == "timeout"
        life = Life()
        if self._auto_receipts and (behaviour.receipts or not silent):
            life = plan_life(stand_in, account, message, now, self._faults, self._seed, window_closed=closed)
        is_reported = stand_in.reports_unasked or request.echo is not None
        self.state.taken.append(Taken(now, account.id, message_id, request.contact, request.text, stages=life.stages))
        self._record(stand_in, now, account, request, "timeout" if silent else "accepted", message_id=message_id)
        reply = CUT if silent else stand_in.accepted(request, account, message_id, now)
        return Reply(
            reply.status, reply.body, reply.content_type, hangs=silent, callbacks=life.callbacks if is_reported else ()
        )

    def _is_closed(self, request: SendRequest, account: Account, now: datetime) -> bool:
        if not account.enforce_window or request.template is not None:
            return False
        wrote = self._wrote.get((account.id, request.contact))
        return wrote is None or now - wrote >= WINDOW

    def _check_rates(self, stand_in: StandIn, request: SendRequest, account: Account, now: datetime) -> None:
        of_number, of_pair = stand_in.rate_codes
        behaviour = account.behaviour
        if of_pair is not None and behaviour.pair_seconds is not None:
            key = (account.id, request.contact)
            if not self._rates.take(key, behaviour.pair_seconds, behaviour.pair_burst, now):
                raise ApiError(of_pair, "too many messages to this recipient in a short time")
        if of_number is not None and behaviour.per_second is not None:
            burst = max(1, int(behaviour.per_second))
            if not self._rates.take((account.id, ""), 1 / behaviour.per_second, burst, now):
                raise ApiError(of_number, "too many messages from this number in a short time")

    def _use_behaviour(self, account: Account) -> Behaviour:
        behaviour = account.behaviour
        self.state.accounts.put(account.model_copy(update={"behaviour": behaviour.after_use()}))
        return behaviour

    def _inbound_id(self, account: Account, contact: str) -> str:
        self._inbound[account.id, contact] += 1
        seed = f"inbound:{self._seed}:{account.phone_number}:{contact}:{self._inbound[account.id, contact]}"
        return STAND_INS[account.provider].inbound_id(seed)

    def _record(
        self,
        stand_in: StandIn,
        now: datetime,
        account: Account | None,
        request: SendRequest | None,
        outcome: Outcome,
        *,
        code: int | None = None,
        message_id: str | None = None,
    ) -> None:
        repeat = 0
        if account and request and request.id:
            repeat = self._requests[account.id, request.id]
            self._requests[account.id, request.id] += 1
        entry = LogEntry(
            seq=self._seq,
            at=now,
            provider=stand_in.name,
            account=account.id if account else None,
            id=request.id if request else None,
            conversation=request.conversation if request else None,
            contact=request.contact if request else None,
            type=request.type if request else None,
            text=request.text if request else None,
            template=request.template if request else None,
            content=request.content if request else None,
            outcome=outcome,
            code=code,
            message_id=message_id,
            repeat=repeat,
        )
        self._seq += 1
        self._log.append(entry)
        if len(self._log) > 2 * self._log_limit:
            del self._log[: self._log_limit]
            del self.state.taken[: -self._log_limit]


def _authenticate(stand_in: StandIn, asked: Asked) -> tuple[Account | None, ApiError | None]:
    try:
        return stand_in.authenticate(asked), None
    except ApiError as error:
        return None, error


def _parse(stand_in: StandIn, asked: Asked, account: Account | None) -> SendRequest | Reply | ApiError:
    try:
        return stand_in.read_send(asked, account)
    except ApiError as error:
        return error
