"""What a callback costs as workers, partitions and conversations grow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.kafka.topics import apply
from schemas.topics import state_topic
from streams.topology import all_topics
from tests.bench.customers import Customers
from tests.bench.flood import Limit, flood
from tests.bench.lag import Lag
from tests.bench.plot import Chart, svg
from tests.bench.population import copies, populate, rows_by_stage
from tests.bench.report import Report, Verdict
from tests.bench.session import Broker, Session, Size, broker
from tests.bench.system import System

CHANNELS = 8
"""Callbacks are keyed by their channel: one channel would be one partition of intake, whatever the number."""
SETTLE_S = 120.0
FIRST_RATE, FIRST_S = 50.0, 6.0
GROWS = ("workers", "partitions", "conversations")
PICTURE = Path("docs/performance.svg")
FLAT = 1.1
"""A callback may cost so much more with the most conversations than with the fewest."""

Points = Sequence[tuple[int, Limit]]
"""How far it has grown, and what was measured there."""


@dataclass(frozen=True)
class Setup:
    """What one run has; conversations: those known before it."""

    workers: int = 1
    partitions: int = 8
    conversations: int = 0

    @property
    def prefix(self) -> str:
        """Of its topics."""
        return f"w{self.workers}-p{self.partitions}-c{self.conversations}."


WARM_UP = Setup(partitions=2)
"""None of those that are measured: the broker's Java compiles what it does most in the first seconds."""


async def run(session: Session) -> Sequence[Report]:
    """One thing grows at a time."""
    seconds = session.pick(2.0, 6.0, 20.0)
    workers: Sequence[int] = session.pick((1, 2), (1, 2, 4), (1, 2, 4))
    partitions: Sequence[int] = session.pick((1, 8), (1, 8, 32), (1, 8, 32))
    conversations: Sequence[int] = session.pick((1_000, 2_000), (10_000, 100_000), (10_000, 100_000, 1_000_000))
    base = Setup()
    setups = {base: None}
    setups |= {replace(base, workers=n): None for n in workers}
    setups |= {replace(base, partitions=n): None for n in partitions}
    setups |= {replace(base, conversations=n): None for n in conversations}
    found: dict[Setup, Limit] = {}
    with broker(session, heap="2g") as kafka:
        async with Customers(receipts=True) as customers:
            session.say("warming up")
            await _measure(session, kafka, customers, WARM_UP, 2 * seconds)
            for number, setup in enumerate(setups, 1):
                session.say(f"{number} of {len(setups)}: {_described(setup)}")
                if setup.conversations:
                    await _populate(kafka, base.prefix, setup, next(iter(customers.posted)))
                found[setup] = await _measure(session, kafka, customers, setup, seconds)
    limits = [_points(found, base, grows) for grows in GROWS]
    if session.size is not Size.QUICK:
        _draw(*limits)
    return [report(found, limits[-1])]


def _points(found: dict[Setup, Limit], base: Setup, grows: str) -> Points:
    points = [(getattr(setup, grows), limit) for setup, limit in found.items() if _only(setup, base, grows)]
    return sorted(points, key=lambda point: point[0])


def _only(setup: Setup, base: Setup, grows: str) -> bool:
    """Whether nothing else differs. Conversations begin with the fewest, not with none."""
    same = replace(setup, **{grows: getattr(base, grows)}) == base
    return same and not (grows == "conversations" and setup == base)


async def _populate(kafka: Broker, copied_from: str, setup: Setup, contact: str) -> None:
    await apply(kafka.kafka, setup.prefix, all_topics(), setup.partitions, 1)
    for stage, rows in (await rows_by_stage(kafka.kafka, copied_from, contact)).items():
        topic = state_topic(stage.name).full_name(setup.prefix)
        await populate(kafka.kafka, topic, setup.partitions, copies(rows, contact, range(setup.conversations)))


async def _measure(session: Session, kafka: Broker, customers: Customers, setup: Setup, seconds: float) -> Limit:
    folder = session.folder / setup.prefix
    system = System(
        kafka.kafka,
        folder,
        customers.provider_url,
        workers=setup.workers,
        partitions=setup.partitions,
        channels=CHANNELS,
        prefix=setup.prefix,
    )
    async with system, Lag(kafka.kafka, setup.prefix) as lag:
        await customers.connect(system.urls)
        # The first record of each of some hundreds of partitions is dear: Kafka makes and maps its files then.
        await customers.steady(FIRST_RATE, FIRST_S)
        await customers.answered(SETTLE_S)
        limit = await flood(customers, lag, system, kafka, seconds)
        customers.disconnect()
    return limit


def _described(setup: Setup) -> str:
    return f"{setup.workers} workers, {setup.partitions} partitions, {setup.conversations:,} conversations"


def _draw(workers: Points, partitions: Points, conversations: Points) -> None:
    cost = "worker CPU, µs a callback"
    charts = [
        Chart("Workers", "workers", "callbacks/s", [(n, limit.rate) for n, limit in workers]),
        Chart("Partitions", "partitions", cost, [(n, limit.micros("workers")) for n, limit in partitions]),
        Chart(
            "Conversations", "conversations known", cost, [(n, limit.micros("workers")) for n, limit in conversations]
        ),
    ]
    PICTURE.write_text(svg(charts))


def report(found: dict[Setup, Limit], conversations: Points) -> Report:
    """Each setup, and whether conversations are free."""
    rows = [
        (
            _described(setup),
            f"{limit.rate:,.0f}",
            f"{limit.micros('workers'):,.0f}",
            f"{limit.micros('broker'):,.0f}",
            f"{limit.a_second(sum(limit.cpu.values())):.2f}",
        )
        for setup, limit in found.items()
    ]
    (fewest, least), (most, largest) = conversations[0], conversations[-1]
    what = f"cost of a callback, {most:,} conversations over {fewest:,}"
    verdict = Verdict(what, largest.micros("workers") / least.micros("workers"), FLAT, " times", most=True)
    columns = ("", "callbacks/s", "worker µs a callback", "broker µs a callback", "cores used")
    return Report(f"As work grows, {CHANNELS} channels", columns, rows, (verdict,), (f"As a picture: {PICTURE}",))
