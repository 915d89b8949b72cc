"""The embedded broker: a real single-node Apache Kafka in a process of its own."""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from deploy.errors import LiveDeskError
from deploy.folders import DATA, open_lock
from deploy.kafka.config import (
    CLUSTER_ID,
    FAST_START,
    HOST,
    NODE_ID,
    java_options,
    render_properties,
    server_properties,
)
from deploy.kafka.jars import Progress, fetch_jars, quiet
from deploy.kafka.java import find_java
from deploy.ports import check_port_free

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1


class BrokerStatus(BaseModel):
    """What `livedesk broker status` prints; pid, uptime and memory only of a running broker."""

    model_config = ConfigDict(frozen=True)

    running: bool
    answers: bool
    bootstrap_servers: str
    data_dir: Path
    log_file: Path
    pid: int | None = None
    uptime_seconds: float | None = None
    memory_bytes: int | None = None


class _PidFile(BaseModel):
    pid: int
    port: int


class EmbeddedBroker:
    """Starts, finds and stops the broker of one data folder; it outlives the process that started it.

    Everything it writes is in data_dir/kafka. heap is Java's -Xmx. jvm_flags: () for full speed, see FAST_START.
    """

    def __init__(
        self,
        *,
        port: int,
        data_dir: Path,
        cache_dir: Path,
        heap: str = "384m",
        jvm_flags: tuple[str, ...] = FAST_START,
        maven_repository: str | None = None,
    ) -> None:
        self.port = port
        self._folder = data_dir.absolute() / "kafka"
        self._log_dir = self._folder / "log"
        self._properties = self._folder / "server.properties"
        self._pid_file = self._folder / "broker.pid"
        self.log_file = self._folder / "broker.log"
        self._cache_dir = cache_dir.absolute()
        self._java_options = java_options(heap, jvm_flags)
        self._maven_repository = maven_repository
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self, progress: Progress = quiet) -> None:
        """Returns when the broker answers; at once if it runs already.

        The first start fetches Kafka's jars and formats the data folder. Raises LiveDeskError.
        """
        with self._start_lock():
            if process := self._find():
                self._check_same_port()
                self._wait_until_answers(process)
                return
            command = [str(find_java()), *self._java_options, "-cp"]
            jars = fetch_jars(self._cache_dir, progress, self._maven_repository)
            command.append(os.pathsep.join(map(str, jars)))
            check_port_free(
                "The embedded Kafka",
                self.port,
                "Stop that process, or set LIVEDESK_BROKER_PORT to another port for every command.",
            )
            self._check_own_data()
            properties = server_properties(port=self.port, controller_port=free_port(), log_dir=self._log_dir)
            self._properties.write_text(render_properties(properties))
            if not self._is_formatted():
                progress(f"Formatting {self._log_dir}")
                self._format(command)
            progress(f"Starting Apache Kafka at {self.bootstrap_servers}")
            self._launch(command)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Ends the broker and waits until it is gone: politely, then after timeout seconds by force.

        False if it was not running.
        """
        process = self._find()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                try:
                    process.wait(timeout)
                except psutil.TimeoutExpired:
                    process.kill()
                    process.wait(STOP_SECONDS)
            self._pid_file.unlink(missing_ok=True)
        self._reap()
        return process is not None

    def kill(self) -> None:
        """Ends the broker as a power cut would: SIGKILL, nothing tidied up."""
        if process := self._find():
            process.kill()
            process.wait(STOP_SECONDS)
        self._reap()

    def wait(self) -> None:
        """Returns when the broker has ended, whoever ended it."""
        if process := self._find():
            process.wait()
        self._reap()

    def status(self) -> BrokerStatus:
        """The state of the data folder's broker, at the port that it was started with."""
        process = self._find()
        port = self._recorded_port() if process else self.port
        status = BrokerStatus(
            running=False,
            answers=False,
            bootstrap_servers=f"{HOST}:{port}",
            data_dir=self._folder,
            log_file=self.log_file,
        )
        if process is None:
            return status
        try:
            found = {
                "running": True,
                "answers": _answers(port),
                "pid": process.pid,
                "uptime_seconds": time.time() - process.create_time(),
                "memory_bytes": process.memory_info().rss,
            }
        except psutil.NoSuchProcess:
            return status
        return status.model_copy(update=found)

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Two starts at once: the second waits, then finds the broker of the first."""
        with open_lock(self._folder / "start.lock", DATA) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(_PidFile.model_validate_json(self._pid_file.read_bytes()).pid)
            # A process id is used again, after a reboot at the latest: ours has our properties file as argument.
            ours = process.status() != psutil.STATUS_ZOMBIE and str(self._properties) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _recorded_port(self) -> int:
        try:
            return _PidFile.model_validate_json(self._pid_file.read_bytes()).port
        except (OSError, ValueError):
            return self.port

    def _check_same_port(self) -> None:
        port = self._recorded_port()
        if port != self.port:
            raise LiveDeskError(
                f"The broker of {self._folder} is already running, on port {port}, not {self.port}.",
                "Stop it first (livedesk broker stop), or use another LIVEDESK_DATA_DIR for a second broker.",
            )

    def _check_own_data(self) -> None:
        # Kafka would refuse the folder as well, but in words that do not say what to do.
        meta = self._log_dir / "meta.properties"
        if meta.exists():
            lines = meta.read_text().splitlines()
            if f"cluster.id={CLUSTER_ID}" not in lines or f"node.id={NODE_ID}" not in lines:
                raise LiveDeskError(
                    f"{self._log_dir} holds the data of another Kafka cluster.",
                    "Set LIVEDESK_DATA_DIR to another folder, or move that one away.",
                )

    def _is_formatted(self) -> bool:
        # Kafka writes this file last, so an interrupted formatting is done again.
        return (self._log_dir / "meta.properties").exists()

    def _format(self, java: list[str]) -> None:
        arguments = ["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(self._properties)]
        command = [*java, "kafka.tools.StorageTool", *arguments]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if result.returncode != 0:
            output = _without_stack_trace((result.stdout + result.stderr).splitlines())
            raise LiveDeskError(f"Kafka could not format {self._log_dir}:\n{output}", "Is the disk full or read-only?")

    def _launch(self, java: list[str]) -> None:
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("wb") as log:
            # Its own session: Ctrl-C at the terminal, and the terminal's end, do not reach it.
            self._child = subprocess.Popen(  # noqa: S603 - our own command, without a shell
                [*java, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            self._pid_file.write_text(_PidFile(pid=self._child.pid, port=self.port).model_dump_json())
            self._wait_until_answers(psutil.Process(self._child.pid))
        except BaseException:
            self._child.kill()
            self._reap()
            self._pid_file.unlink(missing_ok=True)
            raise

    def _wait_until_answers(self, process: psutil.Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise self._did_not_start("ended while it started")
            if time.monotonic() > deadline:
                raise self._did_not_start(f"did not answer within {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _did_not_start(self, what: str) -> LiveDeskError:
        tail = _without_stack_trace(self.log_file.read_text(errors="replace").splitlines())
        hint = f"The whole log: {self.log_file}"
        if "UnsupportedVersionException" in tail:
            hint = f"A newer Kafka wrote {self._log_dir}: move that folder away to begin anew.\n{hint}"
        return LiveDeskError(f"Apache Kafka {what}. The end of its log:\n{tail}", hint)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait(STOP_SECONDS)
            self._child = None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    """Whether a Kafka broker answers there and takes part in its cluster.

    An accepted connection says little: a broker is fenced, and creates no topic, until its controller knows it.
    """
    # Metadata request, version 1, of no topic: length, API key, version, correlation id, no client id, empty array.
    request = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                _, correlation, brokers = struct.unpack(">iii", answer.read(12))
    except (OSError, struct.error):
        return False
    return bool(correlation == 1 and brokers > 0)


def _without_stack_trace(lines: list[str]) -> str:
    return "\n".join([line for line in lines if not line.startswith(("\tat ", "\t..."))][-15:])
