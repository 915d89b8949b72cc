"""Ingress and workers as processes of their own, beside a Kafka that runs; the provider is the benchmark's."""

from collections.abc import Sequence
from pathlib import Path

import psutil
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from bus.connection import KafkaConnection
from deploy.channels_file import load_channels_file
from deploy.processes.managed import ManagedProcess
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from simulation.stack import Ports, Stack, provider_variables

PREFIX = "livedesk."
READY_S = 600.0
"""A worker that restores a million conversations, on a busy machine, may take minutes."""
GREETING = "Hello, we'll be with you in a moment."


class _Patient(ManagedProcess):
    async def wait_ready(self, seconds: float = READY_S) -> None:
        await super().wait_ready(seconds)


class System(Stack):
    """The product, without its sandbox, inside `async with`. urls: where its channels' callbacks are posted."""

    def __init__(
        self,
        kafka: KafkaConnection,
        folder: Path,
        provider_url: str,
        *,
        workers: int = 1,
        partitions: int = 4,
        channels: int = 1,
        replication: int = 1,
        prefix: str = PREFIX,
    ) -> None:
        self._provider_url = provider_url
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "channels.yaml"
        file.write_text("channels:\n" + "".join(map(_channel, range(channels))))
        changes = {
            "kafka": kafka,
            "data_dir": folder,
            "partitions": partitions,
            "replication_factor": replication,
            "topic_prefix": prefix,
        }
        settings = load_settings().model_copy(update=changes)
        secrets = load_secrets(settings)
        super().__init__(settings, secrets, load_channels_file(file), file, folder / "logs", Ports.free(workers))
        self.urls = [self.webhook_url(channel) for channel in self.channels.channels]

    async def __aenter__(self) -> "System":
        await super().__aenter__()
        return self

    @property
    def processes(self) -> list[ManagedProcess]:
        """All but the sandbox. The desk writes the channels that ingress takes callbacks for."""
        return [self.ingress, self.desk, *self.workers]

    @property
    def variables(self) -> dict[str, str]:
        """The variables that its processes share."""
        return {**super().variables, **provider_variables(self._provider_url)}

    def _process(self, name: str, arguments: Sequence[str], env: dict[str, str], ready_url: str) -> ManagedProcess:
        return _Patient(name, arguments, env=env, log=self._folder / f"{name}.log", ready_url=ready_url)

    async def metric(self, name: str) -> dict[str, float]:
        """A metric of the workers by stage: the sum of its samples."""
        found: dict[str, float] = {}
        async with ClientSession() as http:
            for port in self.ports.workers:
                async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
                    page = await response.text()
                for family in text_string_to_metric_families(page):
                    for sample in family.samples:
                        if sample.name == name and (stage := sample.labels.get("stage")):
                            found[stage] = found.get(stage, 0.0) + sample.value
        return found


def _channel(number: int) -> str:
    return f"""
  - id: wa{number}
    phone_number: "{phone(number)}"
    dev_key: key{number}
    dev_secret: secret{number}
    greeting: {{enabled: true, text: "{GREETING}"}}
"""


def phone(channel: int) -> str:
    """The number of a channel."""
    return f"+3460000{channel:04d}"


class CpuClock:
    """CPU time of processes between two looks. pids by the name that the table gives them."""

    def __init__(self, pids: dict[str, Sequence[int]]) -> None:
        self._pids = pids
        self._before = self._read()

    def seconds(self) -> dict[str, float]:
        """CPU seconds of each since it was made."""
        return {name: now - self._before[name] for name, now in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {name: sum(map(_cpu_seconds, pids)) for name, pids in self._pids.items()}


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
