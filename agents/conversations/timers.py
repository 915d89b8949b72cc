"""What time brings: resolved, woken, closed, forgotten."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from agents.conversations.draft import DUE_TIMER, KEEP, Draft
from agents.conversations.due import AUTO_RESOLVE, REQUEUE, WAKE, may_auto_resolve, requeue_at
from agents.conversations.moves import request_assignee, request_if_unassigned, resolve, wake
from agents.conversations.rows import (
    DUE,
    Conversation,
    Deadline,
    Survey,
    survey_name,
)
from agents.conversations.surveys import (
    end_survey,
)
from agents.templates import render
from schemas.events.conversation import Status
from schemas.events.sending import SendMessage
from schemas.record import milliseconds

MAX_PASSED: Final = 100
"""Agents who are remembered as having had a conversation while its customer waited."""


def _auto_resolve(draft: Draft) -> Draft:
    """Neither side wrote for long: the pipeline resolves the conversation, with a goodbye."""
    row, settings = draft.current, draft.settings
    after = settings.conversation.auto_resolve_after
    if after is None or row.status is not Status.OPEN or not may_auto_resolve(row, settings):
        return draft
    if not _is_due(row.active_at + after, draft):
        return draft
    draft = resolve(draft, "auto_resolved")
    text = render(settings.conversation.goodbye_message, draft.header, settings)
    if not text or draft.contact.blocked:
        return draft
    goodbye = SendMessage(
        message_id=draft.ctx.new_id("goodbye"),
        conversation_id=row.id,
        kind="goodbye",
        text=text,
        not_after=draft.contact.session_ends,
    )
    return draft.send(goodbye)


def _customer_waits(draft: Draft) -> Draft:
    """The customer has waited too long: another agent is asked for. The assignee keeps it until there is one."""
    row = draft.current
    due = requeue_at(row, draft.settings)
    if due is None or row.assignee is None or not _is_due(due, draft):
        return draft
    passed = tuple(dict.fromkeys((*row.passed, row.assignee.id)))[-MAX_PASSED:]
    draft = draft.store(row.model_copy(update={"turn_began": draft.now, "passed": passed}))
    return request_assignee(draft, "unanswered", former=row.assignee)


def _snooze_ended(draft: Draft) -> Draft:
    """The snooze is over: for humans, even where the AI agent held it, as it has nothing to answer."""
    former = draft.current.assignee
    if draft.current.status is not Status.SNOOZED:
        return draft
    return request_if_unassigned(wake(draft, "woken"), None, former)


def _what_is_due(draft: Draft) -> Draft:
    """Resolved conversations close, closed ones are forgotten, surveys end."""
    for name, due in draft.rows.scan(DUE, Deadline):
        if not _is_due(due.at, draft):
            break
        if draft.get(name, Deadline) is None:
            continue  # one before it moved this one
        draft = draft.write(name, None)
        if due.what == "survey":
            survey = draft.get(survey_name(due.number), Survey)
            draft = draft if survey is None else end_survey(draft, survey)
            continue
        row = draft.numbered(due.number)
        if row is not None:
            draft = _close(draft, row) if row.status is Status.RESOLVED else _forget(draft, row)
    return draft


def _close(draft: Draft, row: Conversation) -> Draft:
    draft = draft.about(row).change(row.model_copy(update={"status": Status.CLOSED}), reason="close_after")
    return draft.drop_if_over(draft.current)


def _forget(draft: Draft, row: Conversation) -> Draft:
    """The contact's row says that there was a conversation. What still keeps it is asked again as much later."""
    single = draft.settings.conversation.single_conversation
    if not (single or row.muted or draft.contact.blocked or draft.has_surveys(row)):
        return draft.drop(row)
    ends_at = None if single else draft.now + KEEP
    draft = draft.reschedule("conversation", row.number, None, ends_at)
    return draft.store(row.model_copy(update={"ends_at": ends_at}))


TIMERS: Final[Mapping[str, Callable[[Draft], Draft]]] = {
    AUTO_RESOLVE: _auto_resolve,
    WAKE: _snooze_ended,
    REQUEUE: _customer_waits,
    DUE_TIMER: _what_is_due,
}


def _is_due(at: datetime, draft: Draft) -> bool:
    # To the millisecond, as timers are: one that fires is due.
    return milliseconds(at) <= milliseconds(draft.now)
