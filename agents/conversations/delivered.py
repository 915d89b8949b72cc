"""Delivery reports what became of a message."""

from agents.conversations.draft import Draft
from agents.conversations.moves import add_note
from agents.conversations.notes import unsent_note
from agents.conversations.surveys import (
    survey_sent,
    survey_unsent,
)
from schemas.events.conversation import ConversationMessageSent
from schemas.events.inbox import DeliverySent, DeliveryUnsent


def record_sent(draft: Draft, event: DeliverySent) -> Draft:
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None:
        return draft
    update: dict[str, object]
    match event.kind:
        case "reply":
            update = {"last_human_at": draft.now, "active_at": max(row.active_at, draft.now)}
        case "ai":
            update = {"active_at": max(row.active_at, draft.now)}
        case _:
            update = {"messages_automatic": row.messages_automatic + 1}
    draft = draft.about(row).store(row.model_copy(update=update))
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
    draft = draft.publish(sent)
    return survey_sent(draft, event) if event.kind == "survey" else draft


def record_unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    """A note, but of automatic messages one only until the customer writes again."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None or event.reason == "unknown":
        return draft
    draft = draft.about(row)
    automatic = event.kind != "reply"
    if not (automatic and draft.contact.unsent_noted):
        if automatic:
            draft = draft.store_contact(draft.contact.model_copy(update={"unsent_noted": True}))
        draft = add_note(draft, unsent_note(event), event.reason)
    return survey_unsent(draft, event) if event.kind == "survey" else draft
