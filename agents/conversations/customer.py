"""What the customer writes, and notices of what they did."""

from datetime import datetime

from agents.conversations.asking import ask_ai, tell
from agents.conversations.draft import Draft, was_seen
from agents.conversations.moves import (
    ai_serves,
    hand_over,
    held_message,
    new_conversation,
    open_conversation,
    request_assignee,
    request_if_unassigned,
    wake,
)
from agents.conversations.notes import AI_SWITCHED_OFF
from agents.conversations.rows import (
    HELD,
    Conversation,
)
from agents.conversations.surveys import (
    rate,
    survey_answered_by,
    survey_commented_by,
    take_comment,
)
from schemas.events.conversation import ConversationNoticeReceived, Status
from schemas.events.inbox import MARKETING_RESUMED, MARKETING_STOPPED, MessageReceived, NoticeReceived


def receive_message(draft: Draft, event: MessageReceived) -> Draft:
    name = f"seen/{event.message_id}"
    if was_seen(draft, name):
        return draft
    at = _clamped(event.sent_at, draft.now)
    draft = _heard(draft.remember(name), at, event)
    if draft.contact.blocked:
        return draft if draft.conversation is None else draft.receive(event, at, "quiet")
    answer = survey_answered_by(draft, event)
    if answer is not None:
        return rate(draft, *answer, event, at)
    commented = survey_commented_by(draft)
    if commented is not None:
        return take_comment(draft, commented, event, at)
    match draft.conversation:
        case Conversation(muted=True, status=Status.SNOOZED | Status.RESOLVED | Status.CLOSED):
            return draft.receive(event, at, "quiet")
        case Conversation(status=Status.SNOOZED):
            return _wake_by_customer(draft, event, at)
        case Conversation(status=Status.OPEN | Status.AI_REPLYING):
            return _join(draft, event, at)
        case Conversation() if draft.settings.conversation.single_conversation:
            return _reopen_by_customer(draft, event, at)
    draft = open_conversation(draft, new_conversation(draft, "customer"))
    return request_assignee(_join(draft, event, at), "opened", held_message(event, at))


def _heard(draft: Draft, at: datetime, event: MessageReceived) -> Draft:
    draft = know_names(draft, event)
    contact = draft.contact
    heard = {
        "name": event.name or contact.name,
        "last_customer_at": max(contact.last_customer_at or at, at),
        "unsent_noted": False,
    }
    return draft.store_contact(contact.model_copy(update=heard))


def know_names(draft: Draft, event: MessageReceived | NoticeReceived) -> Draft:
    """The customer's number and user id, as the event says them."""
    contact = draft.contact
    known = {"phone": event.phone or contact.phone, "user_id": event.user_id or contact.user_id, "joined": None}
    return draft.store_contact(contact.model_copy(update=known))


def _join(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    """An ordinary message: the AI agent is asked about it, at once, or as soon as the conversation is routed to it."""
    draft, message = draft.receive(event, at), held_message(event, at)
    if draft.current.status is Status.AI_REPLYING:
        if ai_serves(draft, draft.current.assignee):
            return ask_ai(draft, message)
        return hand_over(draft, "ai_failed", "ai_failed", note=AI_SWITCHED_OFF)
    draft = tell(draft, "customer", event.message_id, at, text=event.text, kind=event.kind)
    return draft if draft.current.routed else draft.write(f"{HELD}{draft.current.messages_in:08d}", message)


def _reopen_by_customer(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    former = draft.current.assignee
    reopened = draft.current.model_copy(update={"status": Status.OPEN, "routed": False, "reopened": True})
    draft = _join(draft.change(reopened, reason="customer_message"), event, at)
    return request_assignee(draft, "reopened", held_message(event, at), former=former)


def _wake_by_customer(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    row, former = draft.current, draft.current.assignee
    if ai_serves(draft, former):
        woken = row.model_copy(update={"status": Status.AI_REPLYING})
        return _join(draft.change(woken, reason="customer_message"), event, at)
    draft = _join(wake(draft, "customer_message"), event, at)
    return request_if_unassigned(draft, held_message(event, at), former)


def receive_notice(draft: Draft, event: NoticeReceived) -> Draft:
    """Publish it on the contact's latest conversation, whatever its status; from most nothing else follows."""
    if event.kind in (MARKETING_STOPPED, MARKETING_RESUMED):
        draft = _choose_marketing(draft, event)
    # A deletion may carry the id of the message that it deletes, so the kind is part of its identity.
    name = f"notice/{event.kind}/{event.message_id or draft.ctx.cause}"
    if was_seen(draft, name):
        return draft
    if event.phone or event.user_id:
        draft = know_names(draft, event)
    if draft.conversation is None:
        return draft
    notice = ConversationNoticeReceived(
        header=draft.header,
        kind=event.kind,
        message_id=event.message_id,
        refers_to=event.refers_to,
        content=event.content,
        at=_clamped(event.sent_at, draft.now),
    )
    return draft.remember(name).publish(notice)


def _choose_marketing(draft: Draft, event: NoticeReceived) -> Draft:
    """Keep the customer's latest choice, whatever the order in which they come."""
    at, before = _clamped(event.sent_at, draft.now), draft.contact.marketing_at
    if before is not None and at < before:
        return draft
    chosen = {"marketing_stopped": event.kind == MARKETING_STOPPED, "marketing_at": at}
    return draft.store_contact(draft.contact.model_copy(update=chosen))


def _clamped(sent_at: datetime | None, now: datetime) -> datetime:
    """The provider's time, which is data: never after the receipt."""
    return now if sent_at is None else min(sent_at, now)
