"""Assignment proposes an assignee: each proposal gets one answer."""

from agents.conversations.draft import Draft, is_ai, is_human
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
    if event.reason == "unanswered" and row.waiting_since is None:
        return "answered"
    # Else assignment proposes for a conversation that has somebody only because they left: it knows who did.
    return "already_routed" if row.chosen and _is_member(draft, row.assignee) else None


def _route(draft: Draft, event: ProposeAssignee) -> Draft:
    """Nobody: it waits, where a person gave it to a team as theirs. A later proposal only assigns it."""
    row = draft.current
    team = row.assignee if row.assignee is not None and row.assignee.kind == "team" else None
    assignee = event.assignee or team
    status = Status.AI_REPLYING if is_ai(assignee) else Status.OPEN
    update: dict[str, object] = {"assignee": assignee, "status": status, "routed": True}
    if not row.routed:
        update["turn_began"] = draft.now
    after = row.model_copy(update=update)
    if (after.status, after.assignee) != (row.status, row.assignee):
        draft = draft.change(after, reason="assigned", explanation=event.explanation)
    else:
        draft = draft.store(after)
    if not row.routed:
        draft = mark_routed(draft, event.explanation, first=not row.reopened)
    return _choose_again(draft, event) if after.assignee == row.assignee else draft


def _choose_again(draft: Draft, event: ProposeAssignee) -> Draft:
    """A person's choice was proposed again: it is automatic now, unless a person reopened the conversation."""
    row = draft.current
    if row.automatic or event.reason == "reopened_by_person" or not is_human(row.assignee):
        return draft
    return draft.store(row.model_copy(update={"automatic": True})).report_change()


def _is_member(draft: Draft, assignee: Assignee | None) -> bool:
    return assignee is not None and is_human(assignee) and assignee.id in draft.settings.human_agents
