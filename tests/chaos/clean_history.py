"""The history of a small run without faults, made by the in-memory driver and the sandbox's provider."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from pydantic import BaseModel, SecretStr

from deploy.sandbox.accounts import Account, Behaviour, Credentials
from deploy.sandbox.callbacks import Business, Customer, callback_body, content, message_row
from deploy.sandbox.provider import Provider
from deploy.sandbox.receipts import Faults, ScheduledCallback
from schemas.channel import ChannelSettings, ConversationSettings, Greeting
from schemas.codec import to_kafka
from schemas.conversation import Reply, Resolve
from schemas.ids import conversation_key
from schemas.record import Record, milliseconds
from schemas.sending import SendRequest, SendResult
from schemas.system import TimersFired, WebhookReceived
from schemas.topics import INBOX, TIMERS, WEBHOOKS, Topic
from streams.driver import Driver
from streams.effects_contract import Outcome, Unknown
from streams.provider_client import done, read_answer, send_body
from streams.settings_store import SettingsStore
from streams.topology import TOPOLOGY
from tests.chaos.history import Customers, History, Message

START: Final = datetime(2026, 4, 7, 9, 30, tzinfo=UTC)
NUMBER: Final = "+31970000001"
CUSTOMERS: Final = ("31611000001", "31611000002", "31611000003")
CHANNEL: Final = ChannelSettings(
    id="shop",
    account="acme",
    revision=1,
    phone_number=NUMBER,
    dev_key="k",
    dev_secret=SecretStr("s"),
    human_agents=("a1",),
    greeting=Greeting(enabled=True, text="Welkom"),
    conversation=ConversationSettings(close_after=timedelta(minutes=5)),
)


def key_of(contact: str) -> str:
    return conversation_key(CHANNEL.id, contact)


class CleanRun:
    """Customers write, agents answer, the provider reports; time passes as it is told to."""

    def __init__(self) -> None:
        store = SettingsStore(str)
        store.add(CHANNEL)
        account = Account(dev_key="k", dev_secret=SecretStr("s"), phone_number=NUMBER)
        self._provider = Provider([account], faults=Faults(duplicate=0.3, reorder=0.2))
        self._store = store
        self._driver = Driver(store, self._perform, START)
        self._posts: list[ScheduledCallback] = []
        self._firings: list[Record] = []
        self._ids = 0
        self._messages: dict[str, str] = {}
        self._replies: dict[str, str] = {}
        self._resolves: dict[str, str] = {}
        self._receipts: Counter[int] = Counter()

    def write(self, contact: str, id: str) -> None:
        """A customer writes."""
        row = message_row(Business(NUMBER), Customer(contact, "Bo"), id, self._driver.now, content("text", "hoi"))
        self._post(callback_body([row]))
        self._messages[id] = key_of(contact)
        self._driver.run()

    def reply(self, contact: str, id: str) -> None:
        """An agent replies."""
        self._replies[id] = key_of(contact)
        self._ask(contact, Reply(command_id=id, by="a1", text="dag"))

    def resolve(self, contact: str, id: str) -> None:
        """An agent resolves."""
        self._resolves[id] = key_of(contact)
        self._ask(contact, Resolve(command_id=id, by="a1"))

    def provider(self, behaviour: Behaviour) -> None:
        """How the next sends are answered."""
        self._provider.set_behaviour(behaviour)

    def wait(self, seconds: float) -> None:
        """Time passes: receipts come, timers fire and their positions are recorded."""
        until = self._driver.now + timedelta(seconds=seconds)
        while True:
            posts = sorted((post.at, index) for index, post in enumerate(self._posts))
            deadline = self._driver.next_deadline()
            if posts and posts[0][0] <= min(until, deadline or until):
                post = self._posts.pop(posts[0][1])
                self._driver.now = max(self._driver.now, post.at)
                self._receipts[len(post.body)] += 1
                self._post(post.body)
                self._driver.run()
            elif deadline is not None and deadline <= until:
                self._record_firing(deadline)
                self._driver.advance(deadline)
            else:
                self._driver.now = until
                return

    def history(self) -> History:
        """All of it."""
        messages: dict[Topic, list[Message]] = defaultdict(list)
        for topic, record in [*self._driver.records, *((TIMERS, record) for record in self._firings)]:
            value, headers = to_kafka(topic, record)
            at = milliseconds(record.time)
            message = Message(0, len(messages[topic]), at, record.subject.encode(), value, tuple(headers))
            messages[topic].append(message)
        return History(
            stages=TOPOLOGY,
            messages=messages,
            states={
                name: {0: {(key, row): value for key, row, value in state.rows()}}
                for name, state in self._driver.states.items()
            },
            settings=self._store.lookup,
            acknowledged=Customers(self._messages, self._replies, self._resolves),
            sent=self._provider.log,
            receipts=self._receipts,
        )

    def _post(self, body: bytes) -> None:
        event = WebhookReceived(provider="engagelab", body=body)
        now = self._driver.now
        self._driver.write(WEBHOOKS, Record(self._id(), "/livedesk/ingress", now, CHANNEL.id, event, CHANNEL.id, 1))

    def _ask(self, contact: str, command: Reply | Resolve) -> None:
        now = self._driver.now
        record = Record(self._id(), "/livedesk/ingress", now, key_of(contact), command, CHANNEL.id, 1)
        self._driver.write(INBOX, record)
        self._driver.run()

    def _id(self) -> str:
        self._ids += 1
        return f"d{self._ids}"

    def _record_firing(self, deadline: datetime) -> None:
        for stage in TOPOLOGY:
            due = self._driver.states[stage.name].next_deadline()
            if due is not None and due <= deadline:
                offset = sum(topic.name == stage.input.name for topic, _ in self._driver.records)
                fired = TimersFired(stage=stage.name, partition=0, due=deadline, offset=offset)
                subject = f"{stage.name}/0"
                self._firings.append(Record(self._id(), f"/livedesk/{stage.name}", deadline, subject, fired))

    def _perform(self, request: BaseModel, now: datetime) -> Outcome:
        assert isinstance(request, SendRequest)
        body = send_body(request, NUMBER)
        assert not isinstance(body, SendResult)
        answer = self._provider.handle_send(Credentials("k", "s"), orjson.dumps(body), now)
        self._posts.extend(answer.callbacks)
        if answer.http_status is None:
            return Unknown()
        result = read_answer(answer.http_status, orjson.dumps(answer.body))
        return Unknown() if result is None else done(result)


def clean_history() -> History:
    """Three customers write and are greeted; one reply goes well, one is repeated, a greeting stays unknown."""
    run = CleanRun()
    first, second, third = CUSTOMERS
    run.write(first, "m1")
    run.write(second, "m2")
    run.write(first, "m3")
    run.wait(5)
    run.reply(first, "reply1")
    run.wait(5)
    run.provider(Behaviour(answer="timeout", times=1))
    run.reply(second, "reply2")
    run.wait(65)
    run.provider(Behaviour(answer="timeout", times=1))
    run.write(third, "m4")
    run.write(third, "m5")
    run.wait(65)
    run.resolve(first, "resolve1")
    run.wait(310)
    run.write(first, "m6")
    run.write(second, "m7")
    run.wait(30)
    return run.history()
