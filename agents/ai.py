"""AI: asks the AI agent about one customer's message at a time, in order; conversations decides what to do with it."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from agents.queue import EMPTY, KEEP, SEEN, Seen, Tail, append, waiting, was_seen
from agents.retention import SWEEP, sweep, sweep_timer
from agents.stage import NOTHING, Context, Decision, Effect, Emit, Row, Rows, Stage, TimerFired
from schemas.effects import AiMessage, AiQuestion, AiRequest, AiResult
from schemas.event import Event
from schemas.events.ai import AiRequested
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of
from schemas.topics import AI_CALLS, AI_REQUESTS, INBOX

ATTEMPTS: Final = 3
"""Asking has no effect on the customer, so that it may be repeated; but the customer waits meanwhile."""
BACKOFF: Final = timedelta(seconds=2)
"""Before the second attempt; doubled before each further one."""

_RETRY: Final = "retry"
_KEPT: Final = (SEEN,)


class Head(Row):
    """`head`: the request whose turn it is. effect: the attempt in flight; None while it waits to be asked again."""

    request: AiRequested
    effect: str | None = None
    attempts: int = 0


class Queued(Row):
    """`queue/{seq}`: a request that waits for the one before it."""

    request: AiRequested


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What to ask next, and what came of a question. Key: conversation key."""
    if event == TimerFired(SWEEP):
        return sweep(rows, _KEPT, ctx.now, KEEP)
    head = rows.get("head", Head)
    match event:
        case AiRequested():
            return _requested(rows, head, event, ctx)
        case EffectEnded() if head is not None and head.effect == event.effect_id:
            return _ended(rows, head, event, ctx)
        case TimerFired() if head is not None:
            return _ask(head, ctx)
    return NOTHING


def _requested(rows: Rows, head: Head | None, request: AiRequested, ctx: Context) -> Decision:
    if was_seen(rows, request.request_id):
        return NOTHING
    taken = _ask(Head(request=request), ctx) if head is None else Decision(append(rows, Queued(request=request)))
    return replace(
        taken,
        writes={**taken.writes, f"{SEEN}{request.request_id}": Seen(since=ctx.now)},
        timers=sweep_timer(rows, _KEPT, ctx.now, KEEP),
    )


def _ask(head: Head, ctx: Context) -> Decision:
    asked = head.request
    question = AiQuestion(
        request_id=asked.request_id,
        conversation=asked.conversation_id,
        channel=channel_of(ctx.key),
        agent=asked.agent,
        message=AiMessage(id=asked.message_id, kind=asked.kind, text=asked.text),
    )
    request = AiRequest(effect_id=ctx.new_id(f"attempt of {asked.request_id}"), question=question)
    in_flight = head.model_copy(update={"effect": request.effect_id, "attempts": head.attempts + 1})
    return Decision({"head": in_flight}, effects=(Effect(request.effect_id, request),))


def _ended(rows: Rows, head: Head, event: EffectEnded, ctx: Context) -> Decision:
    if event.outcome == "done":
        return _settle(rows, _verdict(head.request, AiResult.model_validate(event.result)), ctx)
    if head.attempts < ATTEMPTS:
        again_at = ctx.now + BACKOFF * 2 ** (head.attempts - 1)
        return Decision({"head": head.model_copy(update={"effect": None})}, timers={_RETRY: again_at})
    return _settle(rows, _failed(head.request), ctx)


def _verdict(request: AiRequested, result: AiResult) -> AiEnd:
    match result:
        case AiResult(answer="text", text=str(text)):
            return AiAnswered(request_id=request.request_id, conversation_id=request.conversation_id, text=text)
        case AiResult(answer="handoff"):
            return AiHandedOver(request_id=request.request_id, conversation_id=request.conversation_id)
    return _failed(request)


def _failed(request: AiRequested) -> AiFailed:
    return AiFailed(request_id=request.request_id, conversation_id=request.conversation_id)


def _settle(rows: Rows, end: AiEnd, ctx: Context) -> Decision:
    """Report how it ended, and ask what comes next. A conversation that goes to a human has no more questions."""
    report = (Emit(INBOX, ctx.key, end),)
    gone: dict[str, Row | None] = {}
    if not isinstance(end, AiAnswered):
        gone = {
            name: None
            for name, queued in waiting(rows, Queued)
            if queued.request.conversation_id == end.conversation_id
        }
    following = next(((name, row) for name, row in waiting(rows, Queued) if name not in gone), None)
    if following is None:
        return Decision({**gone, **EMPTY}, report)
    name, queued = following
    asked = _ask(Head(request=queued.request), ctx)
    return replace(asked, writes={**gone, name: None, **asked.writes}, emit=report)


AI = Stage(
    "ai",
    input=AI_REQUESTS,
    outputs=(INBOX, AI_CALLS),
    decide=decide,
    state=(Head, Queued, Tail, Seen),
    effects=(AiRequest,),
)
