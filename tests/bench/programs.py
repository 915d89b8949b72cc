"""Programs of tests/bench/peers as processes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench.session import NoResult

POLL_SECONDS = 0.05
STOP_SECONDS = 10.0


class Program:
    """A process whose output is in `log`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.log, self._process = name, log, process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def said(self, word: str) -> list[str] | None:
        """The words after `word`, on the first whole line that begins with it; None: it has not said it."""
        for line in self.log.read_text().splitlines(keepends=True):
            words = line.split()
            if words[:1] == [word] and line.endswith("\n"):
                return words[1:]
        return None

    async def wait_until_said(self, word: str, seconds: float) -> list[str]:
        """The same, once it is said. Raises NoResult."""
        deadline = time.monotonic() + seconds
        while (words := self.said(word)) is None:
            if self.ended or time.monotonic() > deadline:
                raise NoResult(f"{self.name} did not say {word}; the end of its log:\n{self.tail()}")
            await asyncio.sleep(POLL_SECONDS)
        return words

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


@contextmanager
def running(name: str, command: Sequence[str], folder: Path) -> Iterator[Program]:
    """A command while it runs; log and temporary files in the folder."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        environment = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment)
    try:
        yield Program(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peer(module: str, *arguments: str) -> list[str]:
    """The command of a program in tests/bench/peers."""
    return [sys.executable, "-m", f"tests.bench.peers.{module}", *arguments]
