"""A broker that fails over: the leader of a busy partition is killed, then a transaction coordinator."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agents.conversations.decide import CONVERSATIONS as STAGE
from bus.connection import KafkaConnection
from schemas.events.conversation import ConversationMessageReceived
from schemas.topics import CONVERSATIONS, WEBHOOKS, state_topic
from streams.state import OWNER_KEY
from tests.bench.cluster import Cluster
from tests.bench.customers import CALLBACKS, Customers
from tests.bench.lag import Lag
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session
from tests.bench.system import PREFIX, System
from tests.support.reading import committed_messages, committed_records

PARTITIONS = 2
DOWN_S = 10.0
SETTLE_S = 180.0


@dataclass(frozen=True)
class Kill:
    """at: loop.time()."""

    what: str
    node: int
    at: float


async def run(session: Session) -> Sequence[Report]:
    """New customers at a steady rate; the kills a quarter and five eighths into it."""
    rate, seconds = session.pick((5.0, 40.0), (20.0, 64.0), (50.0, 240.0))
    async with (
        Cluster(session) as cluster,
        Customers(receipts=True) as customers,
        System(
            cluster.kafka,
            session.folder / "system",
            customers.provider_url,
            workers=2,
            partitions=PARTITIONS,
            replication=3,
        ) as system,
    ):
        await customers.connect(system.urls)
        session.say("warming up")
        await customers.steady(rate, seconds / 8)
        await _settled(customers, cluster.kafka)
        session.say(f"{rate * CALLBACKS:.0f} callbacks/s for {seconds:.0f} s, and two brokers killed")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(customers.steady(rate, seconds))
            killing = tasks.create_task(_kill(cluster, seconds))
        session.say("settling")
        await _settled(customers, cluster.kafka)
        starts = sum(process.starts - 1 for process in system.processes)
        found = await committed_records(cluster.kafka, PREFIX, CONVERSATIONS)
    reported = Counter(
        record.subject.partition(":")[2] for record in found if isinstance(record.event, ConversationMessageReceived)
    )
    return [report(customers, killing.result(), reported, starts)]


async def _kill(cluster: Cluster, seconds: float) -> list[Kill]:
    loop = asyncio.get_running_loop()
    kills = []
    await asyncio.sleep(seconds / 4)
    busy = await _busy_partition(cluster)
    kills.append(Kill("leader of the callbacks' partition", await cluster.leader(*busy), loop.time()))
    await _down_and_up(cluster, kills[-1].node)
    await asyncio.sleep(max(0.0, seconds * 3 / 8 - DOWN_S))
    node = await cluster.coordinator(await _owner(cluster.kafka))
    kills.append(Kill(f"transaction coordinator of a worker that runs {STAGE.name}", node, loop.time()))
    await _down_and_up(cluster, node)
    return kills


async def _down_and_up(cluster: Cluster, node: int) -> None:
    await cluster.kill(node)
    await asyncio.sleep(DOWN_S)
    cluster.start(node)


async def _busy_partition(cluster: Cluster) -> tuple[str, int]:
    """Where the only channel's callbacks are."""
    topic = WEBHOOKS.full_name(PREFIX)
    ends = await cluster.ends(topic)
    return topic, max(ends, key=lambda partition: ends[partition])


async def _owner(kafka: KafkaConnection) -> str:
    """A transactional id of a worker that has the stage."""
    changelog = await committed_messages(kafka, state_topic(STAGE.name).full_name(PREFIX))
    owners = [message.value for message in changelog if message.key == OWNER_KEY and message.value]
    return str(owners[-1].decode().split(",")[0])


async def _settled(customers: Customers, kafka: KafkaConnection) -> None:
    """Wait until nothing is under way. Not for greetings: one of unknown outcome is not sent again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_S
    async with Lag(kafka) as lag:
        while customers.waiting or lag.now or len(lag.samples) < 3:
            if loop.time() > deadline:
                raise NoResult(f"after {SETTLE_S:.0f} s {customers.waiting} callbacks and {lag.now} records still wait")
            await asyncio.sleep(0.2)


def report(customers: Customers, kills: list[Kill], reported: Counter[str], restarts: int) -> Report:
    """Stalls by kill, then what was lost or doubled."""
    calls = sorted(call for found in customers.called.values() for call in found)
    gaps = [(after - before, before) for before, after in pairwise(calls)]
    rows = []
    # What stands still from a kill on began before it: the last call was a moment earlier.
    starts = [kill.at - 1 for kill in kills]
    for kill, since, until in zip(kills, starts, [*starts[1:], calls[-1]], strict=True):
        gap = max((length for length, before in gaps if since <= before < until), default=0.0)
        late = [d for c, at in customers.posted.items() if since <= at < until for d in _delay(customers, c)]
        rows.append((f"{kill.what} (broker {kill.node})", f"{gap:.1f}", f"{max(late, default=0.0):.1f}"))
    lost = sum(reported[contact] == 0 for contact in customers.posted)
    twice = sum(count > 1 for count in reported.values())
    repeated = sum(len(found) > 1 for found in customers.called.values())
    verdicts = (
        Verdict("acknowledged messages lost", lost, 0, most=True),
        Verdict("messages reported twice", twice, 0, most=True),
        Verdict("customers greeted twice", repeated, 0, most=True),
    )
    notes = (
        f"{len(customers.posted):,} customers, {customers.refused:,} callbacks answered 503 and posted again, "
        f"{customers.unanswered} greetings that ended unknown, {restarts} processes that ended and were started again",
    )
    columns = ("killed with -9, for 10 s", "longest without a call, s", "longest callback to call, s")
    return Report("Three brokers, replication 3, min.insync 2", columns, rows, verdicts, notes)


def _delay(customers: Customers, contact: str) -> list[float]:
    return [call - customers.posted[contact] for call in customers.called.get(contact, ())[:1]]
