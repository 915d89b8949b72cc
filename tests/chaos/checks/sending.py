"""What customers heard, and what the provider's receipts say of it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from schemas.events.conversation import ConversationCommandRefused, ConversationMessageSent
from schemas.events.inbox import DeliveryFailed, DeliverySent, DeliveryUnsent
from schemas.events.receipts import MessageAnomaly, MessageStatusChanged, SendAccepted, SendRefused, SendUnknown
from schemas.events.sending import SendCommand
from schemas.ids import contact_of
from schemas.record import from_milliseconds
from schemas.topics import CONVERSATIONS, INBOX, OUTBOUND, RECEIPTS, STATUSES
from tests.chaos.history import History, InboundRow, ReceiptRow
from tests.chaos.violation import Violation

# Written out here, not taken from the stage that is checked (docs/design.md, 6: status order).
_ORDER: Final = (
    "queued", "unknown", "accepted", "plan", "target_valid", "sent", "delivered_timeout", "delivered", "read",
)  # fmt: skip
_REPORTED_FAILURES: Final = ("target_invalid", "sent_failed", "delivered_failed")
_FAILURES: Final = ("refused", *_REPORTED_FAILURES)
WINDOW: Final = timedelta(hours=24)
ON_ITS_WAY: Final = timedelta(seconds=20)
"""From an attempt, which is what the window is judged at, to the provider: 5 s to its start, and a provider at rest."""


@dataclass
class _Sends:
    """What the topics say of messages, by message id."""

    commands: dict[str, tuple[str, SendCommand]] = field(default_factory=dict)
    commanded: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    reported_sent: Counter[str] = field(default_factory=Counter)
    reported_unsent: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    """Message id -> whether it was marked as a possible repeat, for each time that it joined its conversation."""

    @classmethod
    def gather(cls, history: History) -> "_Sends":
        sends = cls()
        said = (SendCommand, SendAccepted, SendRefused, SendUnknown)
        for topic, kinds in (
            (OUTBOUND, said),
            (RECEIPTS, said),
            (INBOX, (DeliverySent, DeliveryUnsent)),
            (CONVERSATIONS, (ConversationMessageSent,)),
        ):
            for record in history.records(topic, *kinds):
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
                self.reported_sent[id] += 1
            case DeliveryUnsent(message_id=id):
                self.reported_unsent[id] += 1
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
            yield f"{kind} heard, but not reported", "neither accepted nor of unknown outcome"
        if not heard and self.accepted[id]:
            yield f"{kind} reported as accepted, but not heard", ""
        wrong = (len(self.accepted[id]), self.reported_sent[id], len(self.shown[id]))
        if len(set(wrong)) > 1 or wrong[0] > 1:
            yield (
                f"{kind} reported wrongly",
                "accepted {}, reported sent {}, in the conversation {} times".format(*wrong),
            )
        if not self.reported_sent[id] and self.reported_unsent[id] != 1:
            yield f"{kind} without an end", f"reported as not sent {self.reported_unsent[id]} times"
        if id in self.unknown:
            became = "never heard" if not heard else "heard once" if heard == 1 else f"heard {heard} times, marked"
            known = "settled by a receipt or a repeat" if self.reported_sent[id] else "left unknown"
            settled[f"{kind}: {became}, {known}"] += 1


def check_sends(history: History, settled: Counter[str]) -> Iterator[Violation]:
    """What was commanded was heard once, a reply twice at most, where it is marked; nothing else was heard.

    Each acknowledged reply was commanded, or refused.
    """
    sends = _Sends.gather(history)
    refusals = {
        getattr(record.event, "command_id", "") for record in history.records(CONVERSATIONS, ConversationCommandRefused)
    }
    for id, key in history.acknowledged.replies.items():
        if id not in sends.commands and id not in refusals:
            yield Violation("reply lost", key, id)
    for id, (key, command) in sends.commands.items():
        most = 2 if command.kind == "reply" else 1
        for kind, detail in sends.check(id, history.heard[id], most, settled):
            yield Violation(kind, key, f"{id} {detail}")
    for entry in history.sent:
        if entry.outcome not in ("accepted", "timeout") or entry.id is None:
            continue
        key, wanted = sends.commands.get(entry.id, ("", None))
        if wanted is None:
            yield Violation("sent, but not commanded", "", entry.id)
        elif entry.template is None and entry.text != wanted.text:
            yield Violation("heard something else", key, f"{entry.id}: not the text that was commanded")
    provider_ids = {entry.message_id for entry in history.sent}
    for id, reported in sends.accepted.items():
        if not set(reported) <= provider_ids:
            yield Violation("accepted under a wrong id", "", id)


def check_windows(history: History) -> Iterator[Violation]:
    """No text reached a customer who had not written in the 24 hours before its attempt."""
    wrote = defaultdict[str, list[tuple[datetime, datetime]]](list)
    for message, rows in history.callbacks:
        for row in rows:
            if isinstance(row, InboundRow):
                wrote[contact_of(row.key)].append((from_milliseconds(message.timestamp), row.at))
    for entry in history.sent:
        if entry.outcome in ("accepted", "timeout") and entry.template is None:
            known = [at for taken, at in wrote[entry.contact or ""] if taken <= entry.at]
            if not known or entry.at >= max(known) + WINDOW + ON_ITS_WAY:
                yield Violation("text outside the window", "", f"{entry.id} to {entry.contact}")


def check_receipts(history: History) -> Iterator[Violation]:
    """Every receipt in webhooks was reported once as a status of its message, or as a contradiction."""
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
    reported = Counter[tuple[str, str]]()
    for record in history.records(STATUSES):
        if isinstance(record.event, MessageStatusChanged | MessageAnomaly):
            reported[record.event.message_id, record.event.reported] += 1
    for (id, status), key in wanted.items():
        if not reported[id, status]:
            yield Violation("receipt missing", key, f"{id} {status}")
    for (id, status), count in reported.items():
        if count > 1:
            yield Violation("receipt reported twice", wanted.get((id, status), ""), f"{id} {status}: {count} times")


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


def check_failures(history: History) -> Iterator[Violation]:
    """A failure that a receipt reports is passed on to its conversation, once."""
    failed = dict[str, str]()
    for record in history.records(STATUSES, MessageStatusChanged):
        if isinstance(record.event, MessageStatusChanged) and record.event.status in _REPORTED_FAILURES:
            failed[record.event.message_id] = record.subject
    reported = Counter(
        record.event.message_id
        for record in history.records(INBOX, DeliveryFailed)
        if isinstance(record.event, DeliveryFailed)
    )
    for id in failed.keys() | reported.keys():
        if reported[id] != 1 or id not in failed:
            yield Violation("failure not passed on once", failed.get(id, ""), f"{id}: {reported[id]} times")


def _may_follow(before: str, status: str) -> bool:
    if before in _FAILURES:
        return status == before
    return status in _FAILURES or _ORDER.index(before) <= _ORDER.index(status)
