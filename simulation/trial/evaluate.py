"""Runs the conversations of an evaluation, and says of each what is not as expected."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from deploy.errors import LiveDeskError
from desk.ai_services import Tried
from schemas.events.knowledge import DocumentSaved
from schemas.settings.ai import GptAgent
from schemas.settings.errors import FieldError
from simulation.sandbox.gpt.stand_in import at_sandbox
from simulation.trial.evaluation import OWN_TOOLS, Conversation, Evaluation, Expected, WrongFile, calls_of
from simulation.trial.judge import Judged, Verdict, judge
from simulation.trial.services import Services
from simulation.trial.subject import Installation, Subject, Unusable
from simulation.trial.talk import Talk, ToolCall, Turn
from streams.effects.knowledge import KnowledgeFinder

Documents = Callable[[Sequence[str]], Sequence[DocumentSaved]]
"""Reads the documents of paths. Raises LiveDeskError."""


class Advice(Protocol):
    """Says why a service gave no answer, and what to do about it."""

    def __call__(self, tried: Tried, agent: GptAgent, *, is_judge: bool) -> str: ...


@dataclass(frozen=True)
class Planned:
    """A conversation and whom it is with. judge: of its criteria."""

    conversation: Conversation
    subject: Subject
    judge: GptAgent | None
    criteria: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a conversation went. run: from 1. said: (who, text). failures: what is not as expected; none: it passed."""

    name: str
    agent: str
    run: int
    failures: tuple[str, ...]
    said: tuple[tuple[str, str], ...] = ()
    handed_over: str | None = None
    calls: tuple[ToolCall, ...] = ()
    cited: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    tokens: int = 0
    cost_micros: int = 0
    seconds: float = 0.0


def plan(
    path: Path,
    evaluation: Evaluation,
    installation: Installation,
    documents: Documents,
    sandbox: str | None,
    judge_key: str | None,
) -> list[Planned]:
    """Find agents, channels and documents. Raises LiveDeskError, which names every wrong field."""
    planned: list[Planned] = []
    errors: list[FieldError] = []
    subjects: dict[object, Subject] = {}
    for index, one in enumerate(evaluation.whole):
        where = f"conversations[{index}]"
        place = one.agent, one.channel, one.knowledge
        try:
            if place not in subjects:
                found = installation.subject(one.agent or "", one.channel, sandbox)
                subjects[place] = found.with_documents(documents(one.knowledge)) if one.knowledge else found
        except Unusable as error:
            errors.append(FieldError(f"{where}.{error.field}", f"{error.message} {error.hint or ''}".strip()))
            continue
        except LiveDeskError as error:
            errors.append(FieldError(f"{where}.knowledge", error.message))
            continue
        subject = subjects[place]
        errors += _never_met(f"{where}.expect", one.expect, subject.agent)
        criteria = (*(evaluation.judge.criteria if evaluation.judge else ()), *one.expect.criteria)
        planned.append(Planned(one, subject, _judge(evaluation, subject.agent, sandbox, judge_key), criteria))
    if errors:
        raise WrongFile(path, errors)
    return planned


def _never_met(where: str, expect: Expected, agent: GptAgent) -> Iterator[FieldError]:
    """What would pass or fail always."""
    known = (*OWN_TOOLS, *(tool.name for tool in agent.tools))
    for of in ("calls", "not_calls"):
        for name in getattr(expect, of):
            if name not in known:
                yield FieldError(f"{where}.{of}", f"{agent.id} has no tool {name!r}: it has {', '.join(known)}")
    if expect.max_cost is not None and not (agent.price_in or agent.price_out):
        yield FieldError(f"{where}.max_cost", f"{agent.id} has no prices (price_in, price_out)")


def _judge(evaluation: Evaluation, agent: GptAgent, sandbox: str | None, key: str | None) -> GptAgent | None:
    if evaluation.judge is None:
        return None
    made = evaluation.judge.as_agent(agent, key)
    moved = made if sandbox is None else at_sandbox(made, sandbox.rstrip("/"))
    return moved if isinstance(moved, GptAgent) else None


def evaluate(
    planned: Sequence[Planned], services: Services, advice: Advice, *, repeat: int, concurrency: int
) -> Iterator[Outcome]:
    """Run each conversation so many times, several at once; outcomes as they come."""
    with ExitStack() as stack:
        finders: dict[int, KnowledgeFinder] = {}
        for one in planned:
            if id(one.subject) not in finders:
                finder = stack.enter_context(closing(services.finder(one.subject.memory)))
                finders[id(one.subject)] = finder
                for document in one.subject.documents:
                    finder.apply(*document)
        bench = _Bench(services, finders, advice)
        pool = ThreadPoolExecutor(concurrency)
        runs = [pool.submit(bench.run, one, run) for run in range(1, repeat + 1) for one in planned]
        try:
            for ended in as_completed(runs):
                yield ended.result()
        finally:
            # Interrupted, what is under way ends with the services.
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Bench:
    services: Services
    finders: Mapping[int, KnowledgeFinder]
    advice: Advice
    tried: dict[tuple[str, bool], str] = field(default_factory=dict)

    def run(self, one: Planned, number: int) -> Outcome:
        """One conversation, from its first message to its last."""
        conversation, subject = one.conversation, one.subject
        talk = Talk(
            subject,
            self.services,
            self.finders[id(subject)],
            conversation.at or datetime.now(UTC),
            contact=conversation.contact.number,
            name=conversation.contact.name,
        )
        said: list[tuple[str, str]] = []
        turns: list[Turn] = []
        for message in conversation.messages:
            turns.append(talk.say(message))
            said.append(("customer", message.text or f"[{message.type}]"))
            said += (("assistant", text) for text in turns[-1].read)
            if turns[-1].failed is not None:
                break
        outcome = _outcome(one, number, tuple(turns), tuple(said))
        failed = next((turn.failed for turn in turns if turn.failed is not None), None)
        if failed is not None:
            # What else was expected could not come.
            return replace(outcome, failures=(f"no answer ({failed.reason}): {self._why(subject.agent)}",))
        return self._judged(one, outcome) if one.judge is not None and one.criteria else outcome

    def _why(self, agent: GptAgent, *, is_judge: bool = False) -> str:
        """Asked once for each agent."""
        place = agent.id, is_judge
        if place not in self.tried:
            self.tried[place] = self.advice(self.services.tried(agent), agent, is_judge=is_judge)
        return self.tried[place]

    def _judged(self, one: Planned, outcome: Outcome) -> Outcome:
        assert one.judge is not None  # noqa: S101 - for the type checker
        over = [("assistant", f"[hands over to a person: {outcome.handed_over}]")] if outcome.handed_over else []
        judged: Judged = judge(self.services, one.subject, one.judge, one.criteria, [*outcome.said, *over])
        spent = replace(
            outcome,
            tokens=outcome.tokens + judged.tokens,
            cost_micros=outcome.cost_micros + judged.cost_micros,
            verdicts=judged.verdicts or (),
        )
        if judged.verdicts is None:
            why = "its answer is no verdict" if judged.answer == "answered" else self._why(one.judge, is_judge=True)
            return replace(spent, failures=(*outcome.failures, f"the judge could not be asked: {why}"))
        unmet = (
            f'the judge: not "{criterion}": {verdict.reason}'
            for criterion, verdict in zip(one.criteria, judged.verdicts, strict=True)
            if not verdict.met
        )
        return replace(spent, failures=(*outcome.failures, *unmet))


def _outcome(one: Planned, run: int, turns: tuple[Turn, ...], said: tuple[tuple[str, str], ...]) -> Outcome:
    over = next((turn.handed_over for turn in turns if turn.handed_over is not None), None)
    return Outcome(
        name=one.conversation.name,
        agent=one.subject.agent.id,
        run=run,
        failures=tuple(one.conversation.expect.failures(turns)),
        said=said,
        handed_over=None if over is None else over.reason or "unknown",
        calls=tuple(calls_of(turns)),
        cited=tuple(dict.fromkeys(cited.title for turn in turns for cited in turn.citations)),
        tokens=sum(turn.tokens for turn in turns),
        cost_micros=sum(turn.cost_micros for turn in turns),
        seconds=sum(turn.seconds for turn in turns),
    )
