"""The Kafka of `livedesk up` and `livedesk demo`: the cluster that the settings name, or the embedded broker."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.folders import DATA, open_lock
from deploy.kafka.broker import EmbeddedBroker
from deploy.kafka.jars import Progress
from deploy.processes.guard import Guard
from deploy.processes.signals import ignore_signals
from deploy.settings import KafkaEnvironment, Settings


def embedded_broker(settings: Settings, port: int | None = None) -> EmbeddedBroker:
    """The embedded broker that the settings describe."""
    return EmbeddedBroker(
        port=port or settings.broker_port,
        data_dir=settings.data_dir,
        cache_dir=settings.cache_dir,
        maven_repository=settings.maven_repository,
    )


class LocalKafka:
    """What runs. started: by us, so that it ends with us, also by kill -9; memory: bytes, None of a cluster."""

    def __init__(self, settings: Settings) -> None:
        self.address = settings.kafka.bootstrap_servers
        self.embedded = "bootstrap_servers" not in KafkaEnvironment().model_fields_set
        self.started = False
        self._broker = embedded_broker(settings)
        self._guard: Guard | None = None

    def start(self, progress: Progress) -> None:
        """Start the embedded broker, unless it runs or there is a cluster. Raises LiveDeskError."""
        if self.embedded:
            self.started = not self._broker.status().running
            self._broker.start(progress)
            self._watch()

    def ended(self) -> bool:
        """Whether the embedded broker that was started has ended by itself."""
        return self.started and not self._broker.status().running

    def restart(self) -> None:
        """Start the embedded broker again. Raises LiveDeskError."""
        self._broker.start()
        self._watch()

    def stop(self) -> None:
        """Stop the embedded broker."""
        self._broker.stop()

    def release(self) -> None:
        """Let the broker outlive this process."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()

    def _watch(self) -> None:
        self.release()
        pid = self._broker.status().pid if self.started else None
        if pid is not None:
            self._guard = Guard(pid)

    @property
    def memory(self) -> int | None:
        """Resident bytes of the embedded broker."""
        return self._broker.status().memory_bytes if self.embedded else None


@contextmanager
def local_kafka(settings: Settings, progress: Progress) -> Iterator[LocalKafka]:
    """Kafka for as long as the block runs. The embedded broker is stopped after it only if it was started for it.

    Raises LiveDeskError.
    """
    kafka = LocalKafka(settings)
    with _in_use(settings.data_dir) as users:
        try:
            kafka.start(progress)
            yield kafka
        finally:
            ignore_signals()
            # Whoever else has come to use the broker meanwhile keeps it.
            if kafka.started and _is_last(users):
                kafka.stop()
            kafka.release()


@contextmanager
def _in_use(data_dir: Path) -> Iterator[int]:
    with open_lock(data_dir / "kafka" / "users.lock", DATA) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock.fileno()


def _is_last(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
