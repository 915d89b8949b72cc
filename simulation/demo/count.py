"""The demo's summary: what came of it in numbers, and whether every check holds. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from schemas.events.csat import SurveyAnswered
from schemas.topics import DEAD_LETTERS
from simulation.demo.checks import Check, checks, lost, tally, twice
from simulation.demo.facts import Evidence, Facts

_ORDER = ("plan", "target_valid", "sent", "delivered", "read")


@dataclass(frozen=True)
class Summary:
    """The counts, by what they count, and the checks."""

    counts: Mapping[str, str]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def summarize(evidence: Evidence, facts: Facts) -> Summary:
    """Count and check. facts: gathered from the evidence."""
    counts = (*_of_callbacks(evidence, facts), *_of_conversations(evidence, facts), *_of_messages(evidence, facts))
    return Summary(dict(counts), tuple(checks(evidence, facts)))


def _of_callbacks(evidence: Evidence, facts: Facts) -> Iterator[tuple[str, str]]:
    callbacks = facts.callbacks
    delivered = sum(attempt.delivered for attempt in evidence.attempts)
    again = len(callbacks.bodies) - len(set(callbacks.bodies))
    yield "callbacks", f"{len(evidence.attempts)} posted, {delivered} acknowledged"
    yield (
        "callbacks in webhooks",
        (f"{len(callbacks.bodies)}, {again} delivered twice, {callbacks.of_several_rows} of several rows"),
    )
    messages, receipts = len(callbacks.inbound), len(callbacks.receipts)
    yield (
        "rows",
        (f"{callbacks.rows}: {messages} messages, {receipts} receipts ({_out_of_order(facts)} out of order)"),
    )
    again = messages - len(set(callbacks.inbound))
    yield "customers' messages", f"{len(evidence.written)} different ones, {again} came again"


def _of_conversations(evidence: Evidence, facts: Facts) -> Iterator[tuple[str, str]]:
    talks, assigning = facts.talks.values(), facts.assigning
    yield "conversations", f"{len(talks)}: {tally(talk.header.status for talk in talks)}"
    yield "greetings", str(facts.sent("greeting").total())
    yield "told that it is closed", str(facts.sent("unavailable").total())
    chosen = tally(event.assignee.id for _, event in assigning.decided)
    yield "assigned", f"{chosen}; {len(assigning.waited)} had to wait"
    handed_over = sum(talk.handed_over for talk in talks)
    yield "the AI agent", f"{facts.sent('ai').total()} answers, {handed_over} handed over to people"
    cited = Counter(id for ids in facts.cited.values() for id in ids.elements())
    cost = sum(asked.cost_micros for asked in evidence.asked) / 1_000_000
    yield "cited by the GPT agent", f"{tally(cited.elements())}; {len(evidence.asked)} calls of its model, {cost:.4f}"
    yield "replies", str(facts.sent("reply").total())
    closed = Counter(reason for talk in talks for reason in talk.closed.elements())
    yield "resolved", f"{sum(len(talk.resolved_by) for talk in talks)}; closed: {tally(closed.elements())}"
    ratings = [event.rating for event in facts.surveys if isinstance(event, SurveyAnswered)]
    sent = facts.sent("survey").total()
    satisfied = sum(rating >= 4 for rating in ratings)
    yield (
        "surveys",
        f"{sent} sent, {len(ratings)} answered"
        + (f", {satisfied} satisfied ({satisfied / len(ratings):.0%}), median {median(ratings):g}" if ratings else ""),
    )
    yield "notes to the agents", str(sum(len(talk.notes) for talk in talks))


def _of_messages(evidence: Evidence, facts: Facts) -> Iterator[tuple[str, str]]:
    yield "messages now", tally(status for _, status in facts.standing.values())
    yield "status reports", tally(reported for _, reported in facts.reported)
    yield "contradictory receipts", str(facts.anomalies)
    yield "dead letters", str(len(evidence.records[DEAD_LETTERS]))
    yield "lost", str(len(lost(evidence, facts)))
    yield "twice", str(len(twice(facts)))


def _out_of_order(facts: Facts) -> int:
    furthest: dict[str, int] = {}
    behind = 0
    for receipt in facts.callbacks.receipts:
        if receipt.status in _ORDER:
            rank = _ORDER.index(receipt.status)
            known = furthest.get(receipt.message_id, -1)
            behind += rank < known
            furthest[receipt.message_id] = max(rank, known)
    return behind
