"""What must hold of the demo: each check is an equality between what was done and what the topics say. Pure."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from desk.figures import CALLS, RATINGS, Figures, summed
from schemas.events.assignment import AssignmentDecided
from schemas.events.conversation import Assignee, Status
from schemas.events.csat import SurveyAnswered, SurveySent, SurveySkipped
from schemas.ids import channel_of
from schemas.settings.ai import GptAgent
from schemas.topics import DEAD_LETTERS
from simulation.demo.facts import Evidence, Facts, Talk
from simulation.demo.plan import COLLECTION, Customer, Kind
from simulation.demo.play import ENDINGS, FAILURES

DECISIONS: Final[Mapping[Kind, list[str]]] = {
    "refund": ["rule"],
    "invoice": ["rule"],
    "parcel": ["ai"],
    "person": ["ai", "workload"],
    "early": ["workload"],
    "late": ["workload"],
}
"""How assignment decides about each kind of customer, by demo.yaml."""

_SHOWN = 5
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True)
class Check:
    """Something that must hold. wrong: what does not, empty if all is well."""

    name: str
    wrong: str = ""

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.wrong


def checks(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    """All of them."""
    yield Check("everything came to an end", "; ".join(evidence.unfinished))
    yield from _messages(evidence, facts)
    yield from _notices(evidence, facts)
    yield from _assigned(evidence, facts)
    yield from _answered(evidence, facts)
    yield from _rated(evidence, facts)
    yield from _sent(facts)
    yield Check("the reports say what was counted", _unlike(_expected_figures(evidence, facts), _figures(facts)))
    reasons = [getattr(record.event, "reason", "?") for record in evidence.records[DEAD_LETTERS]]
    yield Check("there are no dead letters", tally(reasons) if reasons else "")


# --- what the customers write --------------------------------------------------------------------------------------


def _messages(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    failed = [attempt.error or str(attempt.status) for attempt in evidence.attempts if not attempt.delivered]
    yield Check("every callback was acknowledged", tally(failed) if failed else "")
    yield Check("every acknowledged callback is in webhooks", _missing_callbacks(evidence, facts))
    yield Check("no customer's message is lost", _listed(lost(evidence, facts)))
    yield Check("no customer's message is in a conversation twice", _listed(twice(facts)))
    yield Check(
        "no conversation holds a message that nobody wrote", _listed(facts.joined.keys() - set(evidence.written))
    )
    opened = Counter(talk.header.contact for talk in facts.talks.values() for _ in range(talk.opened))
    yield Check("every customer has one conversation", _unlike(Counter(evidence.customers.keys()), opened))


def lost(evidence: Evidence, facts: Facts) -> list[str]:
    """Messages that were written and are in no conversation."""
    return [id for id in evidence.written if id not in facts.joined]


def twice(facts: Facts) -> list[str]:
    """Messages that joined their conversation more than once."""
    return [id for id, count in facts.joined.items() if count > 1]


def _missing_callbacks(evidence: Evidence, facts: Facts) -> str:
    """By size: the sandbox does not keep what it posted, but nearly every body has a length of its own."""
    posted = Counter(attempt.size for attempt in evidence.attempts if attempt.delivered)
    missing = posted - Counter(map(len, facts.callbacks.bodies))
    return f"{missing.total()} of {posted.total()} are missing" if missing else ""


# --- automatic messages ---------------------------------------------------------------------------------------------


def _notices(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    customers, talks = evidence.customers, facts.by_contact()
    greeted = {contact: 1 for contact, customer in customers.items() if customer.kind in ("refund", "invoice", "late")}
    yield Check(
        "whoever began while it was open, and with people, was greeted once", _unlike(greeted, facts.sent("greeting"))
    )
    closed = {
        contact: _days_closed(evidence, customer, talks.get(contact))
        for contact, customer in customers.items()
        if customer.kind == "early"
    }
    yield Check("whoever wrote while it was closed got one notice a day", _unlike(closed, facts.sent("unavailable")))


def _days_closed(evidence: Evidence, customer: Customer, talk: Talk | None) -> int:
    zone = ZoneInfo(evidence.channels[customer.channel].business_hours.timezone)
    received = {} if talk is None else talk.received
    return len({received[id].astimezone(zone).date() for id in customer.written[0] if id in received})


# --- who they are given to -----------------------------------------------------------------------------------------


def _assigned(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    assigning, talks = facts.assigning, facts.talks
    yield Check("every proposal was answered once", _unlike(Counter(assigning.proposed.keys()), assigning.answered))
    routed = {talk.header.contact: talk.routed for talk in talks.values()}
    yield Check("every conversation was routed once", _unlike(Counter(evidence.customers.keys()), routed))
    decided = {
        talk.header.contact: [str(event.explanation.get("decision")) for event in assigning.of(id)]
        for id, talk in talks.items()
    }
    wanted = {contact: DECISIONS[customer.kind] for contact, customer in evidence.customers.items()}
    yield Check("rules, the AI agent and people came in their order", _unlike(wanted, decided))
    wrong = [f"{event.conversation_id} {event.assignee.id}" for event in _misassigned(evidence, facts)]
    yield Check("only whom the rules and the channel name were chosen", _listed(wrong))
    holders = {id: talk.header.assignee for id, talk in talks.items()}
    chosen = {id: assigning.of(id)[-1].assignee if assigning.of(id) else None for id in talks}
    yield Check("every conversation is with whom assignment chose", _unlike(chosen, holders))
    since = assigning.online_since
    away = [
        event.assignee.id
        for at, event in assigning.decided
        if event.assignee.kind == "human" and (event.assignee.id not in since or at < since[event.assignee.id])
    ]
    yield Check("nobody was chosen before they were online", _listed(away))
    over = [f"{agent} {n}" for agent, n in assigning.most_open.items() if n > evidence.workload.get(agent, n)]
    yield Check("nobody had more open conversations than their limit", _listed(over))


def _misassigned(evidence: Evidence, facts: Facts) -> Iterator[AssignmentDecided]:
    talks = facts.talks
    for _, event in facts.assigning.decided:
        talk = talks.get(event.conversation_id)
        customer = None if talk is None else evidence.customers.get(talk.header.contact)
        if customer is None or event.assignee not in _candidates(evidence, customer, event):
            yield event


def _candidates(evidence: Evidence, customer: Customer, event: AssignmentDecided) -> set[Assignee]:
    channel = evidence.channels[customer.channel]
    if event.explanation.get("decision") == "ai":
        return {Assignee(kind="ai", id=agent.id) for agent in channel.ai.agents}
    agents = ("marek",) if customer.kind == "invoice" else channel.human_agents
    return {Assignee(kind="human", id=agent) for agent in agents}


# --- who answers ---------------------------------------------------------------------------------------------------


def _answered(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    customers, talks = evidence.customers, facts.by_contact()
    with_ai = {contact: customer for contact, customer in customers.items() if customer.kind in ("parcel", "person")}
    asked = Counter(talk.header.contact for id in facts.asked_ai.values() if (talk := facts.talks.get(id)))
    to_ask = {contact: sum(map(len, customer.written)) for contact, customer in with_ai.items()}
    yield Check("the AI agent was asked about every message to it", _unlike(to_ask, asked))
    yield Check("every question to the AI agent had one end", _unlike(Counter(facts.asked_ai.keys()), facts.ai_ends))
    yield Check("every answer of the AI agent was sent once", _unlike(+facts.ai_says, facts.sent("ai")))
    cited = {
        contact: {f"{COLLECTION}/{customer.about}/1": 1}
        for contact, customer in with_ai.items()
        if any(isinstance(agent, GptAgent) for agent in evidence.channels[customer.channel].ai_agents)
    }
    yield Check("the GPT agent cited once what answers each customer's question", _unlike(cited, facts.cited))
    handed_over = Counter(talk.header.contact for talk in talks.values() for _ in range(talk.handed_over))
    for_people = {contact: 1 for contact, customer in customers.items() if customer.kind == "person"}
    yield Check("the AI agent handed over whoever asked for a person, once", _unlike(for_people, handed_over))
    times = Counter(entry.id or "" for entry in facts.accepted if entry.id in evidence.replies)
    yield Check("every reply reached the provider once", _unlike(Counter(evidence.replies.keys()), times))
    wanted = {id: (agent, agent) for id, agent in evidence.replies.items()}
    shown = {
        id: (by, talk.header.assignee and talk.header.assignee.id)
        for talk in talks.values()
        for id, by in talk.replied.items()
    }
    yield Check("every reply is in its conversation, of the agent who holds it", _unlike(wanted, shown))
    notes = {contact: _notes(customer) for contact, customer in customers.items()}
    found = {
        contact: (Counter(reason for reason in talk.notes if reason not in FAILURES), talk.header.labels)
        for contact, talk in talks.items()
    }
    yield Check("every note and label is there once", _unlike(notes, found))
    yield Check("every failure by receipt is noted", _listed(_unnoted(facts)))


def _notes(customer: Customer) -> tuple[Counter[str], tuple[str, ...]]:
    """Notes by their reasons, but for those about failures; and labels."""
    work = customer.work
    notes = Counter({"ai_handed_over": int(customer.kind == "person"), "note": int(work.note is not None)})
    return +notes, () if work.label is None else (work.label,)


def _unnoted(facts: Facts) -> Iterator[str]:
    """Conversations with too few or too many notes about failures.

    Each reply that failed has one. Automatic messages share one until the customer writes again.
    """
    replies, automatic = facts.failed(replies=True), facts.failed(replies=False)
    for contact, talk in facts.by_contact().items():
        noted = sum(reason in FAILURES for reason in talk.notes)
        least = replies[contact] + min(1, automatic[contact])
        if not least <= noted <= replies[contact] + automatic[contact]:
            yield f"{contact} {noted}"


# --- how it ends ---------------------------------------------------------------------------------------------------


def _rated(evidence: Evidence, facts: Facts) -> Iterator[Check]:
    customers, talks = evidence.customers, facts.by_contact()
    resolved = {contact: [done.agent] for contact, done in evidence.resolved.items()}
    by = {contact: talk.resolved_by for contact, talk in talks.items() if talk.resolved_by}
    yield Check("every resolution was carried out once", _unlike(resolved, by))
    asked = {contact: 1 for contact, customer in customers.items() if customer.is_asked}
    yield Check("every resolution was followed by one survey, where it may", _unlike(asked, facts.sent("survey")))
    found = Counter(event.contact for event in facts.surveys if isinstance(event, SurveySent))
    yield Check("csat knows every survey that the provider took", _unlike(facts.sent("survey"), found))
    labelled = {
        contact: ["labels"] for contact, customer in customers.items() if customer.is_resolved != customer.is_asked
    }
    skipped: defaultdict[str, list[str]] = defaultdict(list)
    answers: defaultdict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for event in facts.surveys:
        match event:
            case SurveySkipped():
                skipped[event.contact].append(event.reason)
            case SurveyAnswered():
                answers[event.contact].append((event.rating, event.agent))
    yield Check("nobody else's survey was skipped than those labelled so", _unlike(labelled, skipped))
    given = {contact: [(done.rating, done.agent)] for contact, done in evidence.resolved.items() if done.rating}
    yield Check("every answer to a survey counts once, for whoever resolved", _unlike(given, answers))
    ends = {contact: Status.CLOSED if customer.is_resolved else Status.OPEN for contact, customer in customers.items()}
    statuses = {contact: talk.header.status for contact, talk in talks.items()}
    yield Check("every resolved conversation is closed, every other one open", _unlike(ends, statuses))


# --- what was sent -------------------------------------------------------------------------------------------------


def _sent(facts: Facts) -> Iterator[Check]:
    strange = [entry.id or "without an id" for entry in facts.accepted if entry.id not in facts.commanded]
    yield Check("nothing was sent that nobody commanded", _listed(strange))
    times = Counter(entry.id or "" for entry in facts.accepted)
    yield Check("every message was sent once", _unlike(Counter(facts.commanded.keys()), times))
    yield Check("every accepted message has all its statuses", _without_statuses(facts))
    again = [f"{id} {status}" for (id, status), count in facts.reported.items() if count > 1]
    yield Check("no status is reported twice", _listed(again))


def _without_statuses(facts: Facts) -> str:
    receipts: defaultdict[str, set[str]] = defaultdict(set)
    for receipt in facts.callbacks.receipts:
        receipts[receipt.message_id].add(receipt.status)
    wrong = []
    for entry in facts.accepted:
        wanted = {"accepted"} | receipts[entry.message_id or ""]
        id = entry.id or ""
        missing = sorted(status for status in wanted if not facts.reported[id, status])
        standing = facts.standing.get(id, ("", "without one"))[1]
        if missing:
            wrong.append(f"{id} lacks {', '.join(missing)}")
        elif standing not in ENDINGS:
            wrong.append(f"{id} is still {standing}")
    return _listed(wrong)


# --- reports -------------------------------------------------------------------------------------------------------


def _figures(facts: Facts) -> Counter[str]:
    figures: Counter[str] = Counter()
    for channel, sums in summed(facts.partials).items():
        figures.update({f"{channel} {name}": number for name, number in _named(sums)})
    for agent, sums in summed(facts.partials, by="ai-agent").items():
        figures.update({f"{agent} {measure}": sums.calls(measure) for measure in CALLS})
    for agent, sums in summed(facts.partials, by="agent").items():
        figures[f"{agent} resolved"] = sums.outcome("resolved")
        figures.update({f"{agent} rating {rating}": sums.ratings[rating] for rating in RATINGS})
    return +figures


def _named(sums: Figures) -> Iterator[tuple[str, int]]:
    for outcome in ("opened", "resolved", "resolved_automatically", "reopened", "closed"):
        yield outcome, sums.outcome(outcome)
    yield "surveys sent", sums.surveys_sent
    for rating, number in sums.ratings.items():
        yield f"rating {rating}", number
    for status, number in sums.messages.items():
        yield f"messages {status}", number
    yield "first responses", sums.times("first_response_open").count + sums.times("first_response_closed").count
    yield "resolution times", sums.times("resolution_open").count + sums.times("resolution_closed").count


def _expected_figures(evidence: Evidence, facts: Facts) -> Counter[str]:
    expected: Counter[str] = Counter()
    for talk in facts.talks.values():
        channel = talk.header.channel
        expected[f"{channel} opened"] += talk.opened
        expected[f"{channel} closed"] += talk.closed.total()
        expected[f"{channel} reopened"] += talk.reopened
        expected[f"{channel} first responses"] += talk.answered
    for contact, done in evidence.resolved.items():
        channel = evidence.customers[contact].channel
        expected.update([f"{channel} resolved", f"{channel} resolution times", f"{done.agent} resolved"])
        if done.rating is not None:
            expected.update([f"{channel} rating {done.rating}", f"{done.agent} rating {done.rating}"])
    for contact, number in (facts.sent("survey") - facts.sent("survey", FAILURES)).items():
        expected[f"{evidence.customers[contact].channel} surveys sent"] += number
    for asked in evidence.asked:
        spent = {measure: getattr(asked, measure) for measure in ("tokens_in", "tokens_out", "cost_micros")}
        expected.update(
            {f"{asked.agent} {measure}": number for measure, number in (spent | {"model_calls": 1}).items()}
        )
    expected.update(f"{channel_of(key)} messages {status}" for key, status in facts.standing.values())
    return +expected


# --- words ---------------------------------------------------------------------------------------------------------


def tally(words: Iterable[str]) -> str:
    """How many of each."""
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common()) or "none"


def _unlike(wanted: Mapping[_T, object], found: Mapping[_T, object]) -> str:
    """Where two counts differ."""
    differing = [key for key in {*wanted, *found} if wanted.get(key) != found.get(key)]
    return _listed(f"{key}: {found.get(key)}, not {wanted.get(key)}" for key in differing)


def _listed(things: Iterable[str]) -> str:
    every = sorted(things)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
