"""Assignment proposes an assignee: each proposal gets one answer."""

from agents.conversations.draft import Draft, is_ai
from agents.conversations.moves import mark_routed
from agents.conversations.rows import (
    Conversation,
)
from schemas.events.assignment import ProposalAnswered
from schemas.events.conversation import Assignee, Status
from schemas.events.inbox import ProposeAssignee


def answer_proposal(draft: Draft, event: ProposeAssignee) -> Draft:
    """Exactly one answer, whatever happened since the proposal was made."""
    row = draft.find(event.conversation_id)
    reason = _why_not_proposed(draft, row, event)
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
    return draft.notify_assignment(answer)


def _why_not_proposed(draft: Draft, row: Conversation | None, event: ProposeAssignee) -> str | None:
    if row is None:
        return "unknown_conversation"
    if row.revision != event.revision or row.status not in (Status.OPEN, Status.AI_REPLYING):
        return "stale_revision"
    if row.status is Status.AI_REPLYING:
        return "already_routed"
    # Else assignment proposes for a conversation that has somebody only because they left: it knows who did.
    return "already_routed" if row.chosen and _is_member(draft, row.assignee) else None


def _route(draft: Draft, event: ProposeAssignee) -> Draft:
    """Nobody: it waits, where a person gave it to a team as theirs. A later proposal only assigns it."""
    row = draft.current
    team = row.assignee if row.assignee is not None and row.assignee.kind == "team" else None
    assignee = event.assignee or team
    status = Status.AI_REPLYING if is_ai(assignee) else Status.OPEN
    after = row.model_copy(update={"assignee": assignee, "status": status, "routed": True})
    if (after.status, after.assignee) != (row.status, row.assignee):
        draft = draft.change(after, reason="assigned", explanation=event.explanation)
    else:
        draft = draft.store(after)
    return draft if row.routed else mark_routed(draft, event.explanation, first=not row.reopened)


def _is_member(draft: Draft, assignee: Assignee | None) -> bool:
    return assignee is not None and assignee.kind == "human" and assignee.id in draft.settings.human_agents
