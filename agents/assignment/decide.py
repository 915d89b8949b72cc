"""assignment: decides, for a whole account, who takes a conversation. Key: the account's id.

An agent's load is the places they take: Open conversations assigned to them, and proposals to them that are not
answered yet. conversations answers each proposal once; what comes meanwhile waits for the answer, and is then judged.

Every proposal says why, in an explanation that is kept with assignment.decided (or assignment.waiting) and travels on
to conversation.routed and conversation.assigned. Its keys never change their meaning; those without a use are left out:
    decision            rule, ai, former (who held it before), kept (reopened by a person), replied (reopened by a
                        person's reply: the sender), workload, sequential, nobody
    because             rule_matched, team_rule_matched, first_ai_agent, former_agent, former_team, still_available,
                        former_not_available, lowest_load, longest_not_served, nobody_available, others_wait_longer
    reason              why somebody is needed: as in assignment.requested, or removed (its agent left the channel)
    team                the team that a person gave it to
    rules               those tried, in order: {rule: its number from 1, name, to, result: taken|no_match|skipped, and
                        condition: {field, op, value} that does not hold, or why its target can't take it}
    ai                  {agent, why: disabled|no_agents|routed}: why no AI agent takes it
    former              {agent or team, why}: why who held it before does not
    candidates          the agents looked at: {agent, eligible, load, limit, why}, the best first
    more_rules, more_candidates     how many others there are, where the list is cut
`why` of an agent: not_member, deleted, not_online, at_limit, fair_window; of a team: no_members, nobody_available; of
an AI agent: disabled, unknown, routed (it waits for people by now). No customer's words, names or numbers are in it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from agents.assignment.rows import (
    FAIR,
    PRESENCE,
    SOON,
    STATE,
    Agent,
    Books,
    Conversation,
    Mark,
    Need,
    Proposal,
)
from agents.assignment.rules import Message, failing
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from schemas.channel import ChannelSettings
from schemas.conversation import Assignee, ProposeAssignee, Status
from schemas.event import Event
from schemas.ids import contact_of
from schemas.routing import Condition, Target
from schemas.system import (
    AgentDeleted,
    AgentSaved,
    AssignmentDecided,
    AssignmentRequested,
    AssignmentWaiting,
    ChannelChanged,
    ConversationChanged,
    PresenceChanged,
    ProposalAnswered,
)
from schemas.topics import ACCOUNT_INBOX, ASSIGNMENTS, INBOX

HEARTBEAT_HOLDS: Final = timedelta(seconds=90)
"""A desk's heartbeat says for so long that its agent is there."""
MAX_PROPOSALS: Final = 250
"""Proposals of one decision to those that wait, or whose agent left; the rest follows by a timer."""
MAX_LISTED: Final = 20
"""Rules, and candidates, that an explanation lists."""
MAX_SHOWN: Final = 60
"""Characters of a rule's name or value in an explanation."""

_GO_ON: Final = "go-on"
_REMOVAL: Final = "removal/"

Why = Literal["not_member", "deleted", "not_online", "at_limit", "fair_window"]
_READINESS: Final[Mapping[Why | None, int]] = {
    None: 0,
    "at_limit": 1,
    "fair_window": 1,
    "not_online": 2,
    "deleted": 3,
    "not_member": 3,
}
"""In what order candidates are listed: those who can take it are first."""
_WORD: Final = {"human": "agent", "team": "team"}


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Who takes the account's conversations."""
    books = Books(rows, ctx)
    match event:
        case AssignmentRequested():
            _somebody_is_needed(books, event)
        case ConversationChanged():
            _conversation_changed(books, event)
        case ProposalAnswered():
            _proposal_answered(books, event)
        case PresenceChanged():
            _presence_changed(books, event)
        case AgentSaved():
            _agent_saved(books, event)
        case AgentDeleted():
            _agent_deleted(books, event)
        case ChannelChanged():
            _channel_changed(books, event)
        case TimerFired(name=name):
            _time_passed(books, name)
    _serve_those_waiting(books)
    return books.decision()


# --- conversations need, hold or free somebody ---------------------------------------------------------------------


def _somebody_is_needed(books: Books, event: AssignmentRequested) -> None:
    first = event.reason in ("opened", "reopened", "reopened_by_person")
    conversation = books.conversation(event.conversation_id) or Conversation(
        id=event.conversation_id,
        key=event.conversation_key,
        channel=event.channel,
        revision=event.revision,
        routed=True,
        assignee=event.former if first else None,
    )
    update = {
        "revision": event.revision,
        "open": True,
        "routed": conversation.routed and not first,
        "need": _need(event),
        "waiting": False,
    }
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "moved")
    if conversation.proposal is None:
        _settle(books, conversation)


def _need(event: AssignmentRequested) -> Need:
    return Need(
        reason=event.reason,
        at=event.at,
        text=event.text,
        message_kind=event.message_kind,
        contact_name=event.contact_name,
        returning=event.returning,
        labels=event.labels,
        former=event.former,
        team=event.team,
        replied_by=event.replied_by,
    )


def _conversation_changed(books: Books, event: ConversationChanged) -> None:
    """Only Open conversations use a place, and only those without a human agent need one."""
    known = books.conversation(event.conversation_id)
    conversation = known or Conversation(
        id=event.conversation_id, key=event.conversation_key, channel=event.channel, revision=event.revision
    )
    update: dict[str, object] = {
        "revision": event.revision,
        "open": event.status is Status.OPEN,
        "routed": event.routed,
        "assignee": event.assignee,
        "left": False,
    }
    need, assignee = conversation.need, event.assignee
    if event.status is not Status.OPEN or (event.routed and assignee is not None and assignee.kind == "human"):
        update |= {"need": None, "number": None, "waiting": False}
    elif assignee is not None and need is not None and need.team != assignee.id:
        update |= {"waiting": False}  # a person gave it to a team, which is asked for next
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "moved" if conversation.open else "ended")
    _replace_who_left(books, conversation)


def _proposal_answered(books: Books, event: ProposalAnswered) -> None:
    """A place belongs to the proposal until now, then to the conversation."""
    conversation = books.conversation(event.conversation_id)
    if conversation is None or conversation.proposal is None or conversation.proposal.id != event.proposal_id:
        return
    proposal = conversation.proposal
    if proposal.turn is not None:
        books.settle_turn(proposal.turn, returned=not event.accepted)
    if proposal.grant is not None and not event.accepted:
        books.give_back(proposal.grant)
    settled = not event.accepted and _is_settled(books, conversation, proposal)
    update: dict[str, object] = {"proposal": None, "revision": max(event.revision, conversation.revision)}
    if event.accepted and proposal.assignee is None:
        update |= {"routed": True, "waiting": conversation.open and conversation.need is not None}
    elif event.accepted:
        update |= {"routed": True, "need": None, "number": None, "left": False}
        update |= {"assignee": proposal.assignee} if conversation.open else {}
    elif event.reason == "unknown_conversation":
        update |= {"open": False, "need": None}
    elif settled or _is_back(books, conversation):
        update |= {"need": None, "number": None, "left": False}
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "refused")
    if conversation.open and conversation.need is not None and not conversation.waiting:
        _settle(books, conversation)
    elif not settled:
        _replace_who_left(books, conversation)


def _is_settled(books: Books, conversation: Conversation, proposal: Proposal) -> bool:
    """Refused though nothing is newer here: proposed again it would be refused again, without end."""
    settings = books.settings(conversation.channel).revision
    return (conversation.revision, settings) == (proposal.revision, proposal.settings)


def _is_back(books: Books, conversation: Conversation) -> bool:
    """Whether somebody was needed only as its agent had left, who is here again."""
    need, assignee = conversation.need, conversation.assignee
    only = conversation.left and assignee is not None and need is not None and need.reason == "removed"
    return only and assignee is not None and _is_here(books, conversation.channel, assignee.id)


def _is_here(books: Books, channel: str, agent: str) -> bool:
    return agent in books.settings(channel).human_agents and not books.agent(agent).deleted


def _replace_who_left(books: Books, conversation: Conversation) -> None:
    """Somebody else is needed where the agent is no member any more, whoever assigned it; who is away stays."""
    holder, channel = conversation.holder, conversation.channel
    if conversation.proposal is not None or not conversation.routed or holder is None:
        return
    if not _is_here(books, channel, holder):
        _settle(books, _taken_away(books, conversation))


# --- agents and channels change ------------------------------------------------------------------------------------


def _presence_changed(books: Books, event: PresenceChanged) -> None:
    """A person's choice stays until a person changes it; a desk's heartbeats count while there is none."""
    agent = books.agent(event.agent)
    by_person = event.source == "person"
    if agent.deleted or (agent.by_person and not by_person):
        return
    holds = not by_person and event.state != "offline"
    expires = books.now + HEARTBEAT_HOLDS if holds else None
    books.expect_heartbeat(event.agent, expires)
    presence = {"state": event.state, "by_person": by_person, "expires": expires}
    books.keep_agent(event.agent, agent.model_copy(update=presence))
    if event.state == "online" and agent.state != "online":
        books.appeared.add(event.agent)


def _agent_saved(books: Books, event: AgentSaved) -> None:
    agent = books.agent(event.agent)
    saved = {"workload": event.workload, "teams": event.teams, "deleted": False}
    books.keep_agent(event.agent, agent.model_copy(update=saved))
    books.appeared.add(event.agent)


def _agent_deleted(books: Books, event: AgentDeleted) -> None:
    books.expect_heartbeat(event.agent, None)
    # The row stays, so that a late heartbeat of theirs makes nobody of them.
    books.keep_agent(event.agent, Agent(deleted=True, load=books.agent(event.agent).load))
    for channel in list(books.channels()):
        books.leave_turns(channel, event.agent)
    _take_away(books, event.agent, "")


def _channel_changed(books: Books, event: ChannelChanged) -> None:
    members = books.settings(event.channel).human_agents
    for agent in event.left:
        if agent not in members:
            books.leave_turns(event.channel, agent)
            _take_away(books, agent, event.channel)
    books.watch_window(event.channel)
    books.changed.add(event.channel)


def _take_away(books: Books, agent: str, channel: str) -> None:
    """Queue again the Open conversations of an agent who left the channel (or, where it is empty, the account)."""
    left = MAX_PROPOSALS - books.proposals
    held = list(islice(books.held_by(agent, channel), left + 1))
    for id in held[:left]:
        conversation = books.conversation(id)
        if conversation is not None:
            conversation = _taken_away(books, conversation)
            if conversation.need is not None and conversation.proposal is None:
                _settle(books, conversation)
    name = f"{_REMOVAL}{agent}/{channel}"
    if len(held) > left:
        books.put(name, Mark())
        books.set_timer(_GO_ON, books.now + SOON)
    elif books.get(name, Mark) is not None:
        books.put(name, None)


def _taken_away(books: Books, conversation: Conversation) -> Conversation:
    """Its agent is nobody here any more: the place is free, and somebody else is needed, unless that was asked for."""
    need = conversation.need
    if need is None and conversation.routed:
        need = Need(reason="removed", at=books.now)
    conversation = conversation.model_copy(update={"left": True, "need": need})
    books.keep(conversation, "removed")
    return conversation


def _time_passed(books: Books, timer: str) -> None:
    if timer == PRESENCE:
        for agent in books.expired_presences():
            books.expect_heartbeat(agent, None)
            gone = {"state": "offline", "expires": None}
            books.keep_agent(agent, books.agent(agent).model_copy(update=gone))
    elif timer == _GO_ON:
        for name in list(books.names(_REMOVAL, Mark)):
            _, agent, channel = name.split("/")
            if _is_here(books, channel, agent) if channel else not books.agent(agent).deleted:
                books.put(name, None)  # they came back meanwhile
            else:
                _take_away(books, agent, channel)
        books.changed.update(books.channels())
    elif timer.startswith(FAIR):
        channel = timer.removeprefix(FAIR)
        books.watch_window(channel)
        books.changed.add(channel)


# --- who waits -----------------------------------------------------------------------------------------------------


def _serve_those_waiting(books: Books) -> None:
    """Those that have waited longest first, over all channels whose agents may take more than before."""
    if not books.appeared and not books.changed:
        return
    channels = _channels_to_serve(books)
    queues = [books.waiting(channel, queue) for channel in channels for queue in books.queues(channel)]
    heads = [(head, queue) for queue in queues if (head := next(queue, None)) is not None]
    while heads:
        head, queue = first = min(heads, key=lambda entry: entry[0].number or 0)
        if books.proposals >= MAX_PROPOSALS:
            books.set_timer(_GO_ON, books.now + SOON)
            break
        heads.remove(first)
        choice = _choose(books, head)
        # Who can't take the first of a queue can't take the others.
        if choice.assignee is not None:
            _propose(books, head, choice)
            heads += [(follower, queue) for follower in islice(queue, 1)]
    books.appeared.clear()
    books.changed.clear()


def _channels_to_serve(books: Books) -> Iterator[str]:
    for channel in list(books.channels()):
        if books.queues(channel) and (
            channel in books.changed or not books.appeared.isdisjoint(books.settings(channel).human_agents)
        ):
            yield channel


def _settle(books: Books, conversation: Conversation) -> None:
    """Propose somebody, or that it waits; those that wait already go first."""
    if conversation.number is None:
        conversation = conversation.model_copy(update={"number": books.next_number()})
    if books.queues(conversation.channel):
        books.changed.add(conversation.channel)
        _serve_those_waiting(books)
    choice = _choose(books, conversation)
    queue = (conversation.need.team if conversation.need is not None else None) or "-"
    if choice.turn and queue in books.queues(conversation.channel):
        choice = choice.nobody("others_wait_longer")
    _propose(books, conversation, choice)


def _propose(books: Books, conversation: Conversation, choice: "Choice") -> None:
    """One proposal for it is in flight from here on; the place, the turn and the fair window count it at once."""
    assignee, channel = choice.assignee, conversation.channel
    human = assignee.id if assignee is not None and assignee.kind == "human" else None
    settings = books.settings(channel)
    counted = human is not None and choice.counts and settings.assignment.fair_window is not None
    proposal = Proposal(
        id=books.ctx.new_id(f"proposal/{conversation.id}"),
        revision=conversation.revision,
        settings=settings.revision,
        assignee=assignee,
        turn=books.take_turn(channel, human) if human is not None and choice.turn else None,
        grant=books.grant(channel, human) if human is not None and counted else None,
    )
    conversation = conversation.model_copy(update={"proposal": proposal, "waiting": False})
    books.keep(conversation, "moved")
    books.proposals += 1
    told = {"conversation_id": conversation.id, "revision": conversation.revision, "explanation": choice.explanation}
    books.say(INBOX, ProposeAssignee(proposal_id=proposal.id, assignee=assignee, **told), conversation)
    if assignee is None:
        books.say(ASSIGNMENTS, AssignmentWaiting(**told), conversation)
    else:
        decided = AssignmentDecided(proposal_id=proposal.id, assignee=assignee, **told)
        books.say(ASSIGNMENTS, decided, conversation)


# --- who takes it --------------------------------------------------------------------------------------------------


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


class Candidate(NamedTuple):
    """An agent of the channel. why: of who can't take it. load: without the conversation itself."""

    agent: str
    why: Why | None
    load: int
    limit: int | None
    turn: int


@dataclass(frozen=True, slots=True)
class Question:
    """The conversation that somebody is needed for. told: the explanation so far."""

    books: Books
    conversation: Conversation
    need: Need
    settings: ChannelSettings
    told: dict[str, JsonValue]

    def choice(self, assignee: Assignee, decision: str, because: str, *, turn: bool = False) -> Choice:
        explanation = {"decision": decision, "because": because, **self.told}
        return Choice(assignee, explanation, turn, counts=decision not in ("kept", "replied"))


def _choose(books: Books, conversation: Conversation) -> Choice:
    """Routing rules, then the AI agent, then the former agent, then humans by the channel's strategy."""
    need = conversation.need
    if need is None:
        raise ValueError("nobody is needed")
    told: dict[str, JsonValue] = {"reason": need.reason}
    if need.team is not None:
        told["team"] = need.team
    question = Question(books, conversation, need, books.settings(conversation.channel), told)
    choice = None
    if need.reason in ("opened", "reopened"):
        choice = _by_rule(question) or _by_ai(question)
    return choice or _by_former(question) or _by_strategy(question)


def _by_rule(question: Question) -> Choice | None:
    """The first rule that applies and whose target can take it; those it points past are skipped."""
    settings, need, conversation = question.settings, question.need, question.conversation
    message = Message(
        channel=settings.id,
        phone=contact_of(conversation.key),
        at=need.at,
        hours=settings.business_hours,
        text=need.text,
        kind=need.message_kind,
        name=need.contact_name,
        returning=need.returning,
        labels=need.labels,
    )
    tried: list[JsonValue] = []
    if settings.assignment.rules:
        question.told["rules"] = tried
    for number, rule in enumerate(settings.assignment.rules, start=1):
        condition = failing(rule, message)
        found = "no_match" if condition is not None else _who_takes(question, rule.to)
        entry: dict[str, JsonValue] = {"rule": number, "name": rule.name[:MAX_SHOWN], "to": rule.to.model_dump()}
        if condition is not None:
            entry |= {"result": "no_match", "condition": _shown(condition)}
        elif isinstance(found, str):
            entry |= {"result": "skipped", "why": found}
        else:
            entry |= {"result": "taken"}
        if len(tried) < MAX_LISTED or entry["result"] == "taken":
            tried.append(entry)
        else:
            question.told["more_rules"] = number - MAX_LISTED
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
                _tell_candidates(question, candidates)
                return Assignee(kind="human", id=candidates[0].agent)
            return "nobody_available" if candidates else "no_members"
        case "ai":
            return _why_not_ai(question, to.id) or Assignee(kind="ai", id=to.id)


def _by_ai(question: Question) -> Choice | None:
    agents = question.settings.ai.agents
    why = _why_not_ai(question, agents[0].id) if agents else "no_agents"
    if why is None:
        return question.choice(Assignee(kind="ai", id=agents[0].id), "ai", "first_ai_agent")
    question.told["ai"] = {"agent": agents[0].id, "why": why} if agents else {"why": why}
    return None


def _why_not_ai(question: Question, agent: str) -> str | None:
    ai = question.settings.ai
    if question.conversation.routed:
        return "routed"  # it waits for people, as its customer was told
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
        return None  # not theirs any more: it waited meanwhile
    question.told["former"] = {_WORD[former.kind]: former.id, "why": why}
    sender = question.need.replied_by
    if sender is not None and _is_here(question.books, question.settings.id, sender):
        return question.choice(Assignee(kind="human", id=sender), "replied", "former_not_available")
    return None


def _by_strategy(question: Question) -> Choice:
    """Humans: the lowest load or, in sequential order and among equals, who was not served for longest."""
    candidates = _candidates(question, question.need.team)
    _tell_candidates(question, candidates)
    strategy = question.settings.assignment.strategy
    if not candidates or candidates[0].why is not None:
        return Choice(None, question.told).nobody("nobody_available")
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
    """The agent's places in the whole account, without the one of the conversation itself."""
    return question.books.agent(agent).load - (agent in question.conversation.places)


def _limit(settings: ChannelSettings, agent: Agent) -> int | None:
    return settings.assignment.workload_default if agent.workload == "default" else agent.workload


def _tell_candidates(question: Question, candidates: list[Candidate]) -> None:
    question.told["candidates"] = [_told(candidate) for candidate in candidates[:MAX_LISTED]]
    if len(candidates) > MAX_LISTED:
        question.told["more_candidates"] = len(candidates) - MAX_LISTED


def _told(candidate: Candidate) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = {
        "agent": candidate.agent,
        "eligible": candidate.why is None,
        "load": candidate.load,
        "limit": candidate.limit,
    }
    return told if candidate.why is None else {**told, "why": candidate.why}


def _shown(condition: Condition) -> dict[str, JsonValue]:
    """The condition as in the settings; a customer's name or number that stands there is left out."""
    shown: dict[str, JsonValue] = {"field": condition.field, "op": condition.op}
    if condition.field in ("contact.phone", "contact.name") and condition.op != "exists":
        return shown
    value = condition.value
    if isinstance(value, tuple):
        value = ", ".join(map(str, value[:MAX_LISTED]))
    return {**shown, "value": value[:MAX_SHOWN] if isinstance(value, str) else value}


ASSIGNMENT = Stage("assignment", input=ACCOUNT_INBOX, outputs=(INBOX, ASSIGNMENTS), decide=decide, state=STATE)
