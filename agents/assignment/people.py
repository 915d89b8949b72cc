"""Agents and channels change: presence, memberships, and what is taken from who left."""

from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal

from agents.assignment.books import ABSENCE, FAIR, PRESENCE, SOON, Books
from agents.assignment.choosing import is_present
from agents.assignment.rows import Agent, Conversation, Mark
from agents.assignment.waiting import CONTINUE, MAX_PROPOSALS, propose_assignee
from schemas.events.assignment import AssignmentNeed
from schemas.events.channels import ChannelChanged
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.record import milliseconds

HEARTBEAT_HOLDS: Final = timedelta(seconds=90)
"""A desk's heartbeat says for so long that its agent is there."""
_REMOVAL: Final = "removal/"
Reason = Literal["removed", "offline"]


def why_taken(books: Books, conversation: Conversation) -> Reason | None:
    """Why an Open conversation goes from its agent to another one; None: it stays.

    Its agent left the channel, even if a person assigned them; or no person did, and its agent is offline for too long.
    """
    agent, channel = conversation.holder, conversation.channel
    if agent is None:
        return None
    if not is_present(books, channel, agent):
        return "removed"
    after = books.settings(channel).assignment.requeue.offline_after
    since = books.agent(agent).offline_since
    if not conversation.automatic or after is None or since is None:
        return None
    return "offline" if milliseconds(since + after) <= milliseconds(books.now) else None


def replace_agent(books: Books, conversation: Conversation) -> None:
    """Propose another agent where the conversation goes from its own."""
    if conversation.proposal is not None or not conversation.routed:
        return
    why = why_taken(books, conversation)
    if why is not None:
        propose_assignee(books, _take(books, conversation, why))


def presence_changed(books: Books, event: PresenceChanged) -> None:
    """A person's choice stays until a person changes it; a desk's heartbeats count until a person has chosen."""
    agent = books.agent(event.agent)
    by_person = event.source == "person"
    if agent.deleted or (agent.by_person and not by_person):
        return
    holds = not by_person and event.state != "offline"
    expires = books.now + HEARTBEAT_HOLDS if holds else None
    books.expect_heartbeat(event.agent, expires)
    presence = {"state": event.state, "by_person": by_person, "expires": expires}
    _keep_presence(books, event.agent, agent.model_copy(update=presence))
    if event.state == "online" and agent.state != "online":
        books.appeared.add(event.agent)


def _keep_presence(books: Books, agent: str, row: Agent) -> None:
    since = (row.offline_since or books.now) if row.state == "offline" else None
    books.keep_agent(agent, row.model_copy(update={"offline_since": since}))
    channels = books.channels() if since is not None else ()
    due = {channel: at for channel in channels if (at := _absence_ends(books, agent, channel)) is not None}
    books.expect_absence(agent, due)


def _absence_ends(books: Books, agent: str, channel: str) -> datetime | None:
    """When the agent has been offline for too long in the channel; None: never."""
    settings, since = books.settings(channel), books.agent(agent).offline_since
    after = settings.assignment.requeue.offline_after
    return None if after is None or since is None or agent not in settings.human_agents else since + after


def agent_saved(books: Books, event: AgentSaved) -> None:
    agent = books.agent(event.agent)
    saved = {"workload": event.workload, "teams": event.teams, "deleted": False}
    books.keep_agent(event.agent, agent.model_copy(update=saved))
    books.appeared.add(event.agent)


def agent_deleted(books: Books, event: AgentDeleted) -> None:
    books.expect_heartbeat(event.agent, None)
    books.expect_absence(event.agent, {})
    # The row stays, so that a late heartbeat of theirs makes nobody of them.
    books.keep_agent(event.agent, Agent(deleted=True, load=books.agent(event.agent).load))
    for channel in list(books.channels()):
        books.leave_turns(channel, event.agent)
    _take_away(books, event.agent, "")


def channel_changed(books: Books, event: ChannelChanged) -> None:
    settings = books.settings(event.channel)
    members, requeue = settings.human_agents, settings.assignment.requeue
    for agent in event.left:
        if agent not in members:
            books.leave_turns(event.channel, agent)
            _take_away(books, agent, event.channel)
    if requeue.offline_after is not None:
        books.remember_channel(event.channel)
    for agent in members:
        row = books.agent(agent)
        if row.state == "offline" and (row.gone or requeue.offline_after is not None):
            _keep_presence(books, agent, row)
    books.watch_window(event.channel)
    books.changed.add(event.channel)


def _take_away(books: Books, agent: str, channel: str) -> None:
    """Queue again what goes from the agent: Open conversations of the channel or, where it is empty, of the account."""
    left = MAX_PROPOSALS - books.proposals
    held = (books.conversation(id) for id in books.held_by(agent, channel))
    going = ((one, why) for one in held if one is not None and (why := why_taken(books, one)) is not None)
    taken = list(islice(going, left + 1))
    for conversation, why in taken[:left]:
        conversation = _take(books, conversation, why)
        if conversation.need is not None and conversation.proposal is None:
            propose_assignee(books, conversation)
    name = f"{_REMOVAL}{agent}/{channel}"
    if len(taken) > left:
        books.put(name, Mark())
        books.set_timer(CONTINUE, books.now + SOON)
    elif books.get(name, Mark) is not None:
        books.put(name, None)


def _take(books: Books, conversation: Conversation, why: Reason) -> Conversation:
    """Free the agent's slot; another agent is needed, unless that was asked for already."""
    need = conversation.need
    if need is None and conversation.routed:
        need = AssignmentNeed(reason=why, at=books.now)
    conversation = conversation.model_copy(update={"left": True, "need": need})
    books.keep(conversation, why)
    return conversation


def timer_fired(books: Books, timer: str) -> None:
    if timer == PRESENCE:
        for agent in books.expired_presences():
            books.expect_heartbeat(agent, None)
            _keep_presence(books, agent, books.agent(agent).model_copy(update={"state": "offline", "expires": None}))
    elif timer == ABSENCE:
        for agent, channel in books.absences():
            others = {one: at for one in books.channels() if (at := _absence_ends(books, agent, one)) is not None}
            books.expect_absence(
                agent, {one: at for one, at in others.items() if milliseconds(at) > milliseconds(books.now)}
            )
            _take_away(books, agent, channel)
    elif timer == CONTINUE:
        for name in list(books.names(_REMOVAL, Mark)):
            _, agent, channel = name.split("/")
            _take_away(books, agent, channel)
        books.changed.update(books.channels())
    elif timer.startswith(FAIR):
        channel = timer.removeprefix(FAIR)
        books.watch_window(channel)
        books.changed.add(channel)
