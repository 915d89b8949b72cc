"""Two desk processes on one database and a real Kafka: both read what one of them wrote, and stream what changes."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from bus.connection import KafkaConnection
from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from desk.freshness import HEADER
from desk.view.schema import FOLLOWED
from schemas.topics import ACCESS, AUDIT, INBOX, KNOWLEDGE
from tests.e2e.livedesk import environment, running

ACCOUNT = "/v1/accounts/main"
TIMES = 40


class Desks:
    """The processes, and who calls them."""

    def __init__(self, client: ClientSession, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        self.client, self.processes = client, processes
        self.urls = list(processes)

    async def call(self, desk: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, str]:
        """The answer, and its View-Position."""
        async with self.client.request(method, self.urls[desk] + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(), answer.headers.get(HEADER, "")


@pytest.fixture
async def desks(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Desks]:
    topics = [*FOLLOWED.values(), ACCESS, AUDIT, INBOX, KNOWLEDGE]
    await apply(kafka, topic_prefix, topics, partitions=3, replication_factor=1)
    env = environment(kafka, tmp_path, topic_prefix)
    secrets = load_secrets(load_settings().model_copy(update={"data_dir": tmp_path}))
    headers = {"Authorization": f"Bearer {secrets.own_token}"}
    async with AsyncExitStack() as stack:
        processes = {}
        for number in range(2):
            port = free_port()
            log = tmp_path / f"desk-{number}.log"
            process = stack.enter_context(running(["desk", "--port", str(port)], env, log))
            processes[f"http://127.0.0.1:{port}"] = process
        client = await stack.enter_async_context(ClientSession(headers=headers, timeout=ClientTimeout(total=None)))
        for url in processes:
            await ready(client, url)
        yield Desks(client, processes)


async def ready(client: ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with client.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.1)


async def test_what_one_wrote_is_read_when_one_waits_for_it(desks: Desks) -> None:
    for number in range(TIMES):
        wrote, reads = number % 2, number // 2 % 2
        agent = {"name": f"Irene {number}", "teams": []}
        _, position = await desks.call(wrote, "PUT", f"{ACCOUNT}/agents/irene", agent)
        found, _ = await desks.call(reads, "GET", f"{ACCOUNT}/presence", **{HEADER: position} if position else {})
        assert [one["name"] for one in found["items"]] == [f"Irene {number}"]
        state = ("online", "busy")[number % 2]
        _, position = await desks.call(wrote, "PUT", f"{ACCOUNT}/agents/irene/presence", {"state": state})
        found, _ = await desks.call(reads, "GET", f"{ACCOUNT}/presence", **{HEADER: position} if position else {})
        assert [one["state"] for one in found["items"]] == [state]


async def test_both_stream_what_changes_and_end_their_streams_when_they_stop(desks: Desks) -> None:
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(desks.client.get(f"{url}{ACCOUNT}/stream")) for url in desks.processes
        ]
        await desks.call(0, "PUT", f"{ACCOUNT}/agents/irene", {"name": "Irene", "teams": []})
        async with asyncio.timeout(30):
            for stream in streams:
                async for line in stream.content:
                    if line.startswith(b"data: "):
                        assert orjson.loads(line[6:]) == {"id": "irene"}
                        break
            for process in desks.processes.values():
                process.terminate()
            for stream in streams:
                assert b"event" not in await stream.content.read()
            for process in desks.processes.values():
                assert await asyncio.to_thread(process.wait) == 0
