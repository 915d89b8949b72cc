"""What customers heard: greetings, replies, and what the provider's receipts say of them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from schemas.conversation import (
    ConversationMessageSent,
    ConversationRouted,
    DeliverySent,
    DeliveryUnsent,
    Status,
)
from schemas.messaging import (
    MessageAnomaly,
    MessageStatusChanged,
    SendAccepted,
    SendCommand,
    SendGreeting,
    SendRefused,
    SendUnknown,
)
from schemas.topics import CONVERSATIONS, INBOX, OUTBOUND, RECEIPTS, STATUSES
from tests.chaos.history import History, ReceiptRow
from tests.chaos.violation import Violation

# Written out here, not taken from the stage that is checked (docs/design.md, 6: status order).
_ORDER: Final = (
    "queued", "unknown", "accepted", "plan", "target_valid", "sent", "delivered_timeout", "delivered", "read",
)  # fmt: skip
_FAILURES: Final = ("refused", "target_invalid", "sent_failed", "delivered_failed")


@dataclass
class _Sends:
    """What the topics say of messages, by message id."""

    commands: dict[str, tuple[str, SendCommand]] = field(default_factory=dict)
    commanded: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    told_sent: Counter[str] = field(default_factory=Counter)
    told_unsent: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    """Message id -> whether it was marked as a possible repeat, for each time that it joined its conversation."""

    @classmethod
    def gather(cls, history: History) -> "_Sends":
        sends = cls()
        for topic in (OUTBOUND, RECEIPTS, INBOX, CONVERSATIONS):
            for record in history.records(topic):
                sends._take(record.subject, record.event)
        return sends

    def _take(self, key: str, event: object) -> None:
        match event:
            case SendCommand(message_id=id):
                self.commands[id] = (key, event)
                self.commanded[id] += 1
            case SendAccepted(message_id=id, provider_message_id=provider_id):
                self.accepted[id].append(provider_id)
            case SendRefused(message_id=id):
                self.refused.add(id)
            case SendUnknown(message_id=id):
                self.unknown.add(id)
            case DeliverySent(message_id=id):
                self.told_sent[id] += 1
            case DeliveryUnsent(message_id=id):
                self.told_unsent[id] += 1
            case ConversationMessageSent(message_id=id, repeat=repeat):
                self.shown[id].append(repeat)

    def check(self, id: str, heard: int, most: int, settled: Counter[str]) -> Iterator[tuple[str, str]]:
        """What is wrong with a commanded message that may be heard so often."""
        kind = self.commands[id][1].kind
        if self.commanded[id] != 1:
            yield f"{kind} commanded twice", f"{self.commanded[id]} times"
        if heard > most:
            yield f"{kind} heard twice", f"{heard} times"
        if heard == 0 and id not in self.refused and id not in self.unknown:
            yield f"{kind} never sent", "neither heard, nor refused, nor of unknown outcome"
        if heard > 1 and (id not in self.unknown or not all(self.shown[id])):
            yield f"{kind} repeated without a mark", f"heard {heard} times"
        if heard and not self.accepted[id] and id not in self.unknown:
            yield f"{kind} heard, but not told", "neither accepted nor of unknown outcome"
        if not heard and self.accepted[id]:
            yield f"{kind} told as accepted, but not heard", ""
        wrong = (len(self.accepted[id]), self.told_sent[id], len(self.shown[id]))
        if len(set(wrong)) > 1 or wrong[0] > 1:
            yield f"{kind} told wrongly", "accepted {}, told as sent {}, in the conversation {} times".format(*wrong)
        if not self.told_sent[id] and self.told_unsent[id] != 1:
            yield f"{kind} without an end", f"told as not sent {self.told_unsent[id]} times"
        if id in self.unknown:
            became = "never heard" if not heard else "heard once" if heard == 1 else f"heard {heard} times, marked"
            known = "settled by a receipt or a repeat" if self.told_sent[id] else "left unknown"
            settled[f"{kind}: {became}, {known}"] += 1


def check_greetings(history: History, settled: Counter[str]) -> Iterator[Violation]:
    """One greeting for each conversation that a customer began, heard once; not at all only if its end is unknown."""
    sends = _Sends.gather(history)
    due: dict[str, str] = {}
    for record in history.records(CONVERSATIONS):
        match record.event:
            case ConversationRouted(first=True, header=header) if (
                header.opened_by == "customer" and not header.messages_out and header.status is not Status.AI_REPLYING
            ):
                due[header.conversation_id] = record.subject
    greetings = {id: found for id, found in sends.commands.items() if isinstance(found[1], SendGreeting)}
    greeted = Counter(command.conversation_id for _, command in greetings.values())
    for id, key in due.items():
        if not greeted[id]:
            yield Violation("greeting missing", key, f"of conversation {id}")
    for id, count in greeted.items():
        if count > 1 or id not in due:
            yield Violation("greeting not due", due.get(id, ""), f"conversation {id}: {count} greetings")
    for id, (key, _) in greetings.items():
        for kind, detail in sends.check(id, history.heard[id], 1, settled):
            yield Violation(kind, key, f"{id} {detail}")


def check_replies(history: History, settled: Counter[str]) -> Iterator[Violation]:
    """Each acknowledged reply was sent once; a second time only marked. Nothing was sent that nobody commanded."""
    sends = _Sends.gather(history)
    carried_out = {id for id, (_, command) in sends.commands.items() if command.kind == "reply"}
    refusals = {getattr(r.event, "command_id", "") for r in history.records(CONVERSATIONS)}
    for id, key in history.acknowledged.replies.items():
        if id not in carried_out and id not in refusals:
            yield Violation("reply lost", key, id)
    for id in sorted(carried_out):
        for kind, detail in sends.check(id, history.heard[id], 2, settled):
            yield Violation(kind, sends.commands[id][0], f"{id} {detail}")
    provider_ids = {entry.message_id for entry in history.sent}
    for id in history.heard.keys() - sends.commands.keys():
        yield Violation("sent, but not commanded", "", id)
    for id, told in sends.accepted.items():
        if not set(told) <= provider_ids:
            yield Violation("accepted under a wrong id", "", id)


def check_receipts(history: History) -> Iterator[Violation]:
    """Every receipt in webhooks was told once as a status of its message, or as a contradiction."""
    owners = {entry.message_id: entry for entry in history.sent if entry.message_id}
    wanted: dict[tuple[str, str], str] = {}
    for message, rows in history.callbacks:
        for row in rows:
            if isinstance(row, ReceiptRow):
                entry = owners.get(row.provider_message_id)
                if entry is None or entry.id is None:
                    yield Violation("receipt of nothing", "", f"{row.provider_message_id} {row.status}")
                else:
                    wanted[entry.id, row.status] = f"{message.key.decode()}:{entry.contact}"
    told = Counter[tuple[str, str]]()
    for record in history.records(STATUSES):
        if isinstance(record.event, MessageStatusChanged | MessageAnomaly):
            told[record.event.message_id, record.event.reported] += 1
    for (id, status), key in wanted.items():
        if not told[id, status]:
            yield Violation("receipt missing", key, f"{id} {status}")
    for (id, status), count in told.items():
        if count > 1:
            yield Violation("receipt told twice", wanted.get((id, status), ""), f"{id} {status}: {count} times")


def check_statuses(history: History) -> Iterator[Violation]:
    """A message's status only goes up; a failure ends it."""
    last: dict[str, str] = {}
    for record in history.records(STATUSES):
        event = record.event
        if not isinstance(event, MessageStatusChanged):
            continue
        before = last.get(event.message_id)
        last[event.message_id] = event.status
        if event.previous != before:
            yield Violation("status does not follow", record.subject, f"{event.message_id}: not from {before}")
        elif before is not None and not _may_follow(before, event.status):
            yield Violation("status regressed", record.subject, f"{event.message_id}: {before}, {event.status}")


def _may_follow(before: str, status: str) -> bool:
    if before in _FAILURES:
        return status == before
    return status in _FAILURES or _ORDER.index(before) <= _ORDER.index(status)
