"""An AI agent that the account runs itself: it is asked about one customer's message at a time, in order."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from agents.ai.rows import KEPT
from agents.queue import EMPTY, KEEP, SEEN, Seen, append, waiting, was_seen
from agents.retention import sweep_timer
from agents.stage import NOTHING, Context, Decision, Effect, Emit, Row, Rows
from schemas.effects import AiMessage, AiQuestion, AiRequest, AiResult
from schemas.events.ai import AiRequested
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of
from schemas.topics import INBOX

ATTEMPTS: Final = 3
"""Asking has no effect on the customer, so that it may be repeated; but the customer waits meanwhile."""
BACKOFF: Final = timedelta(seconds=2)
"""Before the second attempt; doubled before each further one."""

_RETRY: Final = "retry"


class Head(Row):
    """`head`: the request whose turn it is. effect: the attempt in flight; None while it waits to be asked again."""

    request: AiRequested
    effect: str | None = None
    attempts: int = 0


class Queued(Row):
    """`queue/{seq}`: a request that waits for the one before it."""

    request: AiRequested


def requested(rows: Rows, request: AiRequested, ctx: Context, *, busy: bool) -> Decision:
    """Ask, or let it wait for its turn. busy: a call for a GPT agent is in flight, as there is one for a key."""
    if was_seen(rows, request.request_id):
        return NOTHING
    waits = busy or rows.get("head", Head) is not None
    taken = Decision(append(rows, Queued(request=request))) if waits else _ask(Head(request=request), ctx)
    return replace(
        taken,
        writes={**taken.writes, f"{SEEN}{request.request_id}": Seen(since=ctx.now)},
        timers=sweep_timer(rows, KEPT, ctx.now, KEEP),
    )


def ended(rows: Rows, event: EffectEnded, ctx: Context) -> Decision:
    """What came of a question."""
    head = rows.get("head", Head)
    if head is None or head.effect != event.effect_id:
        return NOTHING
    if event.outcome == "done":
        return _settle(rows, _verdict(head.request, AiResult.model_validate(event.result)), ctx)
    if head.attempts < ATTEMPTS:
        again_at = ctx.now + BACKOFF * 2 ** (head.attempts - 1)
        return Decision({"head": head.model_copy(update={"effect": None})}, timers={_RETRY: again_at})
    return _settle(rows, _failed(head.request), ctx)


def again(rows: Rows, ctx: Context) -> Decision:
    """Time to ask once more, or to ask what waited while a call for a GPT agent was in flight."""
    head = rows.get("head", Head)
    if head is not None:
        return _ask(head, ctx)
    following = next(waiting(rows, Queued), None)
    if following is None:
        return NOTHING
    name, queued = following
    asked = _ask(Head(request=queued.request), ctx)
    return replace(asked, writes={name: None, **asked.writes})


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
