"""Who takes a conversation: rules, then the AI agent, then the former agent, then humans by the strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from agents.assignment.books import Books
from agents.assignment.explanation import MAX_LISTED, MAX_SHOWN, Candidate, Why, candidate_entries, condition_entry
from agents.assignment.rows import Agent, Conversation
from agents.assignment.rules import Message, failing
from schemas.contact import is_number
from schemas.events.assignment import AssignmentNeed
from schemas.events.conversation import Assignee
from schemas.ids import contact_of
from schemas.settings.channel import ChannelSettings
from schemas.settings.routing import Target

_READINESS: Final[Mapping[Why | None, int]] = {
    None: 0,
    "at_limit": 1,
    "passed": 1,
    "fair_window": 1,
    "not_online": 2,
    "deleted": 3,
    "not_member": 3,
}
"""In what order candidates are listed: those who can take it are first."""
_WORD: Final = {"human": "agent", "team": "team"}


def is_present(books: Books, channel: str, agent: str) -> bool:
    return agent in books.settings(channel).human_agents and not books.agent(agent).deleted


@dataclass(frozen=True, slots=True)
class Choice:
    """Who takes it, and why. turn: it was the agent's turn; counts: it is an assignment of the fair window."""

    assignee: Assignee | None
    explanation: dict[str, JsonValue]
    turn: bool = False
    counts: bool = True

    def nobody(self, because: str) -> "Choice":
        """Nobody, after all."""
        return Choice(None, {**self.explanation, "decision": "nobody", "because": because})


@dataclass(frozen=True, slots=True)
class Question:
    """The conversation that needs an assignee. explanation: so far."""

    books: Books
    conversation: Conversation
    need: AssignmentNeed
    settings: ChannelSettings
    explanation: dict[str, JsonValue]

    def choice(self, assignee: Assignee, decision: str, because: str, *, turn: bool = False) -> Choice:
        explanation = {"decision": decision, "because": because, **self.explanation}
        return Choice(assignee, explanation, turn, counts=decision not in ("kept", "replied"))


def choose(books: Books, conversation: Conversation, *, others_wait: bool = False) -> Choice:
    """Routing rules, then the AI agent, then the former agent, then humans by the channel's strategy.

    others_wait: in the same queue, so that it is nobody's turn for this one. Unanswered, it stays with its agent where
    nobody else takes it.
    """
    need = conversation.need
    if need is None:
        raise ValueError("no assignee is needed")
    explanation: dict[str, JsonValue] = {"reason": need.reason}
    if need.team is not None:
        explanation["team"] = need.team
    question = Question(books, conversation, need, books.settings(conversation.channel), explanation)
    choice = None
    if need.reason in ("opened", "reopened"):
        choice = _by_rule(question) or _by_ai(question)
    choice = choice or _by_former(question) or _by_strategy(question)
    if choice.turn and others_wait:
        choice = choice.nobody("others_wait_longer")
    if need.reason == "unanswered" and need.former is not None and choice.assignee is None:
        return question.choice(need.former, "kept", "nobody_else_available")
    return choice


def _by_rule(question: Question) -> Choice | None:
    """The first rule that applies and whose target can take it; those it points past are skipped."""
    settings, need, conversation = question.settings, question.need, question.conversation
    contact = contact_of(conversation.key)
    message = Message(
        channel=settings.id,
        phone=need.phone or (contact if is_number(contact) else ""),
        hours=settings.business_hours,
        need=need,
    )
    tried: list[JsonValue] = []
    if settings.assignment.rules:
        question.explanation["rules"] = tried
    for number, rule in enumerate(settings.assignment.rules, start=1):
        condition = failing(rule, message)
        found = "no_match" if condition is not None else _who_takes(question, rule.to)
        entry: dict[str, JsonValue] = {"rule": number, "name": rule.name[:MAX_SHOWN], "to": rule.to.model_dump()}
        if condition is not None:
            entry |= {"result": "no_match", "condition": condition_entry(condition)}
        elif isinstance(found, str):
            entry |= {"result": "skipped", "why": found}
        else:
            entry |= {"result": "taken"}
        if len(tried) < MAX_LISTED or entry["result"] == "taken":
            tried.append(entry)
        else:
            question.explanation["more_rules"] = number - MAX_LISTED
        if not isinstance(found, str):
            because = "team_rule_matched" if rule.to.kind == "team" else "rule_matched"
            return question.choice(found, "rule", because, turn=rule.to.kind == "team")
    return None


def _who_takes(question: Question, to: Target) -> Assignee | str:
    """Whom the rule's target comes to, or why it can't take the conversation."""
    match to.kind:
        case "human":
            why = _why_not(question, to.id)
            return why or Assignee(kind="human", id=to.id)
        case "team":
            candidates = _candidates(question, to.id)
            if candidates and candidates[0].why is None:
                question.explanation.update(candidate_entries(candidates))
                return Assignee(kind="human", id=candidates[0].agent)
            return "nobody_available" if candidates else "no_members"
        case "ai":
            return _why_not_ai(question, to.id) or Assignee(kind="ai", id=to.id)


def _by_ai(question: Question) -> Choice | None:
    agents = question.settings.ai.agents
    first = next((agent for agent in agents if agent.enabled), agents[0] if agents else None)
    if first is None:
        question.explanation["ai"] = {"why": "no_agents"}
        return None
    why = _why_not_ai(question, first.id) or (None if first.enabled else "disabled")
    if why is None:
        return question.choice(Assignee(kind="ai", id=first.id), "ai", "first_ai_agent")
    question.explanation["ai"] = {"agent": first.id, "why": why}
    return None


def _why_not_ai(question: Question, agent: str) -> str | None:
    ai = question.settings.ai
    if question.conversation.routed:
        return "routed"  # it waits for people, as its customer knows
    if not ai.enabled:
        return "disabled"
    return None if any(known.id == agent for known in ai.agents) else "unknown"


def _by_former(question: Question) -> Choice | None:
    """Reopened by its customer: the former agent, or team, before others. By a person: kept, which assigns nothing.

    By a person's reply: else the sender's, as a person chose.
    """
    former, reason = question.need.former, question.need.reason
    if former is None or former.kind == "ai" or reason not in ("reopened", "reopened_by_person"):
        return None
    if reason == "reopened":
        found = _who_takes(question, Target(kind=former.kind, id=former.id))
        if isinstance(found, Assignee):
            return question.choice(found, "former", f"former_{_WORD[former.kind]}", turn=former.kind == "team")
        why: str | None = found
    elif question.conversation.assignee == former:
        why = _why_away(question, former.id)
        if why is None:
            return question.choice(former, "kept", "still_available")
    else:
        return None  # it waited meanwhile, and has left them
    question.explanation["former"] = {_WORD[former.kind]: former.id, "why": why}
    sender = question.need.replied_by
    if sender is not None and is_present(question.books, question.settings.id, sender):
        return question.choice(Assignee(kind="human", id=sender), "replied", "former_not_available")
    return None


def _by_strategy(question: Question) -> Choice:
    """Humans: the lowest load or, in sequential order and among equals, who was not served for longest."""
    candidates = _candidates(question, question.need.team)
    question.explanation.update(candidate_entries(candidates))
    strategy = question.settings.assignment.strategy
    if not candidates or candidates[0].why is not None:
        return Choice(None, question.explanation).nobody("nobody_available")
    because = "lowest_load" if strategy == "workload" else "longest_not_served"
    return question.choice(Assignee(kind="human", id=candidates[0].agent), strategy, because, turn=True)


def _candidates(question: Question, team: str | None) -> list[Candidate]:
    """The channel's members (of the team), the one whose turn it is first, those who can't take it last."""
    settings, books = question.settings, question.books
    # All of them, so that a newcomer's turn counts from the first decision after they came.
    turns = {agent: books.turn(settings.id, agent) for agent in settings.human_agents}
    found = [
        Candidate(
            agent, _why_not(question, agent), _load(question, agent), _limit(settings, books.agent(agent)), turns[agent]
        )
        for agent in settings.human_agents
        if team is None or team in books.agent(agent).teams
    ]
    by_load = settings.assignment.strategy == "workload"
    return sorted(found, key=lambda one: (_READINESS[one.why], one.load if by_load else 0, one.turn))


def _why_not(question: Question, agent: str) -> Why | None:
    """Why the agent can't take the conversation. Limits count by workload only, the fair window always."""
    settings, books = question.settings, question.books
    why = _why_away(question, agent)
    if why is not None:
        return why
    if agent in question.need.passed:
        return "passed"
    limit = _limit(settings, books.agent(agent))
    by_load = settings.assignment.strategy == "workload"
    if by_load and limit is not None and _load(question, agent) >= limit:
        return "at_limit"
    fair = settings.assignment.fair_window
    return "fair_window" if fair is not None and books.granted(settings.id, agent) >= fair.limit else None


def _why_away(question: Question, agent: str) -> Why | None:
    row = question.books.agent(agent)
    if row.deleted:
        return "deleted"
    if agent not in question.settings.human_agents:
        return "not_member"
    return None if row.state == "online" else "not_online"


def _load(question: Question, agent: str) -> int:
    """The agent's slots in the whole account, without the one of the conversation itself."""
    return question.books.agent(agent).load - (agent in question.conversation.slots)


def _limit(settings: ChannelSettings, agent: Agent) -> int | None:
    return settings.assignment.workload_default if agent.workload == "default" else agent.workload
