"""The tools that the model calls: those that every agent has are answered here, an account's own are called."""

from typing import Final

from pydantic import JsonValue

from agents.ai import ends, tools
from agents.ai.rows import Run, Step, cut
from agents.ai.times import propose_times
from agents.ai.work import Work
from schemas.effects import GptCall, ToolRequest, ToolResult
from schemas.ids import channel_of, derived_id
from schemas.settings.ai import GptAgent, Tool

MAX_STEPS: Final = 20
"""Calls of tools for one question."""
MAX_OUTPUT: Final = 4_500
"""Bytes. A step's arguments stand in the same row."""
MAX_LABELS: Final = 10
MAX_LABEL: Final = 64
MAX_NOTES: Final = 4
_NAME: Final = 64

UNKNOWN: Final = (
    "Unknown: it gave no answer. It may have been done, or not. Say so, and claim neither. A colleague will look at it."
)


def take_calls(work: Work, run: Run, calls: tuple[GptCall, ...]) -> None:
    """Write down what the model wants to be called."""
    first = len(work.steps)
    for number, call in enumerate(calls[: MAX_STEPS - first], start=first):
        read = tools.read_arguments(call.arguments)
        arguments = None if read is None else tools.canonical(read)
        step = Step(
            number=number,
            round=run.calls,
            name=call.name[:_NAME],
            arguments=arguments or "{}",
            call_id=derived_id("ai", run.request_id, "tool", call.name, arguments or ""),
        )
        if arguments is None:
            step = _done(step, "The arguments are no JSON object, or too long: call it again.", "refused")
        work.store_step(step)


def next_step(work: Work, run: Run, agent: GptAgent, said: str | None) -> tuple[Run, ToolRequest | None] | None:
    """Answer the calls that need nobody. A request: that call is to be made; None in its place: all are answered.

    None: the question has ended, as the model handed over. said: what the model said beside the calls.
    """
    waiting = [one for one in work.steps if one.outcome is None]
    for step in waiting:
        tool = tools.account_tool(agent, step.name)
        arguments = tools.read_arguments(step.arguments) or {}
        if step.name == tools.HAND_OVER:
            for other in waiting[waiting.index(step) :]:
                if other.name in (tools.LABEL, tools.NOTE):
                    run, _ = _own(work, run, other.name, tools.read_arguments(other.arguments) or {})
            work.store(run)
            _hand_over(work, agent, arguments, said)
            return None
        if tool is None:
            run, output = _own(work, run, step.name, arguments)
            is_source = step.name == tools.PROPOSE_TIME
            work.store_step(_done(step, output, is_source=is_source))
            continue
        same = next((one for one in work.steps if one.call_id == step.call_id and one.outcome == "done"), None)
        if same is not None:
            work.store_step(_done(step, same.output, is_source=True))
            continue
        return run, _request(work, agent, tool, step, arguments)
    return run, None


def _request(work: Work, agent: GptAgent, tool: Tool, step: Step, arguments: dict[str, JsonValue]) -> ToolRequest:
    return ToolRequest(
        effect_id=work.ctx.new_id(f"tool {step.number}"),
        call_id=step.call_id,
        channel=channel_of(work.ctx.key),
        agent=agent.id,
        tool=tool.name,
        arguments=arguments,
        timeout_s=tool.timeout_s,
    )


def called(work: Work) -> Step | None:
    """The call that is in flight, or waits to be made again."""
    return next((step for step in work.steps if step.outcome is None), None)


def end_step(work: Work, step: Step, result: ToolResult | None, *, tried: bool) -> None:
    """What became of the call. None: nobody knows; tried: it may have been made."""
    if result is not None and result.answer == "done":
        work.store_step(_done(step, result.text, is_source=True))
    elif result is not None:
        refused = f"Refused (HTTP {result.status}): {result.text}" if result.status else "It was not called."
        work.store_step(_done(step, refused, "refused", is_source=bool(result.text)))
    elif tried:
        work.store_step(step.model_copy(update={"outcome": "unknown", "output": UNKNOWN}))
    else:
        work.store_step(_done(step, "It could not be called.", "refused"))


def _done(step: Step, output: str, outcome: str = "done", *, is_source: bool = False) -> Step:
    update = {"outcome": outcome, "output": cut(output, MAX_OUTPUT), "is_source": is_source}
    return step.model_copy(update=update)


# --- the tools that every agent has ----------------------------------------------------------------------------------


def _hand_over(work: Work, agent: GptAgent, arguments: dict[str, JsonValue], said: str | None) -> None:
    reason = tools.text_of(arguments, "reason")
    known = reason if reason in tools.reasons(agent.hand_over) else "cannot_help"
    proposed = tools.text_of(arguments, "customer_text") or (said or "").strip()
    ends.hand_over(work, agent, known, summary=tools.text_of(arguments, "summary"), proposed=proposed)


def _own(work: Work, run: Run, name: str, arguments: dict[str, JsonValue]) -> tuple[Run, str]:
    match name:
        case tools.LABEL:
            label = tools.text_of(arguments, "label")
            if not 0 < len(label) <= MAX_LABEL or len(run.labels) >= MAX_LABELS:
                return run, f"A label has at most {MAX_LABEL} characters, and there are {MAX_LABELS} at most."
            return run.model_copy(update={"labels": tuple(dict.fromkeys((*run.labels, label)))}), "Done."
        case tools.NOTE:
            note = tools.text_of(arguments, "text")
            if not note or len(run.notes) >= MAX_NOTES:
                return run, f"A note has a text, and there are {MAX_NOTES} at most."
            return run.model_copy(update={"notes": (*run.notes, cut(note, ends.MAX_NOTE))}), "Done."
        case tools.RESOLVE:
            if not work.talk.asked_else:
                return run, "Not yet: ask first whether there is anything else."
            return run.model_copy(update={"resolve": True}), "Done. Say goodbye in one short sentence."
        case tools.PROPOSE_TIME:
            wanted = tools.text_of(arguments, "wanted")
            return run, propose_times(work.settings.business_hours, work.ctx.now, wanted)
    return run, "There is no such tool."
