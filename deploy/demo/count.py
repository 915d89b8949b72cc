"""Counts what came of the demo, from the topics and the sandbox's own log, and checks it. Pure.

It reads callbacks by itself, without the pipeline's parser, so that a misreading there shows here.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from deploy.sandbox.provider import LogEntry
from deploy.sandbox.sender import CallbackAttempt
from schemas.conversation import (
    ConversationMessageReceived,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationStatusChanged,
    Status,
)
from schemas.messaging import MessageAnomaly, MessageStatusChanged, SendCommand, SendGreeting
from schemas.record import Record
from schemas.system import WebhookReceived
from schemas.topics import CONVERSATIONS, DEAD_LETTERS, OUTBOUND, STATUSES, WEBHOOKS, Topic

COUNTED: tuple[Topic, ...] = (WEBHOOKS, CONVERSATIONS, OUTBOUND, STATUSES, DEAD_LETTERS)
"""The topics that are read."""

ENDINGS = frozenset({"delivered", "read", "sent_failed", "delivered_failed"})
"""Where every message ends up in the demo: none stays without a receipt."""

_ORDER = ("plan", "target_valid", "sent", "delivered", "read")
_SHOWN = 5


@dataclass(frozen=True)
class Evidence:
    """What is counted.

    records: of COUNTED, in order within a partition. attempts, sent: what the sandbox posted and was asked to send.
    written: ids of the messages that customers wrote. replies: ids of those that the control API took.
    unfinished: what was still under way when the waiting was given up.
    """

    records: Mapping[Topic, Sequence[Record]]
    attempts: Sequence[CallbackAttempt]
    sent: Sequence[LogEntry]
    written: Collection[str]
    replies: Collection[str]
    unfinished: Sequence[str] = ()


@dataclass(frozen=True)
class Check:
    """Something that must hold. wrong: what does not, empty if all is well."""

    name: str
    wrong: str = ""

    @property
    def ok(self) -> bool:
        return not self.wrong


@dataclass(frozen=True)
class Summary:
    """The counts, by what they count, and the checks."""

    counts: Mapping[str, str]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def summarize(evidence: Evidence) -> Summary:
    """Count and check."""
    facts = _Facts.gather(evidence)
    return Summary(dict(_counts(evidence, facts)), tuple(_checks(evidence, facts)))


@dataclass(frozen=True)
class _Receipt:
    provider_message_id: str
    status: str


@dataclass
class _Facts:
    bodies: list[bytes] = field(default_factory=list)
    inbound: list[str] = field(default_factory=list)
    receipts: list[_Receipt] = field(default_factory=list)
    rows: int = 0
    multi_row_bodies: int = 0
    opened: dict[str, bool] = field(default_factory=dict)
    """Conversation id -> a customer began it."""
    joined: Counter[str] = field(default_factory=Counter)
    resolved: int = 0
    notes: int = 0
    commanded: dict[str, SendCommand] = field(default_factory=dict)
    reported: Counter[tuple[str, str]] = field(default_factory=Counter)
    standing: dict[str, str] = field(default_factory=dict)
    anomalies: int = 0
    accepted: list[LogEntry] = field(default_factory=list)

    @classmethod
    def gather(cls, evidence: Evidence) -> "_Facts":
        facts = cls(accepted=[entry for entry in evidence.sent if entry.outcome == "accepted"])
        for topic in COUNTED:
            for record in evidence.records[topic]:
                facts._take(record)
        return facts

    def _take(self, record: Record) -> None:
        match record.event:
            case WebhookReceived(body=body):
                self._take_body(body)
            case ConversationOpened(header=header):
                self.opened[header.conversation_id] = header.opened_by == "customer"
            case ConversationMessageReceived(message_id=id):
                self.joined[id] += 1
            case ConversationStatusChanged(header=header):
                self.resolved += header.status is Status.RESOLVED
            case ConversationNoteAdded():
                self.notes += 1
            case SendCommand(message_id=id):
                self.commanded[id] = record.event
            case MessageStatusChanged(message_id=id, reported=reported, status=status):
                self.reported[id, reported] += 1
                self.standing[id] = status
            case MessageAnomaly(message_id=id, reported=reported):
                self.reported[id, reported] += 1
                self.anomalies += 1

    def _take_body(self, body: bytes) -> None:
        rows = orjson.loads(body)["rows"]
        self.bodies.append(body)
        self.rows += len(rows)
        self.multi_row_bodies += len(rows) > 1
        for row in rows:
            if "response" in row:
                self.inbound.append(row["response"]["response_data"]["channel_message_id"])
            else:
                self.receipts.append(_Receipt(row["message_id"], row["status"]["message_status"]))

    @property
    def greetings(self) -> Counter[str]:
        """How many greetings the provider accepted, by conversation."""
        commands = (self.commanded.get(entry.id or "") for entry in self.accepted)
        return Counter(command.conversation_id for command in commands if isinstance(command, SendGreeting))


def _counts(evidence: Evidence, facts: _Facts) -> Iterator[tuple[str, str]]:
    delivered = sum(attempt.delivered for attempt in evidence.attempts)
    twice = len(facts.bodies) - len(set(facts.bodies))
    yield "callbacks posted", str(len(evidence.attempts))
    yield "callbacks acknowledged", f"{delivered} with 200"
    yield (
        "callbacks in webhooks",
        f"{len(facts.bodies)}, {twice} delivered twice, {facts.multi_row_bodies} of several rows",
    )
    messages, receipts = len(facts.inbound), len(facts.receipts)
    yield (
        "rows",
        f"{facts.rows}: {messages} customers' messages, {receipts} receipts ({_out_of_order(facts)} out of order)",
    )
    yield (
        "customers' messages",
        f"{len(evidence.written)} different ones, {messages - len(set(facts.inbound))} came again",
    )
    by_customer = sum(facts.opened.values())
    yield "conversations opened", str(by_customer)
    yield "greetings sent", f"{sum(facts.greetings.values())} accepted by the provider"
    replied = sum(entry.id in evidence.replies for entry in facts.accepted)
    yield "replies sent", f"{replied} accepted by the provider, of {len(evidence.replies)} asked for"
    yield "conversations resolved", str(facts.resolved)
    yield "messages now", _tally(facts.standing.values())
    yield "status reports", _tally(reported for _, reported in facts.reported)
    yield "contradictory receipts", str(facts.anomalies)
    yield "notes to the agents", str(facts.notes)
    yield "dead letters", str(len(evidence.records[DEAD_LETTERS]))
    yield "lost", str(len(_lost(evidence, facts)))
    yield "twice", str(len(_twice(facts)))


def _checks(evidence: Evidence, facts: _Facts) -> Iterator[Check]:
    yield Check("everything came to an end", "; ".join(evidence.unfinished))
    failed = [attempt.error or str(attempt.status) for attempt in evidence.attempts if not attempt.delivered]
    yield Check("every callback was acknowledged", _tally(failed) if failed else "")
    yield Check("every acknowledged callback is in webhooks", _missing_callbacks(evidence, facts))
    yield Check("no customer's message is lost", _listed(_lost(evidence, facts)))
    yield Check("no customer's message is in a conversation twice", _listed(_twice(facts)))
    yield Check("no conversation holds a message that nobody wrote", _listed(facts.joined.keys() - evidence.written))
    yield Check("every conversation begun by a customer was greeted once", _badly_greeted(facts))
    yield Check("every reply reached the provider once", _badly_sent(evidence.replies, facts))
    strange = [entry.id or "without an id" for entry in facts.accepted if entry.id not in facts.commanded]
    yield Check("nothing was sent that nobody commanded", _listed(strange))
    yield Check("every accepted message has all its statuses", _without_statuses(facts))
    told = [f"{id} {status}" for (id, status), count in facts.reported.items() if count > 1]
    yield Check("no status is told twice", _listed(told))
    reasons = [getattr(record.event, "reason", "?") for record in evidence.records[DEAD_LETTERS]]
    yield Check("there are no dead letters", _tally(reasons) if reasons else "")


def _missing_callbacks(evidence: Evidence, facts: _Facts) -> str:
    """By size: the sandbox does not keep what it posted, but nearly every body has a length of its own."""
    posted = Counter(attempt.size for attempt in evidence.attempts if attempt.delivered)
    missing = posted - Counter(map(len, facts.bodies))
    return f"{missing.total()} of {posted.total()} are missing" if missing else ""


def _lost(evidence: Evidence, facts: _Facts) -> list[str]:
    return [id for id in evidence.written if id not in facts.joined]


def _twice(facts: _Facts) -> list[str]:
    return [id for id, count in facts.joined.items() if count > 1]


def _badly_greeted(facts: _Facts) -> str:
    greetings = facts.greetings
    begun = [id for id, by_customer in facts.opened.items() if by_customer]
    never = [id for id in begun if not greetings[id]]
    often = [id for id in begun if greetings[id] > 1]
    return "; ".join(f"{what}: {_listed(ids)}" for what, ids in (("never", never), ("more than once", often)) if ids)


def _badly_sent(ids: Collection[str], facts: _Facts) -> str:
    times = Counter(entry.id for entry in facts.accepted)
    return _listed(f"{id} ({times[id]} times)" for id in ids if times[id] != 1)


def _without_statuses(facts: _Facts) -> str:
    receipts: defaultdict[str, set[str]] = defaultdict(set)
    for receipt in facts.receipts:
        receipts[receipt.provider_message_id].add(receipt.status)
    wrong = []
    for entry in facts.accepted:
        wanted = {"accepted"} | receipts[entry.message_id or ""]
        id = entry.id or ""
        missing = sorted(status for status in wanted if not facts.reported[id, status])
        if missing:
            wrong.append(f"{id} lacks {', '.join(missing)}")
        elif facts.standing.get(id) not in ENDINGS:
            wrong.append(f"{id} is still {facts.standing.get(id)}")
    return _listed(wrong)


def _out_of_order(facts: _Facts) -> int:
    furthest: dict[str, int] = {}
    behind = 0
    for receipt in facts.receipts:
        if receipt.status in _ORDER:
            rank = _ORDER.index(receipt.status)
            known = furthest.get(receipt.provider_message_id, -1)
            behind += rank < known
            furthest[receipt.provider_message_id] = max(rank, known)
    return behind


def _tally(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common()) or "none"


def _listed(things: Iterable[str]) -> str:
    every = sorted(things)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
