"""The books that one decision keeps of an account's rows: slots, turns, fair windows, the queue."""

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final, Literal, cast

from agents.assignment.rows import Agent, Channel, Conversation, Count, Grant, Mark, Took, Turn, Waiting
from agents.stage import Context, Decision, Emit, Row, Rows, RowT
from schemas.event import Event
from schemas.events.assignment import AssignmentReleased
from schemas.record import from_milliseconds, milliseconds
from schemas.settings.channel import ChannelSettings
from schemas.topics import ASSIGNMENTS, Topic

FAIR: Final = "fair/"
PRESENCE: Final = "presence"
ABSENCE: Final = "absence"
SOON: Final = timedelta(milliseconds=1)
"""Delay before the remaining work. A timer due now would fire in the same step and limit nothing."""
MAX_EXPIRED: Final = 1000
"""Assignments that one decision drops from a fair window."""
ReleaseReason = Literal["refused", "moved", "ended", "removed", "offline"]
_GONE: Final = "gone/"
_NOBODY: Final = Agent()
_STORED: Final = Mark()


class Books:
    """The account's rows in one decision: what was written so far is read back.

    appeared: agents who may take more than before; changed: channels that may be served. Both are what to serve for.
    """

    def __init__(self, rows: Rows, ctx: Context) -> None:
        self._rows, self.ctx = rows, ctx
        self._read: dict[str, Row | None] = {}
        self._writes: dict[str, Row | None] = {}
        self._emits: list[Emit] = []
        self._timers: dict[str, datetime | None] = {}
        self._fair: set[str] = set()
        self._expired: set[str] = set()
        self.appeared: set[str] = set()
        self.changed: set[str] = set()
        self.proposals = 0

    @property
    def now(self) -> datetime:
        return self.ctx.now

    def settings(self, channel: str) -> ChannelSettings:
        return self.ctx.settings(channel)

    def say(self, topic: Topic, event: Event, conversation: Conversation) -> None:
        """Write an event about the conversation."""
        self._emits.append(Emit(topic, conversation.key, event, channel=conversation.channel))

    def decision(self) -> Decision:
        """All of it."""
        for channel in sorted(self._fair):
            self._set_fair_timer(channel)
        return Decision(self._writes, tuple(self._emits), self._timers)

    def set_timer(self, name: str, at: datetime | None) -> None:
        self._timers[name] = at

    def get(self, name: str, model: type[RowT]) -> RowT | None:
        """The row as this decision has it so far."""
        if name in self._writes:
            return cast(RowT | None, self._writes[name])
        if name not in self._read:
            self._read[name] = self._rows.get(name, model)
        return cast(RowT | None, self._read[name])

    def put(self, name: str, row: Row | None) -> None:
        self._writes[name] = row

    def names(self, prefix: str, model: type[Row]) -> Iterator[str]:
        """The names of the rows that begin with prefix, in order, read as they are asked for."""
        added = sorted(name for name, row in self._writes.items() if row is not None and name.startswith(prefix))
        stored = (name for name, _ in self._rows.scan(prefix, model))
        last = None
        for name in heapq.merge(stored, added):
            if name != last and self._writes.get(name, _STORED) is not None:
                yield name
            last = name

    def next_number(self) -> int:
        """A number greater than any before."""
        number = (self.get("numbers", Count) or Count()).count + 1
        self.put("numbers", Count(count=number))
        return number

    # --- agents --------------------------------------------------------------------------------------------------

    def agent(self, agent: str) -> Agent:
        return self.get(f"agent/{agent}", Agent) or _NOBODY

    def keep_agent(self, agent: str, row: Agent) -> None:
        self.put(f"agent/{agent}", None if row == _NOBODY else row)

    def expect_heartbeat(self, agent: str, expires: datetime | None) -> None:
        """Move the agent's place among the presences that expire; None: theirs does not."""
        before = self.agent(agent).expires
        if before is not None:
            self.put(_heartbeat(before, agent), None)
        if expires is not None:
            self.put(_heartbeat(expires, agent), Mark())
        first = next(self.names("heartbeat/", Mark), None)
        self.set_timer(PRESENCE, None if first is None else from_milliseconds(int(first.split("/")[1])))

    def expired_presences(self) -> list[str]:
        """The agents whose presence has expired."""
        until = _heartbeat(self.now, "\U0010ffff")
        return [name.split("/", 2)[2] for name in takewhile(lambda name: name <= until, self.names("heartbeat/", Mark))]

    def expect_absence(self, agent: str, due: Mapping[str, datetime]) -> None:
        """Replace when the agent's absence takes their conversations away, by channel."""
        row = self.agent(agent)
        names = tuple(f"{_GONE}{milliseconds(at):013d}/{agent}/{channel}" for channel, at in sorted(due.items()))
        if names == row.gone:
            return
        for name in row.gone:
            self.put(name, None)
        for name in names:
            self.put(name, Mark())
        self.keep_agent(agent, row.model_copy(update={"gone": names}))
        first = next(self.names(_GONE, Mark), None)
        self.set_timer(ABSENCE, None if first is None else from_milliseconds(int(first.split("/")[1])))

    def absences(self) -> list[tuple[str, str]]:
        """Agent and channel of each absence that is due."""
        due = takewhile(lambda name: int(name.split("/")[1]) <= milliseconds(self.now), self.names(_GONE, Mark))
        return [(agent, channel) for _, _, agent, channel in (name.split("/") for name in due)]

    # --- conversations and the slots they use -----------------------------------------------------------------

    def conversation(self, id: str) -> Conversation | None:
        return self.get(f"conversation/{id}", Conversation)

    def keep(self, after: Conversation, reason: ReleaseReason) -> None:
        """Write the conversation; what it uses, and whether it waits, follows. reason: of slots that come back."""
        before = self.conversation(after.id)
        needed = after.open or after.proposal is not None
        self.put(f"conversation/{after.id}", after if needed else None)
        self._keep_slots(before, after, reason)
        self._keep_queue(before, after)

    def _keep_slots(self, before: Conversation | None, after: Conversation, reason: ReleaseReason) -> None:
        held, slots = (None, frozenset[str]()) if before is None else (before.holder, before.slots)
        if held != after.holder:
            if held is not None:
                self.put(_held(held, after), None)
            if after.holder is not None:
                self.put(_held(after.holder, after), Mark())
        for agent in sorted(slots - after.slots):
            self._load(agent, -1)
            self.appeared.add(agent)
            released = AssignmentReleased(conversation_id=after.id, agent=agent, reason=reason)
            self.say(ASSIGNMENTS, released, after)
        for agent in sorted(after.slots - slots):
            self._load(agent, +1)

    def _load(self, agent: str, change: int) -> None:
        row = self.agent(agent)
        self.keep_agent(agent, row.model_copy(update={"load": row.load + change}))

    def held_by(self, agent: str, channel: str) -> Iterator[str]:
        """The Open conversations that the agent holds in the channel; of any channel where it is empty."""
        for name in self.names(f"held/{agent}/{channel + '/' if channel else ''}", Mark):
            yield name.rsplit("/", 1)[1]

    # --- who waits -------------------------------------------------------------------------------------------------

    def _keep_queue(self, before: Conversation | None, after: Conversation) -> None:
        old = None if before is None else _place_in_queue(before)
        new = _place_in_queue(after)
        if old == new:
            return
        if before is not None and old is not None:
            self.put(old, None)
            self._count_waiting(before, -1)
        if new is not None:
            self.put(new, Waiting(conversation=after.id))
            self._count_waiting(after, +1)
            self.changed.add(after.channel)

    def _count_waiting(self, conversation: Conversation, change: int) -> None:
        queues = dict(self.queues(conversation.channel))
        queue = conversation.queue or ""
        queues[queue] = queues.get(queue, 0) + change
        left = {name: count for name, count in queues.items() if count}
        self.put(f"channel/{conversation.channel}", Channel(waiting=left))

    def queues(self, channel: str) -> dict[str, int]:
        """How many wait in each queue of the channel in which somebody does."""
        return (self.get(f"channel/{channel}", Channel) or Channel()).waiting

    def remember_channel(self, channel: str) -> None:
        """It is one of `channels()` from here on."""
        if self.get(f"channel/{channel}", Channel) is None:
            self.put(f"channel/{channel}", Channel())

    def channels(self) -> Iterator[str]:
        """Every channel in which turns were taken, or absent agents lose conversations."""
        return (name.split("/", 1)[1] for name in self.names("channel/", Channel))

    def waiting(self, channel: str, queue: str) -> Iterator[Conversation]:
        """Those that wait in the queue, the one that has waited longest first."""
        for name in self.names(f"waiting/{channel}/{queue}/", Waiting):
            place = self.get(name, Waiting)
            conversation = None if place is None else self.conversation(place.conversation)
            if conversation is not None:
                yield conversation

    # --- turns -----------------------------------------------------------------------------------------------------

    def turn(self, channel: str, agent: str) -> int:
        """When the agent was last served in the channel. A newcomer goes behind everybody else."""
        name = f"turn/{channel}/{agent}"
        row = self.get(name, Turn)
        if row is None:
            row = Turn(last=self.next_number())
            self.put(name, row)
            self.remember_channel(channel)
        return row.last

    def take_turn(self, channel: str, agent: str) -> int:
        """The agent is served."""
        before, number = self.turn(channel, agent), self.next_number()
        self.put(f"turn/{channel}/{agent}", Turn(last=number))
        self.put(_took(number), Took(channel=channel, agent=agent, before=before))
        earlier = self.get(_took(before), Took)
        if earlier is not None:
            self.put(_took(before), earlier.model_copy(update={"after": number}))
        return number

    def answer_turn(self, number: int, *, returned: bool) -> None:
        """The turn's proposal is answered. returned: as though it had never been taken, nor those after it moved."""
        took = self.get(_took(number), Took)
        if took is None:
            return
        self.put(_took(number), None)
        if not returned:
            return
        name = f"turn/{took.channel}/{took.agent}"
        earlier, later = self.get(_took(took.before), Took), self.get(_took(took.after or 0), Took)
        if earlier is not None:
            self.put(_took(took.before), earlier.model_copy(update={"after": took.after}))
        if later is not None and took.after is not None:
            self.put(_took(took.after), later.model_copy(update={"before": took.before}))
        row = self.get(name, Turn)
        if row is not None and row.last == number:
            self.put(name, Turn(last=took.before))

    def leave_turns(self, channel: str, agent: str) -> None:
        """The agent has left the channel; one who comes back is a newcomer."""
        self.put(f"turn/{channel}/{agent}", None)

    # --- fair windows ----------------------------------------------------------------------------------------------

    def granted(self, channel: str, agent: str) -> int:
        """How many assignments in the channel's present fair window are the agent's."""
        self._expire_grants(channel)
        return (self.get(f"{FAIR}{channel}/{agent}", Count) or Count()).count

    def grant(self, channel: str, agent: str) -> str:
        """Count an assignment. The name is what it is given back by."""
        name = f"grant/{channel}/{milliseconds(self.now):013d}/{self.next_number():012d}"
        self.put(name, Grant(agent=agent, at=self.now))
        self._count_granted(channel, agent, +1)
        return name

    def give_back(self, grant: str) -> None:
        """The assignment was refused; it may have left the window meanwhile."""
        row = self.get(grant, Grant)
        if row is not None:
            channel = grant.split("/")[1]
            self.put(grant, None)
            self._count_granted(channel, row.agent, -1)
            self.appeared.add(row.agent)

    def watch_window(self, channel: str) -> None:
        """The channel's window was changed, or has moved on."""
        self._expire_grants(channel)
        self._fair.add(channel)

    def _count_granted(self, channel: str, agent: str, change: int) -> None:
        name = f"{FAIR}{channel}/{agent}"
        count = (self.get(name, Count) or Count()).count + change
        self.put(name, Count(count=count) if count else None)
        self._fair.add(channel)

    def _expire_grants(self, channel: str) -> None:
        """Drop what has left the window. A slot comes back `window` after it was taken, to the millisecond."""
        if channel in self._expired:
            return
        self._expired.add(channel)
        window = self._window(channel)
        for name in islice(self.names(f"grant/{channel}/", Grant), MAX_EXPIRED):
            row = self.get(name, Grant)
            if row is None or row.at + window > self.now:
                return
            self.put(name, None)
            self._count_granted(channel, row.agent, -1)

    def _window(self, channel: str) -> timedelta:
        fair = self.settings(channel).assignment.fair_window
        return timedelta() if fair is None else fair.window

    def _set_fair_timer(self, channel: str) -> None:
        first = next(self.names(f"grant/{channel}/", Grant), None)
        row = None if first is None else self.get(first, Grant)
        soon = self.now + SOON
        self.set_timer(f"{FAIR}{channel}", None if row is None else max(row.at + self._window(channel), soon))


def _heartbeat(expires: datetime, agent: str) -> str:
    return f"heartbeat/{milliseconds(expires):013d}/{agent}"


def _held(agent: str, conversation: Conversation) -> str:
    return f"held/{agent}/{conversation.channel}/{conversation.id}"


def _place_in_queue(conversation: Conversation) -> str | None:
    if conversation.queue is None or conversation.number is None:
        return None
    return f"waiting/{conversation.channel}/{conversation.queue}/{conversation.number:012d}"


def _took(number: int) -> str:
    return f"took/{number:012d}"
