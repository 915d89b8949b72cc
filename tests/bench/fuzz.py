"""Ingress under mutated requests, in a process of its own on a real Kafka: what it answers, and what becomes of it.

Most have a right head around a mutated body, on kept-alive connections; the others are mutated anywhere, one a
connection. A third of the right ones are signed.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.processes.managed import ManagedProcess
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import TOPICS
from tests.bench.connection import Connection, connect
from tests.bench.report import Report, Verdict
from tests.bench.session import NoResult, Session, broker
from tests.support.mutation import BODY, NUMBER, TEXT, malformed, mutated
from tests.support.servers import Servers

PAYLOADS = Path(__file__).parents[1] / "fixtures"
SECRET = "planted-app-secret-5c1"
FILE = {
    "channels": [
        {"id": "one", "phone_number": "+34600000001", "dev_key": "k", "dev_secret": SECRET},
        {
            "id": "two",
            "provider": "whatsapp_cloud",
            "phone_number": "+34600000002",
            "phone_number_id": "106540352242922",
            "business_account_id": "102290129340398",
            "app_secret": SECRET,
            "access_token": SECRET,
            "verify_token": SECRET,
        },
        {
            "id": "three",
            "provider": "twilio",
            "phone_number": "+34600000003",
            "account_sid": "AC" + "0" * 32,
            "auth_token": SECRET,
        },
    ]
}
CONNECTIONS = 32
RAW = 0.15
"""The part of the requests that are mutated anywhere."""
RAW_SECONDS = 0.5
SAMPLES = 40


class Fuzz:
    """Sends so many requests, and counts the answers: 0 is a connection that was closed without one."""

    def __init__(self, urls: dict[str, str], pid: int, count: int, seed: int) -> None:
        self.statuses = Counter[int]()
        self.memory: list[int] = []
        self._urls, self._pid, self._left, self._count, self._random = urls, pid, count, count, Random(seed)
        bodies = [path.read_bytes() for path in sorted(PAYLOADS.rglob("*")) if path.suffix in (".json", ".txt")]
        self._bodies = [*bodies, BODY]
        self._malformed = list(malformed(urls["one"]).values())

    async def run(self) -> None:
        """All of them."""
        await asyncio.gather(*(self._send() for _ in range(CONNECTIONS)))

    async def _send(self) -> None:
        connection: Connection | None = None
        while self._left > 0:
            self._left -= 1
            if self._left % (self._count // SAMPLES) == 0:
                self.memory.append(_resident(self._pid))
            if self._random.random() < RAW:
                status = await self._raw(mutated(self._random, self._random.choice(self._malformed)))
            else:
                connection = connection or (await connect(self._urls["one"], 1))[0]
                status = await _answer(connection, self._request())
                if status == 0:
                    connection = None
            self.statuses[status] += 1
        if connection is not None:
            connection.close()

    def _request(self) -> bytes:
        channel = self._random.choice(list(self._urls))
        body = mutated(self._random, self._random.choice(self._bodies))
        form = channel == "three"
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        path = "/" + self._urls[channel].split("/", 3)[3]
        if self._random.random() < 0.05:
            path = path[: self._random.randrange(1, len(path))]
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def _raw(self, data: bytes) -> int:
        host, port = self._urls["one"].split("/")[2].split(":")
        status = b""
        with suppress(ConnectionError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                # Something behind it, so that few wait for the rest of a head or a body.
                writer.write(data + b"\r\n\r\n" + b"\0" * 4096)
                async with asyncio.timeout(RAW_SECONDS):
                    status = await reader.readline()
            finally:
                writer.close()
        return int(status.split()[1]) if status.startswith(b"HTTP/") else 0


async def _answer(connection: Connection, request: bytes) -> int:
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    connection.ask(request, answered.set_result)
    return await answered


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


async def run(session: Session) -> Sequence[Report]:
    """One process, and a Kafka of its own."""
    count = session.pick(4_000, 100_000, 1_000_000)
    with broker(session) as found:
        settings = Settings(kafka=found.kafka, topic_prefix="fuzz.", data_dir=session.folder)
        await apply(settings.kafka, settings.topic_prefix, TOPICS, settings.partitions, 1)
        port, secrets = free_port(), load_secrets(settings)
        file = parse_channels_file(FILE)
        async with Servers(settings, channels=file):
            pass
        ingress = _ingress(session.folder, settings, port)
        ingress.start()
        try:
            await ingress.wait_ready()
            urls = {one.id: secrets.webhook_url(f"http://127.0.0.1:{port}", one) for one in file.channels}
            fuzz = Fuzz(urls, ingress.pid, count, seed=1)
            session.say(f"{count:,} requests")
            began = time.monotonic()
            await fuzz.run()
            seconds = time.monotonic() - began
            if ingress.exit_code is not None:
                raise NoResult("ingress has ended")
            await ingress.wait_ready(5)
        finally:
            await ingress.stop()
        return [report(fuzz, seconds, ingress.log.read_text(), planted(secrets, file.channels))]


def _ingress(folder: Path, settings: Settings, port: int) -> ManagedProcess:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "LIVEDESK_TOPIC_PREFIX": settings.topic_prefix,
        "LIVEDESK_DATA_DIR": str(folder),
    }
    arguments = ["ingress", "--port", str(port)]
    ready_url = f"http://127.0.0.1:{port}/readyz"
    return ManagedProcess("ingress", arguments, env=environment, log=folder / "ingress.log", ready_url=ready_url)


def planted(secrets: Secrets, channels: Sequence[ChannelSettings]) -> list[str]:
    """What must not be in the log."""
    return [SECRET, TEXT, NUMBER, *(secrets.webhook_token(channel.id) for channel in channels)]


def report(fuzz: Fuzz, seconds: float, log: str, words: Sequence[str]) -> Report:
    """The answers by status, the memory from a quarter of the way on, and the log."""
    total = fuzz.statuses.total()
    rows = [(str(status or "closed"), f"{count:,}") for status, count in sorted(fuzz.statuses.items())]
    settled = fuzz.memory[len(fuzz.memory) // 4 :]
    mib = [f"{size / 2**20:.0f}" for size in (settled[0], max(settled), settled[-1])]
    broken = sum(count for status, count in fuzz.statuses.items() if status >= 500)
    verdicts = (
        Verdict("answers of 500 and above", broken, 0, most=True),
        Verdict("lines of the log that are errors, or hold what was planted", _bad(log, words), 0, most=True),
        Verdict("memory at the end over a quarter of the way", settled[-1] / settled[0], 1.1, most=True),
    )
    notes = (f"Resident MiB at a quarter of the way, at most, at the end: {', '.join(mib)}.",)
    title = f"Fuzz: {total:,} mutated requests to ingress, {total / seconds:,.0f} a second"
    return Report(title, ("answer", "requests"), rows, verdicts, notes)


def _bad(log: str, words: Sequence[str]) -> int:
    return sum(
        " ERROR " in line or "Traceback" in line or any(word in line for word in words) for line in log.splitlines()
    )
