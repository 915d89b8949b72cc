"""Delivery: one send at a time per conversation, in order; how each ended goes to status and to conversations."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from agents.queue import EMPTY, KEEP, SEEN, Seen, Tail, append, waiting, was_seen
from agents.retention import SWEEP, Aged, sweep, sweep_timer
from agents.stage import Context, Decision, Effect, Emit, Row, Rows, Stage, TimerFired
from providers.meta import WINDOW_CLOSED
from providers.provider import Provider
from providers.registry import PROVIDERS
from schemas.effects import SendRequest, SendResult, SettleRequest, SettleResult, SignalRequest, Via
from schemas.event import Event
from schemas.events.inbox import DeliverySent, DeliveryUnsent
from schemas.events.receipts import SendAccepted, SendQueued, SendRefused, SendUnknown
from schemas.events.sending import EffectEnded, MarkRead, SendCommand, SendConfirmed
from schemas.ids import channel_of, contact_of
from schemas.topics import INBOX, OUTBOUND, RECEIPTS, Topic

CONFIRMATION_WAIT: Final = timedelta(seconds=60)
CREDENTIALS_WAIT: Final = timedelta(seconds=60)
MAX_BACKOFF_S: Final = 60
MAX_RECIPIENT_BACKOFF_S: Final = 256
"""WhatsApp asks for 4^n seconds where one recipient was sent too much; its credit of messages comes back in less."""
GIVE_UP: Final = timedelta(hours=24)
RECENT: Final = timedelta(hours=1)
"""By so much earlier than a message may have been sent what could be mistaken for it: clocks differ."""
NOT_TAKEN: Final = SendResult(answer="retry", message="the provider did not take it")

_RETRY: Final = "retry"
_CONFIRMATION: Final = "confirmation"
_KEPT: Final = (SEEN, "unsettled/")


class Queued(Row):
    """`queue/{seq}`: a command that waits for the one before it."""

    command: SendCommand
    since: datetime


class Head(Row):
    """`head`: the command whose turn it is.

    since: when it was commanded. effect: the attempt in flight; None while it waits for a timer. queued: send.queued
    was written. repeat: an earlier attempt may have reached the provider. confirmed: the provider's id of that attempt,
    learned while its repeat is in flight. failing_since: since when the provider takes nothing. throttled: how often in
    a row the provider said that this recipient is sent too much. settling: the effect asks if the message was taken.
    """

    command: SendCommand
    since: datetime
    via: Via = "session"
    effect: str | None = None
    failures: int = 0
    throttled: int = 0
    failing_since: datetime | None = None
    queued: bool = False
    repeat: bool = False
    confirmed: str | None = None
    settling: bool = False


class Sent(Seen):
    """`seen/{message_id}` of a message that the provider took: its id there."""

    provider_message_id: str | None = None


class Unsettled(Aged):
    """`unsettled/{message_id}`: it ended in doubt; a receipt may still prove that it was sent."""

    head: Head


@dataclass
class _DecisionBuilder:
    """A decision in the making."""

    rows: Rows
    ctx: Context
    writes: dict[str, Row | None] = field(default_factory=dict)
    emitted: list[Emit] = field(default_factory=list)
    timers: dict[str, datetime | None] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    def emit(self, topic: Topic, event: Event) -> None:
        self.emitted.append(Emit(topic, self.ctx.key, event))

    def remember(self, name: str, row: Aged) -> None:
        self.timers.update(sweep_timer(self.rows, _KEPT, self.ctx.now, KEEP))
        self.writes[name] = row

    def decision(self) -> Decision:
        return Decision(self.writes, tuple(self.emitted), self.timers, tuple(self.effects))


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What to send next, and how a send ended. Key: conversation key."""
    if event == TimerFired(SWEEP):
        return sweep(rows, _KEPT, ctx.now, KEEP)
    builder = _DecisionBuilder(rows, ctx)
    head = rows.get("head", Head)
    match event:
        case SendCommand():
            _commanded(builder, head, event)
        case SendConfirmed():
            _confirmed(builder, head, event)
        case MarkRead():
            _mark_read(builder, event)
        case EffectEnded() if head is not None and head.effect == event.effect_id:
            ended = _settled if head.settling else _ended
            ended(builder, head.model_copy(update={"effect": None, "settling": False}), event)
        case TimerFired(name) if head is not None and head.effect is None:
            _waited(builder, head, name)
    return builder.decision()


def _commanded(builder: _DecisionBuilder, head: Head | None, command: SendCommand) -> None:
    rows, now = builder.rows, builder.ctx.now
    if was_seen(rows, command.message_id):
        return
    builder.remember(f"{SEEN}{command.message_id}", Seen(since=now))
    if head is None:
        _attempt(builder, Head(command=command, since=now))
        return
    builder.writes |= append(rows, Queued(command=command, since=now))


def _attempt(builder: _DecisionBuilder, head: Head, *, window_closed: bool = False) -> bool:
    """Send the message, or report why it can no longer be sent. Returns whether an attempt is in flight."""
    ctx, command = builder.ctx, head.command
    via = _route(command, ctx.now, window_closed=window_closed)
    if via is None:
        _unsent(builder, head, "window_closed", WINDOW_CLOSED, "the 24-hour window is closed, and there is no template")
        return False
    request = SendRequest(
        effect_id=ctx.new_id(f"attempt of {command.message_id}"),
        message_id=command.message_id,
        conversation=ctx.key,
        channel=channel_of(ctx.key),
        contact=command.to or contact_of(ctx.key),
        kind=command.kind,
        via=via,
        text=command.text if via == "session" else None,
        template=command.template if via == "template" else None,
        content=command.content if via == "session" else None,
        # A person chose the template and hears of a refusal; the pipeline sends only what is surely approved.
        check_template=via == "template" and command.kind != "reply",
        # The attempt may be late behind a backlog, and the clock of this decision with it.
        not_after=command.not_after if via == "session" else None,
        repeat=head.repeat,
        no_marketing=via == "template" and command.no_marketing,
    )
    builder.effects.append(Effect(request.effect_id, request))
    builder.writes["head"] = head.model_copy(update={"effect": request.effect_id, "via": via})
    return True


def _route(command: SendCommand, now: datetime, *, window_closed: bool) -> Via | None:
    if command.kind == "reply" and command.template is not None:
        return "template"
    # Strict: at 24 hours to the second the window is closed.
    is_open = command.not_after is not None and now < command.not_after and not window_closed
    if is_open and (command.text or command.content):
        return "session"
    return "template" if command.template is not None else None


def _ended(builder: _DecisionBuilder, head: Head, event: EffectEnded) -> None:
    result = SendResult.model_validate(event.result) if event.outcome == "done" else None
    if head.confirmed is not None and (result is None or result.answer != "accepted"):
        _sent(builder, head, head.confirmed)
        _next(builder)
    elif result is not None:
        _answered(builder, head, result)
    elif event.outcome == "postponed":
        asked = event.result.get("retry_after_s")
        _wait(builder, head, timedelta(seconds=asked) if isinstance(asked, int | float) else _backoff(head))
    else:
        _doubt(builder, head)


def _answered(builder: _DecisionBuilder, head: Head, result: SendResult) -> None:
    now = builder.ctx.now
    match result:
        case SendResult(answer="accepted", provider_message_id=str(provider_id)):
            _sent(builder, head, provider_id)
            _next(builder)
        case SendResult(answer="window_closed") if head.via == "session":
            # By the provider's clock, whatever ours says: the template goes, if there is one.
            if not _attempt(builder, head, window_closed=True):
                _next(builder)
        case SendResult(answer="refused" | "template_unavailable" | "window_closed"):
            _unsent(builder, head, result.answer, result.code, result.message)
            _next(builder)
        case SendResult(answer="credentials"):
            # Nothing is lost while a channel's credentials are broken, so that the pause is no outage.
            _wait(builder, head.model_copy(update={"failing_since": None}), CREDENTIALS_WAIT)
        case SendResult(answer="retry"):
            failing_since = head.failing_since or now
            if now - max(failing_since, head.since) >= GIVE_UP:
                reason = "throttled" if result.throttled else "provider_unavailable"
                _unsent(builder, head, reason, result.code, result.message)
                _next(builder, failing_since)
                return
            throttled = head.throttled + 1 if result.throttled == "recipient" else 0
            head = head.model_copy(update={"failing_since": failing_since, "throttled": throttled})
            asked = result.retry_after_s
            _wait(builder, head, _backoff(head) if asked is None else timedelta(seconds=asked))
        case _:
            _doubt(builder, head)


def _backoff(head: Head) -> timedelta:
    # The exponents are bounded, too: a provider may be down for months.
    if head.throttled:
        return timedelta(seconds=min(MAX_RECIPIENT_BACKOFF_S, 4 ** min(head.throttled - 1, 10)))
    return timedelta(seconds=min(MAX_BACKOFF_S, 2 ** min(head.failures, 10)))


def _wait(builder: _DecisionBuilder, head: Head, delay: timedelta) -> None:
    if not head.queued:
        builder.emit(RECEIPTS, SendQueued(message_id=head.command.message_id))
    builder.writes["head"] = head.model_copy(update={"queued": True, "failures": head.failures + 1})
    builder.timers[_RETRY] = builder.ctx.now + delay


def _doubt(builder: _DecisionBuilder, head: Head) -> None:
    if not head.repeat:
        builder.emit(RECEIPTS, SendUnknown(message_id=head.command.message_id))
    builder.writes["head"] = head
    builder.timers[_CONFIRMATION] = builder.ctx.now + CONFIRMATION_WAIT


def _waited(builder: _DecisionBuilder, head: Head, timer: str) -> None:
    if timer == _RETRY:
        if not _attempt(builder, head):
            _next(builder)
    elif _provider(builder).settling is not None:
        _ask(builder, head)
    else:
        _repeat_or_leave(builder, head)


def _repeat_or_leave(builder: _DecisionBuilder, head: Head) -> None:
    if head.command.kind == "reply" and not head.repeat:
        in_flight = _attempt(builder, head.model_copy(update={"repeat": True, "failures": 0}))
    else:
        _unsettled(builder, head)
        in_flight = False
    if not in_flight:
        _next(builder)


def _ask(builder: _DecisionBuilder, head: Head) -> None:
    """Ask the provider whether it took the message."""
    ctx, command = builder.ctx, head.command
    since = head.since - RECENT
    recent = [sent for _, sent in builder.rows.scan(SEEN, Sent) if sent.since >= since]
    request = SettleRequest(
        effect_id=ctx.new_id(f"settle {command.message_id}"),
        message_id=command.message_id,
        channel=channel_of(ctx.key),
        contact=command.to or contact_of(ctx.key),
        text=command.text if head.via == "session" else None,
        since=head.since,
        known=tuple(sent.provider_message_id for sent in recent if sent.provider_message_id is not None),
    )
    builder.effects.append(Effect(request.effect_id, request))
    builder.writes["head"] = head.model_copy(update={"effect": request.effect_id, "settling": True})


def _settled(builder: _DecisionBuilder, head: Head, event: EffectEnded) -> None:
    """The provider's word on it: sent, or surely not, so that it may be tried again whatever it is."""
    done = event.outcome == "done"
    result = SettleResult.model_validate(event.result) if done else SettleResult(answer="unclear")
    provider_id = head.confirmed or result.provider_message_id
    if provider_id is not None:
        _sent(builder, head, provider_id)
        _next(builder)
    elif result.answer == "absent":
        _answered(builder, head.model_copy(update={"repeat": False}), NOT_TAKEN)
    else:
        _repeat_or_leave(builder, head)


def _provider(builder: _DecisionBuilder) -> Provider:
    return PROVIDERS[builder.ctx.settings(channel_of(builder.ctx.key)).provider]


def _confirmed(builder: _DecisionBuilder, head: Head | None, event: SendConfirmed) -> None:
    id, provider_id = event.message_id, event.provider_message_id
    if head is not None and head.command.message_id == id:
        if head.effect is not None:
            builder.writes["head"] = head.model_copy(update={"confirmed": provider_id})
            return
        builder.timers.update({_RETRY: None, _CONFIRMATION: None})
        _sent(builder, head, provider_id)
        _next(builder)
    elif unsettled := builder.rows.get(f"unsettled/{id}", Unsettled):
        builder.writes[f"unsettled/{id}"] = None
        _sent(builder, unsettled.head, provider_id)


def _mark_read(builder: _DecisionBuilder, event: MarkRead) -> None:
    """At once: it waits for no message, and none waits for it."""
    ctx = builder.ctx
    request = SignalRequest(
        effect_id=ctx.new_id("signal"),
        channel=channel_of(ctx.key),
        provider_message_id=event.provider_message_id,
        typing=event.typing,
    )
    builder.effects.append(Effect(request.effect_id, request))


def _sent(builder: _DecisionBuilder, head: Head, provider_id: str) -> None:
    command = head.command
    accepted = SendAccepted(
        message_id=command.message_id,
        provider_message_id=provider_id,
        conversation_id=command.conversation_id,
        kind=command.kind,
        via=head.via,
    )
    builder.emit(RECEIPTS, accepted)
    sent = DeliverySent(
        message_id=command.message_id,
        provider_message_id=provider_id,
        conversation_id=command.conversation_id,
        kind=command.kind,
        by=command.by,
        text=command.text if head.via == "session" else None,
        via=head.via,
        repeat=head.repeat,
        content=command.content if head.via == "session" else None,
        citations=command.citations,
    )
    builder.emit(INBOX, sent)
    if _provider(builder).settling is not None:
        seen = Sent(since=builder.ctx.now, provider_message_id=provider_id)
        builder.remember(f"{SEEN}{command.message_id}", seen)


def _unsent(builder: _DecisionBuilder, head: Head, reason: str, code: int, message: str) -> None:
    command = head.command
    if head.repeat:
        # The attempt before may have reached the customer: that this one did not go proves nothing.
        _unsettled(builder, head)
        return
    builder.emit(RECEIPTS, SendRefused(message_id=command.message_id, code=code, message=message))
    _tell_unsent(builder, command, reason, code)


def _unsettled(builder: _DecisionBuilder, head: Head) -> None:
    builder.remember(f"unsettled/{head.command.message_id}", Unsettled(since=builder.ctx.now, head=head))
    _tell_unsent(builder, head.command, "unknown", None)


def _tell_unsent(builder: _DecisionBuilder, command: SendCommand, reason: str, code: int | None) -> None:
    unsent = DeliveryUnsent(
        message_id=command.message_id,
        conversation_id=command.conversation_id,
        kind=command.kind,
        reason=reason,
        code=code,
    )
    builder.emit(INBOX, unsent)


def _next(builder: _DecisionBuilder, failing_since: datetime | None = None) -> None:
    """Take the next command from the queue that can be sent; what can no longer be sent ends on the way."""
    for name, queued in waiting(builder.rows, Queued):
        builder.writes[name] = None
        if _attempt(builder, Head(command=queued.command, since=queued.since, failing_since=failing_since)):
            return
    builder.writes |= EMPTY


DELIVERY = Stage(
    "delivery",
    input=OUTBOUND,
    outputs=(RECEIPTS, INBOX),
    decide=decide,
    state=(Head, Queued, Tail, Seen, Sent, Unsettled),
    effects=(SendRequest, SettleRequest, SignalRequest),
)
