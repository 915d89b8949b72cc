"""An account on a bench: the assignment stage, and a small conversations stage that answers by the book."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from hypothesis import strategies as st

from agents.assignment.decide import ASSIGNMENT
from schemas.event import Event
from schemas.events.assignment import (
    AssignmentDecided,
    AssignmentReason,
    AssignmentReleased,
    AssignmentRequested,
    AssignmentWaiting,
    ConversationChanged,
    ProposalAnswered,
)
from schemas.events.channels import ChannelChanged
from schemas.events.conversation import Assignee, Status
from schemas.events.inbox import ProposeAssignee
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged, PresenceState
from schemas.record import Record, from_milliseconds
from schemas.settings.channel import ChannelSettings, apply_change, parse_channel
from schemas.topics import ASSIGNMENTS, INBOX
from streams.state import META, Meta, Reader, TaskState
from streams.step import Due, Step, step

ACCOUNT = "acme"
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PREFIXES_OF_CONVERSATIONS = ("conversation/", "held/", "waiting/", "took/", "removal/")


def random_history(steps: Sequence[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Steps, each with a number. Drawn evenly: the lists that hypothesis makes repeat themselves, so little happens."""

    def drawn(seed: int, length: int) -> list[tuple[str, int]]:
        random = Random(seed)
        return [(random.choice(steps), random.randrange(64)) for _ in range(length)]

    return st.builds(drawn, st.integers(0, 2**32), st.integers(10, 100))


def human(id: str) -> Assignee:
    return Assignee(kind="human", id=id)


def team(id: str) -> Assignee:
    return Assignee(kind="team", id=id)


BOT = Assignee(kind="ai", id="bot")


def channel(id: str = "kiosk", members: tuple[str, ...] = ("ana", "bob", "cleo"), **settings: Any) -> ChannelSettings:
    """A channel of the account; settings: as in a file."""
    data = {"id": id, "account": ACCOUNT, "phone_number": "+4930901820", "human_agents": list(members)}
    return parse_channel({**data, **settings})


@dataclass
class Talk:
    """A conversation as the conversations stage has it. team: somebody of it was asked for last."""

    id: str
    key: str
    channel: str
    revision: int = 1
    status: Status = Status.OPEN
    assignee: Assignee | None = None
    routed: bool = False
    team: str | None = None


@dataclass
class AssignmentBench:
    """The account. Whatever happens is reported to assignment at once; proposals are answered when a test says so.

    proposed: those without an answer, in order. reported: what assignment said on its own topic.
    """

    channels: dict[str, ChannelSettings]
    now: datetime = START
    state: TaskState = field(default_factory=TaskState)
    reader: Reader | None = None
    talks: dict[str, Talk] = field(default_factory=dict)
    proposed: list[tuple[str, ProposeAssignee]] = field(default_factory=list)
    reported: list[Event] = field(default_factory=list)
    last: Step | None = None
    records: int = 0

    # --- the stage ---------------------------------------------------------------------------------------------

    def feed(self, event: Event, channel: str | None = None) -> None:
        """One record for assignment, stamped with the channel's present settings."""
        self.records += 1
        revision = self.channels[channel].revision if channel is not None else 0
        record = Record(f"r{self.records}", "/test", self.now, ACCOUNT, event, channel, revision)
        self._take(step(ASSIGNMENT, self.reader or self.state, record, self._settings))

    def wait(self, delta: timedelta) -> None:
        """Time passes; the timers due on the way fire, each in its own step."""
        until = self.now + delta
        while due := self.state.due(until, limit=1):
            self.now = from_milliseconds(due[0][0])
            self._take(step(ASSIGNMENT, self.reader or self.state, Due(ACCOUNT, self.now), self._settings))
        self.now = until

    def _take(self, made: Step) -> None:
        assert made.failure is None, made.failure
        self.last = made
        for name, value in made.rows.items():
            self.state.write(made.key, name, value)
        for out in made.outgoing:
            event, talk = out.record.event, self._of(out.record.event)
            assert (out.key, out.record.channel) == (talk.key, talk.channel)
            assert out.record.settings_revision == self.channels[talk.channel].revision
            if out.topic is INBOX:
                assert isinstance(event, ProposeAssignee)
                assert event.conversation_id not in {other.conversation_id for _, other in self.proposed}
                self.proposed.append((out.key, event))
                self.on_proposal(event)
            else:
                assert out.topic is ASSIGNMENTS
                self.reported.append(event)

    def on_proposal(self, proposal: ProposeAssignee) -> None:
        """What a law looks at."""

    def _of(self, event: Event) -> Talk:
        assert isinstance(event, ProposeAssignee | AssignmentDecided | AssignmentWaiting | AssignmentReleased)
        return self.talks[event.conversation_id]

    def _settings(self, id: str, revision: int) -> ChannelSettings:
        assert self.channels[id].revision == revision
        return self.channels[id]

    # --- what ingress tells ----------------------------------------------------------------------------------------

    def present(
        self, *agents: str, state: PresenceState = "online", source: Literal["person", "heartbeat"] = "person"
    ) -> None:
        for agent in agents:
            self.feed(PresenceChanged(agent=agent, state=state, source=source))

    def save(self, agent: str, *, workload: int | Literal["default"] | None = "default", teams: str = "") -> None:
        self.feed(AgentSaved(agent=agent, workload=workload, teams=tuple(teams.split())))

    def change(self, id: str, **settings: Any) -> None:
        """Change a channel's settings."""
        before = self.channels[id]
        after = self.channels[id] = apply_change(before, settings)
        left = tuple(agent for agent in before.human_agents if agent not in after.human_agents)
        self.feed(ChannelChanged(channel=id, left=left), id)

    def delete(self, agent: str) -> None:
        """As ingress does: out of the account, then out of every channel."""
        self.feed(AgentDeleted(agent=agent))
        for id, settings in self.channels.items():
            if agent in settings.human_agents:
                self.change(id, human_agents=[other for other in settings.human_agents if other != agent])

    # --- what conversations tells ----------------------------------------------------------------------------------

    def open(self, id: str, channel: str = "kiosk", **request: Any) -> None:
        """A customer's first message."""
        self.talks[id] = Talk(id, f"{channel}:49151{len(self.talks):08}", channel)
        self.request(id, "opened", **request)

    def request(self, id: str, reason: AssignmentReason, **request: Any) -> None:
        talk = self.talks[id]
        about = {"conversation_id": id, "conversation_key": talk.key, "channel": talk.channel}
        talk.team = request.get("team")
        event = AssignmentRequested(**about, revision=talk.revision, reason=reason, **{"at": self.now, **request})
        self.feed(event, talk.channel)

    def alter(
        self, id: str, status: Status | None = None, assignee: Assignee | None = None, routed: bool = True
    ) -> None:
        """The conversation has another status or assignee (None stands for nobody) now."""
        talk = self.talks[id]
        talk.status, talk.assignee, talk.routed = status or talk.status, assignee, routed
        talk.revision += 1
        self._tell_changed(talk)

    def _tell_changed(self, talk: Talk) -> None:
        if talk.assignee is not None and talk.assignee.kind == "human":
            talk.team = None
        event = ConversationChanged(
            conversation_id=talk.id,
            conversation_key=talk.key,
            channel=talk.channel,
            revision=talk.revision,
            status=talk.status,
            assignee=talk.assignee,
            routed=talk.routed,
        )
        self.feed(event, talk.channel)

    def assign(self, id: str, agent: str) -> None:
        """A person gives it to an agent."""
        self.alter(id, Status.OPEN, human(agent))

    def give_to_team(self, id: str, name: str) -> None:
        self.alter(id, Status.OPEN, team(name))
        self.request(id, "team", team=name)

    def resolve(self, id: str) -> None:
        self.alter(id, Status.RESOLVED, self.talks[id].assignee, self.talks[id].routed)

    def snooze(self, id: str) -> None:
        self.alter(id, Status.SNOOZED, self.talks[id].assignee, self.talks[id].routed)

    def wake(self, id: str) -> None:
        talk = self.talks[id]
        self.alter(id, Status.OPEN, talk.assignee)
        if talk.assignee is None or talk.assignee.kind == "ai":
            talk.assignee = None
            self.request(id, "unassigned")
        elif talk.assignee.kind == "team":
            self.request(id, "team", team=talk.assignee.id)

    def reopen(self, id: str, *, by_person: bool = False) -> None:
        talk = self.talks[id]
        self.alter(id, Status.OPEN, talk.assignee, routed=False)
        if by_person and talk.assignee is not None and talk.assignee.kind == "team":
            self.request(id, "team", former=talk.assignee, team=talk.assignee.id)
        else:
            self.request(id, "reopened_by_person" if by_person else "reopened", former=talk.assignee)

    def hand_over(self, id: str) -> None:
        """The AI agent wants a person."""
        self.alter(id, Status.OPEN, None)
        self.request(id, "handed_over")

    def answer(self, index: int = 0) -> ProposalAnswered:
        """Answer a proposal, by default the oldest."""
        _, proposal = self.proposed.pop(index)
        talk = self.talks[proposal.conversation_id]
        accepted = self._accepts(talk, proposal)
        if accepted:
            self._carry_out(talk, proposal)
        answered = ProposalAnswered(
            proposal_id=proposal.proposal_id,
            conversation_id=talk.id,
            revision=talk.revision,
            accepted=accepted,
            reason=None if accepted else "stale_revision",
        )
        self.feed(answered, talk.channel)
        return answered

    def _accepts(self, talk: Talk, proposal: ProposeAssignee) -> bool:
        if talk.revision != proposal.revision or talk.status is not Status.OPEN:
            return False
        holder = talk.assignee.id if talk.assignee is not None and talk.assignee.kind == "human" else None
        # Whom a person chose stays, as long as they are a member by what the conversation knows.
        return not (talk.routed and holder in self.channels[talk.channel].human_agents)

    def _carry_out(self, talk: Talk, proposal: ProposeAssignee) -> None:
        status = Status.AI_REPLYING if proposal.assignee is not None and proposal.assignee.kind == "ai" else Status.OPEN
        stays = talk.assignee if talk.assignee is not None and talk.assignee.kind == "team" else None
        assignee = proposal.assignee or stays
        changes = (status, assignee) != (talk.status, talk.assignee)
        talk.status, talk.assignee, talk.routed = status, assignee, True
        if changes:
            talk.revision += 1
            self._tell_changed(talk)

    def answer_all(self) -> None:
        """Answer until nothing is in flight."""
        for _ in range(100_000):
            if not self.proposed:
                return
            self.answer()
        raise AssertionError("proposals without end")

    # --- what came of it ---------------------------------------------------------------------------------------------

    def route(self, id: str, channel: str = "kiosk", **request: Any) -> str | None:
        """Open one and answer all: who has it."""
        self.open(id, channel, **request)
        self.answer_all()
        return self.holder(id)

    def holder(self, id: str) -> str | None:
        assignee = self.talks[id].assignee
        return None if assignee is None else assignee.id

    def explanation(self) -> dict[str, Any]:
        """The last one."""
        found = [event for event in self.reported if isinstance(event, AssignmentDecided | AssignmentWaiting)]
        return dict(found[-1].explanation)

    def rows(self, *prefixes: str) -> Iterator[str]:
        for prefix in prefixes or ("",):
            yield from (name for name in self.state.names(ACCOUNT, prefix) if name != META)

    def timers(self) -> set[str]:
        value = self.state.read(ACCOUNT, META)
        return set() if value is None else set(Meta.decode(value).timers)

    def released(self) -> list[tuple[str, str, str]]:
        """Conversation, agent and reason of each place that came back."""
        found = (event for event in self.reported if isinstance(event, AssignmentReleased))
        return [(event.conversation_id, event.agent, event.reason) for event in found]
