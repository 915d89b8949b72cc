"""The AI agent answers, hands over or fails."""

from typing import Final

from agents.conversations.draft import Draft
from agents.conversations.labels import add_labels
from agents.conversations.moves import add_note, hand_over, mark_answered, resolve
from agents.conversations.notes import AI_FAILED, AI_HANDED_OVER, ai_note
from agents.conversations.rows import ASKED, Asked
from agents.parts import split_text
from providers.registry import PROVIDERS
from schemas.events.content import Citation
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import SendMessage

AI_NOTE: Final = "ai_note"
"""The reason of a note that the AI agent left."""


def end_ai_request(draft: Draft, event: AiEnd) -> Draft:
    """An answer counts while the AI agent that was asked holds the conversation.

    Where it lost it meanwhile, only its notes do: they say what a tool may have done.
    """
    name = f"{ASKED}{event.request_id}"
    if draft.get(name, Asked) is None:
        return _add_notes(draft, event) if event.notes and draft.find(event.conversation_id) is not None else draft
    for request_id in (event.request_id, *event.also):
        draft = draft.write(f"{ASKED}{request_id}", None)
    agent = draft.current.assignee.id if draft.current.assignee is not None else None
    draft = _add_notes(add_labels(draft, event.labels, by=agent or ""), event)
    match event:
        case AiAnswered():
            return _answer(draft, event)
        case AiHandedOver():
            note = AI_HANDED_OVER if event.reason is None else ai_note(event)
            told, draft = event.text is not None, _tell(draft, event.text)
            return hand_over(draft, "ai_handed_over", "handed_over", note=note, why=event.reason, told=told)
        case AiFailed():
            note = AI_FAILED if event.reason is None else ai_note(event)
            told, draft = event.text is not None, _tell(draft, event.text)
            return hand_over(draft, "ai_failed", "ai_failed", note=note, why=event.reason, told=told)
    return draft


def _add_notes(draft: Draft, event: AiEnd) -> Draft:
    row = draft.find(event.conversation_id)
    if row is None:
        return draft
    draft = draft.about(row)
    for number, note in enumerate(event.notes, start=2):  # a hand-over's own is the first
        draft = add_note(draft, note, AI_NOTE, number=number)
    return draft


def _answer(draft: Draft, event: AiAnswered) -> Draft:
    """The conversation is over with it only if its customer wrote nothing since."""
    if draft.contact.blocked:
        return draft
    agent = draft.current.assignee
    draft = _send(mark_answered(draft), event.text, "answer", event.citations)
    if not event.resolve or next(draft.scan(ASKED, Asked), None) is not None:
        return draft
    return resolve(draft, "ai_resolved", by=None if agent is None else agent.id)


def _tell(draft: Draft, text: str | None) -> Draft:
    """What the customer is told at a hand-over: it answers nothing, so that they go on waiting."""
    return draft if text is None or draft.contact.blocked else _send(draft, text, "handed over")


def _send(draft: Draft, text: str, label: str, citations: tuple[Citation, ...] = ()) -> Draft:
    """In as many messages as it needs. The last has the citations."""
    row = draft.current
    parts = split_text(text, PROVIDERS[draft.settings.provider].max_text)
    for number, part in enumerate(parts, start=1):
        message = SendMessage(
            message_id=draft.ctx.new_id(label if number == 1 else f"{label}/{number}"),
            conversation_id=row.id,
            kind="ai",
            text=part,
            not_after=draft.contact.session_ends,
            by=row.assignee.id if row.assignee is not None else None,
            citations=citations if number == len(parts) else (),
        )
        draft = draft.send(message)
    return draft
