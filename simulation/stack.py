"""The whole system on one machine, as processes: sandbox, ingress and workers beside a Kafka."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aiohttp import ClientError, ClientSession, ClientTimeout
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from deploy.folders import DATA, make_folder
from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.processes.managed import ManagedProcess
from deploy.secrets import Secrets
from deploy.settings import Settings, url_variable
from providers.registry import base_urls
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.credentials import Credentials
from simulation.sandbox.gpt.stand_in import AI_PATH
from streams.runtime.dead_letters import dead_letters_by_stage
from streams.topology import all_topics

logger = logging.getLogger(__name__)

RESTART_AFTER_S = 1.0


@dataclass(frozen=True)
class Ports:
    """Where the processes listen, on 127.0.0.1. control: the desk, with the control API."""

    ingress: int
    control: int
    sandbox: int
    workers: tuple[int, ...]

    @classmethod
    def free(cls, workers: int = 1) -> "Ports":
        """Ports that nobody uses now."""
        return cls(free_port(), free_port(), free_port(), tuple(free_port() for _ in range(workers)))


class Stack:
    """Sandbox, ingress and workers, started in order and started again when they end by themselves.

    A worker ends itself whenever it can't be sure of a transaction (exit code 70): starting it again is part of the
    design. secrets: the key that ingress and workers share. sandbox_options: more arguments for `livedesk sandbox`.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        channels: ChannelsFile,
        channels_path: Path,
        folder: Path,
        ports: Ports,
        *,
        sandbox_options: Sequence[str] = (),
    ) -> None:
        self.settings, self.ports = settings, ports
        self.channels, self._secrets, self._folder = channels, secrets, folder
        self.ingress_url = f"http://127.0.0.1:{ports.ingress}"
        self.control_url = f"http://127.0.0.1:{ports.control}"
        self.sandbox_url = f"http://127.0.0.1:{ports.sandbox}"
        make_folder(folder, DATA)
        env = self.variables
        accounts = str(folder / "sandbox-accounts.json")
        arguments = ["sandbox", "--port", str(ports.sandbox), "--accounts", accounts, *sandbox_options]
        self.sandbox = self._process("sandbox", arguments, env, f"{self.sandbox_url}/healthz")
        arguments = ["ingress", "--port", str(ports.ingress)]
        self.ingress = self._process("ingress", arguments, env, f"{self.ingress_url}/readyz")
        arguments = ["desk", "--port", str(ports.control), "--ingress-url", self.ingress_url]
        arguments += ["--channels", str(channels_path)]
        self.desk = self._process("desk", arguments, env, f"{self.control_url}/readyz")
        self.workers = [
            self._process(
                f"worker-{number}",
                ["worker", "--all", "--instance-id", f"worker-{number}", "--port", str(port)],
                env,
                f"http://127.0.0.1:{port}/readyz",
            )
            for number, port in enumerate(ports.workers, 1)
        ]
        self._watcher: asyncio.Task[None] | None = None

    @property
    def processes(self) -> list[ManagedProcess]:
        """Every process, in the order of their start."""
        return [self.sandbox, self.ingress, self.desk, *self.workers]

    @property
    def token_file(self) -> Path:
        """A file with the API token of its own, for whoever tries things out."""
        return self._folder / "api-token"

    @property
    def headers(self) -> dict[str, str]:
        """What a call of the control API signs in with."""
        return {"Authorization": f"Bearer {self._secrets.own_token}"}

    def webhook_url(self, channel: ChannelSettings) -> str:
        """Where the provider is to post the channel's callbacks."""
        return self._secrets.webhook_url(self.ingress_url, channel)

    async def dead_letters(self) -> dict[str, Counter[str]]:
        """The dead letters that each worker wrote since it started, by stage; without workers that don't answer."""
        found: dict[str, Counter[str]] = {}
        async with ClientSession(timeout=ClientTimeout(total=2)) as session:
            for worker, port in zip(self.workers, self.ports.workers, strict=True):
                with suppress(ClientError, TimeoutError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as page:
                        families = text_string_to_metric_families(await page.text())
                        found[worker.name] = dead_letters_by_stage(families)
        return found

    async def __aenter__(self) -> "Stack":
        await apply(
            self.settings.kafka,
            self.settings.topic_prefix,
            all_topics(),
            partitions=self.settings.partitions,
            replication_factor=self.settings.replication_factor,
        )
        self._write_accounts()
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self._secrets.own_token)
        try:
            for process in self.processes:
                process.start()
            await asyncio.gather(*(process.wait_ready() for process in self.processes))
        except BaseException:
            await self._stop()
            raise
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._stop()

    async def _stop(self) -> None:
        # Whoever writes first stops first, so that what is under way can drain.
        for process in (self.sandbox, self.ingress, self.desk):
            await process.stop()
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(RESTART_AFTER_S)
            for process in self.processes:
                if process.exit_code is not None:
                    logger.warning("%s ended with exit code %d: started again", process.name, process.exit_code)
                    process.start()

    def _process(self, name: str, arguments: Sequence[str], env: dict[str, str], ready_url: str) -> ManagedProcess:
        return ManagedProcess(name, arguments, env=env, log=self._folder / f"{name}.log", ready_url=ready_url)

    @property
    def variables(self) -> dict[str, str]:
        """The variables that its processes share."""
        settings, kafka = self.settings, self.settings.kafka
        return {
            "LIVEDESK_DATA_DIR": str(settings.data_dir.absolute()),
            "LIVEDESK_PARTITIONS": str(settings.partitions),
            "LIVEDESK_REPLICATION_FACTOR": str(settings.replication_factor),
            "LIVEDESK_TOPIC_PREFIX": settings.topic_prefix,
            **self._secrets.variables,
            # Where the sandbox reaches ingress: it stands in signatures, and in what is sent.
            "LIVEDESK_PUBLIC_URL": self.ingress_url,
            **provider_variables(self.sandbox_url),
            "LIVEDESK_AI_URL": self.sandbox_url + AI_PATH,
            "LIVEDESK_TOOL_URLS": self.sandbox_url,
            # The rest of the Kafka connection (SASL, TLS) came from the environment, which children inherit.
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        }

    def _write_accounts(self) -> None:
        accounts = [
            {
                **_plain_credentials(channel),
                "id": channel.id,
                "phone_number": channel.phone_number,
                "business_account_id": channel.business_account_id or "",
                "callback_url": self.webhook_url(channel),
            }
            for channel in self.channels.channels
        ]
        path = self._folder / "sandbox-accounts.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(accounts))


def _plain_credentials(channel: ChannelSettings) -> dict[str, str | None]:
    values = {name: getattr(channel, name) for name in Credentials.model_fields}
    return {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in values.items()}


def provider_variables(url: str) -> dict[str, str]:
    """Environment variables that put the sandbox in every provider's place."""
    return {url_variable(api): url for api in base_urls()}
