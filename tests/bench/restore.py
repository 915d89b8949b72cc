"""Restart of a worker whose stage knows many conversations, until it is ready; stock Faust's table beside it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
from aiokafka import AIOKafkaProducer

from agents.stage import Stage
from bus.connection import KafkaConnection, client_options
from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.processes.managed import ManagedProcess
from schemas.topics import Topic, state_topic
from tests.bench.customers import Customers
from tests.bench.peers.faust_table import READY, TABLE, app_id
from tests.bench.population import Rows, copies, populate, rows_by_stage, size
from tests.bench.programs import peer, running
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session, broker
from tests.bench.system import PREFIX, System

PARTITIONS = 4
LIMIT_S = 600.0
SETTLE_S = 60.0
MILLION = 1_000_000
FAUST_PREFIX = "stock."
GO = Topic("go", key="any", writers={}, holds="a record for each start")


@dataclass(frozen=True)
class Restore:
    """seconds: from the start of the process until ready. memory: resident bytes by then."""

    name: str
    conversations: int
    rows: int
    seconds: float
    memory: int


async def run(session: Session) -> Sequence[Report]:
    """Ours, then stock Faust with fewer; each also with nothing to restore."""
    many, fewer = session.pick((2_000, 500), (MILLION, 20_000), (MILLION, 100_000))
    with broker(session) as found:
        session.say("one conversation to copy")
        async with (
            Customers(receipts=True) as customers,
            System(found.kafka, session.folder / "system", customers.provider_url, partitions=PARTITIONS) as system,
        ):
            await customers.connect(system.urls)
            await customers.steady(5, 2)
            await customers.answered(SETTLE_S)
        contact = next(iter(customers.posted))
        kept = await rows_by_stage(found.kafka, PREFIX, contact)
        stage, rows = max(kept.items(), key=lambda pair: size(pair[1]))
        session.say(f"{stage.name}: start without conversations")
        empty = await _worker(system, stage, 0, 0)
        session.say(f"writing {many:,} conversations, {len(rows)} rows and {size(rows):,} bytes each")
        topic = state_topic(stage.name).full_name(PREFIX)
        await populate(found.kafka, topic, PARTITIONS, copies(rows, contact, range(many)))
        session.say(f"{stage.name}: start with {many:,} conversations")
        ours = await _worker(system, stage, many, many * len(rows))
        session.say(f"stock Faust: start with {fewer:,} conversations")
        await apply(found.kafka, FAUST_PREFIX, [GO], PARTITIONS, 1)
        faust_empty = await _stock_faust(session, found.kafka, rows, contact, 0)
        faust = await _stock_faust(session, found.kafka, rows, contact, fewer)
    notes = [f"{stage.name} keeps {len(rows)} rows, {size(rows)} bytes, of each" for stage, rows in kept.items()]
    return [report(stage.name, (empty, ours), (faust_empty, faust), notes)]


async def _worker(system: System, stage: Stage, conversations: int, rows: int) -> Restore:
    port = free_port()
    worker = ManagedProcess(
        f"restore-{conversations}",
        ["worker", stage.name, "--instance-id", "worker-1", "--port", str(port)],
        env=system.variables,
        log=system.workers[0].log.with_name(f"restore-{conversations}.log"),
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )
    began = time.monotonic()
    worker.start()
    try:
        await worker.wait_ready(LIMIT_S)
        return Restore("our runtime", conversations, rows, time.monotonic() - began, worker.memory)
    finally:
        await worker.stop()


async def _stock_faust(
    session: Session, kafka: KafkaConnection, rows: Rows, contact: str, conversations: int
) -> Restore:
    """The first start, without conversations, is also what creates the changelog."""
    population = _for_faust(copies(rows, contact, range(conversations)))
    if conversations:
        await populate(kafka, f"{app_id(FAUST_PREFIX)}-{TABLE}-changelog", PARTITIONS, population)
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        await producer.send_and_wait(GO.full_name(FAUST_PREFIX), b"go", partition=0)
    command = peer("faust_table", kafka.bootstrap_servers, FAUST_PREFIX, str(PARTITIONS))
    began = time.monotonic()
    with running(f"faust-{conversations}", command, session.folder) as program:
        (restored,) = await program.wait_until_said(READY, LIMIT_S)
        took, memory = time.monotonic() - began, program.memory
    if int(restored) != conversations * len(rows):
        raise NoResult(f"stock Faust restored {restored} rows of {conversations * len(rows)}")
    return Restore("stock Faust", conversations, conversations * len(rows), took, memory)


def _for_faust(population: Iterator[list[tuple[bytes, bytes]]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Keys and values as its tables have them: JSON, here a text of the same length."""
    for rows in population:
        yield [(_json(key), _json(value)) for key, value in rows]


def _json(content: bytes) -> bytes:
    return orjson.dumps(content.decode("latin-1"))


def report(stage: str, ours: tuple[Restore, Restore], faust: tuple[Restore, Restore], notes: Sequence[str]) -> Report:
    """Rates are net of a start without anything to restore."""
    rows: list[tuple[str, ...]] = []
    rates: list[float] = []
    for empty, full in (ours, faust):
        rates.append(full.rows / max(full.seconds - empty.seconds, 0.001))
        gigabytes = (full.memory - empty.memory) / full.conversations * MILLION / 1e9
        for each in (empty, full):
            rate = f"{rates[-1]:,.0f}" if each is full else ""
            million = f"{gigabytes:.2f} GB" if each is full else ""
            figures = (f"{each.conversations:,}", f"{each.rows:,}", f"{each.seconds:.1f}")
            rows.append((each.name, *figures, rate, f"{each.memory / 2**20:,.0f} MiB", million))
    empty, full = ours
    scale = MILLION / full.conversations
    until_ready = empty.seconds + (full.seconds - empty.seconds) * scale
    memory = (full.memory - empty.memory) * scale / 1e9
    verdicts = (
        Verdict("rows restored a second, over stock Faust", rates[0] / rates[1], 20, " times"),
        Verdict("restart until ready with a million conversations", until_ready, 30, " s", most=True),
        Verdict(f"resident memory of a million conversations in {stage}", memory, 1.5, " GB", most=True),
    )
    columns = ("", "conversations", "rows", "s until ready", "rows/s", "resident", "a million")
    return Report(f"Restart of {stage}, the largest stage of these conversations", columns, rows, verdicts, notes)
