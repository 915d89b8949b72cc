"""hours: the business-hours verdict on every conversation event, and the unavailable message while closed.

A customer's message that comes before the conversation is routed waits for that: with the AI agent
no customer hears that the channel is closed. It is judged by its own time all the same.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final

from agents.opening import is_open, local_time
from agents.retention import SWEEP, Aged, sweep, sweep_timer
from agents.stage import NOTHING, Context, Decision, Emit, Row, Rows, Stage, TimerFired
from agents.templates import message_template, render
from schemas.event import Event
from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoticeReceived,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.sending import SendUnavailable
from schemas.settings.business_hours import BusinessHours
from schemas.topics import CONVERSATIONS, GATED, OUTBOUND

HANDED_OVER: Final = frozenset({"handed_over", "ai_handed_over", "ai_failed"})
HUMAN_IS_THERE: Final = timedelta(minutes=5)
LATE: Final = timedelta(days=7)
"""A message older than this is too old for a notice: its customer does not wait."""
NOTIFIED: Final = "told/"
NOTIFIED_FOR: Final = LATE + timedelta(days=2)
"""LATE plus more than one local day: by then no message of that day can trigger a notice."""


class Judged(Row):
    """What the customer wrote before the routing, already judged.

    open: the verdict on the first message. closed: by local day, the latest message that came while closed.
    """

    open: bool
    closed: Mapping[date, datetime] = {}


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """The event with its verdict, and the unavailable message where it is due. Key: the conversation key.

    The row of a day's notice (`told/{conversation}/{day}`) outlives the conversation, which may be reopened that day.
    """
    match event:
        case ConversationMessageReceived():
            return _message(rows, event, ctx)
        case ConversationRouted():
            return _routed(rows, event, ctx)
        case ConversationStatusChanged():
            return _status_changed(rows, event, ctx)
        case ConversationMessageSent() | ConversationNoticeReceived():
            return Decision(emit=(_gated(event, _is_open(event, event.at, ctx), ctx),))
        case ConversationEvent():
            return Decision(emit=(_gated(event, _is_open(event, ctx.now, ctx), ctx),))
        case TimerFired(name=name) if name == SWEEP:
            return sweep(rows, (NOTIFIED,), ctx.now, NOTIFIED_FOR)
    return NOTHING


def _hours(header: Header, ctx: Context) -> BusinessHours:
    return ctx.settings(header.channel).business_hours


def _is_open(event: ConversationEvent, at: datetime, ctx: Context) -> bool:
    return is_open(_hours(event.header, ctx), at)


def _gated(event: ConversationEvent, verdict: bool, ctx: Context) -> Emit:
    gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=verdict)
    return Emit(GATED, ctx.key, gated)


# --- a customer's message -------------------------------------------------------------------------------------------


def _message(rows: Rows, event: ConversationMessageReceived, ctx: Context) -> Decision:
    verdict = _is_open(event, event.at, ctx)
    gated = _gated(event, verdict, ctx)
    if event.treatment != "ordinary":
        return Decision(emit=(gated,))
    if not event.header.routed:
        return Decision(writes=_judge(rows, event, verdict, ctx), emit=(gated,))
    return _send_unavailable(gated, rows, event.header, () if verdict else (event.at,), ctx)


def _judge(rows: Rows, event: ConversationMessageReceived, verdict: bool, ctx: Context) -> Mapping[str, Row]:
    name = _judged_name(event.header)
    judged = rows.get(name, Judged) or Judged(open=verdict)
    closed = {day: at for day, at in judged.closed.items() if not _is_late(at, ctx)}
    if not verdict and not _is_late(event.at, ctx):
        # The latest of a day stands for all of them: it is the last to have had a human there just before.
        day = local_time(_hours(event.header, ctx), event.at).date()
        closed[day] = max(closed.get(day, event.at), event.at)
    return {name: judged.model_copy(update={"closed": closed})}


def _judged_name(header: Header) -> str:
    return f"held/{header.conversation_id}"


def _is_late(at: datetime, ctx: Context) -> bool:
    return at < ctx.now - LATE


# --- the conversation is routed, or it is over before that --------------------------------------------


def _routed(rows: Rows, event: ConversationRouted, ctx: Context) -> Decision:
    name = _judged_name(event.header)
    judged = rows.get(name, Judged)
    if judged is None:
        return Decision(emit=(_gated(event, _is_open(event, ctx.now, ctx), ctx),))
    gated = _gated(event, judged.open, ctx)
    notice = _send_unavailable(gated, rows, event.header, judged.closed.values(), ctx)
    return Decision({**notice.writes, name: None}, notice.emit, notice.timers)


def _status_changed(rows: Rows, event: ConversationStatusChanged, ctx: Context) -> Decision:
    verdict = _is_open(event, ctx.now, ctx)
    gated = _gated(event, verdict, ctx)
    status = event.header.status
    if status not in LIVE:
        return Decision(writes={_judged_name(event.header): None}, emit=(gated,))
    left_by_ai = status is Status.OPEN and event.reason in HANDED_OVER and not event.told
    return _send_unavailable(gated, rows, event.header, (ctx.now,) if left_by_ai and not verdict else (), ctx)


# --- the unavailable message ----------------------------------------------------------------------------------------


def _send_unavailable(gated: Emit, rows: Rows, header: Header, closed: Iterable[datetime], ctx: Context) -> Decision:
    """The verdict, and one unavailable message for each local day of what came while closed, unless it was sent."""
    writes: dict[str, Row | None] = {}
    emits = [gated]
    for at in sorted(closed):
        day = local_time(_hours(header, ctx), at).date()
        name = f"{NOTIFIED}{header.conversation_id}/{day}"
        text = _unavailable_text(header, at, ctx)
        if text and name not in writes and rows.get(name, Aged) is None:
            writes[name] = Aged(since=ctx.now)
            emits.append(Emit(OUTBOUND, ctx.key, _unavailable(header, day, text, ctx)))
    timers = sweep_timer(rows, (NOTIFIED,), ctx.now, NOTIFIED_FOR) if writes else {}
    return Decision(writes, tuple(emits), timers)


def _unavailable_text(header: Header, at: datetime, ctx: Context) -> str:
    """What there is to say about a message of that time; empty: nothing."""
    # Later than the message counts as there, too: a human's answer overtook it.
    human_is_there = header.last_human_at is not None and at - header.last_human_at < HUMAN_IS_THERE
    with_ai = header.status is Status.AI_REPLYING
    if human_is_there or with_ai or header.blocked or _is_late(at, ctx):
        return ""
    settings = ctx.settings(header.channel)
    return render(settings.business_hours.unavailable_message, header, settings)


def _unavailable(header: Header, day: date, text: str, ctx: Context) -> SendUnavailable:
    return SendUnavailable(
        message_id=ctx.new_id(f"unavailable/{header.conversation_id}/{day}"),
        conversation_id=header.conversation_id,
        kind="unavailable",
        text=text,
        template=message_template(_hours(header, ctx).unavailable_template),
        not_after=header.session_ends,
        to=header.address if header.address != header.contact else None,
    )


HOURS = Stage("hours", input=CONVERSATIONS, outputs=(GATED, OUTBOUND), decide=decide, state=(Judged, Aged))
