"""From a customer's callback to the call of the provider, beside the bare hops that lie between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bus.connection import KafkaConnection
from deploy.kafka.topics import apply
from schemas.topics import Topic
from tests.bench.customers import CALLBACKS, Customers, percentile
from tests.bench.peers.bare_chain import READY, RECEIPTS, TOPIC
from tests.bench.programs import peer, running
from tests.bench.report import Report, Verdict
from tests.bench.session import Session, broker
from tests.bench.system import System

HOPS = 7
"""Transactions of the pipeline: intake, conversations, assignment, conversations, hours, greeting, delivery."""
PARTITIONS = 4
"""As they come (LIVEDESK_PARTITIONS). --full measures fewer, too."""
SETTLE_S = 60.0
START_S = 60.0
REST_S = 3.0
WARM_UP_RATE = 100.0
BARE = f"bare aiokafka, {HOPS} transactions"


@dataclass(frozen=True)
class Load:
    """What is posted. customers: new ones a second, one callback each. receipts: five callbacks more for each."""

    name: str
    customers: float
    receipts: bool


FEW = Load("50 callbacks/s, each a new customer's", 50, receipts=False)
MANY = Load("500 callbacks/s, one in six a new customer's, five receipts", 500 / CALLBACKS, receipts=True)
LOADS = (FEW, MANY)


@dataclass(frozen=True)
class Found:
    """delays: seconds, of every customer."""

    name: str
    load: Load
    delays: list[float]


async def run(session: Session) -> Sequence[Report]:
    """One after the other, on one broker; first each is warmed up with more than it is to take."""
    seconds, warm_up = session.pick((2.0, 1.0), (12.0, 15.0), (60.0, 60.0))
    partitions: Sequence[int] = session.pick((PARTITIONS,), (PARTITIONS,), (PARTITIONS, 2, 1))
    found: list[Found] = []
    with broker(session) as kafka:
        async with Customers(receipts=False) as customers:
            contenders: dict[str, Callable[[], AbstractAsyncContextManager[Sequence[str]]]] = {
                BARE: lambda: bare(session, kafka.kafka, customers.provider_url),
            }
            for count in partitions:
                contenders[_ours(count)] = partial(pipeline, session, kafka.kafka, customers.provider_url, count)
            for name, start in contenders.items():
                async with start() as urls:
                    await customers.connect(urls)
                    session.say(f"{name}: warming up")
                    await customers.steady(WARM_UP_RATE, warm_up)
                    await customers.answered(SETTLE_S)
                    for load in LOADS:
                        session.say(f"{name}: {load.name}, for {seconds:.0f} s")
                        # What was written to those before leads to more records after its call.
                        await asyncio.sleep(REST_S)
                        customers.receipts = load.receipts
                        before = len(customers.posted)
                        await customers.steady(load.customers, seconds)
                        await customers.answered(SETTLE_S)
                        newest = list(customers.posted)[before:]
                        delays = [customers.called[contact][0] - customers.posted[contact] for contact in newest]
                        found.append(Found(name, load, delays))
                    customers.disconnect()
    return [report(found, partitions)]


def _ours(partitions: int) -> str:
    return f"the pipeline, {partitions} partition{'s' if partitions > 1 else ''}"


@asynccontextmanager
async def pipeline(
    session: Session, kafka: KafkaConnection, provider_url: str, partitions: int
) -> AsyncIterator[Sequence[str]]:
    """Gives where its callbacks are posted."""
    prefix = f"p{partitions}."
    async with System(kafka, session.folder / prefix, provider_url, partitions=partitions, prefix=prefix) as system:
        yield system.urls


@asynccontextmanager
async def bare(session: Session, kafka: KafkaConnection, provider_url: str) -> AsyncIterator[Sequence[str]]:
    """The same for the bare hops."""
    names = [name.removesuffix(".v1") for name in (*map(TOPIC.format, range(HOPS + 1)), *RECEIPTS)]
    topics = [Topic(name, key="contact", writers={}, holds="callbacks") for name in names]
    await apply(kafka, "", topics, PARTITIONS, 1)
    hops = peer("bare_chain", "hops", kafka.bootstrap_servers, str(HOPS), provider_url)
    front = peer("bare_chain", "front", kafka.bootstrap_servers)
    with running("hops", hops, session.folder) as moving, running("front", front, session.folder) as taking:
        await moving.wait_until_said(READY, START_S)
        yield await taking.wait_until_said(READY, START_S)


def report(found: list[Found], partitions: Sequence[int]) -> Report:
    """Percentiles and their ratios."""
    delays = {(each.name, each.load): each.delays for each in found}
    rows, verdicts = [], []
    for load in LOADS:
        for name in (BARE, *map(_ours, partitions)):
            figures = [f"{percentile(delays[name, load], percent):.0f}" for percent in (50, 90, 99)]
            rows.append((name, load.name, *figures, f"{max(delays[name, load]) * 1000:.0f}"))
        for name in map(_ours, partitions):
            ratio = percentile(delays[name, load], 50) / percentile(delays[BARE, load], 50)
            verdicts.append(Verdict(f"median of {name} over that of the bare hops, {load.name}", ratio, 1.5, most=True))
    slow = percentile(delays[_ours(PARTITIONS), FEW], 99)
    verdicts.append(Verdict(f"99th percentile, {FEW.name}", slow, 250, " ms", most=True))
    columns = ("", "load", "median", "90 %", "99 %", "longest")
    return Report("Callback to provider call: milliseconds", columns, rows, verdicts)
