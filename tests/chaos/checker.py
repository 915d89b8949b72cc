"""Decides, from a run's history alone, whether anything was lost, doubled, disordered or made up. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from schemas.conversation import (
    LIVE,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
    ProposeAssignee,
)
from schemas.messaging import EffectEnded
from schemas.record import Record
from schemas.system import DeadLettered, ProposalAnswered
from schemas.topics import ACCOUNT_INBOX, CONVERSATIONS, DEAD_LETTERS, GATED, INBOX, WEBHOOKS
from tests.chaos.check_sending import check_greetings, check_receipts, check_replies, check_statuses
from tests.chaos.check_state import check_state
from tests.chaos.history import History, InboundRow
from tests.chaos.violation import Violation


@dataclass(frozen=True)
class Verdict:
    """violations: empty, if all is well. settled: sends that a fault left in doubt, by what became of them."""

    violations: tuple[Violation, ...]
    settled: Counter[str]


def check(history: History) -> Verdict:
    """Everything that is wrong, and the unknown outcomes, counted."""
    settled: Counter[str] = Counter()
    violations: list[Violation] = [Violation("unfinished", "", what) for what in history.unfinished]
    for checking in CHECKS:
        violations += checking(history)
    for counting in (check_greetings, check_replies):
        violations += counting(history, settled)
    return Verdict(tuple(violations), settled)


def check_callbacks(history: History) -> Iterator[Violation]:
    """Every acknowledged callback is in webhooks and led to one message in its conversation; nothing was made up."""
    received = Counter[str]()
    where = dict(history.acknowledged.messages)
    for record in history.records(CONVERSATIONS):
        if isinstance(record.event, ConversationMessageReceived):
            received[record.event.message_id] += 1
            where.setdefault(record.event.message_id, record.subject)
    posted = {row.id for _, rows in history.callbacks for row in rows if isinstance(row, InboundRow)}
    for id, key in history.acknowledged.messages.items():
        if id not in posted:
            yield Violation("acknowledged, not in webhooks", key, id)
    for id in sorted(posted):
        if received[id] != 1:
            kind = "callback lost" if not received[id] else "callback doubled"
            yield Violation(kind, where.get(id, ""), f"{id}: {received[id]} times in its conversation")
    for id in sorted(received.keys() - posted):
        yield Violation("message that nobody wrote", where[id], id)


def check_order(history: History) -> Iterator[Violation]:
    """The messages of a conversation are in the order in which ingress took them; gated follows conversations."""
    wanted, found = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    taken: set[str] = set()
    for _, rows in history.callbacks:
        for row in rows:
            if isinstance(row, InboundRow) and row.id not in taken:
                taken.add(row.id)
                wanted[row.key].append(row.id)
    events, gated = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for record in history.records(CONVERSATIONS):
        if isinstance(record.event, ConversationMessageReceived):
            found[record.subject].append(record.event.message_id)
        if isinstance(record.event, ConversationEvent):
            events[record.subject].append(record.id)
    for record in history.records(GATED):
        gated[record.subject].append(record.causation_id or "")
    yield from _differences("out of order", wanted, found, only_order=True)
    yield from _differences("gated differs from conversations", events, gated)


def _differences(
    kind: str, wanted: dict[str, list[str]], found: dict[str, list[str]], *, only_order: bool = False
) -> Iterator[Violation]:
    for key in wanted.keys() | found.keys():
        left, right = wanted.get(key, []), found.get(key, [])
        # What is lost or doubled is told by another check.
        if left == right or (only_order and Counter(left) != Counter(right)):
            continue
        at = next((i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), None)
        yield Violation(kind, key, f"{len(left)} expected, {len(right)} found, first difference at {at}")


def check_conversations(history: History) -> Iterator[Violation]:
    """A conversation begins once, its counts and revisions go up by one, and no status comes from nowhere."""
    headers: dict[str, tuple[str, Header]] = {}
    routed = Counter[str]()
    for record in history.records(CONVERSATIONS):
        event = record.event
        if not isinstance(event, ConversationEvent):
            continue
        id, now = event.header.conversation_id, event.header
        before = headers.get(id, ("", None))[1]
        headers[id] = (record.subject, now)
        routed[id] += isinstance(event, ConversationRouted) and event.first
        if (before is None) != isinstance(event, ConversationOpened):
            yield Violation("conversation begins wrongly", record.subject, f"{event.type} of {id}")
        elif before is not None and (wrong := _wrong_step(before, now, event)):
            yield Violation(wrong, record.subject, f"{event.type} of {id} at revision {now.revision}")
    for id, (key, header) in headers.items():
        # Resolved before it was routed, it never is.
        if routed[id] > 1 or (not routed[id] and header.opened_by == "customer" and header.status in LIVE):
            yield Violation("not routed once", key, f"{id}: {routed[id]} times for the first time")


def _wrong_step(before: Header, now: Header, event: ConversationEvent) -> str | None:
    if now.messages_in != before.messages_in + isinstance(event, ConversationMessageReceived):
        return "count of messages jumps"
    if not before.revision <= now.revision <= before.revision + 1:
        return "revision jumps"
    if isinstance(event, ConversationStatusChanged) and event.previous is not before.status:
        return "status comes from nowhere"
    return None


def check_proposals(history: History) -> Iterator[Violation]:
    """Each proposal has exactly one answer."""
    proposed = {r.event.proposal_id: r.subject for r in history.records(INBOX) if isinstance(r.event, ProposeAssignee)}
    answers = (r.event.proposal_id for r in history.records(ACCOUNT_INBOX) if isinstance(r.event, ProposalAnswered))
    answered = Counter(answers)
    for id in proposed.keys() | answered.keys():
        if answered[id] != 1 or id not in proposed:
            yield Violation("proposal not answered once", proposed.get(id, ""), f"{id}: {answered[id]} answers")


def check_commands(history: History) -> Iterator[Violation]:
    """Each acknowledged resolution was carried out or refused."""
    refused = Counter[str]()
    asked = Counter(getattr(record.event, "command_id", None) for record in history.records(INBOX))
    for record in history.records(CONVERSATIONS):
        if isinstance(record.event, ConversationCommandRefused):
            refused[record.event.command_id] += 1
    for id, key in {**history.acknowledged.replies, **history.acknowledged.resolves}.items():
        if not asked[id]:
            yield Violation("command lost", key, id)
        elif not asked[id] - 1 <= refused[id] <= asked[id]:
            yield Violation("command not answered", key, f"{id}: asked {asked[id]} times, refused {refused[id]} times")


def check_ids(history: History) -> Iterator[Violation]:
    """No record is on its topic twice."""
    for topic in history.messages:
        ids = Counter((record.id, record.subject) for record in history.records(topic) if not _may_come_again(record))
        for (id, key), count in ids.items():
            if count > 1:
                yield Violation("record doubled", key, f"{topic.name}: {id}, {count} times")


def _may_come_again(record: Record) -> bool:
    # Whoever takes a task over ends its pending effects anew; its predecessor's end may be on its way. The second is
    # ignored.
    return isinstance(record.event, EffectEnded)


def check_dead_letters(history: History) -> Iterator[Violation]:
    """There are none."""
    for record in history.records(DEAD_LETTERS):
        if isinstance(record.event, DeadLettered):
            yield Violation("dead letter", record.subject, f"{record.event.stage}: {record.event.reason}")


def check_receipts_taken(history: History) -> Iterator[Violation]:
    """Every receipt that the sandbox got a 200 for is in webhooks: by size, as it does not keep the bodies."""
    sizes = Counter(len(message.value or b"") for message in history.messages.get(WEBHOOKS, ()))
    missing = history.receipts - sizes
    if missing:
        yield Violation("acknowledged receipts missing", "", f"{missing.total()} of {history.receipts.total()}")


Check = Callable[[History], Iterable[Violation]]

CHECKS: tuple[Check, ...] = (
    check_callbacks,
    check_order,
    check_conversations,
    check_proposals,
    check_commands,
    check_receipts_taken,
    check_receipts,
    check_statuses,
    check_ids,
    check_dead_letters,
    check_state,
)
