"""The system under test: broker, sandbox, ingress and any number of workers, each a process, and an AI agent."""

import asyncio
import logging
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout

from bus.connection import KafkaConnection
from deploy.channels_file import load_channels_file
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.processes.managed import ManagedProcess
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from simulation.stack import Ports, Stack
from tests.chaos.ai_agent import AiAgent
from tests.chaos.gpt import AGENT, GPT_AGENT, Models
from tests.chaos.points import REACHED, Order

logger = logging.getLogger(__name__)

LOOK_S = 0.2
MAX_FILE = 1 << 20
"""Bytes: a file that is too large is soon too large."""
RECEIPT_FAULTS = {"duplicate": 0.1, "reorder": 0.1, "batch": 0.2, "delay": 0.05, "sent_failed": 0.02, "silence": 0.02}
RECEIPT_PACE = {"pace": 0.3, "delay_seconds": 5.0}
ACCOUNTS = ("acme0", "acme1")
AGENTS = ("a1", "a2", "a3", "a4", "a5", "a6")
CHANNELS = 5
AI_CHANNEL, AI_AGENT, CLOSED_CHANNEL, GPT_CHANNEL = "wa2", "bot", "wa3", "wa4"
AI_AGENTS = {AI_CHANNEL: AI_AGENT, GPT_CHANNEL: GPT_AGENT}
SURVEY = "How was it, from 1 to 5?"
"""Each channel has a way of its own: limits; rules, turns and one conversation a customer; the account's AI agent;
closed hours; a GPT agent.
All providers are there.

Those with limits share an account, as an agent's load is of the whole account.
"""
CHANNELS_FILE = f"""
agents:
  - {{id: a1, name: Ana, state: online}}
  - {{id: a2, name: Ben, state: online, teams: [day]}}
  - {{id: a3, name: Bo, state: online, teams: [day]}}
  - {{id: a4, name: Cleo, state: online, workload: 6}}
  - {{id: a5, name: Dan, state: online, workload: null}}
  - {{id: a6, name: Flo, state: offline}}
ai_agents:{AGENT}
channels:
  - id: wa0
    account: acme0
    phone_number: "+34600000000"
    dev_key: key0
    dev_secret: secret0
    human_agents: [a1, a2, a3, a4, a5, a6]
    greeting: {{enabled: true, text: "Hi"}}
    csat: {{enabled: true, text: "{SURVEY}"}}
    assignment: {{strategy: workload, workload_default: 10}}
    conversation: {{close_after: 15s}}
  - id: wa1
    account: acme1
    phone_number: "+34600000001"
    provider: whatsapp_cloud
    phone_number_id: "100000000000001"
    business_account_id: "20000000000001"
    access_token: token1
    app_secret: secret1
    verify_token: verify1
    human_agents: [a1, a2, a3, a4, a5, a6]
    greeting: {{enabled: true, text: "Hi"}}
    csat: {{enabled: true, text: "{SURVEY}", repeat: per_conversation}}
    assignment:
      strategy: sequential
      fair_window: {{limit: 20, window: 5s}}
      rules:
        - {{name: two, when: [{{field: text, op: matches, value: "2$"}}], to: {{kind: human, id: a2}}}}
        - {{name: five, when: [{{field: text, op: contains, value: "5"}}], to: {{kind: team, id: day}}}}
    conversation: {{close_after: 15s, single_conversation: true}}
  - id: {AI_CHANNEL}
    account: acme1
    phone_number: "+34600000002"
    provider: twilio
    account_sid: AC00000000000000000000000000000002
    auth_token: token2
    human_agents: [a1, a2, a3, a4, a5]
    greeting: {{enabled: true, text: "Hi"}}
    csat: {{enabled: true, text: "{SURVEY}"}}
    assignment: {{strategy: sequential}}
    ai: {{enabled: true, agents: [{{id: {AI_AGENT}, name: Bot}}]}}
    conversation: {{close_after: 15s}}
  - id: {CLOSED_CHANNEL}
    account: acme0
    phone_number: "+34600000003"
    provider: whatsapp_cloud
    phone_number_id: "100000000000003"
    business_account_id: "20000000000003"
    access_token: token3
    app_secret: secret3
    verify_token: verify3
    human_agents: [a1, a2, a3, a4, a5, a6]
    greeting: {{enabled: true, text: "Hi"}}
    csat: {{enabled: true, text: "{SURVEY}"}}
    assignment: {{strategy: workload, workload_default: 12}}
    business_hours: {{enabled: true, timezone: Europe/Madrid, unavailable_message: "Closed"}}
    conversation: {{close_after: 15s, auto_resolve_after: 20s, goodbye_message: "Bye"}}
  - id: {GPT_CHANNEL}
    account: acme1
    phone_number: "+34600000004"
    dev_key: key4
    dev_secret: secret4
    human_agents: [a1, a2, a3, a4, a5]
    greeting: {{enabled: true, text: "Hi"}}
    csat: {{enabled: true, text: "{SURVEY}"}}
    assignment: {{strategy: sequential}}
    ai: {{enabled: true, agents: [{{id: {GPT_AGENT}, name: Gpt}}]}}
    conversation: {{close_after: 15s}}
"""


class ChaosWorker(ManagedProcess):
    """A worker that takes orders, one of them from its start.

    wanted: when it ends it is started again. busy: a fault is about it just now.
    """

    def __init__(self, name: str, env: Mapping[str, str], folder: Path, order: Order | None = None) -> None:
        self.port = free_port()
        arguments = ["--instance-id", name, "--port", str(self.port)]
        if order is not None:
            arguments += ["--order", order.model_dump_json()]
        super().__init__(
            name,
            arguments,
            env=env,
            log=folder / f"{name}.log",
            ready_url=f"http://127.0.0.1:{self.port}/readyz",
            module="tests.chaos.worker",
        )
        self.ordered = order is not None
        self.wanted = False
        self.busy = False

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        try:
            return self.pid > 0 and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    @property
    def orders_reached(self) -> int:
        """How often a worker of this name has come to a point where it was to kill or stop itself."""
        return self.log.read_bytes().count(REACHED.encode())

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.pid > 0 and self.exit_code is None

    async def order(self, order: Order) -> bool:
        """Arm it. False: it does not answer."""
        return await self._ask("POST", order.model_dump_json()) is not None

    async def disarm(self) -> bool:
        """Take the order back. Returns whether it was still to be carried out."""
        return await self._ask("DELETE", "") == '{"armed": true}'

    async def _ask(self, method: str, body: str) -> str | None:
        url = f"http://127.0.0.1:{self.port}/order"
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=2)) as http,
                http.request(method, url, data=body) as response,
            ):
                return await response.text()
        except (ClientError, TimeoutError, OSError):
            return None


class System:
    """All of it, in a folder of its own, inside `async with`. exits: how workers ended that nobody had stopped."""

    def __init__(self, folder: Path, *, workers: int, partitions: int, seed: int) -> None:
        settings = load_settings()
        data = folder / "data"
        self.broker = EmbeddedBroker(
            port=free_port(), data_dir=data, cache_dir=settings.cache_dir, maven_repository=settings.maven_repository
        )
        channels = folder / "channels.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        ports = Ports.free(0)
        channels.write_text(CHANNELS_FILE.replace("SANDBOX", f"http://127.0.0.1:{ports.sandbox}"))
        self.settings = settings.model_copy(
            update={
                "kafka": KafkaConnection(bootstrap_servers=self.broker.bootstrap_servers),
                "partitions": partitions,
                "data_dir": data,
            }
        )
        self.folder = folder / "logs"
        self.secrets = load_secrets(self.settings)
        faults = [f"--fault={name}={value}" for name, value in (RECEIPT_FAULTS | RECEIPT_PACE).items()]
        self.stack = Stack(
            self.settings,
            self.secrets,
            load_channels_file(channels),
            channels,
            self.folder,
            ports,
            sandbox_options=["--redeliver", *faults],
        )
        self.ai, self.models = AiAgent(seed), Models(self.stack, seed)
        self._count = workers
        self.workers: dict[str, ChaosWorker] = {}
        self.retired: list[ChaosWorker] = []
        self.exits: Counter[int] = Counter()
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "System":
        await asyncio.to_thread(self.broker.start)
        try:
            await self.ai.__aenter__()
            await self.stack.__aenter__()
            await self.models.begin()
            await self.start_workers()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop_workers()
        self.stack.sandbox.signal(signal.SIGCONT)
        await self.stack.__aexit__(kind, error, traceback)
        await self.ai.__aexit__(kind, error, traceback)
        await self.stop_broker()

    # --- the broker ------------------------------------------------------------------------------------------------

    async def stop_broker(self, *, by_force: bool = False) -> None:
        """End it, politely or by kill -9, and keep what it wrote to its log since its start."""
        await asyncio.to_thread(self.broker.kill if by_force else self.broker.stop)
        self._keep_log()

    async def restart_broker(self, seconds: float, *, by_force: bool) -> None:
        """End it and, after so many seconds, start it again."""
        await self.stop_broker(by_force=by_force)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.broker.start)

    def _keep_log(self) -> None:
        # A broker keeps the logs of its last two starts only.
        if self.broker.log_file.exists():
            number = len(list(self._kept_logs())) + 1
            shutil.move(self.broker.log_file, self.folder / f"broker-{number:03d}.log")

    def _kept_logs(self) -> Iterator[Path]:
        return self.folder.glob("broker-*.log")

    @property
    def broker_logs(self) -> list[Path]:
        """The log of each start of the broker, the present one's last."""
        present = [self.broker.log_file] if self.broker.log_file.exists() else []
        return sorted(self._kept_logs()) + present

    # --- workers ---------------------------------------------------------------------------------------------------

    async def start_workers(self) -> None:
        """Start the workers that a run begins with, and wait until they are ready."""
        for number in range(1, self._count + 1):
            self.add(f"worker-{number}")
        self._supervisor = asyncio.create_task(self._supervise())
        await self.all_ready()

    async def stop_workers(self) -> None:
        """SIGTERM to all, and wait until they are gone."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        everyone = [*self.workers.values(), *self.retired]
        for worker in everyone:
            worker.wanted = False
            worker.signal(signal.SIGCONT)
        await asyncio.gather(*(worker.stop() for worker in everyone))

    def add(self, name: str, order: Order | None = None) -> ChaosWorker:
        """Start one more worker, or another process under the name of one that there is."""
        env = {
            **self.stack.variables,
            "LIVEDESK_AI_URL": self.ai.url,
            "LIVEDESK_MEDIA_MAX_BYTES": str(MAX_FILE),
        }
        worker = ChaosWorker(name, env, self.folder, order)
        before = self.workers.get(name)
        if before is not None:
            before.wanted = False
            self.retired.append(before)
        self.workers[name] = worker
        worker.start()
        worker.wanted = True
        return worker

    async def remove(self, worker: ChaosWorker) -> None:
        """Stop a worker politely, for good."""
        worker.wanted = False
        await worker.stop()
        self.workers.pop(worker.name, None)

    async def all_ready(self, seconds: float = 120) -> None:
        """Wait until every worker is ready. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(self._ready(name) for name in self.workers))

    async def _ready(self, name: str) -> None:
        async with ClientSession(timeout=ClientTimeout(total=2)) as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{self.workers[name].port}/readyz") as response:
                        if response.status == 200:
                            return
                except (ClientError, TimeoutError, OSError):
                    pass
                await asyncio.sleep(LOOK_S)

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for worker in list(self.workers.values()):
                if worker.wanted and worker.exit_code is not None:
                    self.exits[worker.exit_code] += 1
                    logger.info("%s ended with %d: started again", worker.name, worker.exit_code)
                    if worker.ordered:
                        self.add(worker.name)  # a start with the same arguments would carry the order out again
                    else:
                        worker.start()
