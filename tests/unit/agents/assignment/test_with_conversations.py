"""assignment and conversations together, in memory: whatever people do, in whatever interleaving, both agree."""

from datetime import datetime, timedelta
from typing import Any, NoReturn

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.assignment import rows as assignment_rows
from agents.assignment.decide import ASSIGNMENT
from agents.conversations import rows as conversations_rows
from agents.conversations.decide import CONVERSATIONS
from schemas.event import Event
from schemas.events.assignment import ProposalAnswered
from schemas.events.channels import ChannelChanged
from schemas.events.conversation import LIVE, Assignee, Status
from schemas.events.inbox import AiFailed, Assign, HandOver, MessageReceived, Reopen, Reply, Resolve, Snooze
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.record import Record
from schemas.settings.channel import ChannelSettings, apply_change
from schemas.topics import ACCOUNT_INBOX, AI_REQUESTS, DEAD_LETTERS, INBOX, Topic
from streams.driver import Driver
from streams.runtime.settings_store import SettingsStore
from streams.state import META, KeyRows, TaskState
from tests.support.assignment import ACCOUNT, PREFIXES_OF_CONVERSATIONS, START, channel, human, random_history

AGENTS = ("ana", "bob", "cleo")
TEAMS = {"ana": "day", "bob": "day night", "cleo": ""}
CONTACTS = 4
RULES = [
    {"when": [{"field": "text", "op": "equals", "value": "1"}], "to": {"kind": "human", "id": "cleo"}},
    {"when": [{"field": "text", "op": "equals", "value": "2"}], "to": {"kind": "team", "id": "night"}},
]


class World:
    """Two channels of an account, without delivery and without an AI agent's answers."""

    def __init__(self, **channel_settings: Any) -> None:
        self.store = SettingsStore(str)
        self.channels: dict[str, ChannelSettings] = {}
        self.driver = Driver(self.store, self._perform, START, (CONVERSATIONS, ASSIGNMENT))
        self.online: set[str] = set()
        self.offline_since: dict[str, datetime] = {}
        self.deleted: set[str] = set()
        self.written = 0
        for id in ("kiosk", "shop"):
            self._save(channel(id, AGENTS, **channel_settings), ())
        for agent in AGENTS:
            self._write(ACCOUNT_INBOX, ACCOUNT, AgentSaved(agent=agent, teams=tuple(TEAMS[agent].split())))

    def _perform(self, request: BaseModel, now: datetime) -> NoReturn:
        raise AssertionError("no stage here has effects")

    def _write(self, topic: Topic, key: str, event: Event, channel: str | None = None) -> None:
        self.written += 1
        revision = 0 if channel is None else self.channels[channel].revision
        record = Record(f"r{self.written}", "/test", self.driver.now, key, event, channel, revision)
        self.driver.write(topic, record)

    def _save(self, settings: ChannelSettings, left: tuple[str, ...]) -> None:
        self.channels[settings.id] = settings
        self.store.add(settings)
        self._write(ACCOUNT_INBOX, ACCOUNT, ChannelChanged(channel=settings.id, left=left), settings.id)

    def change(self, id: str, **change: Any) -> None:
        before = self.channels[id]
        after = apply_change(before, change)
        self._save(after, tuple(agent for agent in before.human_agents if agent not in after.human_agents))

    def ask(self, contact: int, event: Event) -> None:
        channel = ("kiosk", "shop")[contact % 2]
        self._write(INBOX, f"{channel}:491511{contact:04}", event, channel)

    def play(self, step: str, number: int) -> None:
        """One step. What it leads to happens at the next `run`, so that others come in between."""
        contact, agent = number % CONTACTS, AGENTS[number // CONTACTS % 3]
        about = {"command_id": f"k{self.written}", "by": agent}
        match step:
            case "message":
                text = str(number % 5)
                self.ask(contact, MessageReceived(message_id=f"m{self.written}", text=text, sent_at=self.driver.now))
            case "reply":
                self.ask(contact, Reply(**about, text="hello"))
            case "resolve":
                self.ask(contact, Resolve(**about))
            case "reopen":
                self.ask(contact, Reopen(**about))
            case "snooze":
                self.ask(contact, Snooze(**about, until=self.driver.now + timedelta(minutes=5)))
            case "assign":
                to = (human(agent), Assignee(kind="team", id="night"), Assignee(kind="ai", id="bot"))
                self.ask(contact, Assign(**about, to=to[number % 3]))
            case "hand_over":
                self.ask(contact, HandOver(**about))
            case "ai_fails":
                self._ai_fails(contact)
            case "run":
                self.driver.run()
            case "wait":
                self.driver.advance(self.driver.now + timedelta(minutes=number % 7))
            case _:
                self.play_people(step, number, agent)

    def _ai_fails(self, contact: int) -> None:
        for topic, record in self.driver.records:
            if topic is AI_REQUESTS and record.subject.endswith(f"{contact:04}"):
                data = record.event.model_dump()
                self.ask(contact, AiFailed(request_id=data["request_id"], conversation_id=data["conversation_id"]))

    def play_people(self, step: str, number: int, agent: str) -> None:
        name = ("kiosk", "shop")[number % 2]
        match step:
            case "presence" if agent not in self.deleted:
                self.online ^= {agent}
                self.offline_since[agent] = self.driver.now
                state = "online" if agent in self.online else "offline"
                self._write(ACCOUNT_INBOX, ACCOUNT, PresenceChanged.model_validate({"agent": agent, "state": state}))
            case "members":
                some = [one for n, one in enumerate(AGENTS) if number >> n & 1 and one not in self.deleted]
                self.change(name, human_agents=some)
            case "delete" if agent not in self.deleted:
                self.deleted.add(agent)
                self.online.discard(agent)
                self._write(ACCOUNT_INBOX, ACCOUNT, AgentDeleted(agent=agent))
                for id, settings in self.channels.items():
                    self.change(id, human_agents=[one for one in settings.human_agents if one != agent])
            case "strategy":
                strategy, limit = ("workload", "sequential")[number // 2 % 2], (None, 1)[number // 4 % 2]
                self.change(name, assignment={"strategy": strategy, "workload_default": limit})

    # --- what came of it -------------------------------------------------------------------------------------------

    def rows(self, state: TaskState, key: str, prefix: str, model: Any) -> list[Any]:
        return [row for _, row in KeyRows(state, key).scan(prefix, model)]

    def conversations(self) -> list[tuple[str, conversations_rows.Conversation]]:
        state = self.driver.states["conversations"]
        keys = sorted({key for key, _, _ in state.rows()})
        return [(key, row) for key in keys for row in self.rows(state, key, "conversation/", _TALK)]

    def account(self, prefix: str, model: Any) -> list[Any]:
        return self.rows(self.driver.states["assignment"], ACCOUNT, prefix, model)

    def check(self) -> None:
        """Both agree on who holds what, and nobody waits for somebody who could take it."""
        assert not [record for topic, record in self.driver.records if topic is DEAD_LETTERS]
        waiting = {row.conversation for row in self.account("waiting/", assignment_rows.Waiting)}
        held: dict[str, int] = {}
        known = {row.id: row for row in self.account("conversation/", _KNOWN)}
        for key, talk in self.conversations():
            settings = self.channels[key.partition(":")[0]]
            if talk.status is not Status.OPEN:
                assert talk.id not in waiting
                continue
            assert talk.routed
            if talk.assignee is not None and talk.assignee.kind == "human":
                assert talk.id not in waiting
                assert talk.assignee.id in settings.human_agents
                assert talk.automatic == known[talk.id].automatic
                assert not (talk.automatic and self.gone_too_long(talk.assignee.id, settings))
                held[talk.assignee.id] = held.get(talk.assignee.id, 0) + 1
            else:
                assert talk.id in waiting, talk
        assert held == self.loads()
        self.nobody_could(waiting, held)
        assert not self.account("took/", assignment_rows.Took)
        proposals = [row for row in self.account("conversation/", _KNOWN) if row.proposal is not None]
        assert proposals == []

    def gone_too_long(self, agent: str, settings: ChannelSettings) -> bool:
        after, since = settings.assignment.requeue.offline_after, self.offline_since.get(agent)
        if after is None or since is None or agent in self.online:
            return False
        return since + after <= self.driver.now

    def loads(self) -> dict[str, int]:
        state = self.driver.states["assignment"]
        found = {agent: KeyRows(state, ACCOUNT).get(f"agent/{agent}", assignment_rows.Agent) for agent in AGENTS}
        return {agent: row.load for agent, row in found.items() if row is not None and row.load}

    def nobody_could(self, waiting: set[str], held: dict[str, int]) -> None:
        for row in self.account("conversation/", _KNOWN):
            if row.id not in waiting:
                continue
            settings = self.channels[row.channel]
            limit = settings.assignment.workload_default if settings.assignment.strategy == "workload" else None
            for agent in set(settings.human_agents) & self.online:
                in_team = row.need.team is None or row.need.team in TEAMS[agent].split()
                assert not (in_team and (limit is None or held.get(agent, 0) < limit)), (row, agent)


_TALK = conversations_rows.Conversation
_KNOWN = assignment_rows.Conversation

ONCE = ("message", "reply", "resolve", "reopen", "snooze", "assign", "hand_over", "ai_fails", "wait", "presence")
STEPS: tuple[str, ...] = (*ONCE, "message", "run", "presence", "run", "message", "members", "delete", "strategy")


def test_a_conversation_whose_chosen_agent_left_before_the_answer_waits() -> None:
    world = World(conversation={"single_conversation": True})
    # ana has it and resolves; the customer writes again, ana takes it and is deleted before assignment has proposed.
    for step in ("message", "assign", "run", "resolve", "run", "message", "assign", "delete", "run"):
        world.play(step, 0)
    world.check()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from(["workload", "sequential"]),
    st.sampled_from([{}, {"offline_after": "3m"}, {"offline_after": "6m", "unanswered_after": "4m"}]),
    random_history(STEPS),
)
def test_both_stages_agree_and_no_slot_is_leaked(
    single: bool, ai: bool, strategy: str, requeue: dict[str, str], history: list[tuple[str, int]]
) -> None:
    world = World(
        conversation={"single_conversation": single},
        ai={"enabled": ai, "agents": [{"id": "bot"}]},
        assignment={"strategy": strategy, "rules": RULES, "requeue": requeue},
    )
    for step, number in history:
        world.play(step, number)
        if step == "run":
            world.check()
    world.driver.run()
    world.check()
    for key, talk in world.conversations():
        if talk.status in LIVE:
            channel = key.partition(":")[0]
            world.change(channel, human_agents=["desk"])
            world._write(INBOX, key, Resolve(command_id=f"end-{talk.id}", by="desk"), channel)
            world.driver.run()
    names = [name for name in world.driver.states["assignment"].names(ACCOUNT, "") if name != META]
    assert not [name for name in names if name.startswith(PREFIXES_OF_CONVERSATIONS)]
    assert world.loads() == {}
    answers = [record for _, record in world.driver.records if isinstance(record.event, ProposalAnswered)]
    proposals = [record for topic, record in world.driver.records if record.event.type == "assignment.propose"]
    assert len(answers) == len(proposals)
