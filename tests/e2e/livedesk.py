"""`livedesk` as a process of its own, as a person starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from bus.connection import KafkaConnection


def environment(
    kafka: KafkaConnection, folder: Path, prefix: str = "livedesk.", data_dir: Path | None = None
) -> dict[str, str]:
    """The command's settings: the Kafka of the run, and a folder of its own, by which it is found again."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIVEDESK_")}
    return {
        **kept,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LIVEDESK_DATA_DIR": str(data_dir or folder),
        "LIVEDESK_TOPIC_PREFIX": prefix,
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def running(arguments: Sequence[str], env: dict[str, str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command while it runs, its output in a file. Nothing of it is left after the block, whatever happens."""
    with output.open("wb") as file:
        command = [sys.executable, "-m", "cli.main", *arguments]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        for left in left_behind(Path(env["TMPDIR"])):
            left.kill()
        process.wait()


def left_behind(folder: Path) -> list[psutil.Process]:
    """The processes that were given the folder and still run. Each has a session of its own: no tree leads to it."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("TMPDIR") == str(folder) and process.pid != os.getpid()
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
