"""The AI agent answers, hands over or fails."""

from agents.conversations.draft import Draft
from agents.conversations.moves import hand_over, mark_answered
from agents.conversations.notes import AI_FAILED, AI_HANDED_OVER
from agents.conversations.rows import (
    ASKED,
    Asked,
)
from agents.parts import split_text
from providers.registry import PROVIDERS
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import SendMessage


def end_ai_request(draft: Draft, event: AiEnd) -> Draft:
    """An answer counts while the AI agent that was asked holds the conversation."""
    name = f"{ASKED}{event.request_id}"
    if draft.get(name, Asked) is None:
        return draft
    draft = draft.write(name, None)
    match event:
        case AiAnswered():
            return _send_answer(draft, event)
        case AiHandedOver():
            return hand_over(draft, "ai_handed_over", "handed_over", note=AI_HANDED_OVER)
        case AiFailed():
            return hand_over(draft, "ai_failed", "ai_failed", note=AI_FAILED)
    return draft


def _send_answer(draft: Draft, event: AiAnswered) -> Draft:
    """One answer, in as many messages as it needs."""
    if draft.contact.blocked:
        return draft
    draft = mark_answered(draft)
    row = draft.current
    limit = PROVIDERS[draft.settings.provider].max_text
    for number, text in enumerate(split_text(event.text, limit), start=1):
        message = SendMessage(
            message_id=draft.ctx.new_id("answer" if number == 1 else f"answer/{number}"),
            conversation_id=row.id,
            kind="ai",
            text=text,
            not_after=draft.contact.session_ends,
            by=row.assignee.id if row.assignee is not None else None,
        )
        draft = draft.send(message)
    return draft
