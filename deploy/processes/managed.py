"""A process of ours, started, watched, stopped and started again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.errors import LiveDeskError
from deploy.processes.guard import Guard

TAIL_LINES = 15


class ManagedProcess:
    """`livedesk <arguments>` as a child process, its output in a log file. It ends when this process ends.

    ready_url answers 200 once the process does its work. module: what runs instead of `livedesk`.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        ready_url: str,
        module: str = "cli.main",
    ) -> None:
        self.name, self.log = name, log
        self._command = [sys.executable, "-m", module, *arguments]
        self._env = {**os.environ, **env}
        self._ready_url = ready_url
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """The process id; 0 when it never started."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, or before it was started."""
        return self._process.poll() if self._process else None

    @property
    def memory(self) -> int:
        """Resident bytes; 0 when it does not run."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid else 0
        except psutil.NoSuchProcess:
            return 0

    def start(self) -> None:
        """Start it. Does not wait until it is ready."""
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal is for the parent, which stops the children in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own command, without a shell
                self._command, env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._release()
        self._guard = Guard(self._process.pid)
        self.starts += 1

    async def wait_ready(self, seconds: float = 60) -> None:
        """Wait until ready_url answers 200. Raises LiveDeskError with the end of the log."""
        deadline = time.monotonic() + seconds
        async with ClientSession(timeout=ClientTimeout(total=2)) as session:
            while time.monotonic() < deadline:
                if self.exit_code is not None:
                    raise self._failed(f"{self.name} ended with exit code {self.exit_code}")
                try:
                    async with session.get(self._ready_url) as response:
                        if response.status == 200:
                            return
                except (ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)
        raise self._failed(f"{self.name} was not ready within {seconds:.0f} s")

    def signal(self, signum: int) -> None:
        """Send a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signum)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._release()

    async def stop(self, seconds: float = 25) -> None:
        """SIGTERM, wait, and kill -9 if it takes too long."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
            await asyncio.sleep(0.02)
        self._release()

    def _release(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()

    def _failed(self, what: str) -> LiveDeskError:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if self.log.exists() else []
        return LiveDeskError(what + ".", "\n".join(["The end of its log:", *lines, f"All of it: {self.log}"]))
