"""What the AI agent is asked, and what a GPT agent is told beside."""

from datetime import datetime
from typing import Literal

from agents.conversations.draft import Draft
from agents.conversations.rows import ASKED, Asked, HeldMessage
from schemas.events.ai import AiRequested, AiTold
from schemas.settings.ai import GptAgent


def ask_ai(draft: Draft, message: HeldMessage) -> Draft:
    """Ask the AI agent that holds the conversation about a customer's message."""
    row = draft.current
    if row.assignee is None:
        raise LookupError("nobody to ask")
    is_gpt = isinstance(draft.settings.ai_agent(row.assignee.id), GptAgent)
    request = AiRequested(
        request_id=draft.ctx.new_id(f"ask about {message.message_id}"),
        conversation_id=row.id,
        agent=row.assignee.id,
        message_id=message.message_id,
        kind=message.kind,
        text=message.text,
        at=message.at,
        name=draft.contact.name if is_gpt else None,
    )
    draft = draft.mark_read(typing=True).write(f"{ASKED}{request.request_id}", Asked())
    return draft.inform_ai(request)


def tell(
    draft: Draft,
    by: Literal["customer", "ai", "human", "business"],
    message_id: str,
    at: datetime,
    *,
    text: str | None,
    kind: str = "text",
) -> Draft:
    """Tell a GPT agent of a message that it is not asked about, where one is switched on."""
    if not draft.has_gpt:
        return draft
    said = AiTold(
        conversation_id=draft.current.id, what="said", by=by, message_id=message_id, kind=kind, text=text, at=at
    )
    return draft.inform_ai(said)
