"""What a person asks: each command is carried out on the contact's latest conversation, or refused."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, cast

from agents.conversations.asking import tell
from agents.conversations.draft import Draft, human, is_ai, was_seen
from agents.conversations.labels import MAX_LABEL, MAX_LABELS, relabelled, set_labels, stripped
from agents.conversations.moves import (
    TRANSITIONS,
    add_note,
    ai_serves,
    hand_over,
    mark_answered,
    mark_routed,
    new_conversation,
    open_conversation,
    request_assignee,
    resolve,
)
from agents.conversations.rows import (
    WHOLE,
    CarriedOut,
    Conversation,
    Whole,
)
from agents.parts import earlier_part, split_text
from providers.media import why_no_media
from providers.provider import Sendable
from providers.registry import PROVIDERS
from schemas.events.conversation import (
    LIVE,
    Assignee,
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationCommandRefused,
    ConversationMuted,
    Status,
)
from schemas.events.inbox import (
    AddNote,
    Assign,
    Block,
    Command,
    CommandForwarded,
    HandOver,
    Label,
    Mute,
    Reopen,
    Reply,
    Resolve,
    Seen,
    Snooze,
    Unblock,
)
from schemas.events.sending import SendMessage
from schemas.events.template import file_of
from schemas.ids import derived_id
from schemas.record import format_time
from schemas.topics import INBOX

Refusal = tuple[str, str]
"""Code and reason, in words."""


def handle_command(draft: Draft, event: Command) -> Draft:
    """Carry it out on the contact's latest conversation, or refuse it."""
    if draft.contact.joined is not None and not draft.is_live:
        return draft.forward(event, draft.contact.joined)
    name = f"command/{event.command_id}"
    digest = derived_id(event.model_dump_json())
    if was_seen(draft, name):
        before = draft.rows.get(name, CarriedOut)
        if before is not None and before.digest not in ("", digest):
            return _refuse(draft, event, "other_command", "another command of this id was carried out before")
        return _refuse(draft, event, "duplicate_command", "a command of this id was carried out before")
    if event.by not in draft.settings.human_agents:
        return _refuse(draft, event, "not_a_member", "the agent is not a member of the channel")
    refusal = _why_no_reply(draft, event) if isinstance(event, Reply) else _why_not_done(draft, event)
    if refusal is not None:
        return _refuse(draft, event, *refusal)
    # Only now: one that was refused may be asked again under its id.
    return _carry_out(draft.remember(name).write(name, CarriedOut(since=draft.now, digest=digest)), event)


def forwarded_command(event: CommandForwarded) -> Command:
    """The command that was forwarded."""
    return cast("Command", INBOX.types[event.command].model_validate(event.data))


def _refuse(draft: Draft, event: Command, code: str, reason: str) -> Draft:
    return draft.publish(
        ConversationCommandRefused(command_id=event.command_id, command=event.type, code=code, reason=reason)
    )


def _why_no_reply(draft: Draft, event: Reply) -> Refusal | None:
    if draft.contact.blocked:
        return "blocked", "the contact is blocked: unblock it first"
    written = bool(event.text and event.text.strip()) or event.content is not None
    if written == (event.template is not None):
        return "invalid_settings", "a reply is either a text or other content, or a template"
    provider = PROVIDERS[draft.settings.provider]
    if strange := next((kind for kind in _kinds(event) if kind not in provider.sends), None):
        return "not_supported", f"{provider.name} can't send it: {strange}"
    media = file_of(event.content, event.template)
    if media is not None and (why := why_no_media(media, event.text, provider.media)) is not None:
        return "media_not_supported", why
    if event.template is not None and event.template.category == "marketing" and (no := _why_no_marketing(draft)):
        return no
    if _is_reaction(event) and draft.conversation is None:
        return "unknown_conversation", "the contact has no conversation"
    ends = draft.contact.session_ends
    if event.template is None and (ends is None or draft.now >= ends):
        return "window_closed", "24 hours have passed since the customer's last message: send a template"
    return None


def _why_no_marketing(draft: Draft) -> Refusal | None:
    if draft.contact.marketing_stopped:
        return "marketing_stopped", "the contact asked for no more marketing messages: send another kind of template"
    until = draft.contact.no_marketing_until
    if until is not None and draft.now < until:
        return "marketing_limited", f"WhatsApp did not deliver the last one: send none before {format_time(until)}"
    return None


def _kinds(event: Reply) -> Iterator[Sendable]:
    if event.content is not None:
        yield from event.content.kinds
    if event.template is not None and event.template.header is not None:
        yield "template_header"
    if event.template is not None and event.template.buttons:
        yield "template_buttons"


def _is_reaction(event: Reply) -> bool:
    return event.content is not None and event.content.reaction is not None


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
    add, remove = stripped(event.add), stripped(event.remove)
    if not add and not remove:
        return "invalid_settings", "there is no label to add or remove"
    if any(len(label) > MAX_LABEL for label in add):
        return "invalid_settings", f"a label has at most {MAX_LABEL} characters"
    if len(relabelled(row.labels, event.add, event.remove)) > MAX_LABELS:
        return "invalid_settings", f"a conversation has at most {MAX_LABELS} labels"
    return None


def _why_no_assignment(draft: Draft, to: Assignee) -> Refusal | None:
    row, settings = draft.current, draft.settings
    match to.kind:
        case "human" if to.id not in settings.human_agents:
            return "not_a_member", "the agent is not a member of the channel"
        case "ai" if not ai_serves(draft, to):
            return "not_a_member", "the AI agent does not belong to the channel, or it is switched off"
        case "ai" if row.status is not Status.AI_REPLYING:
            return _why_no_move(row, Status.AI_REPLYING)
    return None


def _carry_out(draft: Draft, event: Command) -> Draft:
    match event:
        case Reply() if _is_reaction(event):
            return _send(draft, event, "reaction")
        case Reply():
            return _reply(draft, event)
        case AddNote():
            return add_note(draft, event.text, "note", by=event.by)
        case Resolve():
            return resolve(draft, "resolved", by=event.by)
        case Reopen():
            return _reopen(draft, event.by)
        case Snooze():
            snoozed = {"status": Status.SNOOZED, "snoozed_until": event.until}
            return draft.change(draft.current.model_copy(update=snoozed), reason="snoozed", by=event.by)
        case Assign():
            return _assign(draft, event)
        case HandOver():
            return hand_over(draft, "handed_over", "handed_over", by=event.by)
        case Label():
            labels = relabelled(draft.current.labels, event.add, event.remove)
            return set_labels(draft, labels, by=event.by)
        case Block() | Unblock():
            return _block(draft, event)
        case Seen():
            return draft.mark_read()
        case Mute() if not draft.current.muted:
            draft = draft.store(draft.current.model_copy(update={"muted": True}))
            return draft.publish(ConversationMuted(header=draft.header, by=event.by))
    return draft


def _reply(draft: Draft, event: Reply) -> Draft:
    """A reply takes over from the AI agent, or starts or reopens a conversation. An open one keeps its assignee."""
    if not draft.is_live:
        draft = _start(draft, event.by)
    elif draft.current.status is Status.AI_REPLYING:
        after = draft.current.model_copy(update={"status": Status.OPEN, "assignee": human(event.by)})
        draft = draft.change(after, reason="taken_over", by=event.by)
    kind = "text" if event.template is None else "template"
    draft = tell(draft, "human", event.command_id, draft.now, text=event.text, kind=kind)
    return _send(mark_answered(draft).mark_read(), event, "reply")


def _send(draft: Draft, event: Reply, kind: Literal["reply", "reaction"]) -> Draft:
    """A reaction is no message of the thread: it takes nothing over, starts and reopens nothing, and answers nobody."""
    message = SendMessage(
        message_id=event.command_id,
        conversation_id=draft.current.id,
        kind=kind,
        text=event.text,
        template=event.template,
        content=event.content,
        not_after=draft.contact.session_ends,
        by=event.by,
    )
    limit = PROVIDERS[draft.settings.provider].max_text
    if event.text is None or len(event.text) <= limit:
        return draft.send(message)
    *earlier, last = split_text(event.text, limit)
    for number, text in enumerate(earlier, start=1):
        part = {"message_id": earlier_part(event.command_id, number), "text": text}
        draft = draft.send(message.model_copy(update=part))
    draft = draft.write(f"{WHOLE}{event.command_id}", Whole(since=draft.now, text=event.text))
    return draft.send(message.model_copy(update={"text": last}))


def _start(draft: Draft, agent: str) -> Draft:
    """A live conversation for an agent who writes first: it is theirs, without assignment."""
    if draft.conversation is not None and draft.settings.conversation.single_conversation:
        return _reopen_by_reply(draft, agent)
    started = {"assignee": human(agent), "routed": True}
    draft = open_conversation(draft, new_conversation(draft, "agent").model_copy(update=started))
    draft = draft.publish(ConversationAssigned(header=draft.header, by=agent))
    return mark_routed(draft, {"decision": "reply", "by": agent}, first=True).report_change()


def _reopen_by_reply(draft: Draft, agent: str) -> Draft:
    """Another human who held it keeps it if they are available, which assignment knows; else its sender has it."""
    row, sender = draft.current, human(agent)
    holder = row.assignee if row.assignee is not None and row.assignee.kind == "human" else sender
    is_sender = holder == sender
    reopened = {"status": Status.OPEN, "assignee": holder, "routed": is_sender, "reopened": True, "muted": False}
    draft = draft.change(row.model_copy(update=reopened), reason="reopened", by=agent)
    if not is_sender:
        return request_assignee(draft, "reopened_by_person", former=holder, replied_by=agent)
    return draft if row.routed else mark_routed(draft, {"decision": "reply", "by": agent}, first=False)


def _reopen(draft: Draft, by: str) -> Draft:
    """For humans, unmuted. Whoever held it keeps it if they are available, which assignment knows; a team does."""
    row = draft.current
    if row.status is Status.AI_REPLYING:
        draft = draft.store(row.model_copy(update={"muted": False}))
        return hand_over(draft, "handed_over", "handed_over", by=by)
    reopened = {
        "status": Status.OPEN,
        "assignee": None if is_ai(row.assignee) else row.assignee,
        "routed": False,
        "reopened": row.reopened or row.routed or row.status is not Status.SNOOZED,
        "muted": False,
    }
    draft = draft.change(row.model_copy(update=reopened), reason="reopened", by=by)
    if row.assignee is not None and row.assignee.kind == "team":
        return request_assignee(draft, "team", former=row.assignee, team=row.assignee.id)
    return request_assignee(draft, "reopened_by_person", former=row.assignee)


def _assign(draft: Draft, event: Assign) -> Draft:
    """A person's choice, which stands whatever was proposed. Of a team, assignment finds a member."""
    row, to = draft.current, event.to
    status = row.status
    if to.kind == "ai":
        status = Status.AI_REPLYING
    elif status is Status.AI_REPLYING:
        status = Status.OPEN
    is_live = status in LIVE
    reopens = is_live and row.status not in LIVE
    assigned = {
        "assignee": to,
        "status": status,
        "routed": row.routed or is_live,
        "reopened": row.reopened or reopens,
        "muted": row.muted and not reopens,
        "automatic": False,
    }
    after = row.model_copy(update=assigned)
    if (after.status, after.assignee) != (row.status, row.assignee):
        draft = draft.change(after, reason="assigned", by=event.by)
    elif (after.routed, after.automatic) != (row.routed, row.automatic):
        draft = draft.store(after.model_copy(update={"chosen": True})).report_change()
    else:
        return draft
    if is_live and not row.routed:
        draft = mark_routed(draft, {"decision": "assign", "by": event.by}, first=not after.reopened)
    if to.kind == "team" and status is Status.OPEN:
        return request_assignee(draft, "team", former=row.assignee, team=to.id)
    return draft


def _block(draft: Draft, event: Block | Unblock) -> Draft:
    blocked = isinstance(event, Block)
    if draft.contact.blocked == blocked:
        return draft
    draft = draft.store_contact(draft.contact.model_copy(update={"blocked": blocked}))
    if blocked and draft.current.status is Status.AI_REPLYING:
        draft = draft.release_ai(draft.current)
    return draft.publish(ConversationBlockChanged(header=draft.header, by=event.by))
