"""The read model: how fast it is made of records, and how long queries take when it is large."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, count
from typing import NamedTuple, cast

from aiokafka.structs import ConsumerRecord
from sqlalchemy import Connection

from bus.transactional import transactional_producer
from deploy.kafka.topics import apply
from deploy.processes.desk import open_view
from deploy.settings import load_settings
from desk.view.applier import Applied, Applier, Place, Read, reads_of
from desk.view.database import Database, sqlite_url
from desk.view.pages import Page
from desk.view.queries import Counted, Filter, Queries
from desk.view.reading import read
from desk.view.schema import CONVERSATION, ENTRY, FOLLOWED, LABEL, RECEIPT, TEXT
from desk.view.visibility import Viewer
from schemas.event import Event
from schemas.events.channels import ChannelSaved
from schemas.events.conversation import (
    Assignee,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.events.people import AgentSaved
from schemas.events.receipts import MessageStatusChanged
from schemas.ids import derived_id
from schemas.record import Record, encode
from schemas.topics import CHANNELS, CONVERSATIONS, DIRECTORY, STATUSES, Topic
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session, broker

MESSAGES = 10
PARTITIONS = 4
WAVE = 1_000
"""Conversations that go on at a time."""
BATCH = 2_000
EVERY = timedelta(milliseconds=20)
"""Between two records: a thousand days of them in a million conversations would be no different."""
START = datetime(2026, 1, 1, tzinfo=UTC)
AIM_MS, LIVE_MS = 50.0, 300.0
SHOPS = [f"shop-{number}" for number in range(10)]
AGENTS = [f"agent-{number}" for number in range(50)]
TEAMS = [f"team-{number}" for number in range(5)]
STATUSES_OF = (Status.OPEN, Status.SNOOZED, Status.AI_REPLYING, Status.RESOLVED, Status.CLOSED)
SHARES = (3, 1, 1, 5, 90)
LABELS = ("vip", "late", "refund")
TOPICS = {topic.full_name(""): topic.name for topic in (CHANNELS, DIRECTORY, CONVERSATIONS, STATUSES)}
SYLLABLES = [first + second for first in "bdfgklmnprstv" for second in "aeiou"]


class Message(NamedTuple):
    """A message as Kafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes


class Log:
    """Records in the order of their topics."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._offsets = {(topic, partition): count() for topic in TOPICS for partition in range(PARTITIONS)}
        self._now = START
        # Few words are frequent, most are rare, as in any language.
        self._words = ["".join(self._random.choices(SYLLABLES, k=3)) for _ in range(20_000)]
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self._words) + 1)))

    @property
    def span(self) -> timedelta:
        """From the first record to the last, and a little more."""
        return self._now - START + timedelta(minutes=1)

    @property
    def frequent(self) -> str:
        """The most frequent word."""
        return self._words[0]

    @property
    def rare(self) -> str:
        """One of the rarest."""
        return self._words[-1]

    def settings(self) -> Iterator[Message]:
        """Channels and agents."""
        for channel in SHOPS:
            saved = ChannelSaved(settings={"id": channel, "account": "main", "phone_number": "+34600123456"})
            yield self._message(CHANNELS, channel, saved)
        for number, agent in enumerate(AGENTS):
            saved_agent = AgentSaved(agent=agent, teams=(TEAMS[number % len(TEAMS)],))
            yield self._message(DIRECTORY, f"agent/main/{agent}", saved_agent)

    def conversations(self, first: int) -> Iterator[Message]:
        """What becomes of some conversations that go on at once."""
        heads = [self._header(number) for number in range(first, first + WAVE)]
        for head in heads:
            yield self._about(head, ConversationOpened(header=head))
        for index in range(MESSAGES):
            for head in heads:
                yield from self._said(head, index)
        for head in heads:
            status = self._random.choices(STATUSES_OF, SHARES)[0]
            last = head.model_copy(update={"status": status})
            yield self._about(head, ConversationStatusChanged(header=last, previous=Status.OPEN, reason="x"))

    def _header(self, number: int) -> Header:
        channel, choose = self._random.choice(SHOPS), self._random
        waits = choose.random() < 0.01
        return Header(
            conversation_id=derived_id("bench", number),
            channel=channel,
            contact=f"346{number:08}",
            contact_name=f"{choose.choice(self._words)} {choose.choice(self._words)}".title(),
            opened_at=self._now,
            revision=1,
            status=Status.OPEN,
            assignee=Assignee(kind="human", id=choose.choice(AGENTS)) if choose.random() < 0.98 else None,
            routed=True,
            labels=tuple(label for label in LABELS if choose.random() < 0.02),
            waiting_since=self._now if waits else None,
        )

    def _said(self, head: Header, index: int) -> Iterator[Message]:
        text = " ".join(self._random.choices(self._words, cum_weights=self._weights, k=8))
        id = derived_id("message", head.conversation_id, index)
        if index % 2 == 0:
            yield self._about(
                head, ConversationMessageReceived(header=head, message_id=id, at=self._now, kind="text", text=text)
            )
            return
        yield self._about(
            head, ConversationMessageSent(header=head, message_id=id, at=self._now, kind="reply", text=text)
        )
        timestamps = {"sent": self._now, "delivered": self._now}
        known = MessageStatusChanged(message_id=id, reported="delivered", status="delivered", timestamps=timestamps)
        yield self._about(head, known, STATUSES)

    def _about(self, head: Header, event: Event, topic: Topic = CONVERSATIONS) -> Message:
        return self._message(topic, f"{head.channel}:{head.contact}", event)

    def _message(self, topic: Topic, key: str, event: Event) -> Message:
        self._now += EVERY
        name, partition = topic.full_name(""), sum(key.encode()) % PARTITIONS
        offset = next(self._offsets[name, partition])
        id = derived_id(name, partition, offset)
        record = Record(id, "/bench", self._now, key, event, causation_id=id)
        return Message(name, partition, offset, key.encode(), encode(record))


class Took(NamedTuple):
    """How long something took: by the clock, and of the process' CPU. Where others use the machine they differ."""

    seconds: float
    cpu: float


Times = dict[str, list[Took]]


class Watch:
    """Measures from where it was made."""

    def __init__(self) -> None:
        self._began = Took(time.perf_counter(), time.process_time())

    def took(self) -> Took:
        """Up to now."""
        return Took(time.perf_counter() - self._began.seconds, time.process_time() - self._began.cpu)


class Made(NamedTuple):
    """How the view was made: reading and writing alone."""

    records: int
    took: Took
    bytes: int


async def run(session: Session) -> Sequence[Report]:
    """Make the view of conversations of ten messages each, then query it. Most of a million are copies of the first."""
    filled, copies = session.pick(2_000, 100_000, 100_000), session.pick(1, 0, 9)
    conversations = filled * (1 + copies)
    file = session.folder / "desk.db"
    database, log = Database(sqlite_url(file)), Log(1)
    try:
        await database.migrate()
        made = await _fill(database, log, filled, session)
        for number in range(1, copies + 1):
            session.say(f"copy {number} of {copies}")
            await _copy(database, number, log.span * number)
        made = made._replace(bytes=file.stat().st_size)
        times = await _ask(Queries(database), log, conversations, session.pick(5, 100, 200))
    finally:
        await database.close()
    return [_report(conversations, made, times), await _live(session, log)]


async def _live(session: Session, log: Log) -> Report:
    """How long after its commit a record is in the view."""
    until, found = asyncio.Event(), list[float]()
    with broker(session) as kafka:
        given = {"kafka": kafka.kafka, "data_dir": session.folder / "live", "topic_prefix": ""}
        await apply(kafka.kafka, "", list(FOLLOWED.values()), PARTITIONS, 1)
        async with (
            open_view(load_settings().model_copy(update=given)) as view,
            transactional_producer(kafka.kafka, "bench") as producer,
        ):
            following = asyncio.create_task(view.follower.run(until))
            for number, message in zip(range(session.pick(10, 200, 500)), log.conversations(0), strict=False):
                async with producer.transaction():
                    sent = await (await producer.send(message.topic, message.value, key=message.key))
                watch = Watch()
                if not await view.progress.wait_until(sent.topic, sent.partition, sent.offset, 60):
                    raise NoResult("a record did not come into the view")
                if number:  # the first one waits until the follower has begun
                    found.append(watch.took().seconds)
                await asyncio.sleep(0.05)
            until.set()
            await following
    p50, p99 = _share(found, 0.5), _share(found, 0.99)
    verdict = Verdict("p99 from its commit until a record is in the view", p99, LIVE_MS, " ms", most=True)
    rows = [(f"{len(found)} records, 20 a second", f"{p50:.0f}", f"{p99:.0f}")]
    return Report("New rows", ("", "p50, ms", "p99, ms"), rows, (verdict,))


async def _fill(database: Database, log: Log, conversations: int, session: Session) -> Made:
    applier, took, records = Applier(database), Took(0.0, 0.0), 0
    reads: dict[Place, Read] = {}
    waves = [log.settings(), *(log.conversations(first) for first in range(0, conversations, WAVE))]
    for number, wave in enumerate(waves):
        messages = list(wave)
        watch = Watch()
        for start in range(0, len(messages), BATCH):
            batch: list[Applied] = []
            for message in messages[start : start + BATCH]:
                batch.append(read(cast(ConsumerRecord, message), TOPICS).applied)
            await applier.apply(batch, reads)
            reads.update(reads_of(batch, reads))
        more = watch.took()
        took, records = Took(took.seconds + more.seconds, took.cpu + more.cpu), records + len(messages)
        if number % 50 == 0:
            rate = f"{records / took.seconds:,.0f} records/s"
            session.say(f"{number * WAVE:,} of {conversations:,} conversations, {rate}")
    return Made(records, took, 0)


async def _copy(database: Database, number: int, later: timedelta) -> None:
    """The same conversations once more, with other ids, later."""
    seconds = int(later.total_seconds())
    micros = seconds * 1_000_000
    other = {name: f"'{number}-' || \"{name}\"" for name in ("conversation", "message")}
    other |= {name: f'"{name}" + {micros}' for name in ("at", "time", "active_at", "opened_at", "waiting_since")}
    # By its partition a copy is known from what it was copied from.
    other |= {"doc": f"doc + {seconds << 30}", "partition": f"partition + {number * PARTITIONS}"}
    per_table = {
        CONVERSATION: {"id": f"'{number}-' || id", "key": f"key || '-{number}'"},
        RECEIPT: {"key": f"key || '-{number}'"},
    }

    def copy(connection: Connection) -> None:
        for table in (CONVERSATION, ENTRY, TEXT, RECEIPT, LABEL):
            changed = {**other, **per_table.get(table, {})}
            names = ", ".join(f'"{column.name}"' for column in table.c)
            values = ", ".join(changed.get(column.name, f'"{column.name}"') for column in table.c)
            copied = f"SELECT {values} FROM {table.name} WHERE partition < {PARTITIONS}"  # noqa: S608 - our own names
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) {copied}")

    await database.write(copy)


Query = Callable[[], Awaitable[Page | Counted]]


def _queries(queries: Queries, log: Log, conversations: int, choose: random.Random) -> dict[str, Query]:
    """What is asked, each with other values each time."""
    admin = Viewer("admin", "main", "all")
    agent = Viewer("agent", "main", "own", agent=choose.choice(AGENTS))
    team = Viewer("agent", "main", "team", agent=agent.agent, teams=frozenset({choose.choice(TEAMS)}))
    shops = Viewer("supervisor", "main", "channels", channels=frozenset(choose.sample(SHOPS, 2)))
    held = Filter(status=Status.OPEN, assignee=Assignee(kind="human", id=choose.choice(AGENTS)))
    number = choose.randrange(conversations)
    id, contact = derived_id("bench", number), f"346{number:08}"
    word = choose.choice(log._words)
    return {
        "list, all": partial(queries.conversations, admin),
        "list, own": partial(queries.conversations, agent),
        "list, a team's": partial(queries.conversations, team),
        "list, two channels'": partial(queries.conversations, shops),
        "filter: status": partial(queries.conversations, admin, Filter(status=choose.choice(STATUSES_OF))),
        "filter: an agent's Open": partial(queries.conversations, admin, held),
        "filter: channel, status": partial(
            queries.conversations, admin, Filter(channel=choose.choice(SHOPS), status=Status.OPEN)
        ),
        "filter: label": partial(queries.conversations, admin, Filter(label=choose.choice(LABELS))),
        "waiting longest": partial(queries.conversations, admin, order="waiting"),
        "waiting queue": partial(queries.queue, admin),
        "count, status, to 1,000": partial(queries.count, admin, Filter(status=choose.choice(STATUSES_OF))),
        "search: any word": partial(queries.search, admin, word),
        "search: the most frequent word": partial(queries.search, admin, log.frequent),
        "search: a rare word": partial(queries.search, admin, log.rare),
        "search: two words": partial(queries.search, admin, f"{log.frequent} {word}"),
        "search: a beginning": partial(queries.search, admin, word[:3]),
        "search, own: the most frequent word": partial(queries.search, agent, log.frequent),
        "find: a number": partial(queries.find, admin, contact[-6:]),
        "find: a name": partial(queries.find, admin, word),
        "thread": partial(queries.thread, admin, id),
        "conversation": partial(queries.conversation, admin, id),
        "agents with their load": partial(queries.agents, admin, START),
    }


async def _ask(queries: Queries, log: Log, conversations: int, times: int) -> Times:
    choose, found = random.Random(2), dict[str, list[Took]]()
    for _ in range(times):
        for name, ask in _queries(queries, log, conversations, choose).items():
            watch = Watch()
            await ask()
            found.setdefault(name, []).append(watch.took())
    return found


def _report(conversations: int, made: Made, times: Times) -> Report:
    rows = []
    for name, some in times.items():
        by_clock, of_cpu = [one.seconds for one in some], [one.cpu for one in some]
        figures = [_share(values, share) for values in (by_clock, of_cpu) for share in (0.5, 0.99)]
        rows.append((name, *(f"{figure:.1f}" for figure in figures)))
    slowest = max(times, key=lambda name: _share([one.seconds for one in times[name]], 0.99))
    p99 = _share([one.seconds for one in times[slowest]], 0.99)
    verdict = Verdict(f"p99 of the slowest, {slowest}", p99, AIM_MS, " ms", most=True)
    rate, rate_of_cpu = made.records / made.took.seconds, made.records / made.took.cpu
    notes = (
        f"Made of {made.records:,} records, {rate:,.0f} a second ({rate_of_cpu:,.0f} a second of CPU).",
        f"The file takes {made.bytes / 2**30:.2f} GiB.",
        "Pages of 50 items, with the visibility predicate, one query at a time.",
    )
    title = f"The read model on SQLite, {conversations:,} conversations of {MESSAGES} messages"
    return Report(title, ("", "p50, ms", "p99, ms", "p50 of CPU", "p99 of CPU"), rows, (verdict,), notes)


def _share(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000
