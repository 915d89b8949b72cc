"""`livedesk desk` as a process of its own: with channels, people, recorded conversations, and a token of each role."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml
from aiohttp import ClientSession, web
from aiokafka import AIOKafkaProducer

from bus.connection import client_options
from deploy.kafka.broker import free_port
from deploy.kafka.topics import apply
from deploy.processes.managed import ManagedProcess
from deploy.secrets import load_secrets
from deploy.settings import Settings
from schemas.events.access import Role
from schemas.events.inbox import Mute
from schemas.events.operations import DeadLettered
from schemas.record import Record, encode
from schemas.topics import DEAD_LETTERS, TOPICS
from streams.clock import wall_clock
from tests.support.view import recorded

ACCOUNT, CHANNELS, AGENT = "main", ("x107x-shop", "x40x-shop"), "irene"
SECRET = "planted-secret-7f3"
LETTER, KEY = "letter-1", f"{CHANNELS[0]}:34600100200"
FILE = {
    "agents": [{"id": AGENT, "teams": ["front"]}, {"id": "paul"}],
    "channels": [
        {"id": CHANNELS[0], "phone_number": "+34600000001", "dev_key": SECRET, "dev_secret": SECRET,
         "human_agents": [AGENT, "paul"]},
        {"id": CHANNELS[1], "phone_number": "+34600000002", "provider": "twilio", "account_sid": "AC" + "0" * 32,
         "auth_token": SECRET},
    ],
}  # fmt: skip
"""Channels by whose names there are recorded conversations."""


@dataclass(frozen=True)
class Desk:
    """tokens: by role. places: of each part of a path, what is there."""

    process: ManagedProcess
    url: str
    tokens: Mapping[Role, str]
    places: Mapping[str, list[str]]


@asynccontextmanager
async def desk_process(settings: Settings, folder: Path) -> AsyncIterator[Desk]:
    """The desk of an installation of its own, ready and with all conversations in its view."""
    await apply(settings.kafka, settings.topic_prefix, TOPICS, 1, 1)
    await _write_conversations(settings)
    (folder / "channels.yaml").write_text(yaml.safe_dump(FILE))
    port, provider = free_port(), web.AppRunner(_provider(), access_log=None)
    await provider.setup()
    await web.TCPSite(provider, "127.0.0.1", 0).start()
    provider_url = f"http://127.0.0.1:{provider.addresses[0][1]}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "LIVEDESK_TOPIC_PREFIX": settings.topic_prefix,
        "LIVEDESK_DATA_DIR": str(settings.data_dir),
        **{f"LIVEDESK_{name}_URL": provider_url for name in ("ENGAGELAB", "WHATSAPP_CLOUD", "TWILIO")},
    }
    url = f"http://127.0.0.1:{port}"
    arguments = ["desk", "--port", str(port), "--channels", str(folder / "channels.yaml")]
    process = ManagedProcess("desk", arguments, env=environment, log=folder / "desk.log", ready_url=f"{url}/readyz")
    process.start()
    try:
        await process.wait_ready()
        own = {"Authorization": f"Bearer {load_secrets(settings).own_token}"}
        async with ClientSession(url, headers=own) as client:
            yield Desk(process, url, await _tokens(client), await _places(client))
    finally:
        await process.stop()
        await provider.cleanup()


def _provider() -> web.Application:
    """A provider that knows nobody."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"code": 190, "message": "unknown"}, "code": 20003}, status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    return app


async def _write_conversations(settings: Settings) -> None:
    async with AIOKafkaProducer(**client_options(settings.kafka)) as producer:
        for one in recorded():
            if one.key.decode("latin-1").split(":")[0] in CHANNELS:
                await producer.send(settings.topic_prefix + one.topic, one.value, key=one.key, partition=0)
        command = Record("asked", "/test", wall_clock(), KEY, Mute(command_id="asked", by=AGENT))
        refused = DeadLettered(reason="failed", stage="conversations", topic="inbox", body=encode(command).decode())
        letter = Record(LETTER, "/test", wall_clock(), KEY, refused, CHANNELS[0], 1)
        topic = DEAD_LETTERS.full_name(settings.topic_prefix)
        await producer.send_and_wait(topic, encode(letter), key=KEY.encode())


async def _tokens(client: ClientSession) -> dict[Role, str]:
    found = {}
    for role in Role:
        grant = {"role": role, "account": ACCOUNT, "agent": AGENT}
        async with client.post("/v1/tokens", json={"name": role, "grant": grant}) as answer:
            assert answer.status == 201, await answer.text()
            found[role] = (await answer.json())["secret"]
    return found


async def _places(client: ClientSession) -> dict[str, list[str]]:
    conversations: list[str] = []
    while not conversations:
        async with client.get(f"/v1/accounts/{ACCOUNT}/conversations?limit=5") as answer:
            conversations = [item["id"] for item in orjson.loads(await answer.read())["items"]]
        await asyncio.sleep(0.05)
    return {
        "account": [ACCOUNT],
        "channel": list(CHANNELS),
        "agent": [AGENT, "paul", "nobody"],
        "contact": ["34600100200", "ES.7001"],
        "conversation": conversations,
        "id": ["none"],
    }
