"""reconciliation: finds customers' messages whose callback never came, on the list that their provider keeps."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agents.retention import Aged
from agents.stage import NOTHING, Context, Decision, Effect, Emit, Row, Rows, Stage, TimerFired
from schemas.effects import FoundMessage, ListRequest, ListResult
from schemas.event import Event
from schemas.events.callbacks import CallbackTaken, WebhookReceived
from schemas.events.channels import ReconciliationSet
from schemas.events.sending import EffectEnded
from schemas.topics import RECONCILIATIONS, WEBHOOKS

LOOK_EVERY: Final = timedelta(minutes=1)
GRACE: Final = timedelta(minutes=1)
"""What was sent since then is left for the next look: its callback may be on its way."""
OVERLAP: Final = timedelta(minutes=5)
"""How much later than it was sent a message may come onto the list."""
REACH: Final = timedelta(hours=6)
"""How far a look goes back at most, after looks that failed."""
MAX_TRIES: Final = 5
"""Of asking for a message's files. Then it comes without."""

_LOOK: Final = "look"
_WATCH: Final = "watch"
_TAKEN: Final = "taken/"
_MISSED: Final = "missed/"
_UNREADABLE: Final = ListResult(answer="unreadable")


class Watch(Row):
    """`watch`: the channel's list is looked at. since: all that was sent before it is known.

    until: of the look under way. cursor: of its next page. effect: the call in flight. asked: whose files it names.
    """

    since: datetime
    until: datetime | None = None
    cursor: str | None = None
    effect: str | None = None
    asked: str | None = None


class Taken(Aged):
    """`taken/{id}`: the message came, or was found. Kept while a look may show it."""


class Missed(Row):
    """`missed/{id}`: a message that was found, whose files are to be named."""

    message: FoundMessage
    tries: int = 0


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What to look for, and what was found. Key: channel id."""
    watch = rows.get(_WATCH, Watch)
    match event:
        case ReconciliationSet():
            return _changed(rows, watch, ctx)
        case CallbackTaken() if watch is not None:
            return Decision({f"{_TAKEN}{event.message_id}": Taken(since=ctx.now)})
        case TimerFired() if watch is not None:
            until = ctx.now - GRACE
            since = max(watch.since, until - REACH)
            return _go_on(
                watch.model_copy(update={"since": since, "until": until}), dict(rows.scan(_MISSED, Missed)), ctx
            )
        case EffectEnded() if watch is not None and watch.effect == event.effect_id:
            return _ended(rows, watch, event, ctx)
    return NOTHING


def _changed(rows: Rows, watch: Watch | None, ctx: Context) -> Decision:
    settings = ctx.settings(ctx.key)
    wanted = settings.reconcile and settings.state == "active"
    if wanted == (watch is not None):
        return NOTHING
    if wanted:
        return Decision({_WATCH: Watch(since=ctx.now)}, timers={_LOOK: ctx.now + LOOK_EVERY})
    old = (name for prefix in (_TAKEN, _MISSED) for name, _ in rows.scan(prefix, Row))
    return Decision({_WATCH: None, **dict.fromkeys(old)}, timers={_LOOK: None})


def _ended(rows: Rows, watch: Watch, event: EffectEnded, ctx: Context) -> Decision:
    result = ListResult.model_validate(event.result) if event.outcome == "done" else _UNREADABLE
    missed = dict(rows.scan(_MISSED, Missed))
    writes: dict[str, Row | None] = {}
    found = result.messages
    if watch.asked is not None:
        asked = missed.pop(watch.asked)
        tries = asked.tries + (event.outcome != "postponed")
        if result.answer == "unreadable" and tries < MAX_TRIES:
            writes[watch.asked] = Missed(message=asked.message, tries=tries)
        else:
            writes[watch.asked] = None
            found = found or (asked.message.model_copy(update={"files": 0}),)
    elif result.answer == "listed":
        watch = watch.model_copy(update={"cursor": None if result.next == watch.cursor else result.next})
    emits = []
    for message in found:
        if rows.get(f"{_TAKEN}{message.id}", Taken) is not None:
            continue
        if message.files:
            missed[f"{_MISSED}{message.id}"] = writes[f"{_MISSED}{message.id}"] = Missed(message=message)
            continue
        writes[f"{_TAKEN}{message.id}"] = Taken(since=ctx.now)
        callback = WebhookReceived(provider=ctx.settings(ctx.key).provider, body=message.body.encode())
        emits.append(Emit(WEBHOOKS, ctx.key, callback))
    if result.answer == "unreadable":
        after = _rest(rows, watch.since, ctx)
    elif missed or watch.cursor is not None:
        after = _go_on(watch, missed, ctx)
    else:
        after = _rest(rows, (watch.until or ctx.now) - OVERLAP, ctx)
    return Decision({**after.writes, **writes}, tuple(emits), after.timers, after.effects)


def _go_on(watch: Watch, missed: dict[str, Missed], ctx: Context) -> Decision:
    """Ask for the files of the first message found without, else for the next page."""
    asked = next(iter(missed), None)
    request = ListRequest(
        effect_id=ctx.new_id("look"),
        channel=ctx.key,
        since=watch.since,
        until=watch.until or ctx.now,
        cursor=watch.cursor,
        message=None if asked is None else missed[asked].message,
    )
    writes = {_WATCH: watch.model_copy(update={"effect": request.effect_id, "asked": asked})}
    return Decision(writes, effects=(Effect(request.effect_id, request),))


def _rest(rows: Rows, since: datetime, ctx: Context) -> Decision:
    """The look is over: the next one begins at `since`."""
    return Decision(
        {_WATCH: Watch(since=since), **dict.fromkeys(_old(rows, since))}, timers={_LOOK: ctx.now + LOOK_EVERY}
    )


def _old(rows: Rows, since: datetime) -> Iterator[str]:
    """The messages that no look shows any more. Their callbacks' times are ours, by a clock that may differ."""
    return (name for name, row in rows.scan(_TAKEN, Taken) if row.since < since - OVERLAP)


RECONCILIATION = Stage(
    "reconciliation",
    input=RECONCILIATIONS,
    outputs=(WEBHOOKS,),
    decide=decide,
    state=(Watch, Taken, Missed),
    effects=(ListRequest,),
)
