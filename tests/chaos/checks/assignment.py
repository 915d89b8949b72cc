"""Assignment: each proposal one answer, nobody above their limit, no place leaked, nobody forgotten. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agents.assignment import rows as assignment_rows
from agents.assignment.decide import ASSIGNMENT
from agents.conversations import rows as conversations_rows
from agents.stage import RowT
from schemas.events.assignment import ConversationChanged, ProposalAnswered
from schemas.events.channels import ChannelChanged
from schemas.events.conversation import Status
from schemas.events.inbox import ProposeAssignee
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.ids import channel_of
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import ACCOUNT_INBOX, INBOX
from streams.state import META, Meta
from tests.chaos.history import History
from tests.chaos.violation import Violation


def check_proposals(history: History) -> Iterator[Violation]:
    """Each proposal has exactly one answer."""
    proposed, answered = dict[str, str](), Counter[str]()
    for record in history.records(INBOX, ProposeAssignee):
        if isinstance(record.event, ProposeAssignee):
            proposed[record.event.proposal_id] = record.subject
    for record in history.records(ACCOUNT_INBOX, ProposalAnswered):
        if isinstance(record.event, ProposalAnswered):
            answered[record.event.proposal_id] += 1
    for id in proposed.keys() | answered.keys():
        if answered[id] != 1 or id not in proposed:
            yield Violation("proposal not answered once", proposed.get(id, ""), f"{id}: {answered[id]} answers")


# --- who was proposed, as it was known then ------------------------------------------------------------------------


@dataclass
class _Agent:
    state: str = "offline"
    workload: int | str | None = "default"
    deleted: bool = False


@dataclass
class _Account:
    """What assignment had been reported of an account, counted anew.

    held: Open conversation -> its human agent and channel; held_by: the same by agent. left: those whose agent went
    away: they use no place. in_flight: conversation -> the proposal that is not answered, and to whom; offered: the
    same by agent. granted: by channel and agent, the proposals that count in the fair window, with their times.
    """

    history: History
    agents: dict[str, _Agent] = field(default_factory=lambda: defaultdict(_Agent))
    revisions: dict[str, int] = field(default_factory=dict)
    held: dict[str, tuple[str, str]] = field(default_factory=dict)
    held_by: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    left: set[str] = field(default_factory=set)
    in_flight: dict[str, tuple[str, str]] = field(default_factory=dict)
    offered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    granted: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))

    def settings(self, channel: str) -> ChannelSettings:
        return self.history.settings(channel, self.revisions[channel])

    def take(self, record: Record) -> None:
        if record.channel is not None:
            self.revisions[record.channel] = max(record.settings_revision, self.revisions.get(record.channel, 0))
        match record.event:
            case PresenceChanged(agent=agent, state=state) if not self.agents[agent].deleted:
                self.agents[agent].state = state
            case AgentSaved(agent=agent, workload=workload):
                self.agents[agent].workload, self.agents[agent].deleted = workload, False
            case AgentDeleted(agent=agent):
                self.agents[agent] = _Agent(deleted=True)
                self.left |= self.held_by[agent]
            case ChannelChanged(channel=channel, left=left):
                for agent in left:
                    self.left |= {id for id in self.held_by[agent] if self.held[id][1] == channel}
            case ConversationChanged():
                self._changed(record.event)
            case ProposalAnswered():
                self._answered(record.event)

    def _changed(self, event: ConversationChanged) -> None:
        id, assignee = event.conversation_id, event.assignee
        holder, _ = self.held.pop(id, ("", ""))
        self.held_by[holder].discard(id)
        self.left.discard(id)
        if event.status is Status.OPEN and assignee is not None and assignee.kind == "human":
            self.held[id] = (assignee.id, event.channel)
            self.held_by[assignee.id].add(id)
            if assignee.id not in self.settings(event.channel).human_agents or self.agents[assignee.id].deleted:
                self.left.add(id)

    def _answered(self, event: ProposalAnswered) -> None:
        proposal, to = self.in_flight.get(event.conversation_id, ("", ""))
        if proposal == event.proposal_id:
            del self.in_flight[event.conversation_id]
            self.offered[to].discard(event.conversation_id)
        if not event.accepted:
            for grants in self.granted.values():
                grants.pop(event.proposal_id, None)

    def propose(self, key: str, event: ProposeAssignee, now: datetime) -> Iterator[Violation]:
        """Judge a proposal, and count it."""
        if event.assignee is None or event.assignee.kind != "human":
            return
        name, channel, id = event.assignee.id, channel_of(key), event.conversation_id
        agent, settings = self.agents[name], self.settings(channel)
        by_person = event.explanation.get("decision") in ("kept", "replied")
        away = agent.state != "online" and event.explanation.get("decision") != "replied"
        if agent.deleted or away or name not in settings.human_agents:
            yield Violation("proposed to somebody who is not there", key, f"{name}: {agent.state}")
        limit = settings.assignment.workload_default if agent.workload == "default" else agent.workload
        if settings.assignment.strategy == "workload" and isinstance(limit, int) and not by_person:
            # Those that the agent surely has a place for, without the conversation's own.
            load = len((self.held_by[name] - self.left | self.offered[name]) - {id})
            if load >= limit:
                yield Violation("above the limit", key, f"{name} has {load} of {limit} places taken")
        fair = settings.assignment.fair_window
        if fair is not None and not by_person:
            grants = {one: at for one, at in self.granted[channel, name].items() if at + fair.window > now}
            if len(grants) >= fair.limit:
                yield Violation("more than a fair window holds", key, f"{name}: {len(grants)} of {fair.limit}")
            self.granted[channel, name] = {**grants, event.proposal_id: now}
        self.in_flight[id] = (event.proposal_id, name)
        self.offered[name].add(id)


def check_limits(history: History) -> Iterator[Violation]:
    """The automat proposes only agents who are members, online, below their limit and within the fair window."""
    proposals = {
        record.event.proposal_id: record.event
        for record in history.records(INBOX, ProposeAssignee)
        if isinstance(record.event, ProposeAssignee)
    }
    for _, _, steps in history.replayed(ASSIGNMENT):
        accounts: dict[str, _Account] = {}
        for _, record, step in steps:
            account = accounts.setdefault(step.key, _Account(history))
            cause = None if record is None else record.id
            # The timers that were due before the record fire first.
            outgoing = sorted(step.outgoing, key=lambda out: out.record.causation_id == cause)
            taken = False
            for out in outgoing:
                if not taken and record is not None and out.record.causation_id == cause:
                    account.take(record)
                    taken = True
                if isinstance(out.record.event, ProposeAssignee):
                    # Replay tells when it was made; what was proposed is judged by what was written.
                    event = proposals.get(out.record.event.proposal_id, out.record.event)
                    yield from account.propose(out.key, event, out.record.time)
            if not taken and record is not None:
                account.take(record)


# --- what is left at the end ---------------------------------------------------------------------------------------


def check_places(history: History) -> Iterator[Violation]:
    """At rest an agent's load is the number of Open conversations that are theirs; nothing is in flight."""
    held = Counter[tuple[str, str]]()
    for key, row in _conversations(history).values():
        if row.status is Status.OPEN and row.assignee is not None and row.assignee.kind == "human":
            held[history.settings(channel_of(key), 1).account, row.assignee.id] += 1
    loads = {
        (account, name.removeprefix("agent/")): agent.load
        for account, rows in _accounts(history).items()
        for name, agent in _rows(rows, "agent/", assignment_rows.Agent)
    }
    for account, agent in held.keys() | loads.keys():
        load, open_ones = loads.get((account, agent), 0), held[account, agent]
        if load != open_ones:
            yield Violation("place leaked", account, f"{agent}: {load} places, {open_ones} open conversations")
    for rows in _accounts(history).values():
        for _, known in _rows(rows, "conversation/", assignment_rows.Conversation):
            if known.proposal is not None:
                yield Violation("proposal in flight for ever", known.key, known.id)


def check_waiting(history: History) -> Iterator[Violation]:
    """At rest each Open conversation without a human waits for one, nothing else does, and nobody free is left."""
    needy = {
        id: key
        for id, (key, row) in _conversations(history).items()
        if row.status is Status.OPEN and (row.assignee is None or row.assignee.kind != "human")
    }
    waiting: dict[str, assignment_rows.Conversation] = {}
    for account, rows in _accounts(history).items():
        agents = dict(_rows(rows, "agent/", assignment_rows.Agent))
        seen = Meta.decode(rows[META]).revisions if META in rows else {}
        for _, known in _rows(rows, "conversation/", assignment_rows.Conversation):
            if known.waiting:
                waiting[known.id] = known
                settings = history.settings(known.channel, seen[known.channel])
                free = [
                    name for name in settings.human_agents if _is_free(agents.get(f"agent/{name}"), known, settings)
                ]
                if free:
                    yield Violation("waits, though somebody is free", known.key, f"{known.id} of {account}: {free}")
    for id, key in needy.items():
        if id not in waiting:
            yield Violation("nobody is found for it", key, f"{id} is Open without a human, and does not wait")
    for id, known in waiting.items():
        if id not in needy:
            yield Violation("waits for nothing", known.key, id)


def _is_free(
    agent: assignment_rows.Agent | None, waiting: assignment_rows.Conversation, settings: ChannelSettings
) -> bool:
    if agent is None or agent.deleted or agent.state != "online":
        return False
    team = None if waiting.need is None else waiting.need.team
    if team is not None and team not in agent.teams:
        return False
    limit = settings.assignment.workload_default if agent.workload == "default" else agent.workload
    # Fair windows are over by now.
    return settings.assignment.strategy != "workload" or limit is None or agent.load < limit


def _conversations(history: History) -> Mapping[str, tuple[str, conversations_rows.Conversation]]:
    return {
        row.id: (key, row)
        for rows in history.states.get("conversations", {}).values()
        for (key, name), value in rows.items()
        if name.startswith(conversations_rows.CONVERSATION)
        for row in (conversations_rows.Conversation.model_validate_json(value),)
    }


def _accounts(history: History) -> Mapping[str, Mapping[str, bytes]]:
    """Assignment's rows by account and name."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for rows in history.states.get("assignment", {}).values():
        for (account, name), value in rows.items():
            found[account][name] = value
    return found


def _rows(rows: Mapping[str, bytes], prefix: str, model: type[RowT]) -> Iterator[tuple[str, RowT]]:
    for name, value in rows.items():
        if name.startswith(prefix):
            yield name, model.model_validate_json(value)
