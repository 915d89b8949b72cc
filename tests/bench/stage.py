"""One stateful stage on our runtime and on what people would use instead.

All do the same work: count the records of a key, state in a changelog, one JSON record out for each in. What is timed,
and what the contenders differ in, is in docs/performance.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bus.connection import KafkaConnection
from deploy.kafka.topics import apply
from schemas.topics import CHANNELS, DEAD_LETTERS, TIMERS, state_topic
from tests.bench.counting import KEYS, PARTITIONS, VALUE_BYTES, last_output, produce
from tests.bench.peers.environment import REQUIREMENTS, peers_python
from tests.bench.peers.first import FIRST
from tests.bench.peers.streams import CannotBuild, streams_command, streams_version
from tests.bench.programs import peer, running
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session, broker
from tests.broker.counting import COUNT, COUNTS, NUMBERS

OURS, RUNTIME = "our stage, CloudEvents", "our runtime, plain JSON"
FAUST, BARE = "stock Faust", "bare aiokafka"
QUIX_ONCE, QUIX_LEAST = "Quix Streams, exactly-once", "Quix Streams, at-least-once"
STREAMS_ONCE, STREAMS_LEAST = "Kafka Streams, exactly_once_v2", "Kafka Streams, at_least_once"


@dataclass(frozen=True)
class Contender:
    """One runtime. command: what to run, without the broker's address, the prefix of the topics and the warm-up.

    warm_up: records before the clock starts; records: those after it.
    """

    name: str
    prefix: str
    warm_up: int
    records: int
    command: Sequence[str]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """seconds: from the first of `records` until the last output could be read (read_committed)."""

    contender: Contender
    records: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


async def run(session: Session) -> Sequence[Report]:
    """Run the contenders one after the other."""
    warm_up, records = session.pick((2_000, 10_000), (50_000, 200_000), (100_000, 500_000))
    notes: list[str] = []
    entries = contenders(session, warm_up, records, notes)
    results = []
    with broker(session) as found:
        ours = next(entry for entry in entries if entry.name == RUNTIME)
        # Java still compiles the broker's code meanwhile.
        for entry in (replace(ours, name="warming up the broker", prefix="warm-up."), *entries):
            session.say(f"{entry.name}: {entry.records:,} records")
            try:
                results.append(await measure(found.kafka, entry, session.folder))
            except NoResult as error:
                notes.append(f"{entry.name}: no result: {error}")
    return [report([result for result in results if result.contender.name != "warming up the broker"], notes)]


def contenders(session: Session, warm_up: int, records: int, notes: list[str]) -> list[Contender]:
    """Those to compare. Stock Faust gets a tenth of the records: it would take minutes, and only rates are compared."""
    quix = (str(peers_python(session.cache_dir, session.say)), "-m", "tests.bench.peers.quix")
    total = str(warm_up + records)
    found = [
        Contender(FAUST, "faust.", warm_up // 10, records // 10, peer("stock_faust")),
        Contender(BARE, "bare.", warm_up, records, peer("bare_aiokafka")),
        Contender(QUIX_LEAST, "quix-least.", warm_up, records, quix, (total, "at-least-once")),
        Contender(QUIX_ONCE, "quix-once.", warm_up, records, quix, (total, "exactly-once")),
        Contender(RUNTIME, "runtime.", warm_up, records, peer("runtime")),
        Contender(OURS, "ours.", warm_up, records, peer("ours")),
    ]
    try:
        java = streams_command(session.cache_dir, session.say)
    except CannotBuild as error:
        notes.append(f"Kafka Streams was left out: {error}")
        return found
    for name, guarantee in ((STREAMS_LEAST, "at_least_once"), (STREAMS_ONCE, "exactly_once_v2")):
        state = str(session.folder / guarantee)
        found.append(Contender(name, f"{guarantee}.", warm_up, records, java, (guarantee, state)))
    return found


async def measure(kafka: KafkaConnection, contender: Contender, folder: Path) -> Result:
    """Produce a contender's input, run it, stop it. Raises NoResult."""
    topics = (NUMBERS, COUNTS, DEAD_LETTERS, TIMERS, CHANNELS, state_topic(COUNT.name))
    await apply(kafka, contender.prefix, topics, partitions=len(PARTITIONS), replication_factor=1)
    total = contender.warm_up + contender.records
    await produce(kafka, contender.prefix, total)
    described = (kafka.bootstrap_servers, contender.prefix, str(contender.warm_up))
    with running(contender.prefix, [*contender.command, *described, *contender.arguments], folder) as program:
        try:
            last = await last_output(kafka, contender.prefix, contender.name, total, lambda: program.ended)
            first, before = await program.wait_until_said(FIRST, 0)
        except NoResult as error:
            raise NoResult(f"{error}; the end of its log:\n{program.tail()}") from error
    return Result(contender, total - int(before), last - float(first))


def report(results: list[Result], notes: list[str]) -> Report:
    """The table and what became of the targets."""
    rates = {result.contender.name: result.rate for result in results}
    runtime = rates.get(RUNTIME)
    if runtime is None:
        raise NoResult("; ".join(notes))
    rows = [
        (
            result.contender.name,
            f"{result.records:,}",
            f"{result.seconds:.2f}",
            f"{result.rate:,.0f}",
            f"{runtime / result.rate:.2f}",
        )
        for result in sorted(results, key=lambda result: result.rate)
    ]
    verdicts = []
    if FAUST in rates:
        verdicts.append(Verdict("our runtime over stock Faust", runtime / rates[FAUST], 25, " times"))
    rivals = [rates[name] for name in (QUIX_ONCE, STREAMS_ONCE) if name in rates]
    if rivals:
        what = "our runtime over the faster of Quix Streams exactly-once and Kafka Streams exactly_once_v2"
        verdicts.append(Verdict(what, runtime / max(rivals), 1.5, " times"))
    quix = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("quixstreams=="))
    notes = [*notes, f"{quix.replace('==', ' ')}, Kafka Streams {streams_version()}"]
    title = f"One stateful stage: {VALUE_BYTES}-byte values, {KEYS:,} keys, {len(PARTITIONS)} partitions, one process"
    columns = ("contender", "records", "seconds", "records/s", "our runtime is faster by")
    return Report(title, columns, rows, verdicts, notes)
