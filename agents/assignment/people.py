"""Agents and channels change: presence, memberships, and what is taken from who left."""

from datetime import timedelta
from itertools import islice
from typing import Final

from agents.assignment.books import FAIR, PRESENCE, SOON, Books
from agents.assignment.choosing import is_present
from agents.assignment.rows import Agent, Conversation, Mark, Need
from agents.assignment.waiting import CONTINUE, MAX_PROPOSALS, propose_somebody
from schemas.events.channels import ChannelChanged
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged

HEARTBEAT_HOLDS: Final = timedelta(seconds=90)
"""A desk's heartbeat says for so long that its agent is there."""
_REMOVAL: Final = "removal/"


def replace_departed(books: Books, conversation: Conversation) -> None:
    """Somebody else is needed where the agent is no member any more, whoever assigned it; who is away stays."""
    holder, channel = conversation.holder, conversation.channel
    if conversation.proposal is not None or not conversation.routed or holder is None:
        return
    if not is_present(books, channel, holder):
        propose_somebody(books, _mark_departed(books, conversation))


def presence_changed(books: Books, event: PresenceChanged) -> None:
    """A person's choice stays until a person changes it; a desk's heartbeats count while there is none."""
    agent = books.agent(event.agent)
    by_person = event.source == "person"
    if agent.deleted or (agent.by_person and not by_person):
        return
    holds = not by_person and event.state != "offline"
    expires = books.now + HEARTBEAT_HOLDS if holds else None
    books.expect_heartbeat(event.agent, expires)
    presence = {"state": event.state, "by_person": by_person, "expires": expires}
    books.keep_agent(event.agent, agent.model_copy(update=presence))
    if event.state == "online" and agent.state != "online":
        books.appeared.add(event.agent)


def agent_saved(books: Books, event: AgentSaved) -> None:
    agent = books.agent(event.agent)
    saved = {"workload": event.workload, "teams": event.teams, "deleted": False}
    books.keep_agent(event.agent, agent.model_copy(update=saved))
    books.appeared.add(event.agent)


def agent_deleted(books: Books, event: AgentDeleted) -> None:
    books.expect_heartbeat(event.agent, None)
    # The row stays, so that a late heartbeat of theirs makes nobody of them.
    books.keep_agent(event.agent, Agent(deleted=True, load=books.agent(event.agent).load))
    for channel in list(books.channels()):
        books.leave_turns(channel, event.agent)
    _take_away(books, event.agent, "")


def channel_changed(books: Books, event: ChannelChanged) -> None:
    members = books.settings(event.channel).human_agents
    for agent in event.left:
        if agent not in members:
            books.leave_turns(event.channel, agent)
            _take_away(books, agent, event.channel)
    books.watch_window(event.channel)
    books.changed.add(event.channel)


def _take_away(books: Books, agent: str, channel: str) -> None:
    """Queue again the Open conversations of an agent who left the channel (or, where it is empty, the account)."""
    left = MAX_PROPOSALS - books.proposals
    held = list(islice(books.held_by(agent, channel), left + 1))
    for id in held[:left]:
        conversation = books.conversation(id)
        if conversation is not None:
            conversation = _mark_departed(books, conversation)
            if conversation.need is not None and conversation.proposal is None:
                propose_somebody(books, conversation)
    name = f"{_REMOVAL}{agent}/{channel}"
    if len(held) > left:
        books.put(name, Mark())
        books.set_timer(CONTINUE, books.now + SOON)
    elif books.get(name, Mark) is not None:
        books.put(name, None)


def _mark_departed(books: Books, conversation: Conversation) -> Conversation:
    """Its agent is nobody here any more: the place is free, and somebody else is needed, unless that was asked for."""
    need = conversation.need
    if need is None and conversation.routed:
        need = Need(reason="removed", at=books.now)
    conversation = conversation.model_copy(update={"left": True, "need": need})
    books.keep(conversation, "removed")
    return conversation


def timer_fired(books: Books, timer: str) -> None:
    if timer == PRESENCE:
        for agent in books.expired_presences():
            books.expect_heartbeat(agent, None)
            gone = {"state": "offline", "expires": None}
            books.keep_agent(agent, books.agent(agent).model_copy(update=gone))
    elif timer == CONTINUE:
        for name in list(books.names(_REMOVAL, Mark)):
            _, agent, channel = name.split("/")
            if is_present(books, channel, agent) if channel else not books.agent(agent).deleted:
                books.put(name, None)  # they came back meanwhile
            else:
                _take_away(books, agent, channel)
        books.changed.update(books.channels())
    elif timer.startswith(FAIR):
        channel = timer.removeprefix(FAIR)
        books.watch_window(channel)
        books.changed.add(channel)
