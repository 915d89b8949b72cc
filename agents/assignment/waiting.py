"""Who waits for an agent, and in what order they are served."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from agents.assignment.books import SOON, Books
from agents.assignment.choosing import Choice, choose
from agents.assignment.rows import Conversation, Proposal
from schemas.events.assignment import AssignmentDecided, AssignmentWaiting
from schemas.events.inbox import ProposeAssignee
from schemas.topics import ASSIGNMENTS, INBOX

MAX_PROPOSALS: Final = 250
"""Proposals of one decision to those that wait, or whose agent left; the rest follows by a timer."""
CONTINUE: Final = "go-on"


def serve_waiting(books: Books) -> None:
    """Those that have waited longest first, over all channels whose agents may take more than before."""
    if not books.appeared and not books.changed:
        return
    channels = _channels_to_serve(books)
    queues = [books.waiting(channel, queue) for channel in channels for queue in books.queues(channel)]
    heads = [(head, queue) for queue in queues if (head := next(queue, None)) is not None]
    while heads:
        head, queue = first = min(heads, key=lambda entry: entry[0].number or 0)
        if books.proposals >= MAX_PROPOSALS:
            books.set_timer(CONTINUE, books.now + SOON)
            break
        heads.remove(first)
        choice = choose(books, head)
        # Who can't take the first of a queue can't take the others.
        if choice.assignee is not None:
            _propose(books, head, choice)
            heads += [(follower, queue) for follower in islice(queue, 1)]
    books.appeared.clear()
    books.changed.clear()


def _channels_to_serve(books: Books) -> Iterator[str]:
    for channel in list(books.channels()):
        if books.queues(channel) and (
            channel in books.changed or not books.appeared.isdisjoint(books.settings(channel).human_agents)
        ):
            yield channel


def propose_assignee(books: Books, conversation: Conversation) -> None:
    """Propose somebody, or that it waits; those that wait already go first."""
    if conversation.number is None:
        conversation = conversation.model_copy(update={"number": books.next_number()})
    if books.queues(conversation.channel):
        books.changed.add(conversation.channel)
        serve_waiting(books)
    queue = (conversation.need.team if conversation.need is not None else None) or "-"
    choice = choose(books, conversation, others_wait=queue in books.queues(conversation.channel))
    _propose(books, conversation, choice)


def _propose(books: Books, conversation: Conversation, choice: "Choice") -> None:
    """One proposal for it is in flight from here on; the slot, the turn and the fair window count it at once."""
    assignee, channel = choice.assignee, conversation.channel
    human = assignee.id if assignee is not None and assignee.kind == "human" else None
    settings = books.settings(channel)
    counted = human is not None and choice.counts and settings.assignment.fair_window is not None
    proposal = Proposal(
        id=books.ctx.new_id(f"proposal/{conversation.id}"),
        revision=conversation.revision,
        settings=settings.revision,
        assignee=assignee,
        turn=books.take_turn(channel, human) if human is not None and choice.turn else None,
        grant=books.grant(channel, human) if human is not None and counted else None,
    )
    conversation = conversation.model_copy(update={"proposal": proposal, "waiting": False})
    books.keep(conversation, "moved")
    books.proposals += 1
    common = {"conversation_id": conversation.id, "revision": conversation.revision, "explanation": choice.explanation}
    reason = None if conversation.need is None else conversation.need.reason
    books.say(INBOX, ProposeAssignee(proposal_id=proposal.id, assignee=assignee, reason=reason, **common), conversation)
    if assignee is None:
        books.say(ASSIGNMENTS, AssignmentWaiting(**common), conversation)
    else:
        decided = AssignmentDecided(proposal_id=proposal.id, assignee=assignee, **common)
        books.say(ASSIGNMENTS, decided, conversation)
