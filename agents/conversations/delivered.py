"""Delivery reports what became of a message."""

from agents.conversations.draft import Draft
from agents.conversations.moves import add_note
from agents.conversations.notes import failed_note, unsent_note
from agents.conversations.rows import WHOLE, Whole
from agents.conversations.surveys import (
    fail_survey,
    find_survey,
    survey_sent,
    survey_unsent,
)
from agents.parts import is_earlier_part
from schemas.events.conversation import ConversationMessageSent
from schemas.events.inbox import DeliveryFailed, DeliverySent, DeliveryUnsent


def record_sent(draft: Draft, event: DeliverySent) -> Draft:
    """The provider has a message. Of one in parts that is said once, when it has the last one."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None:
        return draft
    update: dict[str, object]
    match event.kind:
        case "reply":
            update = {"last_human_at": draft.now, "active_at": max(row.active_at, draft.now)}
        case "ai":
            update = {"active_at": max(row.active_at, draft.now)}
        case "reaction":
            update = {}
        case _:
            update = {"messages_automatic": row.messages_automatic + 1}
    draft = draft.about(row).store(row.model_copy(update=update))
    if is_earlier_part(event.message_id):
        return draft
    whole = draft.get(f"{WHOLE}{event.message_id}", Whole)
    if whole is not None:
        draft = draft.write(f"{WHOLE}{event.message_id}", None)
    sent = ConversationMessageSent(
        header=draft.header,
        message_id=event.message_id,
        at=draft.now,
        kind=event.kind,
        by=event.by,
        text=event.text if whole is None else whole.text,
        via=event.via,
        repeat=event.repeat,
        content=event.content,
    )
    draft = draft.publish(sent)
    return survey_sent(draft, event) if event.kind == "survey" else draft


def record_failed(draft: Draft, event: DeliveryFailed) -> Draft:
    """A message that was accepted did not reach the customer: a note, as of one that was not sent."""
    survey = find_survey(draft, event.message_id)
    row = (draft.find(event.conversation_id) if event.conversation_id else None) or draft.conversation
    if row is None or (survey is not None and survey.rating is not None):
        return draft
    draft = _note(draft.about(row), event.kind, failed_note(event), event.status)
    return draft if survey is None else fail_survey(draft, survey, event.status)


def record_unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    """A message was not sent: a note for the agents."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None or event.reason == "unknown":
        return draft
    draft = _note(draft.about(row), event.kind, unsent_note(event), event.reason)
    return survey_unsent(draft, event) if event.kind == "survey" else draft


def _note(draft: Draft, kind: str | None, text: str, reason: str) -> Draft:
    """Of a person's messages each; of automatic ones one only until the customer writes again."""
    if kind not in ("reply", "reaction", None):
        if draft.contact.unsent_noted:
            return draft
        draft = draft.store_contact(draft.contact.model_copy(update={"unsent_noted": True}))
    return add_note(draft, text, reason)
