"""One stateful stage on three runtimes: python -m tests.bench.bench_stage [--records N] [--quick]

All do the same work on a broker of the benchmark's own: count the records of a key, state in a changelog, one JSON
record out for each in. What is timed, and what the contenders differ in, is in docs/performance.md.
"""

import asyncio
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import orjson
import psutil
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from rich.console import Console
from rich.table import Table

from deploy.broker import EmbeddedBroker, free_port
from deploy.settings import load_settings
from deploy.topics import apply
from schemas.connection import KafkaConnection, client_options
from schemas.record import Record, encode
from schemas.topics import CHANNELS, DEAD_LETTERS, TIMERS, state_topic
from streams.clock import wall_clock
from tests.bench.peers.environment import REQUIREMENTS, peers_python
from tests.broker.counting import COUNT, COUNTS, NUMBERS, Number
from tests.reading import committed_messages

VALUE_BYTES = 600
KEYS = 5000
PARTITIONS = [0, 1]
POLL_SECONDS = 0.05
QUIET_SECONDS = 1.0
"""How long the outputs must have been at rest before they are counted: counting takes a core of the machine's."""
LIMIT_SECONDS = 600.0
BATCH = 500

OURS, RUNTIME, FAUST = "our stage, CloudEvents", "our runtime, plain JSON", "stock Faust"
QUIX_ONCE, QUIX_LEAST = "Quix Streams, exactly-once", "Quix Streams, at-least-once"
TARGETS = {FAUST: (10.0, 25.0), QUIX_ONCE: (1.5, 1.5)}
"""Our runtime's rate over theirs, for the same plain work: at least, and wanted later."""


class ContenderFailed(RuntimeError):
    """A contender ended early, took too long or counted wrong."""


@dataclass(frozen=True)
class Contender:
    """One runtime. command: what to run, without the broker's address and the prefix of the topics."""

    name: str
    prefix: str
    records: int
    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """seconds: from the contender's first record until its last output could be read (read_committed)."""

    contender: Contender
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.contender.records / self.seconds


def contenders(records: int, peers: Path) -> list[Contender]:
    """Those to compare. Stock Faust gets a tenth of the records: it would take minutes, and only rates are compared."""
    module = (sys.executable, "-m")
    quix = (str(peers), str(REQUIREMENTS.with_name("quix.py")))
    return [
        Contender(FAUST, "faust.", records // 10, (*module, "tests.bench.peers.stock_faust")),
        Contender(QUIX_LEAST, "quix-least.", records, quix, (str(records), "at-least-once")),
        Contender(QUIX_ONCE, "quix-once.", records, quix, (str(records), "exactly-once")),
        Contender(RUNTIME, "runtime.", records, (*module, "tests.bench.peers.runtime")),
        Contender(OURS, "ours.", records, (*module, "tests.bench.peers.ours")),
    ]


async def produce(kafka: KafkaConnection, topic: str, records: int) -> None:
    """Numbered inputs, each a CloudEvent of VALUE_BYTES, on the partitions of their keys."""
    place = DefaultPartitioner()
    batches: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    producer = AIOKafkaProducer(**client_options(kafka), acks="all", max_batch_size=1_000_000)
    async with producer:

        async def send(partition: int) -> None:
            batch = producer.create_batch()
            for key, value in batches.pop(partition, []):
                batch.append(timestamp=None, key=key, value=value)
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))

        def value(n: int, pad: int) -> bytes:
            return encode(Record(f"r{n}", "/bench", wall_clock(), f"k{n % KEYS}", Number(n=n, pad="x" * pad)))

        pad = VALUE_BYTES - len(value(records, 1)) + 1
        for n in range(records):
            key = b"k%d" % (n % KEYS)
            partition = place(key, PARTITIONS, PARTITIONS)
            batches[partition].append((key, value(n, pad)))
            if len(batches[partition]) == BATCH:
                await send(partition)
        for partition in PARTITIONS:
            await send(partition)


async def check(kafka: KafkaConnection, contender: Contender) -> int:
    """How many outputs there are. Raises ContenderFailed if those of a key do not count 1, 2, 3 …"""
    counts: dict[bytes, list[int]] = defaultdict(list)
    numbers = set()
    messages = await committed_messages(kafka, COUNTS.full_name(contender.prefix))
    for message in messages:
        body = orjson.loads(message.value)
        output = body.get("data", body)
        counts[message.key].append(output["count"])
        numbers.add(output["n"])
    wrong = [key for key, seen in counts.items() if seen != list(range(1, len(seen) + 1))]
    if wrong or len(numbers) != len(messages):
        raise ContenderFailed(f"{contender.name} counted {len(wrong)} keys wrong")
    return len(messages)


async def last_output(kafka: KafkaConnection, contender: Contender, process: subprocess.Popen[bytes]) -> float:
    """When the last output could be read (time.monotonic()).

    Looks at the last stable offsets, which cost nothing, and counts only what has come to rest.
    """
    outputs = [TopicPartition(COUNTS.full_name(contender.prefix), partition) for partition in PARTITIONS]
    started = rose = time.monotonic()
    reached = 0
    consumer = AIOKafkaConsumer(**client_options(kafka), isolation_level="read_committed", enable_auto_commit=False)
    async with consumer:
        while (now := time.monotonic()) < started + LIMIT_SECONDS:
            end = sum((await consumer.end_offsets(outputs)).values())
            if end > reached:
                reached, rose = end, now
            elif now > rose + QUIET_SECONDS and reached >= contender.records:
                # Transaction markers have offsets too: only reading tells how many records there are.
                if await check(kafka, contender) == contender.records:
                    return rose
                rose = now
            elif now > rose + QUIET_SECONDS and process.poll() is not None:
                break
            await asyncio.sleep(POLL_SECONDS)
    raise ContenderFailed(f"{contender.name} did not finish")


def first_record(log: Path) -> float:
    """When the contender says that its first record came."""
    said = [line for line in log.read_text().splitlines() if line.startswith("FIRST ")]
    return float(said[0].split()[1])


def start(kafka: KafkaConnection, contender: Contender, log: Path) -> subprocess.Popen[bytes]:
    """Start the contender's process; its temporary files go beside the log."""
    arguments = [*contender.command, kafka.bootstrap_servers, contender.prefix, *contender.arguments]
    with log.open("wb") as output:
        environment = {**os.environ, "TMPDIR": str(log.parent)}
        return subprocess.Popen(arguments, stdout=output, stderr=output, env=environment)


async def run(kafka: KafkaConnection, contender: Contender, folder: Path) -> Result:
    """Produce a contender's input, run it, stop it. Raises ContenderFailed."""
    topics = (NUMBERS, COUNTS, DEAD_LETTERS, TIMERS, CHANNELS, state_topic(COUNT.name))
    await apply(kafka, contender.prefix, topics, partitions=len(PARTITIONS), replication_factor=1)
    await produce(kafka, NUMBERS.full_name(contender.prefix), contender.records)
    log = folder / f"{contender.prefix}log"
    process = start(kafka, contender, log)
    try:
        last = await last_output(kafka, contender, process)
        return Result(contender, last - first_record(log))
    except ContenderFailed as error:
        raise ContenderFailed(f"{error}; the end of its log:\n{log.read_text()[-2000:]}") from error
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def compare(kafka: KafkaConnection, entries: list[Contender], folder: Path, console: Console) -> list[Result]:
    """Run them one after the other; the first run only warms up the broker, whose code Java still compiles."""
    ours = entries[-1]
    results = []
    for entry in (Contender("warm-up", "warm-up.", ours.records, ours.command), *entries):
        with console.status(f"{entry.name}: {entry.records:,} records"):
            results.append(await run(kafka, entry, folder))
    return results[1:]


def machine() -> str:
    """What it ran on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = psutil.virtual_memory().total / 2**30
    quix = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("quixstreams=="))
    return (
        f"{psutil.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()}; Python {platform.python_version()}, "
        f"faust-streaming {version('faust-streaming')}, {quix.replace('==', ' ')}; "
        f"load average {psutil.getloadavg()[0]:.1f} before"
    )


def show(results: list[Result], console: Console) -> None:
    """Print the table and what became of the targets."""
    rates = {result.contender.name: result.rate for result in results}
    table = Table(
        "contender", title=f"count per key: {VALUE_BYTES}-byte values, {KEYS:,} keys, 2 partitions, 1 process"
    )
    for heading in ("records", "seconds", "records/s", "our runtime is faster by"):
        table.add_column(heading, justify="right")
    for result in sorted(results, key=lambda result: result.rate):
        name, figures = result.contender.name, (f"{result.contender.records:,}", f"{result.seconds:.2f}")
        table.add_row(name, *figures, f"{result.rate:,.0f}", f"{rates[RUNTIME] / result.rate:.2f}")
    console.print(table)
    for name, (target, later) in TARGETS.items():
        ratio = rates[RUNTIME] / rates[name]
        console.print(f"{ratio:.1f} times {name}: {_met(ratio, target)}; later {_met(ratio, later)}")
    faster = max(rates[QUIX_ONCE], rates[QUIX_LEAST])
    ratio = rates[RUNTIME] / faster
    console.print(f"{ratio:.1f} times the faster Quix Streams: later {_met(ratio, 1.5)}")


def _met(ratio: float, target: float) -> str:
    return f"target {target:g} {'met' if ratio >= target else 'not met'}"


def main(
    records: Annotated[int, typer.Option(min=1000, help="Records of a contender; stock Faust gets a tenth.")] = 200_000,
    quick: Annotated[bool, typer.Option("--quick", help="20,000 records.")] = False,
) -> None:
    """Measure. Starts a broker of its own; the first run installs Quix Streams into the cache folder."""
    logging.basicConfig(level=logging.ERROR)
    settings = load_settings()
    console = Console()
    peers = peers_python(settings.cache_dir, console.print)
    described = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = EmbeddedBroker(
            port=free_port(), data_dir=folder, cache_dir=settings.cache_dir, heap="1g", jvm_flags=()
        )
        broker.start(console.print)
        try:
            kafka = KafkaConnection(bootstrap_servers=broker.bootstrap_servers)
            entries = contenders(20_000 if quick else records, peers)
            results = asyncio.run(compare(kafka, entries, folder, console))
        except ContenderFailed as error:
            console.print(f"No result: {error}", markup=False)
            return
        finally:
            broker.stop()
    show(results, console)
    console.print(described)


if __name__ == "__main__":
    typer.run(main)
