"""Status: what is known of each message that was sent, whatever the order in which its receipts come."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from agents.retention import Aged, sweep, sweep_timer
from agents.stage import NOTHING, Context, Decision, Emit, Row, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.inbox import DeliveryFailed
from schemas.events.receipts import (
    DeliveryError,
    EchoSent,
    MessageAnomaly,
    MessageStatusChanged,
    ReceiptReceived,
    SendAccepted,
    SendQueued,
    SendRefused,
    SendUnknown,
)
from schemas.events.sending import SendConfirmed
from schemas.topics import INBOX, OUTBOUND, RECEIPTS, STATUSES

KEEP: Final = timedelta(days=30)

UNKNOWN: Final = "unknown"
"""The send may or may not have reached the provider. Also said of a message of which nothing else is known."""

RANKS: Final = {
    status: rank
    for rank, status in enumerate(
        (
            "queued",
            # A repeat that waits is no less in doubt for it; the provider's acceptance ends the doubt.
            UNKNOWN,
            "accepted",
            "plan",
            "target_valid",
            "sent",
            "delivered_timeout",
            "delivered",
            "read",
        )
    )
}
REPORTED_FAILURES: Final = frozenset({"target_invalid", "sent_failed", "delivered_failed"})
"""Failures that receipts report; delivery reports a refusal itself."""
FAILURES: Final = frozenset({"refused"}) | REPORTED_FAILURES
DELIVERIES: Final = frozenset({"delivered", "read"})

# Bounds on what a provider may make us keep: a row stays under 8 KiB.
_MAX_WORD: Final = 64
_MAX_ERROR: Final = 500
_MAX_NOTED: Final = 16

_KEPT: Final = ("early/", "message/", "provider/")


class Report(BaseModel):
    """One thing said of a message. at: never after it was heard."""

    model_config = ConfigDict(frozen=True)

    status: str
    at: datetime
    error: DeliveryError | None = None


class Message(Aged):
    """`message/{id}`: what is known of a message.

    timestamps: status -> when it was first reported. noted: reports that changed nothing (contradictions, words that
    this version does not know), so that each is published once. in_doubt: its send ended unknown. settled: delivery
    knows that it was sent. conversation_id, kind, via: as delivery sent it.
    """

    provider_message_id: str | None = None
    status: str | None = None
    timestamps: dict[str, datetime] = {}
    error: DeliveryError | None = None
    noted: tuple[str, ...] = ()
    in_doubt: bool = False
    settled: bool = False
    conversation_id: str | None = None
    kind: str | None = None
    via: Literal["session", "template"] | None = None

    @property
    def failed_after_acceptance(self) -> bool:
        """Whether a receipt reports a failure of what delivery reported as accepted, in whatever order."""
        return self.status in REPORTED_FAILURES and "accepted" in self.timestamps


class Owner(Aged):
    """`provider/{provider_message_id}`: whose id it is. A repeated message has two."""

    message_id: str


class Early(Aged):
    """`early/{provider_message_id}`: receipts whose message isn't known yet, in the order in which they came."""

    reports: tuple[Report, ...] = ()


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What a receipt, or the end of a send, says about a message. Key: conversation key."""
    now = ctx.now
    match event:
        case TimerFired():
            return sweep(rows, _KEPT, now, KEEP)
        case ReceiptReceived():
            return _receipt(rows, event, ctx)
        case SendAccepted(message_id=id, provider_message_id=provider_id):
            reports = (Report(status="accepted", at=now), *_early(rows, provider_id))
            known = {"settled": True, "conversation_id": event.conversation_id, "kind": event.kind, "via": event.via}
            return _learn(rows, ctx, id, reports, provider_id, known)
        case EchoSent(message_id=id):
            reports = (Report(status="accepted", at=now), *_early(rows, id))
            return _learn(rows, ctx, id, reports, id, {"settled": True, "kind": "reply"})
        case SendQueued(message_id=id):
            return _learn(rows, ctx, id, (Report(status="queued", at=now),))
        case SendUnknown(message_id=id):
            return _learn(rows, ctx, id, (Report(status=UNKNOWN, at=now),), known={"in_doubt": True})
        case SendRefused(message_id=id):
            error = DeliveryError(code=event.code, message=event.message[:_MAX_ERROR])
            return _learn(rows, ctx, id, (Report(status="refused", at=now, error=error),))
    return NOTHING


def _receipt(rows: Rows, event: ReceiptReceived, ctx: Context) -> Decision:
    provider_id = event.provider_message_id
    # A provider's clock ahead of ours must not date a message into the future.
    at = min(event.at or ctx.now, ctx.now)
    report = Report(status=event.status[:_MAX_WORD], at=at, error=_error(event))
    message_id = event.message_id
    if message_id is None and (owner := rows.get(f"provider/{provider_id}", Owner)):
        message_id = owner.message_id
    if message_id is None:
        return _keep(rows, ctx, provider_id, report)
    return _learn(rows, ctx, message_id, (*_early(rows, provider_id), report), provider_id)


def _error(event: ReceiptReceived) -> DeliveryError | None:
    if event.status not in FAILURES or not (event.error_code or event.error_message):
        return None
    return DeliveryError(code=event.error_code, message=(event.error_message or "")[:_MAX_ERROR])


def _early(rows: Rows, provider_id: str) -> tuple[Report, ...]:
    early = rows.get(f"early/{provider_id}", Early)
    return early.reports if early else ()


def _keep(rows: Rows, ctx: Context, provider_id: str, report: Report) -> Decision:
    early = rows.get(f"early/{provider_id}", Early) or Early(since=ctx.now)
    if len(early.reports) >= _MAX_NOTED or any(known.status == report.status for known in early.reports):
        return NOTHING
    row = Early(since=early.since, reports=(*early.reports, report))
    return Decision(writes={f"early/{provider_id}": row}, timers=sweep_timer(rows, _KEPT, ctx.now, KEEP))


def _learn(
    rows: Rows,
    ctx: Context,
    id: str,
    reports: tuple[Report, ...],
    provider_id: str | None = None,
    known: Mapping[str, object] = MappingProxyType({}),
) -> Decision:
    before = rows.get(f"message/{id}", Message)
    message = before or Message(since=ctx.now)
    if message.provider_message_id is None and provider_id is not None:
        known = {**known, "provider_message_id": provider_id}
    if known:
        message = message.model_copy(update=known)
    writes: dict[str, Row | None] = {}
    if provider_id is not None and rows.get(f"provider/{provider_id}", Owner) is None:
        writes[f"provider/{provider_id}"] = Owner(since=ctx.now, message_id=id)
        writes[f"early/{provider_id}"] = None
    emit: list[Emit] = []
    for report in reports:
        message, event = _apply(id, message, report)
        if event is not None:
            emit.append(Emit(STATUSES, ctx.key, event))
    if message.failed_after_acceptance and not (before is not None and before.failed_after_acceptance):
        emit.append(Emit(INBOX, ctx.key, _failed(id, message)))
    if message.in_doubt and not message.settled and message.provider_message_id is not None:
        confirmed = SendConfirmed(message_id=id, provider_message_id=message.provider_message_id)
        emit.append(Emit(OUTBOUND, ctx.key, confirmed))
        message = message.model_copy(update={"settled": True})
    if message != before:
        writes[f"message/{id}"] = message
    if not writes:
        return NOTHING
    timers = sweep_timer(rows, _KEPT, ctx.now, KEEP) if before is None else {}
    return Decision(writes=writes, emit=tuple(emit), timers=timers)


def _failed(id: str, message: Message) -> DeliveryFailed:
    return DeliveryFailed(
        message_id=id,
        status=message.status or UNKNOWN,
        code=None if message.error is None else message.error.code,
        conversation_id=message.conversation_id,
        kind=message.kind,
        via=message.via,
    )


def _apply(id: str, message: Message, report: Report) -> tuple[Message, Event | None]:
    status = report.status
    if status in message.timestamps or status in message.noted:
        return message, None
    known = status in RANKS or status in FAILURES
    if not known or _contradicts(message.status, status):
        if len(message.noted) >= _MAX_NOTED:
            return message, None
        noted = message.model_copy(update={"noted": (*message.noted, status)})
        if known:
            standing = message.status or UNKNOWN
            return noted, MessageAnomaly(message_id=id, standing=standing, reported=status, at=report.at)
        return noted, _changed(id, noted, status, message.status)
    changes: dict[str, object] = {"timestamps": {**message.timestamps, status: report.at}}
    if _supersedes(message.status, status):
        changes |= {"status": status, "error": report.error}
    after = message.model_copy(update=changes)
    return after, _changed(id, after, status, message.status)


def _contradicts(standing: str | None, reported: str) -> bool:
    return (standing in FAILURES and reported in DELIVERIES) or (standing in DELIVERIES and reported in FAILURES)


def _supersedes(standing: str | None, reported: str) -> bool:
    if standing is None:
        return True
    if standing in FAILURES:
        return False
    return reported in FAILURES or RANKS[reported] > RANKS[standing]


def _changed(id: str, message: Message, reported: str, previous: str | None) -> MessageStatusChanged:
    return MessageStatusChanged(
        message_id=id,
        provider_message_id=message.provider_message_id,
        reported=reported,
        status=message.status or UNKNOWN,
        previous=previous,
        timestamps=message.timestamps,
        error=message.error,
    )


STATUS = Stage(
    "status",
    input=RECEIPTS,
    outputs=(STATUSES, OUTBOUND, INBOX),
    decide=decide,
    state=(Message, Owner, Early),
    unhurried=True,
)
