"""A GPT agent: what a customer asks leads to passages, calls of a model and of tools, and to one end.

One call is in flight for a key. What is written meanwhile is asked about together with the rest. Whoever takes the
conversation drops all of it at once.
"""

from datetime import timedelta
from typing import Final

from agents.ai import ends, prompt, rules, steps, tools
from agents.ai.rows import REJECTED, Rejected, Run, Said, Source, Step, cut
from agents.ai.work import ASK_AGAIN, Work
from agents.queue import was_seen
from agents.stage import Effect
from schemas.effects import EffectRequest, GptRequest, GptResult, KnowledgeRequest, KnowledgeResult, ToolResult
from schemas.events.ai import AiCallEnded, AiRequested, AiTold
from schemas.events.sending import EffectEnded
from schemas.ids import channel_of, derived_id
from schemas.settings.ai import GptAgent
from schemas.topics import AI_CALLS

ATTEMPTS: Final = 3
"""At one call."""
BACKOFF: Final = timedelta(seconds=2)
"""Before the second attempt; doubled before each further one, where the service does not say how long."""
LONGEST_WAIT: Final = timedelta(seconds=60)
"""A service that wants to be left alone for longer is not waited for: a human is there sooner."""
MAX_CALLS: Final = 8
"""Of the model, for one question: a tool may be called for ever."""
MAX_RESTARTS: Final = 3
"""How often an answer is dropped as more was written: a customer who never stops is answered all the same."""
MAX_SOURCES: Final = 8
_QUERY: Final = 2_000


# --- what comes from conversations -----------------------------------------------------------------------------------


def requested(work: Work, event: AiRequested, agent: GptAgent, *, busy: bool) -> None:
    """A customer's message is to be answered. busy: the key's one call in flight is another agent's."""
    if was_seen(work.rows, event.request_id):
        return
    work.remember(event.request_id)
    _take_up(work, event)
    machine = rules.machine_messages(work.talk, event.text, event.at, work.said)
    talk = work.know(machine=machine, answered_at=None)
    _hear(work, event)
    reason = rules.why_at_once(agent, talk, event.text)
    run = work.run
    if reason is not None:
        ends.hand_over(work, agent, reason)
    elif run is None:
        if not busy:
            begin(work)
    elif not run.dropped:
        work.store(run.model_copy(update={"stale": run.effect is not None, "resolve": False}))


def _take_up(work: Work, event: AiRequested) -> None:
    """The agent has the conversation, from this message on if it had not."""
    before = work.talk
    new: dict[str, object] = {} if before.conversation_id == event.conversation_id else {"answers": 0, "machine": 0}
    if new or not before.held or before.agent != event.agent:
        new |= {"in_a_row": 0, "asked_else": False, "unreadable": False, "answered_at": None}
    work.know(
        since=work.ctx.now,
        agent=event.agent,
        conversation_id=event.conversation_id,
        held=True,
        name=event.name or before.name,
        **new,
    )
    if not before.held and _humans_had_it(work.said):
        work.say("returned", event.at)


def _humans_had_it(said: list[Said]) -> bool:
    for one in reversed(said):
        if one.by in ("returned", "resolved"):
            return False
        if one.by in ("released", "human"):
            return True
    return False


def _hear(work: Work, event: AiRequested) -> None:
    """It waits for an answer, also where it was told of before."""
    told = next((one for one in work.said if one.message_id == event.message_id and one.by == "customer"), None)
    if told is not None:
        work.put(told.model_copy(update={"request": event.request_id, "conversation_id": event.conversation_id}))
        return
    work.say(
        "customer",
        event.at,
        text=event.text,
        kind=event.kind,
        message_id=event.message_id,
        request=event.request_id,
    )


def told(work: Work, event: AiTold) -> None:
    """What was said, or became of the conversation."""
    match event.what:
        case "said":
            _said(work, event)
        case "released":
            _release(work, event)
        case "resolved":
            last = work.said[-1:]
            if last and last[0].by == "released":
                work.put(last[0].model_copy(update={"by": "resolved"}))
            elif last:
                work.say("resolved", event.at)
            work.know(answers=0, in_a_row=0, machine=0, asked_else=False, answered_at=None)


def _said(work: Work, event: AiTold) -> None:
    said, by = work.said, event.by or "business"
    if any(one.message_id == event.message_id and one.by == by for one in said if one.message_id is not None):
        return
    work.know(since=work.ctx.now, conversation_id=work.talk.conversation_id or event.conversation_id)
    if by == "ai":
        work.know(answered_at=event.at)
        own = next((one for one in said if one.by == "ai" and _is_of(event.text, one.text)), None)
        if own is not None:
            work.put(own.model_copy(update={"unsent": False}))
            return
    work.say(by, event.at, text=event.text, kind=event.kind, message_id=event.message_id)


def _is_of(part: str | None, whole: str | None) -> bool:
    return bool(part) and bool(whole) and cut(part or "").rstrip("…") in (whole or "")


def _release(work: Work, event: AiTold) -> None:
    """The agent has it no longer: nothing of it is asked, called or said any more."""
    for one in work.open:
        work.put(one.model_copy(update={"request": None}))
    for one in work.said:
        if one.unsent:
            work.writes[f"gpt/said/{one.number:012d}"] = None
    work.drop_run()
    work.know(held=False, in_a_row=0, machine=0, asked_else=False, answered_at=None)
    work.say("released", event.at)


# --- the question ----------------------------------------------------------------------------------------------------


def begin(work: Work) -> None:
    """Answer all that waits."""
    opened, talk = work.open, work.talk
    if not opened:
        return
    agent = work.agent(talk.agent)
    request_id = opened[0].request or ""
    if agent is None:
        ends.fail(work, "switched_off")
    elif any(one.text for one in opened):
        work.know(unreadable=False)
        run = Run(agent=agent.id, conversation_id=talk.conversation_id, request_id=request_id, upto=talk.next)
        _look_up(work, run, agent)
    elif agent.hand_over.unreadable and not talk.unreadable:
        ends.answer(work, agent.hand_over.unreadable)
        work.know(unreadable=True)
    else:
        ends.hand_over(work, agent, "media")


def _look_up(work: Work, run: Run, agent: GptAgent) -> None:
    query = cut(prompt.query(work.said), _QUERY)
    if not agent.knowledge or not query:
        _ask_model(work, run, agent)
        return
    id = work.ctx.new_id(f"passages for {run.request_id}")
    request = KnowledgeRequest(effect_id=id, channel=channel_of(work.ctx.key), agent=agent.id, query=query)
    _call(work, run.model_copy(update={"phase": "knowledge"}), request)


def _ask_model(work: Work, run: Run, agent: GptAgent, *, repeat: bool = False) -> None:
    """Ask the model for the next thing to do or say. repeat: the same call again."""
    if not repeat:
        if run.calls >= MAX_CALLS:
            work.store(run.model_copy(update={"effect": None}))
            ends.hand_over(work, agent, "tools", summary="It went on calling tools, and came to no answer.")
            return
        run = run.model_copy(update={"phase": "model", "calls": run.calls + 1, "attempts": 0})
    said = work.said
    run = run.model_copy(update={"upto": work.talk.next, "stale": False})
    request = GptRequest(
        effect_id=work.ctx.new_id(f"model for {run.request_id}"),
        call_id=derived_id("ai", run.request_id, "model", run.calls),
        channel=channel_of(work.ctx.key),
        agent=agent.id,
        messages=prompt.messages(
            agent,
            work.settings,
            work.ctx.key,
            work.ctx.now,
            work.talk,
            said,
            work.sources,
            run,
            work.steps,
            work.get(REJECTED, Rejected),
        ),
        tools=tools.definitions(agent),
        timeout_s=agent.timeout_s,
    )
    _call(work, run, request)


def _call(work: Work, run: Run, request: EffectRequest) -> None:
    work.store(run.model_copy(update={"effect": request.effect_id, "attempts": run.attempts + 1}))
    work.effects.append(Effect(request.effect_id, request))


def _go_on(work: Work, run: Run, agent: GptAgent, said: str | None) -> None:
    """The next call of a tool, or the model, which wants to know what they came to."""
    work.store(run)
    following = steps.next_step(work, run, agent, said)
    if following is None:
        return
    run, request = following
    if request is None:
        _ask_model(work, run, agent)
    else:
        _call(work, run.model_copy(update={"phase": "tool", "attempts": 0}), request)


# --- how a call ended ------------------------------------------------------------------------------------------------


def ended(work: Work, run: Run, event: EffectEnded) -> None:
    """A call came to its end."""
    run = run.model_copy(update={"effect": None})
    work.store(run)
    agent = work.agent(run.agent)
    match run.phase:
        case "knowledge":
            _knowledge_ended(work, run, agent, event)
        case "model":
            _model_ended(work, run, agent, event)
        case "tool":
            _tool_ended(work, run, agent, event)


def again(work: Work, run: Run) -> None:
    """Time to make the call once more."""
    agent = work.agent(run.agent)
    if agent is None:
        ends.fail(work, "switched_off")
    elif run.phase == "model":
        _ask_model(work, run, agent, repeat=True)
    elif run.phase == "knowledge":
        _look_up(work, run, agent)
    else:
        _repeat_tool(work, run, agent)


def _knowledge_ended(work: Work, run: Run, agent: GptAgent | None, event: EffectEnded) -> None:
    if run.dropped:
        ends.drop(work, run)
    elif agent is None:
        ends.fail(work, "switched_off")
    elif run.stale:
        _look_up(work, run.model_copy(update={"stale": False, "attempts": 0}), agent)
    elif event.outcome == "done":
        found = KnowledgeResult.model_validate(event.result).passages[:MAX_SOURCES]
        work.store_sources([Source(id=one.id, title=one.title, text=cut(one.text)) for one in found])
        _ask_model(work, run, agent)
    elif not _waits(work, run, event.result.get("retry_after_s")):
        # The instructions may do; and who must quote a passage hands over without one.
        _ask_model(work, run, agent)


def _model_ended(work: Work, run: Run, agent: GptAgent | None, event: EffectEnded) -> None:
    done = event.outcome == "done"
    result = GptResult.model_validate(event.result) if done else GptResult(answer="later")
    outcome = result.answer if done else {"postponed": "later"}.get(event.outcome, event.outcome)
    is_stale = run.stale and run.restarts < MAX_RESTARTS
    used = result.answer == "answered" and not run.dropped and not is_stale and agent is not None
    _count_model(work, run, result, outcome, used=used)
    if run.dropped:
        ends.drop(work, run)
    elif agent is None:
        ends.fail(work, "switched_off")
    elif result.answer == "budget":
        ends.hand_over(work, agent, "budget")
    elif result.answer == "failed":
        ends.fail(work, "failed")
    elif result.answer == "later":
        asked = result.retry_after_s if done else event.result.get("retry_after_s")
        if not _waits(work, run, asked):
            ends.fail(work, "no_answer")
    elif is_stale:
        _look_up(work, run.model_copy(update={"restarts": run.restarts + 1, "attempts": 0, "stale": False}), agent)
    elif result.calls:
        steps.take_calls(work, run, result.calls)
        _go_on(work, run, agent, result.text)
    else:
        repaired = ends.settle(work, run, agent, result.text or "", is_whole=result.finish != "length")
        if repaired is not None:
            _ask_model(work, repaired, agent)


def _tool_ended(work: Work, run: Run, agent: GptAgent | None, event: EffectEnded) -> None:
    step = steps.called(work)
    if step is None:
        raise LookupError("no tool was called")
    result = ToolResult.model_validate(event.result) if event.outcome == "done" else None
    _count_tool(work, run, step, result)
    tool = None if agent is None else tools.account_tool(agent, step.name)
    # What changes something is not repeated blindly: the model may ask for it again, under the same id.
    may_repeat = event.outcome == "postponed" or (tool is not None and tool.method == "GET")
    if result is None and may_repeat and not run.dropped and _waits(work, run, event.result.get("retry_after_s")):
        return
    is_lost = tool is None or tool.method == "POST"
    steps.end_step(work, step, result, tried=event.outcome == "unknown" and is_lost)
    if run.dropped:
        ends.drop(work, run)
    elif agent is None:
        ends.fail(work, "switched_off")
    else:
        _go_on(work, run.model_copy(update={"stale": False}), agent, None)


def _repeat_tool(work: Work, run: Run, agent: GptAgent) -> None:
    following = steps.next_step(work, run, agent, None)
    if following is not None and following[1] is not None:
        _call(work, run, following[1])
    elif following is not None:
        _ask_model(work, following[0], agent)


def _waits(work: Work, run: Run, asked_s: object) -> bool:
    """Make the call again later; False: it was tried often enough, or it would take too long."""
    backoff = BACKOFF * 2 ** (run.attempts - 1)
    wait = max(timedelta(seconds=asked_s), timedelta(seconds=1)) if isinstance(asked_s, int | float) else backoff
    if run.attempts >= ATTEMPTS or wait > LONGEST_WAIT:
        return False
    work.store(run)
    work.timers[ASK_AGAIN] = work.ctx.now + wait
    return True


def _count_model(work: Work, run: Run, result: GptResult, outcome: str, *, used: bool) -> None:
    ended = AiCallEnded(
        request_id=run.request_id,
        conversation_id=run.conversation_id,
        agent=run.agent,
        message_id=_asked_by(work, run),
        call="model",
        name=result.model,
        outcome=outcome,
        used=used,
        tokens_in=result.tokens_in,
        tokens_out=result.tokens_out,
        cost_micros=result.cost_micros,
        took_ms=result.took_ms,
        at=work.ctx.now,
    )
    work.emit(AI_CALLS, ended)


def _count_tool(work: Work, run: Run, step: Step, result: ToolResult | None) -> None:
    ended = AiCallEnded(
        request_id=run.request_id,
        conversation_id=run.conversation_id,
        agent=run.agent,
        message_id=_asked_by(work, run),
        call="tool",
        name=step.name,
        outcome="unknown" if result is None else result.answer,
        used=not run.dropped,
        took_ms=0 if result is None else result.took_ms,
        at=work.ctx.now,
    )
    work.emit(AI_CALLS, ended)


def _asked_by(work: Work, run: Run) -> str | None:
    """The last of the customer's messages that the model was shown."""
    shown = (one.message_id for one in reversed(work.said) if one.by == "customer" and one.number < run.upto)
    return next(shown, None)
