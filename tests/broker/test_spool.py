"""The spool with real processes: Kafka frozen and killed, ingress killed; each 200 is on Kafka in the end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from bus.connection import KafkaConnection
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.kafka.topics import apply
from deploy.processes.managed import ManagedProcess
from deploy.secrets import load_secrets
from deploy.settings import Settings
from ingress.spool.folder import folders, waiting_in
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import TOPICS, WEBHOOKS
from tests.support.reading import committed_messages
from tests.support.servers import Servers

PREFIX = "spool."
FILE = parse_channels_file(
    {"channels": [{"id": f"shop{number}", "phone_number": f"+3463300000{number}"} for number in range(3)]}
)
CLIENTS = 4
"""Of each channel. Each sends its next callback when the last one was answered."""


@pytest.fixture
def broker(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path / "kafka", cache_dir=cache_dir)
    broker.start()
    yield broker
    pid = broker.status().pid
    if pid is not None:
        os.kill(pid, signal.SIGCONT)
    broker.stop()


class Site:
    """Ingress, as a process that can be killed, on a Kafka of its own."""

    def __init__(self, broker: EmbeddedBroker, folder: Path, *options: str) -> None:
        self.broker, self.folder = broker, folder
        self.kafka = KafkaConnection(bootstrap_servers=broker.bootstrap_servers)
        self.env = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "LIVEDESK_TOPIC_PREFIX": PREFIX,
            "LIVEDESK_DATA_DIR": str(folder),
        }
        self.settings = Settings(kafka=self.kafka, topic_prefix=PREFIX, data_dir=folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        arguments = ["ingress", "--port", str(port)]
        arguments += options
        self.ingress = ManagedProcess(
            "ingress", arguments, env=self.env, log=folder / "ingress.log", ready_url=f"{self.url}/readyz"
        )
        secrets = load_secrets(self.settings)
        self.webhooks = {one.id: secrets.webhook_url(self.url, one) for one in FILE.channels}

    async def start(self) -> None:
        """The topics, the channels, and ingress."""
        await apply(self.kafka, PREFIX, TOPICS, 2, 1)
        async with Servers(self.settings, channels=FILE):
            pass
        self.ingress.start()
        await self.ingress.wait_ready()

    @property
    def log(self) -> str:
        return self.ingress.log.read_text()

    def spools(self) -> list[Path]:
        """Those in which something waits."""
        found = folders(self.settings.spool_root)
        return [folder for folder in found if any(segment.records for segment in waiting_in(folder))]

    def freeze(self, signum: int = signal.SIGSTOP) -> None:
        pid = self.broker.status().pid
        assert pid is not None
        os.kill(pid, signum)

    def thaw(self) -> None:
        self.freeze(signal.SIGCONT)

    async def restart(self) -> None:
        self.ingress.kill()
        self.ingress.start()
        await self.ingress.wait_ready()

    def status(self) -> dict[str, object]:
        """What `livedesk spool status` says."""
        command = [sys.executable, "-m", "cli.main", "spool", "status", "--json"]
        said = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, text=True, check=True)
        found: dict[str, object] = json.loads(said.stdout)
        return found

    async def emptied(self) -> None:
        deadline = time.monotonic() + 60
        while (await asyncio.to_thread(self.status))["records"]:
            assert time.monotonic() < deadline, "the spool is not emptied"


@pytest.fixture
async def site(broker: EmbeddedBroker, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(broker, tmp_path)
    await site.start()
    yield site
    site.ingress.kill()


@dataclass
class Sent:
    """acknowledged: of each client, by number, in order. slowest: seconds until an answer."""

    acknowledged: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: set[int] = field(default_factory=set)
    slowest: float = 0.0

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))


@asynccontextmanager
async def customers(site: Site) -> AsyncIterator[Sent]:
    """Callbacks, one after the other from each client, as long as the block runs."""
    sent = Sent()

    async def send(http: ClientSession, channel: str, client: int) -> None:
        number = 0
        while True:
            body = json.dumps({"total": 0, "rows": [], "from": [channel, client, number]})
            began = time.monotonic()
            try:
                async with http.post(
                    site.webhooks[channel], data=body, headers={"Content-Type": "application/json"}
                ) as answer:
                    sent.statuses.add(answer.status)
                    sent.slowest = max(sent.slowest, time.monotonic() - began)
                    if answer.status == 200:
                        sent.acknowledged[channel, client].append(number)
                        number += 1
            except (ClientError, OSError):
                await asyncio.sleep(0.02)

    async with ClientSession(timeout=ClientTimeout(total=20), connector=TCPConnector(limit=0)) as http:
        sending = [asyncio.create_task(send(http, channel, n)) for channel in site.webhooks for n in range(CLIENTS)]
        try:
            yield sent
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)


async def more(sent: Sent, count: int, condition: Callable[[], bool] = lambda: True) -> None:
    """Wait until so many more were acknowledged."""
    wanted, deadline = sent.count + count, time.monotonic() + 60
    while sent.count < wanted or not condition():
        assert time.monotonic() < deadline, f"{sent.count} acknowledged, {wanted} wanted"
        await asyncio.sleep(0.02)


async def on_kafka(site: Site) -> dict[tuple[str, int], list[int]]:
    """Of each client, the numbers as they are on Kafka, each where it is first."""
    found: dict[tuple[str, int], dict[int, None]] = defaultdict(dict)
    for message in await committed_messages(site.kafka, WEBHOOKS.full_name(PREFIX)):
        channel, client, number = json.loads(message.value)["from"]
        assert message.key == channel.encode()
        found[channel, client][number] = None
    return {client: list(numbers) for client, numbers in found.items()}


async def test_every_200_is_on_kafka_in_order_though_kafka_was_away_and_ingress_was_killed_twice(site: Site) -> None:
    async with customers(site) as sent:
        await more(sent, 200)
        site.freeze()
        await more(sent, 200)
        await site.restart()
        await more(sent, 200)
        status = await asyncio.to_thread(site.status)
        assert isinstance(status["records"], int)
        assert status["records"] >= 200
        await site.restart()
        await more(sent, 200)
        site.thaw()
        await more(sent, 200)
        await asyncio.to_thread(site.broker.kill)
        await more(sent, 200)
        await asyncio.to_thread(site.broker.start)
        await more(sent, 500)
    await site.emptied()
    found = await on_kafka(site)
    for client, numbers in sent.acknowledged.items():
        assert set(numbers) <= set(found[client])
        assert found[client] == sorted(found[client])
    assert sent.statuses == {200}
    assert sent.slowest < 3
    assert "Traceback" not in site.log


async def test_a_process_that_is_stopped_leaves_its_spool_to_the_next(site: Site) -> None:
    async with customers(site) as sent:
        await more(sent, 50)
        site.freeze()
        await more(sent, 50)
        await site.ingress.stop()
        assert site.ingress.exit_code == 0
    site.thaw()
    left = await asyncio.to_thread(site.status)
    assert [one["in_use"] for one in left["spools"]] == [False]  # type: ignore[attr-defined]
    site.ingress.start()
    await site.ingress.wait_ready()
    await site.emptied()
    found = await on_kafka(site)
    for client, numbers in sent.acknowledged.items():
        assert set(numbers) <= set(found[client])
        assert found[client] == sorted(found[client])


async def test_several_processes_share_a_port_and_each_has_a_spool(broker: EmbeddedBroker, tmp_path: Path) -> None:
    pages = free_port()
    site = Site(broker, tmp_path, "--processes", "2", "--pages-port", str(pages))
    await site.start()
    # Connections stay with the process that took them: all must be there before the first.
    async with ClientSession() as http:
        for port in (pages, pages + 1):
            await ready(http, f"http://127.0.0.1:{port}/readyz")
    async with customers(site) as sent:
        await more(sent, 50)
        site.freeze()
        await more(sent, 50, lambda: len(site.spools()) == 2)
        # One of the two, not their parent: it comes back, and takes its spool over.
        children = psutil.Process(site.ingress.pid).children()
        next(child for child in children if "--number" in child.cmdline()).kill()
        await more(sent, 50)
        site.thaw()
        await more(sent, 50)
        await site.emptied()
        await site.ingress.stop()
        assert site.ingress.exit_code == 0
    found = await on_kafka(site)
    for client, numbers in sent.acknowledged.items():
        assert set(numbers) <= set(found[client])
    assert "it is started again" in site.log
    assert "Traceback" not in site.log


async def ready(http: ClientSession, url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
        except ClientError:
            pass
        assert time.monotonic() < deadline, f"{url} is not ready"
        await asyncio.sleep(0.05)
