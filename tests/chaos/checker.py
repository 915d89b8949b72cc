"""Decides, from a run's history alone, whether anything was lost, doubled, disordered or made up. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.events.conversation import (
    LIVE,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyRefused,
    Header,
    Status,
)
from schemas.events.inbox import Command
from schemas.events.operations import DeadLettered
from schemas.events.sending import EffectEnded
from schemas.topics import CONVERSATIONS, DEAD_LETTERS, GATED, INBOX, WEBHOOKS
from tests.chaos.checks.ai import check_ai_answers, check_questions
from tests.chaos.checks.assignment import check_limits, check_places, check_proposals, check_waiting
from tests.chaos.checks.csat import check_books, check_ratings, check_surveys
from tests.chaos.checks.gpt import check_cost, check_tools
from tests.chaos.checks.hours import check_greetings, check_unavailable
from tests.chaos.checks.media import check_media
from tests.chaos.checks.reports import check_reports
from tests.chaos.checks.sending import check_failures, check_receipts, check_sends, check_statuses, check_windows
from tests.chaos.checks.settings import check_settings
from tests.chaos.checks.state import check_state
from tests.chaos.history import History, InboundRow
from tests.chaos.violation import Violation

# Written out here, not taken from the stage that is checked (docs/design.md, 6: statuses).
_MOVES: Final = {
    Status.OPEN: {Status.AI_REPLYING, Status.SNOOZED, Status.RESOLVED},
    Status.AI_REPLYING: {Status.SNOOZED, Status.OPEN, Status.RESOLVED},
    Status.SNOOZED: {Status.OPEN, Status.RESOLVED, Status.AI_REPLYING},
    Status.RESOLVED: {Status.OPEN, Status.AI_REPLYING, Status.CLOSED},
    Status.CLOSED: {Status.OPEN},
}


@dataclass(frozen=True)
class Verdict:
    """violations: empty, if all is well. settled: sends that a fault left in doubt, by what became of them."""

    violations: tuple[Violation, ...]
    settled: Counter[str]


def check(history: History) -> Verdict:
    """Everything that is wrong, and the unknown outcomes, counted."""
    settled: Counter[str] = Counter()
    return Verdict(tuple(find(history, settled)), settled)


def find(history: History, settled: Counter[str]) -> Iterator[Violation]:
    """What is wrong, found as it is asked for."""
    # What a silent group did not get done would show as thousands of losses, none of which is one.
    checks = ALWAYS if history.silent else (*ALWAYS, *AT_REST)
    if history.silent:
        yield from (Violation("a group's coordinator never answered", "", what) for what in history.silent)
    else:
        yield from (Violation("unfinished", "", what) for what in history.unfinished)
        yield from check_sends(history, settled)
    for checking in checks:
        yield from checking(history)


def check_callbacks(history: History) -> Iterator[Violation]:
    """Every acknowledged callback is in webhooks and led to one message in its conversation; nothing was made up."""
    received = Counter[str]()
    where = dict(history.acknowledged.messages)
    for record in history.records(CONVERSATIONS, ConversationMessageReceived):
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
    for record in history.records(CONVERSATIONS, ConversationMessageReceived):
        if isinstance(record.event, ConversationMessageReceived):
            found[record.subject].append(record.event.message_id)
    events, gated = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for reported in history.envelopes(CONVERSATIONS):
        if reported.type != ConversationCommandRefused.type:
            events[reported.subject].append(reported.id)
    for reported in history.envelopes(GATED):
        gated[reported.subject].append(reported.causation_id or "")
    yield from _differences("out of order", wanted, found, only_order=True)
    yield from _differences("gated differs from conversations", events, gated)


def _differences(
    kind: str, wanted: dict[str, list[str]], found: dict[str, list[str]], *, only_order: bool = False
) -> Iterator[Violation]:
    for key in wanted.keys() | found.keys():
        left, right = wanted.get(key, []), found.get(key, [])
        # What is lost or doubled is reported by another check.
        if left == right or (only_order and Counter(left) != Counter(right)):
            continue
        at = next((i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), None)
        yield Violation(kind, key, f"{len(left)} expected, {len(right)} found, first difference at {at}")


@dataclass(frozen=True)
class _Known:
    """The last header of a conversation. came_from: its status before that revision."""

    key: str
    header: Header
    came_from: Status


def check_conversations(history: History) -> Iterator[Violation]:
    """A conversation begins once, its counts and revisions go up by one, and no status comes from nowhere.

    A contact has one live conversation at most; each is routed once for the first time.
    """
    known: dict[str, _Known] = {}
    live: dict[str, str] = {}
    routed = Counter[str]()
    for record in history.records(CONVERSATIONS):
        event = record.event
        # Of a survey refused as its conversation is gone there is no header to compare.
        if not isinstance(event, ConversationEvent) or isinstance(event, ConversationSurveyRefused):
            continue
        id, now = event.header.conversation_id, event.header
        before = known.get(id)
        known[id] = _Known(record.subject, now, _came_from(before, now))
        routed[id] += isinstance(event, ConversationRouted) and event.first
        if (before is None) != isinstance(event, ConversationOpened):
            yield Violation("conversation begins wrongly", record.subject, f"{event.type} of {id}")
        elif before is not None and (wrong := _wrong_step(before.header, known[id], event)):
            yield Violation(wrong, record.subject, f"{event.type} of {id} at revision {now.revision}")
        if now.status not in LIVE:
            if live.get(record.subject) == id:
                del live[record.subject]
        elif live.setdefault(record.subject, id) != id:
            yield Violation("two live conversations", record.subject, f"{id} beside {live[record.subject]}")
    for id, last in known.items():
        # Resolved or snoozed before it was routed, it may never be.
        if routed[id] > 1 or (not last.header.routed and last.header.status in (Status.OPEN, Status.AI_REPLYING)):
            yield Violation("not routed once", last.key, f"{id}: {routed[id]} times for the first time")


def _came_from(before: _Known | None, now: Header) -> Status:
    if before is None:
        return now.status
    return before.header.status if now.revision > before.header.revision else before.came_from


def _wrong_step(before: Header, known: _Known, event: ConversationEvent) -> str | None:
    now = known.header
    if now.messages_in != before.messages_in + isinstance(event, ConversationMessageReceived):
        return "count of messages jumps"
    if not before.revision <= now.revision <= before.revision + 1:
        return "revision jumps"
    if isinstance(event, ConversationStatusChanged) and event.previous is not known.came_from:
        return "status comes from nowhere"
    if isinstance(event, ConversationStatusChanged) and now.status not in _MOVES[event.previous]:
        return "status may not follow"
    return None


def check_commands(history: History) -> Iterator[Violation]:
    """Each acknowledged command was carried out or refused."""
    refused = Counter[str]()
    asked = Counter(getattr(record.event, "command_id", None) for record in history.records(INBOX, Command))
    for record in history.records(CONVERSATIONS, ConversationCommandRefused):
        if isinstance(record.event, ConversationCommandRefused):
            refused[record.event.command_id] += 1
    for id, key in history.acknowledged.commands.items():
        if not asked[id]:
            yield Violation("command lost", key, id)
        elif not asked[id] - 1 <= refused[id] <= asked[id]:
            yield Violation("command not answered", key, f"{id}: asked {asked[id]} times, refused {refused[id]} times")


def check_ids(history: History) -> Iterator[Violation]:
    """No record is on its topic twice, but a callback that the spool published again, and what intake makes of it."""
    delivered = Counter(one.id for one in history.envelopes(WEBHOOKS))
    again = {id for id, count in delivered.items() if count > 1}
    for topic in history.messages:
        reported = history.envelopes(topic)
        # Whoever takes a task over ends its pending effects anew; its predecessor's end may be on its way. The second
        # is ignored.
        ids = Counter(
            (one.id, one.subject)
            for one in reported
            if one.type != EffectEnded.type and again.isdisjoint((one.id, one.causation_id))
        )
        for (id, key), count in ids.items():
            if count > 1:
                yield Violation("record doubled", key, f"{topic.name}: {id}, {count} times")


def check_answers(history: History) -> Iterator[Violation]:
    """Ingress answers with what there is to answer; what it can't do it says with a 503."""
    for what, count in history.acknowledged.unexpected.items():
        yield Violation("unexpected answer of ingress", "", f"{what}, {count} times")


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

ALWAYS: tuple[Check, ...] = (check_answers, check_dead_letters, check_windows, check_statuses, check_ids, check_limits)
"""What holds at every moment."""

AT_REST: tuple[Check, ...] = (
    check_callbacks,
    check_failures,
    check_order,
    check_conversations,
    check_proposals,
    check_places,
    check_waiting,
    check_commands,
    check_settings,
    check_greetings,
    check_unavailable,
    check_questions,
    check_ai_answers,
    check_cost,
    check_tools,
    check_media,
    check_surveys,
    check_ratings,
    check_books,
    check_receipts_taken,
    check_receipts,
    check_reports,
    check_state,
)
"""What holds once nothing is under way any more."""
