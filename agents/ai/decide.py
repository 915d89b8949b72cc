"""ai: asks the AI agent that holds a conversation; conversations decides what to do with what it says.

An AI agent is the account's own service (http.py), or a model that we ask ourselves (gpt.py). Both share a key's one
call in flight: what is asked while the other's is under way waits for it.
"""

from dataclasses import replace

from agents.ai import gpt, http
from agents.ai.http import Head, Queued
from agents.ai.rows import KEPT, RUN, TALK, Rejected, Run, Said, Source, Step, Talk
from agents.ai.work import ASK_AGAIN, Work
from agents.queue import KEEP, Seen, Tail
from agents.retention import SWEEP, sweep
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from schemas.effects import AiRequest, GptRequest, KnowledgeRequest, ToolRequest
from schemas.event import Event
from schemas.events.ai import AiRequested, AiTold
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of
from schemas.settings.ai import GptAgent
from schemas.topics import AI_CALLS, AI_REQUESTS, INBOX


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What to ask next, and what came of a question. Key: conversation key."""
    run = rows.get(RUN, Run)
    work = Work(rows, ctx)
    match event:
        case TimerFired(name) if name == SWEEP:
            return sweep(rows, KEPT, ctx.now, KEEP)
        case AiRequested():
            agent = ctx.settings(channel_of(ctx.key)).ai_agent(event.agent)
            if not isinstance(agent, GptAgent):
                return http.requested(rows, event, ctx, busy=run is not None)
            gpt.requested(work, event, agent, busy=rows.get("head", Head) is not None)
        case AiTold():
            gpt.told(work, event)
        case EffectEnded() if run is not None and run.effect == event.effect_id:
            gpt.ended(work, run, event)
        case TimerFired(name) if name == ASK_AGAIN:
            if run is not None and run.effect is None:
                gpt.again(work, run)
        case EffectEnded():
            return _then_gpt(work, http.ended(rows, event, ctx))
        case TimerFired():
            return http.again(rows, ctx)
    return _then_the_rest(work, run)


def _then_gpt(work: Work, decision: Decision) -> Decision:
    """A call for the account's own service has ended: what a GPT agent was asked meanwhile is begun."""
    is_over = "head" in decision.writes and decision.writes["head"] is None
    if not is_over or work.rows.get(TALK, Talk) is None:
        return decision
    gpt.begin(work)
    return _both(decision, work.decision())


def _then_the_rest(work: Work, before: Run | None) -> Decision:
    """What was asked while the call that has ended was in flight."""
    if before is None or work.run is not None:
        return work.decision()
    gpt.begin(work)
    decision = work.decision()
    is_begun = bool(decision.effects)
    return decision if is_begun else _both(decision, http.again(work.rows, work.ctx))


def _both(one: Decision, other: Decision) -> Decision:
    return replace(
        one,
        writes={**one.writes, **other.writes},
        emit=one.emit + other.emit,
        timers={**one.timers, **other.timers},
        effects=one.effects + other.effects,
    )


AI = Stage(
    "ai",
    input=AI_REQUESTS,
    outputs=(INBOX, AI_CALLS),
    decide=decide,
    state=(Head, Queued, Tail, Seen, Talk, Said, Run, Source, Step, Rejected),
    effects=(AiRequest, KnowledgeRequest, GptRequest, ToolRequest),
)
