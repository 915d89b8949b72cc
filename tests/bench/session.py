"""What every benchmark is given: its size, a folder, a broker of its own; and what it says of the machine."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import psutil

from bus.connection import KafkaConnection
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.kafka.jars import read_jar_list

T = TypeVar("T")


class Size(StrEnum):
    """quick: that it works. normal: all within a quarter of an hour. full: as long and large as the targets say."""

    QUICK = "quick"
    NORMAL = "normal"
    FULL = "full"


class NoResult(RuntimeError):
    """A benchmark could not measure, or what it measured was wrong."""


@dataclass(frozen=True)
class Session:
    """folder: emptied afterwards. cache_dir: kept. say: shows one line of progress."""

    size: Size
    folder: Path
    cache_dir: Path
    say: Callable[[str], None]

    def pick(self, quick: T, normal: T, full: T) -> T:
        """What is meant for this size."""
        return {Size.QUICK: quick, Size.NORMAL: normal, Size.FULL: full}[self.size]


@dataclass(frozen=True)
class Broker:
    """A Kafka that runs. pid: its process."""

    kafka: KafkaConnection
    pid: int


@contextmanager
def broker(session: Session, heap: str = "1g") -> Iterator[Broker]:
    """A broker of the benchmark's own, for as long as the block runs. Java at full speed, unlike the embedded one."""
    embedded = EmbeddedBroker(
        port=free_port(), data_dir=session.folder, cache_dir=session.cache_dir, heap=heap, jvm_flags=()
    )
    embedded.start(session.say)
    try:
        yield Broker(KafkaConnection(bootstrap_servers=embedded.bootstrap_servers), embedded.status().pid or 0)
    finally:
        embedded.stop()


def machine() -> str:
    """What it runs on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()}; "
        f"Python {platform.python_version()}, Apache Kafka {read_jar_list().version}, "
        f"faust-streaming {version('faust-streaming')}, aiokafka {version('aiokafka')}; "
        f"load average {psutil.getloadavg()[0]:.1f} before"
    )
