"""What holds whatever happens: random settings, presences and histories; conversations answers in any order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.assignment.rows import Agent, Channel, Conversation, Waiting
from agents.assignment.waiting import MAX_PROPOSALS
from schemas.events.conversation import Status
from schemas.events.inbox import ProposeAssignee
from schemas.events.people import PresenceState
from schemas.settings.channel import ChannelSettings
from streams.state import META, KeyRows, TaskState
from tests.support.assignment import ACCOUNT, PREFIXES_OF_CONVERSATIONS, AssignmentBench, channel, human, random_history

AGENTS = ("ana", "bob", "cleo")
TALKS = 6
FAIR = {"limit": 2, "window": "5m"}
ANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class LawfulBench(AssignmentBench):
    """Looks at every proposal as somebody would who knows all, and counts by hand."""

    presence: dict[str, str] = field(default_factory=dict)
    workloads: dict[str, int | None] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    granted: list[tuple[str, str, Any, str]] = field(default_factory=list)

    def can_take(self, agent: str, settings: ChannelSettings, but: str = "") -> bool:
        """By the rules of the product; `but` is the conversation that is asked about."""
        if agent not in settings.human_agents or agent in self.deleted or self.presence.get(agent) != "online":
            return False
        by_load = settings.assignment.strategy == "workload"
        limit = self.workloads.get(agent, settings.assignment.workload_default)
        if by_load and limit is not None and self.load(agent, but) >= limit:
            return False
        fair = settings.assignment.fair_window
        if fair is None:
            return True
        recent = [
            at for to, by, at, _ in self.granted if (to, by) == (agent, settings.id) and at + fair.window > self.now
        ]
        return len(recent) < fair.limit

    def load(self, agent: str, but: str = "") -> int:
        held = {talk.id for talk in self.talks.values() if talk.status is Status.OPEN and talk.assignee == human(agent)}
        # What is taken from who left uses their place no more, though they may be back before the answer.
        leaving = {row.id for row in self.rows_of("conversation/", Conversation) if row.left}
        here = {id for id in held - leaving if self.is_member(agent, self.talks[id].channel)}
        return len((here | {one.conversation_id for _, one in self.proposed if one.assignee == human(agent)}) - {but})

    def is_member(self, agent: str, channel: str) -> bool:
        return agent in self.channels[channel].human_agents and agent not in self.deleted

    def on_proposal(self, proposal: ProposeAssignee) -> None:
        assignee, id = proposal.assignee, proposal.conversation_id
        if assignee is None or assignee.kind != "human":
            return
        settings = self.channels[self.talks[id].channel]
        decision = proposal.explanation["decision"]
        if decision == "kept":
            assert self.talks[id].assignee == assignee
            assert self.presence[assignee.id] == "online"
            return
        # The proposal is in flight by now: it must not count against itself.
        assert self.can_take(assignee.id, settings, but=id), proposal.explanation
        if (team := self.talks[id].team) is not None and decision in ("workload", "sequential"):
            assert team in self.teams.get(assignee.id, "").split()
        if settings.assignment.fair_window is not None:
            self.granted.append((assignee.id, settings.id, self.now, proposal.proposal_id))

    def play(self, step: str, number: int) -> None:
        """One random step, if it makes sense."""
        agent, id = AGENTS[number % 3], f"c{number % TALKS}"
        talk, name = self.talks.get(id), ("kiosk", "shop")[number % 2]
        status = None if talk is None else talk.status
        match step:
            case "message" if talk is None:
                self.open(id, name, text=("help", "urgent", None)[number % 3])
            case "message" if status in (Status.RESOLVED, Status.CLOSED):
                self.reopen(id)
            case "message" if status is Status.SNOOZED:
                self.wake(id)
            case "reopen" if status is Status.RESOLVED:
                self.reopen(id, by_person=True)
            case "resolve" if status in (Status.OPEN, Status.SNOOZED):
                self.resolve(id)
            case "snooze" if status is Status.OPEN:
                self.snooze(id)
            case "hand_over" if status is Status.AI_REPLYING:
                self.hand_over(id)
            case "assign" if status is Status.OPEN and talk is not None and self.is_member(agent, talk.channel):
                self.assign(id, agent)
            case "team" if status is Status.OPEN:
                self.give_to_team(id, ("day", "night")[number % 2])
            case "answer" if self.proposed:
                self.reply(number % len(self.proposed))
            case "wait":
                self.wait(timedelta(minutes=number % 7))
            case _:
                self.play_people(step, number, agent, name)

    def play_people(self, step: str, number: int, agent: str, name: str) -> None:
        match step:
            case "presence" if agent not in self.deleted:
                states: tuple[PresenceState, ...] = ("online", "offline", "online", "busy")
                self.presence[agent] = states[number % 4]
                self.present(agent, state=states[number % 4])
            case "save":
                self.deleted.discard(agent)
                limit = (None, 1, 2, 0)[number % 4]
                self.workloads[agent], self.teams[agent] = limit, ("day", "night", "", "day night")[number // 4 % 4]
                self.save(agent, workload=limit, teams=self.teams[agent])
            case "members":
                some = [one for n, one in enumerate(AGENTS) if number >> n & 1 and one not in self.deleted]
                self.change(name, human_agents=some)
            case "delete" if agent not in self.deleted:
                self.delete_all(agent)
            case "strategy":
                strategy = ("workload", "sequential")[number // 2 % 2]
                self.change(name, assignment={"strategy": strategy, "workload_default": (None, 2)[number // 4 % 2]})

    def delete_all(self, agent: str) -> None:
        self.presence.pop(agent, None)
        self.workloads.pop(agent, None)
        self.teams.pop(agent, None)
        self.deleted.add(agent)
        self.delete(agent)

    def reply(self, index: int) -> None:
        proposal = self.proposed[index][1]
        if not self._accepts(self.talks[proposal.conversation_id], proposal):
            self.granted = [entry for entry in self.granted if entry[3] != proposal.proposal_id]
        self.answer(index)

    def settle(self) -> None:
        for _ in range(10_000):
            if not self.proposed:
                return
            self.reply(0)
        raise AssertionError("proposals without end")

    def check(self) -> None:
        """When all is answered, who is needed is there, or nobody can be."""
        self.settle()
        waiting = {row.conversation for row in self.rows_of("waiting/", Waiting)}
        for talk in self.talks.values():
            if talk.status is not Status.OPEN:
                assert talk.id not in waiting
            elif talk.assignee is not None and talk.assignee.kind == "human":
                assert self.is_member(talk.assignee.id, talk.channel)
                assert talk.id not in waiting
            else:
                assert talk.id in waiting
                able = [agent for agent in AGENTS if self.can_take(agent, self.channels[talk.channel])]
                assert not [
                    agent for agent in able if talk.team is None or talk.team in self.teams.get(agent, "").split()
                ]

    def rows_of(self, prefix: str, model: Any) -> Iterator[Any]:
        yield from (row for _, row in KeyRows(self.state, ACCOUNT).scan(prefix, model))


ONCE = ("message", "delete", "reopen", "resolve", "snooze", "hand_over", "assign", "team", "answer", "wait", "presence")
STEPS: tuple[str, ...] = (
    *ONCE,
    "message",
    "answer",
    "presence",
    "answer",
    "message",
    "save",
    "members",
    "strategy",
    "settle",
)
steps = random_history(STEPS)
assignments = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["workload", "sequential"]),
        "workload_default": st.sampled_from([None, 1, 2]),
        "fair_window": st.sampled_from([None, FAIR]),
        "rules": st.sampled_from(
            [
                [],
                [
                    {
                        "when": [{"field": "text", "op": "equals", "value": "urgent"}],
                        "to": {"kind": "human", "id": "cleo"},
                    },
                    {"when": [{"field": "text", "op": "equals", "value": "help"}], "to": {"kind": "team", "id": "day"}},
                ],
            ]
        ),
    }
)
bots = st.sampled_from([{}, {"enabled": True, "agents": [{"id": "bot"}]}])


def lawful(kiosk: dict[str, Any], shop: dict[str, Any], ai: dict[str, Any], online: int) -> LawfulBench:
    channels = {
        "kiosk": channel(members=AGENTS, assignment=kiosk, ai=ai),
        "shop": channel("shop", AGENTS, assignment=shop),
    }
    bench = LawfulBench(channels)
    for agent in AGENTS[:online]:
        bench.presence[agent] = "online"
        bench.present(agent)
    return bench


@ANY
@given(assignments, assignments, bots, steps)
def test_proposed_agents_can_take_it_and_no_conversation_waits_for_an_agent_who_could(
    kiosk: dict[str, Any], shop: dict[str, Any], ai: dict[str, Any], history: list[tuple[str, int]]
) -> None:
    bench = lawful(kiosk, shop, ai, online=len(history) % 4)
    for step, number in history:
        bench.play(step, number)
        if step == "settle":
            bench.check()
    bench.check()


@ANY
@given(assignments, assignments, bots, steps)
def test_no_place_is_ever_leaked(
    kiosk: dict[str, Any], shop: dict[str, Any], ai: dict[str, Any], history: list[tuple[str, int]]
) -> None:
    bench = lawful(kiosk, shop, ai, online=len(history) % 4)
    for step, number in history:
        bench.play(step, number)
        for agent in AGENTS:
            row = KeyRows(bench.state, ACCOUNT).get(f"agent/{agent}", Agent)
            assert bench.load(agent) <= (row.load if row is not None else 0)
    for id, talk in bench.talks.items():
        if talk.status in (Status.OPEN, Status.SNOOZED, Status.AI_REPLYING):
            bench.resolve(id)
    bench.settle()
    bench.wait(timedelta(hours=1))
    assert not list(bench.rows(*PREFIXES_OF_CONVERSATIONS, "grant/", "fair/"))
    assert not any(row.load for row in bench.rows_of("agent/", Agent))
    assert not any(row.waiting for row in bench.rows_of("channel/", Channel))
    assert bench.timers() == set()


# --- the round robin -----------------------------------------------------------------------------------------------

MOVES = ("message", "accept", "refuse", "presence", "join", "person")


@ANY
@given(random_history(MOVES))
def test_sequential_is_a_round_robin_as_though_what_was_refused_had_never_been(moves: list[tuple[str, int]]) -> None:
    bench = AssignmentBench({"kiosk": channel(members=AGENTS[:2], assignment={"strategy": "sequential"})})
    online: set[str] = set()
    served: dict[str, list[int]] = {}  # the turns of each agent that stand, by a clock of our own
    in_flight: dict[str, tuple[str, int]] = {}
    for clock, (move, number) in enumerate(moves):
        agent, members = AGENTS[number % 3], bench.channels["kiosk"].human_agents
        match move:
            case "message":
                for place, member in enumerate(members):
                    served.setdefault(member, [clock * 10 + place])
                bench.open(f"c{clock}")
                proposal = bench.proposed[-1][1]
                able = [member for member in members if member in online]
                expected = min(able, key=lambda member: max(served[member]), default=None)
                assert (None if proposal.assignee is None else proposal.assignee.id) == expected
                if expected is not None:
                    turn = clock * 10 + 9
                    served[expected].append(turn)
                    in_flight[proposal.proposal_id] = (expected, turn)
                else:
                    # It would be served by whoever appears; here only direct proposals are looked at.
                    bench.resolve(f"c{clock}")
                    bench.answer(len(bench.proposed) - 1)
            case "accept" if bench.proposed:
                index = number % len(bench.proposed)
                in_flight.pop(bench.proposed[index][1].proposal_id)
                bench.answer(index)
            case "refuse" if bench.proposed:
                index = number % len(bench.proposed)
                proposal = bench.proposed[index][1]
                who, turn = in_flight.pop(proposal.proposal_id)
                served[who].remove(turn)
                bench.resolve(proposal.conversation_id)
                bench.answer(index)
            case "presence":
                online ^= {agent}
                bench.present(agent, state="online" if agent in online else "offline")
            case "join" if len(members) < 3:
                bench.change("kiosk", human_agents=list(AGENTS))
            case "person" if agent in members and bench.proposed:
                proposal = bench.proposed[0][1]
                who, turn = in_flight.pop(proposal.proposal_id)
                served[who].remove(turn)
                bench.assign(proposal.conversation_id, agent)
                bench.answer(0)


# --- ten thousand wait -----------------------------------------------------------------------------------------------


class CountingReader:
    """Counts what a decision reads."""

    def __init__(self, state: TaskState) -> None:
        self._state = state
        self.count = 0

    def read(self, key: str, name: str) -> bytes | None:
        self.count += name != META
        return self._state.read(key, name)

    def names(self, key: str, prefix: str) -> Iterator[str]:
        for name in self._state.names(key, prefix):
            self.count += 1
            yield name


def crowd(size: int) -> AssignmentBench:
    """An account in which so many conversations wait, every tenth for a team."""
    bench = AssignmentBench({"kiosk": channel(members=AGENTS)})
    for n in range(size):
        bench.open(f"c{n:05}", text="x" * 100)
        if n % 10 == 0:
            bench.answer_all()
            bench.give_to_team(f"c{n:05}", "night")
        bench.answer_all()
    return bench


def test_with_10_000_waiting_a_decision_reads_few_rows_and_no_row_is_large() -> None:
    bench = crowd(10_000)
    assert len(list(bench.rows("waiting/"))) == 10_000
    assert max(len(value) for _, _, value in bench.state.rows()) < 8 << 10
    reader = bench.reader = CountingReader(bench.state)

    def reads() -> int:
        reader.count, before = 0, reader.count
        return before

    bench.save("ana", workload=3)
    bench.present("ana")
    bench.answer_all()
    assert [bench.holder(f"c{n:05}") for n in range(4)] == ["night", "ana", "ana", "ana"]
    assert reads() < 500
    bench.resolve("c00002")
    bench.answer_all()
    assert bench.holder("c00004") == "ana"
    assert reads() < 200
    bench.open("new")
    bench.answer_all()
    assert bench.holder("new") is None
    assert reads() < 100
    bench.save("bob", teams="night", workload=1)
    bench.present("bob")
    bench.answer_all()
    assert bench.holder("c00000") == "bob"
    assert reads() < 200
    bench.change("kiosk", human_agents=["ana", "bob"])
    assert reads() < 200


def test_somebody_without_a_limit_gets_them_all_in_parts_and_their_conversations_leave_in_parts() -> None:
    bench = crowd(1_000)
    bench.save("ana", workload=None, teams="night")
    bench.present("ana")
    assert len(bench.proposed) == MAX_PROPOSALS
    for _ in range(6):
        bench.answer_all()
        bench.wait(timedelta(milliseconds=1))
        assert bench.last is not None
        assert len(bench.last.outgoing) <= 4 * MAX_PROPOSALS
    assert not list(bench.rows("waiting/"))
    bench.change("kiosk", human_agents=["bob"])
    assert len(bench.proposed) == MAX_PROPOSALS
    for _ in range(6):
        bench.answer_all()
        bench.wait(timedelta(milliseconds=1))
    assert not list(bench.rows("held/ana/", "removal/"))
    assert len(list(bench.rows("waiting/"))) == 1_000
    assert max(len(value) for _, _, value in bench.state.rows()) < 8 << 10


def test_an_agent_who_comes_back_while_conversations_are_taken_keeps_the_rest() -> None:
    bench = crowd(600)
    bench.save("ana", workload=None, teams="night")
    bench.present("ana")
    for _ in range(4):
        bench.answer_all()
        bench.wait(timedelta(milliseconds=1))
    bench.change("kiosk", human_agents=["bob"])
    bench.change("kiosk", human_agents=["ana", "bob"])
    bench.wait(timedelta(seconds=1))
    bench.answer_all()
    assert not list(bench.rows("waiting/", "removal/"))
    assert {bench.holder(id) for id in bench.talks} == {"ana"}
