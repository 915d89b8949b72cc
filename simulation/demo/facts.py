"""What the topics and the sandbox say about the demo, gathered for counting. Pure.

It reads callbacks by itself, without the pipeline's parser, so that a misreading there shows here.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentDecided, AssignmentWaiting, ConversationChanged, ProposalAnswered
from schemas.events.callbacks import WebhookReceived
from schemas.events.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.csat import SurveyAnswered, SurveySent, SurveySkipped
from schemas.events.inbox import AiEnd, ProposeAssignee
from schemas.events.people import PresenceChanged
from schemas.events.receipts import MessageAnomaly, MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.events.sending import SendCommand
from schemas.ids import contact_of
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import (
    ACCOUNT_INBOX,
    AI_REQUESTS,
    ASSIGNMENTS,
    CONVERSATIONS,
    CSAT,
    DEAD_LETTERS,
    INBOX,
    OUTBOUND,
    REPORTS,
    STATUSES,
    WEBHOOKS,
    Topic,
)
from simulation.demo.conversations import says
from simulation.demo.plan import Customer
from simulation.demo.play import FAILURES, Resolved
from simulation.sandbox.gpt.service import GptLogEntry
from simulation.sandbox.happenings import ReadStatus
from simulation.sandbox.providers import LogEntry
from simulation.sandbox.sender import CallbackAttempt
from simulation.sandbox.stand_in import STAND_INS

COUNTED: tuple[Topic, ...] = (
    *(WEBHOOKS, INBOX, ACCOUNT_INBOX, CONVERSATIONS, ASSIGNMENTS, AI_REQUESTS),
    *(CSAT, OUTBOUND, STATUSES, REPORTS, DEAD_LETTERS),
)
"""The topics that are read."""


@dataclass(frozen=True)
class Evidence:
    """What is counted.

    records: of COUNTED, in order within a partition. attempts, sent: what the sandbox posted and was asked to send.
    asked: what models were asked for. customers, by contact, and channels, by id: what was planned. workload: agents'
    limits. written: ids of the messages that customers wrote. replies, resolved: what the agents did. unfinished: what
    was still under way when the waiting was given up.
    """

    records: Mapping[Topic, Sequence[Record]]
    attempts: Sequence[CallbackAttempt]
    sent: Sequence[LogEntry]
    customers: Mapping[str, Customer]
    channels: Mapping[str, ChannelSettings]
    workload: Mapping[str, int]
    written: Collection[str]
    replies: Mapping[str, str]
    resolved: Mapping[str, Resolved]
    asked: Sequence[GptLogEntry] = ()
    unfinished: Sequence[str] = ()


@dataclass
class Callbacks:
    """What the bodies in webhooks hold."""

    bodies: list[bytes] = field(default_factory=list)
    inbound: list[str] = field(default_factory=list)
    receipts: list[ReadStatus] = field(default_factory=list)
    rows: int = 0
    of_several_rows: int = 0

    def take(self, provider: str, body: bytes) -> None:
        """Read a body."""
        read = STAND_INS[provider].read(body)
        rows = len(read.inbound) + len(read.receipts)
        self.bodies.append(body)
        self.rows += rows
        self.of_several_rows += rows > 1
        self.inbound += [message.id for message in read.inbound]
        self.receipts += read.receipts


@dataclass
class Talk:
    """A conversation. header: the last one. replied: message id -> agent. resolved_by: None: the pipeline."""

    header: Header
    opened: int = 0
    routed: int = 0
    received: dict[str, datetime] = field(default_factory=dict)
    replied: dict[str, str | None] = field(default_factory=dict)
    answered: bool = False
    resolved_by: list[str | None] = field(default_factory=list)
    closed: Counter[str] = field(default_factory=Counter)
    """By reason."""
    reopened: int = 0
    handed_over: int = 0
    notes: list[str] = field(default_factory=list)
    """Their reasons."""

    def take(self, event: ConversationEvent) -> None:
        """Take in the next event."""
        self.header = event.header
        match event:
            case ConversationOpened():
                self.opened += 1
            case ConversationRouted(first=True):
                self.routed += 1
            case ConversationMessageReceived(message_id=id, at=at):
                self.received[id] = at
            case ConversationMessageSent(message_id=id, by=by, kind="reply"):
                self.replied[id] = by
                self.answered = True
            case ConversationMessageSent(kind="ai"):
                self.answered = True
            case ConversationNoteAdded(reason=reason):
                self.notes.append(reason)
            case ConversationStatusChanged():
                self._take_status(event)

    def _take_status(self, event: ConversationStatusChanged) -> None:
        status = event.header.status
        if status is Status.RESOLVED:
            self.resolved_by.append(event.by)
        elif status is Status.CLOSED:
            self.closed[event.reason] += 1
        self.reopened += status in LIVE and event.previous not in LIVE
        self.handed_over += event.reason == "ai_handed_over"


@dataclass
class Assigning:
    """What assignment proposed and decided. Of the account, whose inbox is in one order."""

    proposed: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    decided: list[tuple[datetime, AssignmentDecided]] = field(default_factory=list)
    waited: set[str] = field(default_factory=set)
    online_since: dict[str, datetime] = field(default_factory=dict)
    most_open: Counter[str] = field(default_factory=Counter)
    """The most conversations that an agent had open at a time."""
    _open: dict[str, str] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take in a record of inbox, account-inbox or assignments."""
        match record.event:
            case ProposeAssignee(proposal_id=id):
                self.proposed[id] += 1
            case ProposalAnswered(proposal_id=id, accepted=accepted):
                self.answered[id] += 1
                self.refused |= set() if accepted else {id}
            case AssignmentDecided():
                self.decided.append((record.time, record.event))
            case AssignmentWaiting(conversation_id=id):
                self.waited.add(id)
            case PresenceChanged(agent=agent, state="online"):
                self.online_since.setdefault(agent, record.time)
            case ConversationChanged():
                self._take_change(record.event)

    def _take_change(self, event: ConversationChanged) -> None:
        self._open.pop(event.conversation_id, None)
        if event.status is Status.OPEN and event.assignee is not None and event.assignee.kind == "human":
            self._open[event.conversation_id] = event.assignee.id
            self.most_open |= Counter(self._open.values())

    def of(self, conversation: str) -> list[AssignmentDecided]:
        """What was decided about the conversation, and accepted."""
        return self._accepted[conversation]

    @cached_property
    def _accepted(self) -> Mapping[str, list[AssignmentDecided]]:
        accepted = defaultdict(list)
        for _, event in self.decided:
            if event.proposal_id not in self.refused:
                accepted[event.conversation_id].append(event)
        return accepted


@dataclass
class Facts:
    """All of it."""

    accepted: Sequence[LogEntry]
    """Sends that the provider took."""
    callbacks: Callbacks = field(default_factory=Callbacks)
    talks: dict[str, Talk] = field(default_factory=dict)
    joined: Counter[str] = field(default_factory=Counter)
    assigning: Assigning = field(default_factory=Assigning)
    asked_ai: dict[str, str] = field(default_factory=dict)
    """Request id -> conversation id."""
    ai_ends: Counter[str] = field(default_factory=Counter)
    ai_says: Counter[str] = field(default_factory=Counter)
    """What customers are to be told by AI agents, by contact."""
    cited: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Contact -> the passages that answers to them rest on."""
    surveys: list[SurveySent | SurveyAnswered | SurveySkipped] = field(default_factory=list)
    commanded: dict[str, SendCommand] = field(default_factory=dict)
    reported: Counter[tuple[str, str]] = field(default_factory=Counter)
    standing: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Message id -> the key of its conversation, and its status."""
    anomalies: int = 0
    partials: list[tuple[str, ReportUpdated]] = field(default_factory=list)

    @classmethod
    def gather(cls, evidence: Evidence) -> "Facts":
        """Read all records."""
        facts = cls([entry for entry in evidence.sent if entry.outcome == "accepted"])
        for topic in COUNTED:
            for record in evidence.records[topic]:
                facts._take(record)
        return facts

    def sent(self, kind: str, statuses: Collection[str] = ()) -> Counter[str]:
        """How many messages of a kind the provider accepted, by contact. statuses: only those that have one of them."""
        return Counter(
            contact for contact, of, status in self._sent() if of == kind and (not statuses or status in statuses)
        )

    def failed(self, *, replies: bool) -> Counter[str]:
        """How many accepted messages did not reach the customer, by contact: agents' replies, or automatic ones."""
        return Counter(
            contact for contact, kind, status in self._sent() if status in FAILURES and (kind == "reply") is replies
        )

    def _sent(self) -> Iterator[tuple[str, str, str]]:
        """Contact, kind and status of each message that the provider accepted."""
        for entry in self.accepted:
            if command := self.commanded.get(entry.id or ""):
                yield entry.contact or "", command.kind, self.standing.get(command.message_id, ("", ""))[1]

    def by_contact(self) -> dict[str, Talk]:
        """The conversations by their customers."""
        return {talk.header.contact: talk for talk in self.talks.values()}

    def _take(self, record: Record) -> None:
        self.assigning.take(record)
        match record.event:
            case WebhookReceived(provider=provider, body=body):
                self.callbacks.take(provider, body)
            case ConversationEvent():
                self._take_conversation(record.event)
            case AiRequested(request_id=id, conversation_id=conversation):
                self.asked_ai[id] = conversation
            case AiEnd(request_id=id, also=also):
                self.ai_ends.update((id, *also))
                self.ai_says[contact_of(record.subject)] += says(record.event)
            case SurveySent() | SurveyAnswered() | SurveySkipped():
                self.surveys.append(record.event)
            case SendCommand(message_id=id):
                self.commanded[id] = record.event
            case MessageStatusChanged(message_id=id, reported=reported, status=status):
                self.reported[id, reported] += 1
                self.standing[id] = (record.subject, status)
            case MessageAnomaly(message_id=id, reported=reported):
                self.reported[id, reported] += 1
                self.anomalies += 1
            case ReportUpdated():
                self.partials.append((record.subject, record.event))

    def _take_conversation(self, event: ConversationEvent) -> None:
        id = event.header.conversation_id
        if id not in self.talks:
            self.talks[id] = Talk(event.header)
        self.talks[id].take(event)
        if isinstance(event, ConversationMessageReceived):
            self.joined[event.message_id] += 1
        if isinstance(event, ConversationMessageSent) and event.citations:
            self.cited[event.header.contact].update(citation.id for citation in event.citations)
