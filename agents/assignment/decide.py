"""assignment: decides, for a whole account, who takes a conversation. Key: the account's id.

An agent's load is the slots they take: Open conversations assigned to them, and proposals to them that are not
answered yet. conversations answers each proposal once; what comes meanwhile waits for the answer, and is then judged.
"""

from agents.assignment.books import Books
from agents.assignment.people import (
    agent_deleted,
    agent_saved,
    channel_changed,
    presence_changed,
    replace_agent,
    timer_fired,
    why_taken,
)
from agents.assignment.rows import STATE, Conversation, Proposal
from agents.assignment.waiting import propose_assignee, serve_waiting
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.assignment import AssignmentNeed, AssignmentRequested, ConversationChanged, ProposalAnswered
from schemas.events.channels import ChannelChanged
from schemas.events.conversation import Status
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.topics import ACCOUNT_INBOX, ASSIGNMENTS, INBOX


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Who takes the account's conversations."""
    books = Books(rows, ctx)
    match event:
        case AssignmentRequested():
            _assignee_needed(books, event)
        case ConversationChanged():
            _conversation_changed(books, event)
        case ProposalAnswered():
            _proposal_answered(books, event)
        case PresenceChanged():
            presence_changed(books, event)
        case AgentSaved():
            agent_saved(books, event)
        case AgentDeleted():
            agent_deleted(books, event)
        case ChannelChanged():
            channel_changed(books, event)
        case TimerFired(name=name):
            timer_fired(books, name)
    serve_waiting(books)
    return books.decision()


def _assignee_needed(books: Books, event: AssignmentRequested) -> None:
    first = event.reason in ("opened", "reopened", "reopened_by_person")
    conversation = books.conversation(event.conversation_id) or Conversation(
        id=event.conversation_id,
        key=event.conversation_key,
        channel=event.channel,
        revision=event.revision,
        routed=True,
        assignee=event.former if first else None,
    )
    update = {
        "revision": event.revision,
        "open": True,
        "routed": conversation.routed and not first,
        "need": event.need,
        "waiting": False,
    }
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "moved")
    if conversation.proposal is None:
        propose_assignee(books, conversation)


def _conversation_changed(books: Books, event: ConversationChanged) -> None:
    """Only Open conversations use a slot, and only those without a human agent need one."""
    known = books.conversation(event.conversation_id)
    conversation = known or Conversation(
        id=event.conversation_id, key=event.conversation_key, channel=event.channel, revision=event.revision
    )
    if conversation.left and _is_repeated(conversation, event):
        books.keep(conversation.model_copy(update={"automatic": event.automatic}), "moved")
        return
    update: dict[str, object] = {
        "revision": event.revision,
        "open": event.status is Status.OPEN,
        "routed": event.routed,
        "assignee": event.assignee,
        "automatic": event.automatic,
        "left": False,
    }
    need, assignee = conversation.need, event.assignee
    if event.status is not Status.OPEN or (event.routed and assignee is not None and assignee.kind == "human"):
        update |= {"need": None, "number": None, "waiting": False}
    elif assignee is not None and need is not None and need.team != assignee.id:
        update |= {"waiting": False}  # a person gave it to a team, which is asked for next
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "moved" if conversation.open else "ended")
    replace_agent(books, conversation)


def _is_repeated(conversation: Conversation, event: ConversationChanged) -> bool:
    """Whether a person only chose the agent who has it already."""
    said = (event.revision, event.assignee, event.routed)
    return said == (conversation.revision, conversation.assignee, conversation.routed)


def _proposal_answered(books: Books, event: ProposalAnswered) -> None:
    """A slot belongs to the proposal until now, then to the conversation."""
    conversation = books.conversation(event.conversation_id)
    if conversation is None or conversation.proposal is None or conversation.proposal.id != event.proposal_id:
        return
    proposal = conversation.proposal
    if proposal.turn is not None:
        books.answer_turn(proposal.turn, returned=not event.accepted)
    if proposal.grant is not None and not event.accepted:
        books.give_back(proposal.grant)
    settled = not event.accepted and _is_settled(books, conversation, proposal)
    update: dict[str, object] = {"proposal": None, "revision": max(event.revision, conversation.revision)}
    if event.accepted and proposal.assignee is None:
        update |= {"routed": True, **_waits(books, conversation)}
    elif event.accepted:
        update |= {"routed": True, "need": None, "number": None, "left": False}
        update |= {"assignee": proposal.assignee} if conversation.open else {}
    elif event.reason == "unknown_conversation":
        update |= {"open": False, "need": None}
    elif settled or _is_back(books, conversation):
        update |= {"need": None, "number": None, "left": False}
    conversation = conversation.model_copy(update=update)
    books.keep(conversation, "refused")
    if conversation.open and conversation.need is not None and not conversation.waiting:
        propose_assignee(books, conversation)
    elif not settled:
        replace_agent(books, conversation)


def _waits(books: Books, conversation: Conversation) -> dict[str, object]:
    """Accepted without an assignee, it waits; also where a person chose one meanwhile who has left since."""
    if not conversation.open or conversation.holder is not None:
        return {}
    need = conversation.need or AssignmentNeed(reason="removed", at=books.now)
    return {"need": need, "number": conversation.number or books.next_number(), "waiting": True}


def _is_settled(books: Books, conversation: Conversation, proposal: Proposal) -> bool:
    """Refused though nothing is newer here: proposed again it would be refused again, without end."""
    settings = books.settings(conversation.channel).revision
    return (conversation.revision, settings) == (proposal.revision, proposal.settings)


def _is_back(books: Books, conversation: Conversation) -> bool:
    """True if the only reason for the need, a departed or absent agent, has gone: the agent is back."""
    need, taken = conversation.need, conversation.model_copy(update={"left": False})
    only = conversation.left and need is not None and need.reason in ("removed", "offline")
    return only and taken.holder is not None and why_taken(books, taken) is None


ASSIGNMENT = Stage("assignment", input=ACCOUNT_INBOX, outputs=(INBOX, ASSIGNMENTS), decide=decide, state=STATE)
