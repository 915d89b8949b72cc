"""media: fetches each file of the customers' messages until it is stored or given up; conversations tells of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from agents.queue import EMPTY, KEEP, SEEN, Seen, Tail, append, waiting, was_seen
from agents.retention import SWEEP, sweep, sweep_timer
from agents.stage import NOTHING, Context, Decision, Effect, Emit, Row, Rows, Stage, TimerFired
from schemas.effects import MediaAnswer, MediaRequest, MediaResult
from schemas.event import Event
from schemas.events.inbox import MediaEnd, MediaFailed, MediaStored
from schemas.events.media import MediaRequested
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of
from schemas.topics import INBOX, MEDIA_REQUESTS

GIVE_UP: Final[Mapping[MediaAnswer, timedelta]] = {"missing": timedelta(minutes=10), "later": timedelta(days=7)}
"""For how long a file is tried that is not there, and one of which nothing can be said: Meta keeps it for 7 days, and
what Twilio does not have in the first seconds it has a little later."""
TELL_AFTER: Final = timedelta(minutes=1)
"""From then on a file that is still tried is told to be missing."""
MAX_BACKOFF_S: Final = 3_600

_RETRY: Final = "retry"
_KEPT: Final = (SEEN,)
_UNKNOWN: Final = MediaResult(answer="later", reason="unreachable")
"""A time-out or a crash: what it may have stored is stored again."""


class Wanted(Row):
    """`head`: the file that is being fetched; `queue/{seq}`: one that waits for its turn, or until it is due again.

    since: when it was asked for. effect: the attempt in flight. told: that it is missing was told.
    """

    request: MediaRequested
    since: datetime
    due: datetime | None = None
    effect: str | None = None
    attempts: int = 0
    told: bool = False


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What to fetch next, and what came of an attempt. Key: conversation key."""
    if event == TimerFired(SWEEP):
        return sweep(rows, _KEPT, ctx.now, KEEP)
    head = rows.get("head", Wanted)
    match event:
        case MediaRequested():
            return _requested(rows, head, event, ctx)
        case EffectEnded() if head is not None and head.effect == event.effect_id:
            return _ended(rows, head, event, ctx)
        case TimerFired() if head is None:
            return _next(rows, ctx)
    return NOTHING


def _requested(rows: Rows, head: Wanted | None, request: MediaRequested, ctx: Context) -> Decision:
    name = f"{request.message_id}/{request.index}"
    if was_seen(rows, name):
        return NOTHING
    wanted = Wanted(request=request, since=ctx.now)
    taken = _fetch(wanted, ctx) if head is None else Decision(append(rows, wanted))
    return replace(
        taken,
        writes={**taken.writes, f"{SEEN}{name}": Seen(since=ctx.now)},
        timers=sweep_timer(rows, _KEPT, ctx.now, KEEP),
    )


def _fetch(wanted: Wanted, ctx: Context) -> Decision:
    asked = wanted.request
    request = MediaRequest(
        effect_id=ctx.new_id(f"attempt of {asked.message_id}/{asked.index}"),
        channel=channel_of(ctx.key),
        message_id=asked.message_id,
        index=asked.index,
        media=asked.media,
    )
    update = {"effect": request.effect_id, "due": None}
    return Decision({"head": wanted.model_copy(update=update)}, effects=(Effect(request.effect_id, request),))


def _ended(rows: Rows, head: Wanted, event: EffectEnded, ctx: Context) -> Decision:
    result = MediaResult.model_validate(event.result) if event.outcome == "done" else _UNKNOWN
    asked = head.request
    names = {"conversation_id": asked.conversation_id, "message_id": asked.message_id, "index": asked.index}
    if result.answer == "stored":
        return _next(rows, ctx, MediaStored(**names, **result.model_dump(exclude={"answer", "reason"})))
    tried_for = ctx.now - head.since
    if event.outcome != "postponed" and tried_for >= GIVE_UP.get(result.answer, timedelta()):
        return _next(rows, ctx, MediaFailed(**names, reason=result.reason, final=True))
    tell = tried_for >= TELL_AFTER and not head.told
    again_in = timedelta(seconds=min(MAX_BACKOFF_S, 2 ** min(head.attempts + 1, 12)))
    update = {
        "effect": None,
        "due": ctx.now + again_in,
        "attempts": head.attempts + (event.outcome != "postponed"),
        "told": head.told or tell,
    }
    failed = MediaFailed(**names, reason=result.reason, final=False) if tell else None
    return _next(rows, ctx, failed, head.model_copy(update=update))


def _next(rows: Rows, ctx: Context, end: MediaEnd | None = None, again: Wanted | None = None) -> Decision:
    """Fetch the first file that is due. One that is tried again later holds none back. again: one to try later."""
    emit = () if end is None else (Emit(INBOX, ctx.key, end),)
    writes: dict[str, Row | None] = {} if again is None else append(rows, again)
    first: datetime | None = None if again is None else again.due
    for name, wanted in waiting(rows, Wanted):
        if wanted.due is None or wanted.due <= ctx.now:
            fetched = _fetch(wanted, ctx)
            return replace(fetched, writes={**writes, name: None, **fetched.writes}, emit=emit)
        first = wanted.due if first is None else min(first, wanted.due)
    if first is None:
        return Decision(EMPTY, emit)
    return Decision({**writes, "head": None}, emit, timers={_RETRY: first})


MEDIA = Stage(
    "media",
    input=MEDIA_REQUESTS,
    outputs=(INBOX,),
    decide=decide,
    state=(Wanted, Tail, Seen),
    effects=(MediaRequest,),
)
