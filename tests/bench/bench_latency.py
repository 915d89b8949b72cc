"""From a customer's callback to the call of the provider, beside the bare hops that lie between."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from deploy.topics import apply
from schemas.connection import KafkaConnection
from schemas.topics import Topic
from tests.bench.customers import Customers, percentile
from tests.bench.peers.bare_chain import READY
from tests.bench.programs import peer, running
from tests.bench.report import Report, Verdict
from tests.bench.session import Session, broker
from tests.bench.system import System

HOPS = 7
"""Transactions of the pipeline: intake, conversations, assignment, conversations, hours, greeting, delivery."""
PARTITIONS = 4
RATES = (50.0, 500.0)
SETTLE_S = 60.0
START_S = 60.0
OURS, BARE = "the pipeline", f"bare aiokafka, {HOPS} transactions"


@dataclass(frozen=True)
class Found:
    """delays: seconds, of every customer."""

    name: str
    rate: float
    delays: list[float]


async def run(session: Session) -> Sequence[Report]:
    """One after the other, on one broker; first a run of each to warm up, at the higher rate."""
    seconds, warm_up = session.pick((2.0, 1.0), (12.0, 15.0), (60.0, 60.0))
    rates = session.pick((10.0, 30.0), RATES, RATES)
    found: list[Found] = []
    with broker(session) as kafka:
        async with Customers(receipts=False) as customers:
            contenders: dict[str, Callable[[], AbstractAsyncContextManager[Sequence[str]]]] = {
                BARE: lambda: bare(session, kafka.kafka, customers.provider_url),
                OURS: lambda: pipeline(session, kafka.kafka, customers.provider_url),
            }
            for name, start in contenders.items():
                async with start() as urls:
                    await customers.connect(urls)
                    session.say(f"{name}: warming up")
                    await customers.steady(rates[-1], warm_up)
                    await customers.answered(SETTLE_S)
                    for rate in rates:
                        session.say(f"{name}: {rate:.0f} callbacks/s for {seconds:.0f} s")
                        before = len(customers.posted)
                        await customers.steady(rate, seconds)
                        await customers.answered(SETTLE_S)
                        newest = list(customers.posted)[before:]
                        delays = [customers.called[contact][0] - customers.posted[contact] for contact in newest]
                        found.append(Found(name, rate, delays))
                    customers.disconnect()
    return [report(found, rates)]


@asynccontextmanager
async def pipeline(session: Session, kafka: KafkaConnection, provider_url: str) -> AsyncIterator[Sequence[str]]:
    """Gives where its callbacks are posted."""
    async with System(kafka, session.folder / "system", provider_url, partitions=PARTITIONS) as system:
        yield system.urls


@asynccontextmanager
async def bare(session: Session, kafka: KafkaConnection, provider_url: str) -> AsyncIterator[Sequence[str]]:
    """The same for the bare hops."""
    topics = [Topic(f"hop{number}", key="contact", writers={}, holds="callbacks") for number in range(HOPS + 1)]
    await apply(kafka, "", topics, PARTITIONS, 1)
    hops = peer("bare_chain", "hops", kafka.bootstrap_servers, str(HOPS), provider_url)
    front = peer("bare_chain", "front", kafka.bootstrap_servers)
    with running("hops", hops, session.folder) as moving, running("front", front, session.folder) as taking:
        await moving.wait_until_said(READY, START_S)
        yield await taking.wait_until_said(READY, START_S)


def report(found: list[Found], rates: Sequence[float]) -> Report:
    """Percentiles and their ratios."""
    rows, verdicts = [], []
    for rate in rates:
        ours, bare_hops = (next(f for f in found if f.name == name and f.rate == rate) for name in (OURS, BARE))
        for each in (bare_hops, ours):
            figures = [f"{percentile(each.delays, percent):.0f}" for percent in (50, 90, 99)]
            rows.append((f"{each.name}, {rate:.0f}/s", *figures, f"{max(each.delays) * 1000:.0f}"))
        ratio = percentile(ours.delays, 50) / percentile(bare_hops.delays, 50)
        verdicts.append(Verdict(f"median over that of the bare hops, {rate:.0f}/s", ratio, 1.5, most=True))
    slow = percentile(next(f for f in found if f.name == OURS and f.rate == rates[0]).delays, 99)
    verdicts.append(Verdict(f"99th percentile at {rates[0]:.0f}/s", slow, 250, " ms", most=True))
    title = f"Callback to provider call, {PARTITIONS} partitions: milliseconds"
    return Report(title, ("", "median", "90 %", "99 %", "longest"), rows, verdicts)
