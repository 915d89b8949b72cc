"""What several speakers do to a conversation: open, request an assignee, hand over, resolve, add a note."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import JsonValue

from agents.conversations.asking import ask_ai
from agents.conversations.draft import Draft, is_ai
from agents.conversations.rows import (
    HELD,
    Conversation,
    HeldMessage,
)
from schemas.events.assignment import AssignmentReason, AssignmentRequested
from schemas.events.conversation import Assignee, ConversationNoteAdded, ConversationOpened, ConversationRouted, Status
from schemas.events.inbox import MessageReceived

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.OPEN: frozenset({Status.AI_REPLYING, Status.SNOOZED, Status.RESOLVED}),
    Status.AI_REPLYING: frozenset({Status.SNOOZED, Status.OPEN, Status.RESOLVED}),
    Status.SNOOZED: frozenset({Status.OPEN, Status.RESOLVED, Status.AI_REPLYING}),
    Status.RESOLVED: frozenset({Status.OPEN, Status.AI_REPLYING, Status.CLOSED}),
    Status.CLOSED: frozenset({Status.OPEN}),
}


def mark_answered(draft: Draft) -> Draft:
    """An agent, human or AI, wrote: the customer no longer waits."""
    row = draft.current
    update = {
        "messages_out": row.messages_out + 1,
        "unread": 0,
        "waiting_since": None,
        "passed": (),
        "active_at": max(row.active_at, draft.now),
    }
    return draft.store(row.model_copy(update=update))


def resolve(draft: Draft, reason: str, by: str | None = None) -> Draft:
    return draft.change(draft.current.model_copy(update={"status": Status.RESOLVED}), reason=reason, by=by)


def hand_over(
    draft: Draft,
    reason: str,
    request: Literal["handed_over", "ai_failed"],
    by: str | None = None,
    note: str | None = None,
    why: str | None = None,
    told: bool = False,
) -> Draft:
    """From the AI agent to humans. why, told: as in conversation.status_changed."""
    former = draft.current.assignee
    after = draft.current.model_copy(update={"status": Status.OPEN, "assignee": None})
    draft = draft.change(after, reason=reason, by=by, why=why, told=told)
    if note is not None:
        draft = add_note(draft, note, reason)
    return request_assignee(draft, request, former=former)


def add_note(draft: Draft, text: str, reason: str, by: str | None = None, *, number: int = 1) -> Draft:
    """A note for the agents. number: of those that one decision adds."""
    note_id = draft.ctx.new_id("note" if number == 1 else f"note/{number}")
    return draft.publish(ConversationNoteAdded(header=draft.header, note_id=note_id, text=text, reason=reason, by=by))


def request_assignee(
    draft: Draft,
    reason: AssignmentReason,
    message: HeldMessage | None = None,
    *,
    former: Assignee | None = None,
    team: str | None = None,
    replied_by: str | None = None,
) -> Draft:
    row = draft.current
    request = AssignmentRequested(
        conversation_id=row.id,
        conversation_key=draft.ctx.key,
        channel=draft.channel,
        revision=row.revision,
        reason=reason,
        at=draft.now if message is None else message.at,
        text=None if message is None else message.text,
        message_kind=None if message is None else message.kind,
        contact_name=draft.contact.name,
        phone=draft.contact.phone,
        returning=draft.header.returning or reason == "reopened",
        labels=row.labels,
        former=former,
        team=team,
        replied_by=replied_by,
        passed=row.passed if reason == "unanswered" else (),
    )
    return draft.notify_assignment(request)


def request_if_unassigned(draft: Draft, message: HeldMessage | None, former: Assignee | None) -> Draft:
    """After a snooze the human assignee keeps the conversation; routing that was interrupted is requested again."""
    row = draft.current
    if not row.routed:
        first = next((held for _, held in draft.scan(HELD, HeldMessage)), message)
        return request_assignee(draft, "reopened" if row.reopened else "opened", first, former=former)
    match row.assignee:
        case None:
            return request_assignee(draft, "unassigned", former=former)
        case Assignee(kind="team", id=team):
            return request_assignee(draft, "team", former=former, team=team)
    return draft


def mark_routed(draft: Draft, explanation: Mapping[str, JsonValue], *, first: bool) -> Draft:
    """The conversation is routed: the AI agent is asked about what the customer wrote meanwhile."""
    draft = draft.publish(ConversationRouted(header=draft.header, first=first, explanation=dict(explanation)))
    held = [message for _, message in draft.scan(HELD, HeldMessage)]
    draft = draft.drop_all(HELD, HeldMessage)
    if draft.current.status is Status.AI_REPLYING:
        for message in held:
            draft = ask_ai(draft, message)
    return draft


def wake(draft: Draft, reason: str) -> Draft:
    row = draft.current
    woken = {"status": Status.OPEN, "assignee": None if is_ai(row.assignee) else row.assignee}
    return draft.change(row.model_copy(update=woken), reason=reason)


def ai_serves(draft: Draft, assignee: Assignee | None) -> bool:
    ai = draft.settings.ai
    served = {one.id for one in ai.agents} if ai.enabled else set()
    return assignee is not None and assignee.kind == "ai" and assignee.id in served


def held_message(event: MessageReceived, at: datetime) -> HeldMessage:
    return HeldMessage(message_id=event.message_id, kind=event.kind, text=event.text, at=at)


def new_conversation(draft: Draft, opened_by: Literal["customer", "agent"]) -> Conversation:
    return Conversation(
        number=draft.contact.latest + 1,
        id=draft.ctx.new_id("conversation"),
        opened_at=draft.now,
        opened_by=opened_by,
        active_at=draft.now,
    )


def open_conversation(draft: Draft, conversation: Conversation) -> Draft:
    """Make it the contact's latest. A closed one before it may be over for good."""
    before = draft.conversation
    draft = draft.store_contact(draft.contact.model_copy(update={"latest": conversation.number}))
    if before is not None:
        draft = draft.drop_if_over(before)
    draft = draft.store(conversation)
    return draft.publish(ConversationOpened(header=draft.header))
