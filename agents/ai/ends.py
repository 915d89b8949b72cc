"""How a question to a GPT agent ends: an answer, a hand-over or a failure, once."""

import re
from collections.abc import Iterable
from typing import Final

from agents.ai import guard, rules
from agents.ai.rows import REJECTED, Rejected, Run, Said, Step, cut
from agents.ai.whatsapp import to_whatsapp
from agents.ai.work import Work
from providers.registry import PROVIDERS
from schemas.effects import MAX_ANSWER
from schemas.events.content import Citation
from schemas.events.inbox import AiAnswered, AiFailed, AiHandedOver
from schemas.settings.ai import GptAgent
from schemas.topics import INBOX

MAX_NOTE: Final = 800
"""Bytes."""
_ASKS: Final = re.compile(r"[?？؟\u037e][^?？؟\u037e]{0,40}$|;$")
"""A text that ends with a question, as several scripts mark it; an emoji may follow."""


def settle(work: Work, run: Run, agent: GptAgent, text: str, *, is_whole: bool) -> Run | None:
    """End with the model's answer; or the run that asks again for another. is_whole: the service did not cut it."""
    text, named = guard.citations(to_whatsapp(text), len(work.sources) + sum(step.is_source for step in work.steps))
    if not text:
        if "empty" not in run.repair:
            return run.model_copy(update={"repair": (*run.repair, "empty")})
        fail(work, "empty")
        return None
    limit = PROVIDERS[work.settings.provider].max_text
    if (len(text) > limit or not is_whole) and "long" not in run.repair:
        work.writes[REJECTED] = Rejected(text=cut(text))
        return run.model_copy(update={"repair": (*run.repair, "long")})
    known = guard.Known(_known(work, agent))
    grounded = bool(named) or run.resolve or not agent.grounded
    if not grounded or (agent.grounded and known.unknown(text)):
        hand_over(work, agent, "ungrounded", summary="Its answer rested on no source, and was not sent.")
        return None
    text = guard.without_unknown(text, known)
    if not text:
        hand_over(work, agent, "ungrounded", summary="Its answer had only links or numbers that no source has.")
        return None
    answer(work, text[:MAX_ANSWER], run=run, cited=_citations(work, named))
    return None


def _known(work: Work, agent: GptAgent) -> Iterable[str]:
    """All that a link or number in an answer may stand in."""
    settings, key = work.settings, work.ctx.key
    yield from (agent.instructions, agent.hand_over.text, agent.hand_over.closed_text, settings.phone_number, key)
    yield from (source.text for source in work.sources)
    yield from (step.output for step in work.steps if step.is_source)
    yield from (one.text for one in work.said if one.text is not None and one.by != "ai")


def _citations(work: Work, named: Iterable[int]) -> tuple[Citation, ...]:
    sources = work.sources
    cited = (sources[number - 1] for number in named if number <= len(sources))
    return tuple(Citation(id=source.id, title=source.title) for source in cited)


def answer(work: Work, text: str, *, run: Run | None = None, cited: tuple[Citation, ...] = ()) -> None:
    """Answer what the model was shown; what came after it is asked next."""
    talk = work.talk
    upto = talk.next if run is None else run.upto
    closed = _close(work, [one for one in work.open if one.number < upto])
    work.emit(
        INBOX,
        AiAnswered(
            request_id=closed[0],
            also=tuple(closed[1:]),
            conversation_id=talk.conversation_id,
            text=text,
            citations=cited,
            resolve=run is not None and run.resolve,
            labels=() if run is None else run.labels,
            notes=_notes(work, run),
        ),
    )
    asks = _ASKS.search(text) is not None
    work.know(answers=talk.answers + 1, in_a_row=talk.in_a_row + 1, asked_else=asks)
    work.say("ai", work.ctx.now, text=text, unsent=True)
    work.clear()


def hand_over(
    work: Work, agent: GptAgent, reason: str, *, summary: str | None = None, proposed: str | None = None
) -> None:
    """A human takes over: all that is open is theirs. proposed: by the model, to tell the customer."""
    run = work.run
    run = None if run is None or run.dropped else run
    text = rules.told_at_hand_over(agent, work.settings, work.ctx.now, reason, _fit(work, agent, proposed))
    closed = _close(work, work.open)
    work.emit(
        INBOX,
        AiHandedOver(
            request_id=closed[0],
            also=tuple(closed[1:]),
            conversation_id=work.talk.conversation_id,
            reason=reason,
            summary=cut(summary, MAX_NOTE) if summary else None,
            text=text,
            labels=() if run is None else run.labels,
            notes=_notes(work, run),
        ),
    )
    work.drop_run()


def _fit(work: Work, agent: GptAgent, proposed: str | None) -> str | None:
    """What the model wants to tell the customer, as far as it may be said."""
    if not proposed:
        return None
    text, _ = guard.citations(to_whatsapp(proposed), len(work.sources) + len(work.steps))
    return guard.without_unknown(text, guard.Known(_known(work, agent)))[: PROVIDERS[work.settings.provider].max_text]


def fail(work: Work, reason: str) -> None:
    """No answer is to be had: a human takes over."""
    run, talk = work.run, work.talk
    agent = work.agent(talk.agent)
    closed = _close(work, work.open)
    work.emit(
        INBOX,
        AiFailed(
            request_id=closed[0],
            also=tuple(closed[1:]),
            conversation_id=talk.conversation_id,
            reason=reason,
            text=None if agent is None else rules.told_at_hand_over(agent, work.settings, work.ctx.now, reason),
            labels=() if run is None else run.labels,
            notes=_notes(work, run),
        ),
    )
    work.drop_run()


def drop(work: Work, run: Run) -> None:
    """What was in flight when nobody wanted its answer any longer has ended: only what a tool may have done is told."""
    notes = _notes(work, run)
    if any(step.outcome == "unknown" for step in work.steps):
        failed = AiFailed(request_id=run.request_id, conversation_id=run.conversation_id, notes=notes)
        work.emit(INBOX, failed)
    work.clear()


def _close(work: Work, closed: list[Said]) -> list[str]:
    """They wait no longer. Their requests, in order."""
    for one in closed:
        work.put(one.model_copy(update={"request": None}))
    return [one.request for one in closed if one.request is not None]


def _notes(work: Work, run: Run | None) -> tuple[str, ...]:
    """What the model noted, and what is not known of a tool's call that changes something."""
    if run is None:
        return ()
    last: dict[str, Step] = {step.call_id: step for step in work.steps if step.outcome is not None}
    unknown = (
        f"Whether the tool {step.name} did it is not known, as it gave no answer: {step.arguments}"
        for step in last.values()
        if step.outcome == "unknown"
    )
    return (*run.notes, *(cut(note, MAX_NOTE) for note in unknown))
