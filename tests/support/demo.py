"""A run of the demo written by hand: whole lives of three customers, in which faults can be planted."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import orjson

from schemas.event import Event
from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentDecided, ConversationChanged, ProposalAnswered
from schemas.events.callbacks import WebhookReceived
from schemas.events.content import Citation
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationEvent,
    ConversationLabelled,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.csat import SurveyAnswered, SurveySent, SurveySkipped
from schemas.events.inbox import AiAnswered, AiHandedOver, ProposeAssignee
from schemas.events.people import PresenceChanged
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportKind, ReportUpdated
from schemas.events.sending import SendCommand, SendGreeting, SendMessage, SendUnavailable
from schemas.record import Record
from schemas.settings.ai import GptAgent
from schemas.settings.channel import AiAgent, ChannelSettings, parse_channel
from schemas.topics import (
    ACCOUNT_INBOX,
    AI_REQUESTS,
    ASSIGNMENTS,
    CONVERSATIONS,
    CSAT,
    INBOX,
    OUTBOUND,
    REPORTS,
    STATUSES,
    WEBHOOKS,
    Topic,
)
from simulation.demo.count import Summary, summarize
from simulation.demo.facts import COUNTED, Evidence, Facts
from simulation.demo.plan import CHANNELS_OF, NO_SURVEY, Customer, Kind, Rating, Work
from simulation.demo.play import Resolved
from simulation.sandbox.gpt.service import GptLogEntry
from simulation.sandbox.providers import LogEntry
from simulation.sandbox.sender import CallbackAttempt

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
STEPS = ("accepted", "sent", "delivered")
BOT = Assignee(kind="ai", id="robbie")
PARCEL = Citation(id="faq/where/1", title="Where is my parcel?")
MAREK = Assignee(kind="human", id="marek")
SHEILA = Assignee(kind="human", id="sheila")


def channel(id: str, *agents: str) -> ChannelSettings:
    settings = parse_channel({"id": id, "phone_number": "+35220000001", "human_agents": list(agents)})
    ai = settings.ai.model_copy(update={"agents": (AiAgent(id="robbie"),)})
    return settings.model_copy(update={"ai": ai, "ai_agents": (GptAgent(id="robbie", model="m-1"),)})


def inbound(id: str) -> bytes:
    data = {"channel_message_id": id, "contact": {"wa_id": "352621000001"}}
    row = {"itime": int(AT.timestamp()), "response": {"event": "received", "response_data": data}}
    return orjson.dumps({"total": 1, "rows": [row]})


def receipt(provider_id: str, status: str) -> bytes:
    row = {"message_id": provider_id, "status": {"message_status": status}}
    return orjson.dumps({"total": 1, "rows": [row]})


def status(id: str, reported: str) -> MessageStatusChanged:
    return MessageStatusChanged(message_id=id, reported=reported, status=reported, timestamps={reported: AT})


def posted(body: bytes, answer: int = 200) -> CallbackAttempt:
    return CallbackAttempt(AT, "+35220000001", len(body), 1, answer, None, delivered=answer == 200)


@dataclass
class Life:
    """One customer's whole life, each step written to the run's topics."""

    run: "Run"
    header: Header
    proposals: int = 0

    @property
    def key(self) -> str:
        return f"{self.header.channel}:{self.header.contact}"

    def tell(self, event: type[ConversationEvent], **fields: object) -> None:
        self.run.put(CONVERSATIONS, event.model_validate({"header": self.header, **fields}), self.key)

    def become(self, **changes: object) -> None:
        before = self.header
        self.header = before.model_copy(update=changes)
        changed = {"conversation_id": before.conversation_id, "conversation_key": self.key, "channel": before.channel}
        revised = {"revision": 1, "status": self.header.status, "assignee": self.header.assignee}
        self.run.put(ACCOUNT_INBOX, ConversationChanged.model_validate(changed | revised))

    def write(self, *ids: str) -> None:
        for id in ids:
            self.run.bodies.append(inbound(id))
            self.run.written.add(id)
            self.tell(ConversationMessageReceived, message_id=id, at=AT, kind="text", text="moien")

    def give(self, to: Assignee, decision: str) -> None:
        self.proposals += 1
        id = f"{self.header.conversation_id}/{self.proposals}"
        names = {"proposal_id": id, "conversation_id": self.header.conversation_id, "revision": 1}
        decided = names | {"assignee": to, "explanation": {"decision": decision}}
        self.run.put(INBOX, ProposeAssignee.model_validate(decided), self.key)
        self.run.put(ASSIGNMENTS, AssignmentDecided.model_validate(decided), self.key)
        self.become(assignee=to, status=Status.AI_REPLYING if to.kind == "ai" else Status.OPEN)
        self.run.put(ACCOUNT_INBOX, ProposalAnswered.model_validate(names | {"accepted": True}))
        self.tell(ConversationAssigned)
        if self.proposals == 1:
            self.tell(ConversationRouted, first=True)

    def send(
        self, command: type[SendCommand], kind: str, by: str | None = None, citations: tuple[Citation, ...] = ()
    ) -> str:
        id = f"{kind}-{self.header.contact}"
        fields = {"message_id": id, "conversation_id": self.header.conversation_id, "kind": kind, "text": "so"}
        self.run.put(OUTBOUND, command.model_validate(fields), self.key)
        self.run.accept(id, self.header.contact)
        for step in STEPS:
            self.run.put(STATUSES, status(id, step), self.key)
        self.tell(ConversationMessageSent, message_id=id, at=AT, kind=kind, by=by, text="so", citations=citations)
        return id

    def reply(self, agent: Assignee) -> None:
        self.run.replies[self.send(SendMessage, "reply", by=agent.id)] = agent.id

    def ask_ai(self, end: AiAnswered | AiHandedOver) -> None:
        asked_at = len(self.run.asked)
        self.run.asked.append(GptLogEntry(asked_at, AT, "robbie", "m-1", end.request_id, 200, False, 30, 5, 100))
        request = {"request_id": end.request_id, "conversation_id": end.conversation_id, "agent": "robbie"}
        asked = request | {"message_id": "m", "kind": "text", "at": AT}
        self.run.put(AI_REQUESTS, AiRequested.model_validate(asked), self.key)
        self.run.put(INBOX, end, self.key)

    def resolve(self, agent: Assignee) -> None:
        self.run.resolved[self.header.contact] = Resolved(agent.id)
        previous = self.header.status
        self.become(status=Status.RESOLVED)
        self.tell(ConversationStatusChanged, previous=previous, by=agent.id, reason="resolved")

    def close(self, reason: str) -> None:
        self.become(status=Status.CLOSED)
        self.tell(ConversationStatusChanged, previous=Status.RESOLVED, reason=reason)

    def survey(self, agent: Assignee, rating: int | None) -> None:
        id = self.send(SendMessage, "survey")
        header = self.header
        names = {"survey_id": id, "resolution": 1, "agent": agent.id, "asked_at": AT}
        of = names | {"conversation_id": header.conversation_id, "channel": header.channel, "contact": header.contact}
        self.run.put(CSAT, SurveySent.model_validate(of))
        if rating is not None:
            self.write(f"rating-{header.contact}")
            self.run.put(CSAT, SurveyAnswered.model_validate(of | {"rating": rating}))
            self.tell(ConversationRated, **names, rating=rating, message_id=f"rating-{header.contact}")
            self.run.resolved[header.contact] = Resolved(agent.id, rating, f"rating-{header.contact}")


@dataclass
class Run:
    """A run in which all is well: one customer of each of three kinds, and what became of them."""

    customers: dict[str, Customer] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    events: defaultdict[Topic, list[Record]] = field(default_factory=lambda: defaultdict(list))
    log: list[LogEntry] = field(default_factory=list)
    asked: list[GptLogEntry] = field(default_factory=list)
    attempts: list[CallbackAttempt] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    replies: dict[str, str] = field(default_factory=dict)
    resolved: dict[str, Resolved] = field(default_factory=dict)
    workload: dict[str, int] = field(default_factory=lambda: {"sheila": 1})

    def __post_init__(self) -> None:
        for agent in ("marek", "sheila"):
            self.put(ACCOUNT_INBOX, PresenceChanged(agent=agent, state="online"))
        self.play_refund(self.begin("refund", "352621000111", ("in-1", "in-number-2"), ()))
        self.play_person(self.begin("person", "352621000222", ("in-3",), ("in-4",), label=NO_SURVEY))
        self.play_early(self.begin("early", "352621000333", ("in-5",), ()))
        self.put_reports()
        self.bodies.append(inbound("in-1"))
        self.bodies += [receipt(entry.message_id or "", step) for entry in self.log for step in STEPS[1:]]
        self.attempts += [posted(body) for body in self.bodies]

    def begin(
        self, kind: Kind, contact: str, first: tuple[str, ...], second: tuple[str, ...], *, label: str | None = None
    ) -> Life:
        work = Work("so", 1, "called" if label else None, label, None if kind == "early" else 1, "marek")
        self.customers[contact] = Customer(
            contact, kind, CHANNELS_OF[kind][0], (first, second), work, Rating("4/5", 4, 1), "where"
        )
        of = self.customers[contact].channel
        names = {"conversation_id": f"talk-{kind}", "channel": of, "contact": contact, "contact_name": "Gast"}
        life = Life(self, Header(**names, opened_at=AT, revision=1, status=Status.OPEN))
        life.tell(ConversationOpened)
        life.write(*first)
        return life

    def play_refund(self, life: Life) -> None:
        life.give(MAREK, "rule")
        life.send(SendGreeting, "greeting")
        life.reply(MAREK)
        life.resolve(MAREK)
        life.survey(MAREK, 4)
        life.close("survey_answered")

    def play_person(self, life: Life) -> None:
        life.give(BOT, "ai")
        life.ask_ai(AiAnswered(request_id="ai-1", conversation_id="talk-person", text="so", citations=(PARCEL,)))
        life.send(SendMessage, "ai", by="robbie", citations=(PARCEL,))
        life.write("in-4")
        life.ask_ai(AiHandedOver(request_id="ai-2", conversation_id="talk-person"))
        life.become(status=Status.OPEN, assignee=None)
        life.tell(ConversationStatusChanged, previous=Status.AI_REPLYING, reason="ai_handed_over")
        life.tell(ConversationNoteAdded, note_id="n-1", text="take over", reason="ai_handed_over")
        life.give(MAREK, "workload")
        life.reply(MAREK)
        life.tell(ConversationNoteAdded, note_id="n-2", text="called", reason="note", by="marek")
        life.become(labels=(NO_SURVEY,))
        life.tell(ConversationLabelled, added=(NO_SURVEY,), by="marek")
        life.resolve(MAREK)
        names = {"conversation_id": "talk-person", "channel": "shop", "contact": life.header.contact}
        self.put(CSAT, SurveySkipped.model_validate(names | {"resolution": 1, "reason": "labels"}))
        life.close("close_after")

    def play_early(self, life: Life) -> None:
        life.give(SHEILA, "workload")
        life.send(SendUnavailable, "unavailable")
        life.reply(SHEILA)

    def put_reports(self) -> None:
        self.report("shop", "conversations", opened=2)
        self.report("shop", "conversations", "marek", resolved=2, closed=2)
        self.report("shop", "satisfaction", "marek", sent=1, rating_4=1)
        self.report("shop", "first_response_open", "marek", b3=1)
        self.report("shop", "first_response_open", b4=1)
        self.report("shop", "resolution_open", "marek", b30=2)
        self.report("shop", "messages", delivered=5)
        self.report("shop", "ai_calls", "robbie", model_calls=2, tokens_in=60, tokens_out=10, cost_micros=200)
        self.report("support", "conversations", opened=1)
        self.report("support", "first_response_closed", "sheila", b9=1)
        self.report("support", "messages", delivered=2)

    def report(self, of: str, kind: ReportKind, agent: str | None = None, **counts: int) -> None:
        # A bucket's name is its number.
        named = {measure.removeprefix("b"): number for measure, number in counts.items()}
        update = ReportUpdated(kind=kind, channel=of, day=date(2026, 3, 4), agent=agent, counts=named)
        self.put(REPORTS, update, f"{of}/{kind}/{agent}")

    def put(self, topic: Topic, event: Event, key: str = "main") -> None:
        records = self.events[topic]
        records.append(Record(f"{topic.name}-{len(records)}", "/test", AT, key, event))

    def accept(self, id: str, contact: str) -> None:
        seq = len(self.log)
        self.log.append(
            LogEntry(
                seq=seq,
                at=AT,
                provider="engagelab",
                account="shop",
                id=id,
                contact=contact,
                type="text",
                text="so",
                template=None,
                content=None,
                conversation=None,
                outcome="accepted",
                code=None,
                message_id=f"el-{seq}",
                repeat=0,
            )
        )

    def find(self, topic: Topic, wanted: type[Event]) -> Record:
        """The first record of a type."""
        return next(record for record in self.events[topic] if isinstance(record.event, wanted))

    def change(self, topic: Topic, wanted: type[Event], **changes: object) -> None:
        """Change the first event of a type."""
        record = self.find(topic, wanted)
        index = self.events[topic].index(record)
        self.events[topic][index] = replace(record, event=record.event.model_copy(update=changes))

    def drop(self, topic: Topic, wanted: type[Event]) -> None:
        """Lose the first event of a type."""
        self.events[topic].remove(self.find(topic, wanted))

    def repeat(self, topic: Topic, wanted: type[Event]) -> None:
        """Have the first event of a type twice."""
        record = self.find(topic, wanted)
        self.events[topic].insert(self.events[topic].index(record), record)

    def cite(self, *cited: Citation) -> None:
        """The AI agent's answer cites these."""
        told = self.events[CONVERSATIONS]
        index = next(number for number, record in enumerate(told) if getattr(record.event, "kind", "") == "ai")
        told[index] = replace(told[index], event=told[index].event.model_copy(update={"citations": cited}))

    def lose_sent(self, id: str) -> None:
        """The provider was never asked to send it."""
        self.log = [entry for entry in self.log if entry.id != id]

    def send_again(self, id: str) -> None:
        """The provider took it twice."""
        self.log.append(next(entry for entry in self.log if entry.id == id))

    def summary(self, unfinished: Sequence[str] = ()) -> Summary:
        webhooks = [WebhookReceived(provider="engagelab", body=body) for body in self.bodies]
        records = {topic: self.events[topic] for topic in COUNTED}
        records[WEBHOOKS] = [Record(f"w-{n}", "/test", AT, "shop", event) for n, event in enumerate(webhooks)]
        evidence = Evidence(
            records=records,
            attempts=self.attempts,
            sent=self.log,
            asked=self.asked,
            customers=self.customers,
            channels={"shop": channel("shop", "marek"), "support": channel("support", "sheila")},
            workload=self.workload,
            written=self.written,
            replies=self.replies,
            resolved=self.resolved,
            unfinished=unfinished,
        )
        return summarize(evidence, Facts.gather(evidence))
