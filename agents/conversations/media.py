"""media reports what became of a customer's file."""

from agents.conversations.draft import Draft
from schemas.events.conversation import ConversationMediaFailed, ConversationMediaStored
from schemas.events.inbox import MediaEnd, MediaFailed, MediaStored


def end_media(draft: Draft, event: MediaEnd) -> Draft:
    """Publish it on the message's conversation or, where that has no row any longer, on the contact's latest."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None:
        return draft
    draft = draft.about(row)
    match event:
        case MediaStored():
            stored = event.model_dump(exclude={"conversation_id"})
            return draft.publish(ConversationMediaStored(header=draft.header, **stored))
        case MediaFailed():
            failed = event.model_dump(exclude={"conversation_id"})
            return draft.publish(ConversationMediaFailed(header=draft.header, **failed))
    return draft
