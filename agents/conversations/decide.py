"""conversations: the one authority over a contact's conversations; others ask and propose.

A contact has at most one live conversation, its latest. Ended ones stay while time or an answer may still move them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import JsonValue

from agents.conversations.draft import AUTO_RESOLVE, DUE_TIMER, KEEP, SEEN_FOR, WAKE, Draft
from agents.conversations.notes import AI_FAILED, AI_HANDED_OVER, AI_SWITCHED_OFF, unsent_note
from agents.conversations.rows import (
    ASKED,
    DUE,
    HELD,
    SEEN_PREFIXES,
    Asked,
    Contact,
    Conversation,
    Due,
    Held,
    Survey,
    survey_name,
)
from agents.conversations.surveys import (
    answer_survey_proposal,
    end_survey,
    rate,
    survey_answered_by,
    survey_sent,
    survey_unsent,
)
from agents.retention import SWEEP, Kept, sweep
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from agents.templates import render
from schemas import topics
from schemas.conversation import (
    LIVE,
    AddNote,
    AiAnswered,
    AiEnd,
    AiFailed,
    AiHandedOver,
    Assign,
    Assignee,
    Block,
    Command,
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationCommandRefused,
    ConversationLabelled,
    ConversationMessageSent,
    ConversationMuted,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRouted,
    DeliverySent,
    DeliveryUnsent,
    HandOver,
    Label,
    MessageReceived,
    Mute,
    NoticeReceived,
    ProposeAssignee,
    ProposeSurvey,
    Reopen,
    Reply,
    Resolve,
    Snooze,
    Status,
    Unblock,
)
from schemas.event import Event
from schemas.messaging import SendMessage
from schemas.record import milliseconds
from schemas.system import AssignmentReason, AssignmentRequested, ProposalAnswered

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.OPEN: frozenset({Status.AI_REPLYING, Status.SNOOZED, Status.RESOLVED}),
    Status.AI_REPLYING: frozenset({Status.SNOOZED, Status.OPEN, Status.RESOLVED}),
    Status.SNOOZED: frozenset({Status.OPEN, Status.RESOLVED, Status.AI_REPLYING}),
    Status.RESOLVED: frozenset({Status.OPEN, Status.AI_REPLYING, Status.CLOSED}),
    Status.CLOSED: frozenset({Status.OPEN}),
}

MAX_LABELS: Final = 20
MAX_LABEL: Final = 64
"""Characters. Both keep a conversation's row under 8 KiB."""

Refusal = tuple[str, str]
"""Code and reason, in words."""


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What becomes of the contact's conversations. Key: the conversation key."""
    draft = Draft.begin(rows, ctx)
    match event:
        case MessageReceived():
            draft = _message(draft, event)
        case NoticeReceived():
            draft = _notice(draft, event)
        case Command():
            draft = _command(draft, event)
        case ProposeAssignee():
            draft = _answer_proposal(draft, event)
        case AiEnd():
            draft = _ai_ended(draft, event)
        case ProposeSurvey():
            draft = answer_survey_proposal(draft, event)
        case DeliverySent():
            draft = _sent(draft, event)
        case DeliveryUnsent():
            draft = _unsent(draft, event)
        case TimerFired(name) if name == SWEEP:
            return sweep(rows, SEEN_PREFIXES, ctx.now, SEEN_FOR)
        case TimerFired(name):
            draft = _TIMERS[name](draft)
    return draft.decision()


# --- the customer writes -------------------------------------------------------------------------------------------


def _message(draft: Draft, event: MessageReceived) -> Draft:
    name = f"seen/{event.message_id}"
    if _was_seen(draft, name):
        return draft
    at = _clamped(event.sent_at, draft.now)
    draft = _heard(draft.remember(name), at, event.name)
    if draft.contact.blocked:
        return draft if draft.conversation is None else draft.receive(event, at, "quiet")
    answer = survey_answered_by(draft, event)
    if answer is not None:
        return rate(draft, *answer, event, at)
    match draft.conversation:
        case Conversation(muted=True, status=Status.SNOOZED | Status.RESOLVED | Status.CLOSED):
            return draft.receive(event, at, "quiet")
        case Conversation(status=Status.SNOOZED):
            return _wake_by_customer(draft, event, at)
        case Conversation(status=Status.OPEN | Status.AI_REPLYING):
            return _join(draft, event, at)
        case Conversation() if draft.settings.conversation.single_conversation:
            return _reopen_by_customer(draft, event, at)
    draft = _open(draft, _new_conversation(draft, "customer"))
    return _request(_join(draft, event, at), "opened", _held(event, at))


def _heard(draft: Draft, at: datetime, name: str | None) -> Draft:
    contact = draft.contact
    heard = {
        "name": name or contact.name,
        "last_customer_at": max(contact.last_customer_at or at, at),
        "unsent_noted": False,
    }
    return draft.keep_contact(contact.model_copy(update=heard))


def _join(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    """An ordinary message: the AI agent is asked about it, at once or as soon as it is settled who is to answer."""
    draft, message = draft.receive(event, at), _held(event, at)
    if draft.current.status is Status.AI_REPLYING:
        if _ai_serves(draft, draft.current.assignee):
            return draft.ask_ai(message)
        return _hand_over(draft, "ai_failed", "ai_failed", note=AI_SWITCHED_OFF)
    return draft if draft.current.routed else draft.write(f"{HELD}{draft.current.messages_in:08d}", message)


def _reopen_by_customer(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    former = draft.current.assignee
    reopened = draft.current.model_copy(update={"status": Status.OPEN, "routed": False, "reopened": True})
    draft = _join(draft.change(reopened, reason="customer_message"), event, at)
    return _request(draft, "reopened", _held(event, at), former=former)


def _wake_by_customer(draft: Draft, event: MessageReceived, at: datetime) -> Draft:
    row, former = draft.current, draft.current.assignee
    if _ai_serves(draft, former):
        woken = row.model_copy(update={"status": Status.AI_REPLYING})
        return _join(draft.change(woken, reason="customer_message"), event, at)
    draft = _join(_woken(draft, "customer_message"), event, at)
    return _request_where_nobody_is(draft, _held(event, at), former)


def _notice(draft: Draft, event: NoticeReceived) -> Draft:
    # A deletion may carry the id of the message that it deletes, so the kind is part of its identity.
    name = f"notice/{event.kind}/{event.message_id or draft.ctx.cause}"
    if not draft.is_live or _was_seen(draft, name):
        return draft
    draft = draft.remember(name)
    at = _clamped(event.sent_at, draft.now)
    notice = ConversationNoticeReceived(
        header=draft.header, kind=event.kind, message_id=event.message_id, refers_to=event.refers_to, at=at
    )
    return draft.tell(notice)


# --- a person asks -------------------------------------------------------------------------------------------------


def _command(draft: Draft, event: Command) -> Draft:
    """Carry it out on the contact's latest conversation, or refuse it."""
    name = f"command/{event.command_id}"
    if _was_seen(draft, name):
        return _refuse(draft, event, "duplicate_command", "a command of this id was carried out before")
    if event.by not in draft.settings.human_agents:
        return _refuse(draft, event, "not_a_member", "the agent is not a member of the channel")
    refusal = _why_no_reply(draft, event) if isinstance(event, Reply) else _why_not_done(draft, event)
    if refusal is not None:
        return _refuse(draft, event, *refusal)
    # Only now: one that was refused may be asked again under its id.
    return _carry_out(draft.remember(name), event)


def _refuse(draft: Draft, event: Command, code: str, reason: str) -> Draft:
    return draft.tell(
        ConversationCommandRefused(command_id=event.command_id, command=event.type, code=code, reason=reason)
    )


def _why_no_reply(draft: Draft, event: Reply) -> Refusal | None:
    if draft.contact.blocked:
        return "blocked", "the contact is blocked: unblock it first"
    if bool(event.text and event.text.strip()) == (event.template is not None):
        return "invalid_settings", "a reply is either a text or a template"
    ends = draft.contact.session_ends
    if event.template is None and (ends is None or draft.now >= ends):
        return "window_closed", "24 hours have passed since the customer's last message: send a template"
    return None


def _why_not_done(draft: Draft, event: Command) -> Refusal | None:
    row = draft.conversation
    if row is None:
        return "unknown_conversation", "the contact has no conversation"
    match event:
        case AddNote() if not event.text.strip():
            return "invalid_settings", "a note has a text"
        case Snooze(until=datetime() as until) if until.tzinfo is None or until <= draft.now:
            return "invalid_settings", "until is an instant to come, with its zone"
        case Label():
            return _why_no_label(row, event)
        case Assign():
            return _why_no_assignment(draft, event.to)
        case Resolve():
            return _why_no_move(row, Status.RESOLVED)
        case Snooze():
            return _why_no_move(row, Status.SNOOZED)
        case Reopen():
            return _why_no_move(row, Status.OPEN)
        case HandOver() if row.status is not Status.AI_REPLYING:
            return "illegal_transition", f"the conversation is {row.status}, so no AI agent holds it"
    return None


def _why_no_move(row: Conversation, to: Status) -> Refusal | None:
    return None if to in TRANSITIONS[row.status] else ("illegal_transition", f"the conversation is {row.status}")


def _why_no_label(row: Conversation, event: Label) -> Refusal | None:
    add, remove = _labels(event.add), _labels(event.remove)
    if not add and not remove:
        return "invalid_settings", "there is no label to add or remove"
    if any(len(label) > MAX_LABEL for label in add):
        return "invalid_settings", f"a label has at most {MAX_LABEL} characters"
    if len(_relabelled(row, event)) > MAX_LABELS:
        return "invalid_settings", f"a conversation has at most {MAX_LABELS} labels"
    return None


def _why_no_assignment(draft: Draft, to: Assignee) -> Refusal | None:
    row, settings = draft.current, draft.settings
    match to.kind:
        case "human" if to.id not in settings.human_agents:
            return "not_a_member", "the agent is not a member of the channel"
        case "ai" if not _ai_serves(draft, to):
            return "not_a_member", "the AI agent is none of the channel's, or it is switched off"
        case "ai" if row.status is not Status.AI_REPLYING:
            return _why_no_move(row, Status.AI_REPLYING)
    return None


def _carry_out(draft: Draft, event: Command) -> Draft:
    match event:
        case Reply():
            return _reply(draft, event)
        case AddNote():
            return _note(draft, event.text, "note", by=event.by)
        case Resolve():
            return _resolve(draft, "resolved", by=event.by)
        case Reopen():
            return _reopen(draft, event.by)
        case Snooze():
            snoozed = {"status": Status.SNOOZED, "snoozed_until": event.until}
            return draft.change(draft.current.model_copy(update=snoozed), reason="snoozed", by=event.by)
        case Assign():
            return _assign(draft, event)
        case HandOver():
            return _hand_over(draft, "handed_over", "handed_over", by=event.by)
        case Label():
            return _label(draft, event)
        case Block() | Unblock():
            return _block(draft, event)
        case Mute() if not draft.current.muted:
            draft = draft.keep(draft.current.model_copy(update={"muted": True}))
            return draft.tell(ConversationMuted(header=draft.header, by=event.by))
    return draft


# --- a person replies ----------------------------------------------------------------------------------------------


def _reply(draft: Draft, event: Reply) -> Draft:
    """It takes over from the AI agent, and starts or reopens a conversation; else it changes who holds it not."""
    if not draft.is_live:
        draft = _start(draft, event.by)
    elif draft.current.status is Status.AI_REPLYING:
        after = draft.current.model_copy(update={"status": Status.OPEN, "assignee": _human(event.by)})
        draft = draft.change(after, reason="taken_over", by=event.by)
    draft = _answered(draft)
    message = SendMessage(
        message_id=event.command_id,
        conversation_id=draft.current.id,
        kind="reply",
        text=event.text,
        template=event.template,
        not_after=draft.contact.session_ends,
        by=event.by,
    )
    return draft.send(message)


def _answered(draft: Draft) -> Draft:
    """An agent, human or AI, wrote: the customer does not wait any more."""
    row = draft.current
    update = {
        "messages_out": row.messages_out + 1,
        "unread": 0,
        "waiting_since": None,
        "active_at": max(row.active_at, draft.now),
    }
    return draft.keep(row.model_copy(update=update))


def _start(draft: Draft, agent: str) -> Draft:
    """A live conversation, for an agent who writes where there is none: nobody needs to be found for it."""
    if draft.conversation is not None and draft.settings.conversation.single_conversation:
        return _reopen_by_reply(draft, agent)
    started = {"assignee": _human(agent), "routed": True}
    draft = _open(draft, _new_conversation(draft, "agent").model_copy(update=started))
    draft = draft.tell(ConversationAssigned(header=draft.header, by=agent))
    return _settle(draft, {"decision": "reply", "by": agent}, first=True).tell_changed()


def _reopen_by_reply(draft: Draft, agent: str) -> Draft:
    """Another human who held it keeps it if they are available, which assignment knows; else its sender has it."""
    row, sender = draft.current, _human(agent)
    holder = row.assignee if row.assignee is not None and row.assignee.kind == "human" else sender
    is_sender = holder == sender
    reopened = {"status": Status.OPEN, "assignee": holder, "routed": is_sender, "reopened": True, "muted": False}
    draft = draft.change(row.model_copy(update=reopened), reason="reopened", by=agent)
    if not is_sender:
        return _request(draft, "reopened_by_person", former=holder, replied_by=agent)
    return draft if row.routed else _settle(draft, {"decision": "reply", "by": agent}, first=False)


# --- a person moves it ---------------------------------------------------------------------------------------------


def _resolve(draft: Draft, reason: str, by: str | None = None) -> Draft:
    return draft.change(draft.current.model_copy(update={"status": Status.RESOLVED}), reason=reason, by=by)


def _reopen(draft: Draft, by: str) -> Draft:
    """For humans, unmuted. Whoever held it keeps it if they are available, which assignment knows; a team does."""
    row = draft.current
    if row.status is Status.AI_REPLYING:
        draft = draft.keep(row.model_copy(update={"muted": False}))
        return _hand_over(draft, "handed_over", "handed_over", by=by)
    reopened = {
        "status": Status.OPEN,
        "assignee": None if _is_ai(row.assignee) else row.assignee,
        "routed": False,
        "reopened": row.reopened or row.routed or row.status is not Status.SNOOZED,
        "muted": False,
    }
    draft = draft.change(row.model_copy(update=reopened), reason="reopened", by=by)
    if row.assignee is not None and row.assignee.kind == "team":
        return _request(draft, "team", former=row.assignee, team=row.assignee.id)
    return _request(draft, "reopened_by_person", former=row.assignee)


def _assign(draft: Draft, event: Assign) -> Draft:
    """A person's choice, which stands whatever was proposed. Of a team, assignment finds a member."""
    row, to = draft.current, event.to
    status = row.status
    if to.kind == "ai":
        status = Status.AI_REPLYING
    elif status is Status.AI_REPLYING:
        status = Status.OPEN
    settled = status in LIVE
    reopens = settled and row.status not in LIVE
    assigned = {
        "assignee": to,
        "status": status,
        "routed": row.routed or settled,
        "reopened": row.reopened or reopens,
        "muted": row.muted and not reopens,
    }
    after = row.model_copy(update=assigned)
    if (after.status, after.assignee) != (row.status, row.assignee):
        draft = draft.change(after, reason="assigned", by=event.by)
    elif after.routed != row.routed:
        draft = draft.keep(after.model_copy(update={"chosen": True})).tell_changed()
    else:
        return draft
    if settled and not row.routed:
        draft = _settle(draft, {"decision": "assign", "by": event.by}, first=not after.reopened)
    if to.kind == "team" and status is Status.OPEN:
        return _request(draft, "team", former=row.assignee, team=to.id)
    return draft


def _hand_over(
    draft: Draft,
    reason: str,
    request: Literal["handed_over", "ai_failed"],
    by: str | None = None,
    note: str | None = None,
) -> Draft:
    """From the AI agent to humans."""
    former = draft.current.assignee
    after = draft.current.model_copy(update={"status": Status.OPEN, "assignee": None})
    draft = draft.change(after, reason=reason, by=by)
    if note is not None:
        draft = _note(draft, note, reason)
    return _request(draft, request, former=former)


def _label(draft: Draft, event: Label) -> Draft:
    row = draft.current
    labels = _relabelled(row, event)
    if labels == row.labels:
        return draft
    draft = draft.keep(row.model_copy(update={"labels": labels}))
    added = tuple(label for label in labels if label not in row.labels)
    removed = tuple(label for label in row.labels if label not in labels)
    return draft.tell(ConversationLabelled(header=draft.header, added=added, removed=removed, by=event.by))


def _relabelled(row: Conversation, event: Label) -> tuple[str, ...]:
    removed = _labels(event.remove)
    both = dict.fromkeys((*row.labels, *_labels(event.add)))
    return tuple(label for label in both if label not in removed)


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label.strip() for label in labels if label.strip())


def _block(draft: Draft, event: Block | Unblock) -> Draft:
    blocked = isinstance(event, Block)
    if draft.contact.blocked == blocked:
        return draft
    draft = draft.keep_contact(draft.contact.model_copy(update={"blocked": blocked}))
    return draft.tell(ConversationBlockChanged(header=draft.header, by=event.by))


def _note(draft: Draft, text: str, reason: str, by: str | None = None) -> Draft:
    note_id = draft.ctx.new_id("note")
    return draft.tell(ConversationNoteAdded(header=draft.header, note_id=note_id, text=text, reason=reason, by=by))


# --- assignment is asked, and proposes -----------------------------------------------------------------------------


def _request(
    draft: Draft,
    reason: AssignmentReason,
    message: Held | None = None,
    *,
    former: Assignee | None = None,
    team: str | None = None,
    replied_by: str | None = None,
) -> Draft:
    row = draft.current
    request = AssignmentRequested(
        conversation_id=row.id,
        conversation_key=draft.ctx.key,
        channel=draft.channel,
        revision=row.revision,
        reason=reason,
        at=draft.now if message is None else message.at,
        text=None if message is None else message.text,
        message_kind=None if message is None else message.kind,
        contact_name=draft.contact.name,
        returning=draft.header.returning or reason == "reopened",
        labels=row.labels,
        former=former,
        team=team,
        replied_by=replied_by,
    )
    return draft.tell_account(request)


def _request_where_nobody_is(draft: Draft, message: Held | None, former: Assignee | None) -> Draft:
    """After a snooze: a human who held it goes on; a routing that the snooze interrupted is made up for."""
    row = draft.current
    if not row.routed:
        first = next((held for _, held in draft.scan(HELD, Held)), message)
        return _request(draft, "reopened" if row.reopened else "opened", first, former=former)
    match row.assignee:
        case None:
            return _request(draft, "unassigned", former=former)
        case Assignee(kind="team", id=team):
            return _request(draft, "team", former=former, team=team)
    return draft


def _answer_proposal(draft: Draft, event: ProposeAssignee) -> Draft:
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
    return draft.tell_account(answer)


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
    status = Status.AI_REPLYING if _is_ai(assignee) else Status.OPEN
    after = row.model_copy(update={"assignee": assignee, "status": status, "routed": True})
    if (after.status, after.assignee) != (row.status, row.assignee):
        draft = draft.change(after, reason="assigned", explanation=event.explanation)
    else:
        draft = draft.keep(after)
    return draft if row.routed else _settle(draft, event.explanation, first=not row.reopened)


def _settle(draft: Draft, explanation: Mapping[str, JsonValue], *, first: bool) -> Draft:
    """It is settled who holds it: the AI agent is asked about what the customer wrote meanwhile."""
    draft = draft.tell(ConversationRouted(header=draft.header, first=first, explanation=dict(explanation)))
    held = [message for _, message in draft.scan(HELD, Held)]
    draft = draft.drop_all(HELD, Held)
    if draft.current.status is Status.AI_REPLYING:
        for message in held:
            draft = draft.ask_ai(message)
    return draft


# --- the AI agent answers ------------------------------------------------------------------------------------------


def _ai_ended(draft: Draft, event: AiEnd) -> Draft:
    """An answer counts while the AI agent that was asked holds the conversation."""
    name = f"{ASKED}{event.request_id}"
    if draft.get(name, Asked) is None:
        return draft
    draft = draft.write(name, None)
    match event:
        case AiAnswered():
            return _send_answer(draft, event)
        case AiHandedOver():
            return _hand_over(draft, "ai_handed_over", "handed_over", note=AI_HANDED_OVER)
        case AiFailed():
            return _hand_over(draft, "ai_failed", "ai_failed", note=AI_FAILED)
    return draft


def _send_answer(draft: Draft, event: AiAnswered) -> Draft:
    if draft.contact.blocked:
        return draft
    draft = _answered(draft)
    row = draft.current
    message = SendMessage(
        message_id=draft.ctx.new_id("answer"),
        conversation_id=row.id,
        kind="ai",
        text=event.text,
        not_after=draft.contact.session_ends,
        by=row.assignee.id if row.assignee is not None else None,
    )
    return draft.send(message)


# --- delivery says what came of it ---------------------------------------------------------------------------------


def _sent(draft: Draft, event: DeliverySent) -> Draft:
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
    draft = draft.about(row).keep(row.model_copy(update=update))
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
    draft = draft.tell(sent)
    return survey_sent(draft, event) if event.kind == "survey" else draft


def _unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    """A note, but of automatic messages one only until the customer writes again."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None or event.reason == "unknown":
        return draft
    draft = draft.about(row)
    automatic = event.kind != "reply"
    if not (automatic and draft.contact.unsent_noted):
        if automatic:
            draft = draft.keep_contact(draft.contact.model_copy(update={"unsent_noted": True}))
        draft = _note(draft, unsent_note(event), event.reason)
    return survey_unsent(draft, event) if event.kind == "survey" else draft


# --- time passes ---------------------------------------------------------------------------------------------------


def _auto_resolve(draft: Draft) -> Draft:
    """Nobody wrote for long: resolved by nobody, with a goodbye."""
    row, settings = draft.current, draft.settings
    after = settings.conversation.auto_resolve_after
    if after is None or row.status is not Status.OPEN or not _is_due(row.active_at + after, draft):
        return draft
    draft = _resolve(draft, "auto_resolved")
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


def _wake(draft: Draft) -> Draft:
    """The snooze is over: for humans, even where the AI agent held it, as it has nothing to answer."""
    former = draft.current.assignee
    if draft.current.status is not Status.SNOOZED:
        return draft
    return _request_where_nobody_is(_woken(draft, "woken"), None, former)


def _woken(draft: Draft, reason: str) -> Draft:
    row = draft.current
    woken = {"status": Status.OPEN, "assignee": None if _is_ai(row.assignee) else row.assignee}
    return draft.change(row.model_copy(update=woken), reason=reason)


def _what_is_due(draft: Draft) -> Draft:
    """Resolved conversations close, closed ones are forgotten, surveys end."""
    for name, due in draft.rows.scan(DUE, Due):
        if not _is_due(due.at, draft):
            break
        if draft.get(name, Due) is None:
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
    return draft.keep(row.model_copy(update={"ends_at": ends_at}))


_TIMERS: Final[Mapping[str, Callable[[Draft], Draft]]] = {
    AUTO_RESOLVE: _auto_resolve,
    WAKE: _wake,
    DUE_TIMER: _what_is_due,
}


# --- shared --------------------------------------------------------------------------------------------------------


def _was_seen(draft: Draft, name: str) -> bool:
    seen = draft.rows.get(name, Kept)
    return seen is not None and draft.now - seen.since < SEEN_FOR


def _clamped(sent_at: datetime | None, now: datetime) -> datetime:
    """The provider's time, which is data: never after the receipt."""
    return now if sent_at is None else min(sent_at, now)


def _is_due(at: datetime, draft: Draft) -> bool:
    # To the millisecond, as timers are: one that fires is due.
    return milliseconds(at) <= milliseconds(draft.now)


def _human(agent: str) -> Assignee:
    return Assignee(kind="human", id=agent)


def _is_ai(assignee: Assignee | None) -> bool:
    return assignee is not None and assignee.kind == "ai"


def _is_member(draft: Draft, assignee: Assignee | None) -> bool:
    return assignee is not None and assignee.kind == "human" and assignee.id in draft.settings.human_agents


def _ai_serves(draft: Draft, assignee: Assignee | None) -> bool:
    ai = draft.settings.ai
    served = {one.id for one in ai.agents} if ai.enabled else set()
    return assignee is not None and assignee.kind == "ai" and assignee.id in served


def _held(event: MessageReceived, at: datetime) -> Held:
    return Held(message_id=event.message_id, kind=event.kind, text=event.text, at=at)


def _new_conversation(draft: Draft, opened_by: Literal["customer", "agent"]) -> Conversation:
    return Conversation(
        number=draft.contact.latest + 1,
        id=draft.ctx.new_id("conversation"),
        opened_at=draft.now,
        opened_by=opened_by,
        active_at=draft.now,
    )


def _open(draft: Draft, conversation: Conversation) -> Draft:
    """Make it the contact's latest. A closed one before it may be over for good."""
    before = draft.conversation
    draft = draft.keep_contact(draft.contact.model_copy(update={"latest": conversation.number}))
    if before is not None:
        draft = draft.drop_if_over(before)
    draft = draft.keep(conversation)
    return draft.tell(ConversationOpened(header=draft.header))


CONVERSATIONS = Stage(
    "conversations",
    input=topics.INBOX,
    outputs=(topics.CONVERSATIONS, topics.ACCOUNT_INBOX, topics.OUTBOUND, topics.AI_REQUESTS),
    decide=decide,
    state=(Contact, Conversation, Held, Asked, Survey, Due, Kept),
)
