"""conversations: the one authority over a contact's conversations; others ask and propose.

A contact has at most one live conversation, its latest. Resolved ones before it wait for their close timer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from agents.conversations_draft import (
    CLOSE,
    SEEN_FOR,
    SEEN_PREFIXES,
    Contact,
    Conversation,
    Draft,
    close_timer,
    row_name,
)
from agents.conversations_notes import unsent_note
from agents.retention import SWEEP, Kept, sweep
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from schemas import topics
from schemas.conversation import (
    LIVE,
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRouted,
    DeliverySent,
    DeliveryUnsent,
    MessageReceived,
    NoticeReceived,
    ProposeAssignee,
    Reply,
    Resolve,
    Status,
)
from schemas.event import Event
from schemas.messaging import SendMessage
from schemas.system import AssignmentRequested, ProposalAnswered

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.OPEN: frozenset({Status.AI_REPLYING, Status.SNOOZED, Status.RESOLVED}),
    Status.AI_REPLYING: frozenset({Status.SNOOZED, Status.OPEN, Status.RESOLVED}),
    Status.SNOOZED: frozenset({Status.OPEN, Status.RESOLVED, Status.AI_REPLYING}),
    Status.RESOLVED: frozenset({Status.OPEN, Status.AI_REPLYING, Status.CLOSED}),
    Status.CLOSED: frozenset({Status.OPEN}),
}


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What becomes of the contact's conversations. Key: the conversation key."""
    draft = Draft.begin(rows, ctx)
    match event:
        case MessageReceived():
            draft = _message(draft, event)
        case NoticeReceived():
            draft = _notice(draft, event)
        case Reply() | Resolve():
            draft = _command(draft, event)
        case ProposeAssignee():
            draft = _proposal(draft, event)
        case DeliverySent():
            draft = _sent(draft, event)
        case DeliveryUnsent():
            draft = _unsent(draft, event)
        case TimerFired(name=name) if name == SWEEP:
            return sweep(rows, SEEN_PREFIXES, ctx.now, SEEN_FOR)
        case TimerFired(name=name) if name.startswith(CLOSE):
            draft = _close(draft, int(name.removeprefix(CLOSE)))
    return draft.decision()


# --- the customer writes -------------------------------------------------------------------------------------------


def _message(draft: Draft, event: MessageReceived) -> Draft:
    name = f"seen/{event.message_id}"
    if _was_seen(draft, name):
        return draft
    at = _clamped(event.sent_at, draft.now)
    draft = _heard(draft.remember(name), at, event.name)
    if _is_live(draft):
        return _join(draft, event, at)
    if draft.conversation is not None and draft.settings.conversation.single_conversation:
        draft = _join(_reopened_by_customer(draft), event, at)
        return _request_assignment(draft, "reopened", at)
    draft = _open(draft, _new_conversation(draft, "customer"))
    return _request_assignment(_join(draft, event, at), "opened", at)


def _heard(draft: Draft, at: datetime, name: str | None) -> Draft:
    contact = draft.contact
    heard = {
        "name": name or contact.name,
        "last_customer_at": max(contact.last_customer_at or at, at),
        "unsent_noted": False,
    }
    return draft.keep_contact(contact.model_copy(update=heard))


def _join(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    row = draft.current
    draft = draft.keep(row.model_copy(update={"messages_in": row.messages_in + 1}))
    received = ConversationMessageReceived(
        header=draft.header,
        message_id=event.message_id,
        at=at,
        kind=event.kind,
        text=event.text,
        media=event.media,
        quotes=event.quotes,
    )
    return draft.tell(received)


def _reopened_by_customer(draft: Draft) -> Draft:
    row = draft.current
    after = row.model_copy(update={"status": Status.OPEN, "routed": False, "reopened": True})
    return draft.change(after, reason="customer_message").set_timer(close_timer(row.number), None)


def _request_assignment(draft: Draft, reason: Literal["opened", "reopened"], at: datetime) -> Draft:
    row = draft.current
    request = AssignmentRequested(
        conversation_id=row.id,
        conversation_key=draft.ctx.key,
        channel=draft.channel,
        revision=row.revision,
        reason=reason,
        at=at,
    )
    return draft.tell_account(request)


def _notice(draft: Draft, event: NoticeReceived) -> Draft:
    # A deletion may carry the id of the message that it deletes, so the kind is part of its identity.
    name = f"notice/{event.kind}/{event.message_id or draft.ctx.cause}"
    if not _is_live(draft) or _was_seen(draft, name):
        return draft
    draft = draft.remember(name)
    at = _clamped(event.sent_at, draft.now)
    notice = ConversationNoticeReceived(
        header=draft.header, kind=event.kind, message_id=event.message_id, refers_to=event.refers_to, at=at
    )
    return draft.tell(notice)


# --- a person asks -------------------------------------------------------------------------------------------------


def _command(draft: Draft, event: Reply | Resolve) -> Draft:
    name = f"command/{event.command_id}"
    if _was_seen(draft, name):
        return _refuse(draft, event, "duplicate_command", "a command of this id was carried out before")
    if event.by not in draft.settings.human_agents:
        return _refuse(draft, event, "not_a_member", "the agent is not a member of the channel")
    refusal = _refusal(draft, event)
    if refusal is not None:
        return _refuse(draft, event, *refusal)
    # Only now: one that was refused may be asked again under its id.
    draft = draft.remember(name)
    match event:
        case Reply():
            return _reply(draft, event)
        case Resolve():
            return _resolve(draft, event)


def _refusal(draft: Draft, event: Reply | Resolve) -> tuple[str, str] | None:
    """Code and reason, in words."""
    match event:
        case Reply():
            if bool(event.text and event.text.strip()) == (event.template is not None):
                return "invalid_settings", "a reply is either a text or a template"
            ends = draft.contact.session_ends
            if event.template is None and (ends is None or draft.now >= ends):
                return "window_closed", "24 hours have passed since the customer's last message: send a template"
        case Resolve():
            if draft.conversation is None:
                return "unknown_conversation", "the contact has no conversation"
            if Status.RESOLVED not in TRANSITIONS[draft.conversation.status]:
                return "illegal_transition", f"the conversation is {draft.conversation.status}"
    return None


def _refuse(draft: Draft, event: Reply | Resolve, code: str, reason: str) -> Draft:
    return draft.tell(
        ConversationCommandRefused(command_id=event.command_id, command=event.type, code=code, reason=reason)
    )


def _reply(draft: Draft, event: Reply) -> Draft:
    if not _is_live(draft):
        draft = _started_by(draft, event.by)
    elif draft.current.status is Status.AI_REPLYING:
        after = draft.current.model_copy(update={"status": Status.OPEN, "assignee": _human(event.by)})
        draft = draft.change(after, reason="taken_over", by=event.by)
    row = draft.current
    draft = draft.keep(row.model_copy(update={"messages_out": row.messages_out + 1}))
    message = SendMessage(
        message_id=event.command_id,
        conversation_id=row.id,
        kind="reply",
        text=event.text,
        template=event.template,
        not_after=draft.contact.session_ends,
        by=event.by,
    )
    return draft.send(message)


def _started_by(draft: Draft, agent: str) -> Draft:
    """A live conversation, for an agent who writes where there is none: nobody needs to be found for it."""
    if draft.conversation is not None and draft.settings.conversation.single_conversation:
        return _reopened_by(draft, agent)
    started = {"assignee": _human(agent), "routed": True}
    draft = _open(draft, _new_conversation(draft, "agent").model_copy(update=started))
    draft = draft.tell(ConversationAssigned(header=draft.header, by=agent))
    routed = ConversationRouted(header=draft.header, first=True, explanation={"decision": "reply", "by": agent})
    return draft.tell(routed).tell_changed()


def _reopened_by(draft: Draft, agent: str) -> Draft:
    row = draft.current
    kept = row.assignee if row.assignee is not None and row.assignee.kind != "ai" else _human(agent)
    reopened = {"status": Status.OPEN, "assignee": kept, "routed": True, "reopened": True}
    draft = draft.change(row.model_copy(update=reopened), reason="reply", by=agent)
    if not row.routed:
        explanation = {"decision": "reply", "by": agent}
        draft = draft.tell(ConversationRouted(header=draft.header, first=False, explanation=explanation))
    return draft.set_timer(close_timer(row.number), None)


def _resolve(draft: Draft, event: Resolve) -> Draft:
    row = draft.current
    draft = draft.change(row.model_copy(update={"status": Status.RESOLVED}), reason="resolved", by=event.by)
    return draft.set_timer(close_timer(row.number), draft.now + draft.settings.conversation.close_after)


# --- assignment proposes -------------------------------------------------------------------------------------------


def _proposal(draft: Draft, event: ProposeAssignee) -> Draft:
    """Exactly one answer, whatever happened since the proposal was made."""
    row = draft.find(event.conversation_id)
    reason = _why_not(row, event)
    if row is not None and reason is None:
        draft = _route(draft.about(row), event)
        row = draft.current
    answer = ProposalAnswered(
        proposal_id=event.proposal_id,
        conversation_id=event.conversation_id,
        revision=event.revision if row is None else row.revision,
        accepted=reason is None,
        reason=reason,
    )
    return draft.tell_account(answer)


def _why_not(row: Conversation | None, event: ProposeAssignee) -> str | None:
    if row is None:
        return "unknown_conversation"
    if row.revision != event.revision or row.status not in LIVE:
        return "stale_revision"
    return "already_routed" if row.routed else None


def _route(draft: Draft, event: ProposeAssignee) -> Draft:
    row = draft.current
    assignee = event.assignee or row.assignee
    status = Status.AI_REPLYING if event.assignee is not None and event.assignee.kind == "ai" else Status.OPEN
    routed = {"assignee": assignee, "status": status, "routed": True}
    after = row.model_copy(update=routed)
    changes = (after.status, after.assignee) != (row.status, row.assignee)
    draft = draft.change(after, reason="assigned") if changes else draft.keep(after)
    told = ConversationRouted(header=draft.header, first=not row.reopened, explanation=event.explanation)
    return draft.tell(told)


# --- delivery says what came of it ---------------------------------------------------------------------------------


def _sent(draft: Draft, event: DeliverySent) -> Draft:
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None:
        return draft
    if event.kind == "reply":
        row = row.model_copy(update={"last_human_at": draft.now})
    else:
        row = row.model_copy(update={"messages_automatic": row.messages_automatic + 1})
    draft = draft.about(row).keep(row)
    sent = ConversationMessageSent(
        header=draft.header,
        message_id=event.message_id,
        at=draft.now,
        kind=event.kind,
        by=event.by,
        text=event.text,
        via=event.via,
        repeat=event.repeat,
    )
    return draft.tell(sent)


def _unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    row = draft.find(event.conversation_id) or draft.conversation
    automatic = event.kind != "reply"
    if row is None or event.reason == "unknown" or (automatic and draft.contact.unsent_noted):
        return draft
    if automatic:
        draft = draft.keep_contact(draft.contact.model_copy(update={"unsent_noted": True}))
    draft = draft.about(row)
    note = ConversationNoteAdded(
        header=draft.header, note_id=draft.ctx.new_id("note"), text=unsent_note(event), reason=event.reason
    )
    return draft.tell(note)


# --- time passes ---------------------------------------------------------------------------------------------------


def _close(draft: Draft, number: int) -> Draft:
    row = draft.rows.get(row_name(number), Conversation)
    if row is None or row.status is not Status.RESOLVED:
        return draft
    draft = draft.about(row).change(row.model_copy(update={"status": Status.CLOSED}), reason="close_after")
    # The latest stays: a person, or in single mode the customer, may reopen it.
    return draft if number == draft.contact.latest else draft.drop(row)


# --- shared --------------------------------------------------------------------------------------------------------


def _is_live(draft: Draft) -> bool:
    return draft.conversation is not None and draft.conversation.status in LIVE


def _was_seen(draft: Draft, name: str) -> bool:
    seen = draft.rows.get(name, Kept)
    return seen is not None and draft.now - seen.since < SEEN_FOR


def _clamped(sent_at: datetime | None, now: datetime) -> datetime:
    """The provider's time, which is data: never after the receipt."""
    return now if sent_at is None else min(sent_at, now)


def _human(agent: str) -> Assignee:
    return Assignee(kind="human", id=agent)


def _new_conversation(draft: Draft, opened_by: Literal["customer", "agent"]) -> Conversation:
    return Conversation(
        number=draft.contact.latest + 1,
        id=draft.ctx.new_id("conversation"),
        opened_at=draft.now,
        opened_by=opened_by,
    )


def _open(draft: Draft, conversation: Conversation) -> Draft:
    """Make it the contact's latest. A closed one before it is over for good."""
    before = draft.conversation
    if before is not None and before.status is Status.CLOSED:
        draft = draft.drop(before)
    contact = draft.contact.model_copy(update={"latest": conversation.number})
    draft = draft.keep_contact(contact).keep(conversation)
    return draft.tell(ConversationOpened(header=draft.header))


CONVERSATIONS = Stage(
    "conversations",
    input=topics.INBOX,
    outputs=(topics.CONVERSATIONS, topics.ACCOUNT_INBOX, topics.OUTBOUND),
    decide=decide,
    state=(Contact, Conversation, Kept),
)
