"""Replacing the installation's key while ingress and the desk run, on a real Kafka."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from bus.connection import KafkaConnection, client_options
from deploy.access import open_access, terminal
from deploy.kafka.topics import apply
from deploy.keys import retire, rotate
from deploy.secrets import KEY_FILE, Secrets, load_secrets, read_keys
from deploy.settings import Settings, load_settings
from desk.access.directory import AccessDirectory
from desk.access.writer import UserFields
from schemas.events.access import Grant, Role, SecondFactor
from schemas.events.people import AiAgentSaved
from schemas.record import Record, encode
from schemas.settings.ai import GptAgent, agent_from_stored, agent_to_stored
from schemas.settings.channels_file import parse_channels_file
from schemas.settings.credentials import OtherKey
from schemas.settings.memory import SettingsMemory
from schemas.topics import ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE, WEBHOOKS
from streams.clock import wall_clock
from tests.e2e.livedesk import environment
from tests.support.reading import committed_messages, committed_records
from tests.support.servers import Servers

TOPICS = (ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE, WEBHOOKS)
SECRET = "planted-secret-3b8"
AGENT = GptAgent(id="gpt", model="m", api_key=SecretStr(SECRET))
FILE = parse_channels_file(
    {
        "channels": [
            {"id": f"line{number}", "phone_number": f"+3460000000{number}", "dev_key": "k", "dev_secret": SECRET}
            for number in range(4)
        ]
    }
)


@pytest.fixture
async def installation(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> Settings:
    await apply(kafka, topic_prefix, TOPICS, 1, 1)
    given = {"kafka": kafka, "topic_prefix": topic_prefix, "data_dir": tmp_path, "secret_key": None}
    settings = load_settings().model_copy(update=given)
    secrets = load_secrets(settings)
    async with open_access(settings) as access:
        fields = UserFields(grant=Grant(role=Role.READ), password="a hash")
        user = await access.writer.create_user(terminal(), "marta@example.com", fields)
        factor = SecondFactor(secret=secrets.encrypt(SECRET), recovery=())
        await access.writer.set_second_factor(terminal(), user.id, factor)
    agent = AiAgentSaved(account="main", settings=agent_to_stored(AGENT, secrets.encrypt))
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        value = encode(Record("agent", "/test", wall_clock(), "ai/main/gpt", agent))
        await producer.send_and_wait(DIRECTORY.full_name(topic_prefix), value, key=b"ai/main/gpt")
    return settings


async def readable(settings: Settings, secrets: Secrets) -> int:
    """Read everything that is stored with these keys, as a process that starts does. Returns the sum of revisions."""
    memory, access = SettingsMemory(secrets.decrypt), AccessDirectory()
    for topic, applies in ((CHANNELS, memory.apply), (ACCESS, access.apply)):
        for message in await committed_messages(settings.kafka, topic.full_name(settings.topic_prefix)):
            applies(message.key, message.value)
    memory.loaded()
    agent = (await committed_records(settings.kafka, settings.topic_prefix, DIRECTORY))[-1].event
    assert isinstance(agent, AiAgentSaved)
    assert agent_from_stored(agent.settings, secrets.decrypt)["api_key"] == SECRET
    for channel in memory.channels():
        assert channel.dev_secret is not None
        assert channel.dev_secret.get_secret_value() == SECRET
    for user in access.users():
        assert user.second_factor is not None
        assert secrets.decrypt(user.second_factor.secret) == SECRET
    return sum(channel.revision for channel in memory.channels())


async def test_the_key_is_replaced_while_everything_runs(installation: Settings) -> None:
    settings, path = installation, installation.data_dir / KEY_FILE
    old = read_keys(path)
    async with Servers(settings, channels=FILE) as servers, ClientSession() as client:
        before = [servers.webhook_url(channel) for channel in servers.channels]
        token = dict(servers.headers)

        async def call(url: str) -> None:
            async with client.post(url, json={"total": 0, "rows": []}) as answer:
                assert answer.status == 200, url

        async def change(number: int) -> None:
            url = f"{servers.control_url}/v1/channels/line{number % 4}/settings"
            async with client.patch(url, json={"name": f"name {number}"}, headers=token) as answer:
                assert answer.status == 200, await answer.text()

        rotating = asyncio.create_task(rotate(settings))
        for number in range(8):
            await asyncio.gather(change(number), *map(call, before))
        assert await rotating >= 6  # four channels, an AI agent and a user
        both = read_keys(path)
        assert both[1:] == old
        await readable(settings, Secrets(*both))
        assert await rotate(settings) == 0
        assert await retire(settings) == 1
        new = read_keys(path)
        assert new == both[:1]
        await asyncio.gather(*map(call, before))
        # What Kafka has not compacted yet was written with the old key.
        assert await readable(settings, Secrets(*new)) == 4 + 8
        with pytest.raises(OtherKey):
            await readable(settings, Secrets(*old))
    async with Servers(settings) as servers, ClientSession() as client:
        fresh = [servers.webhook_url(channel) for channel in servers.channels]
        paths = [url[url.index("/webhooks") :] for url in (*fresh, *before)]
        assert len(set(paths)) == 8
        for path_ in paths:
            async with client.post(servers.url + path_, json={"total": 0, "rows": []}) as answer:
                assert answer.status == 200
        # Until an address is replaced.
        rotate_address = f"{servers.control_url}/v1/channels/line0/webhook/rotate"
        async with client.post(rotate_address, json={}, headers=dict(servers.headers)) as answer:
            assert answer.status == 200
        await servers.ingress.caught_up()
        for path_, status in ((paths[0], 404), (paths[4], 404), (paths[5], 200)):
            async with client.post(servers.url + path_, json={"total": 0, "rows": []}) as answer:
                assert answer.status == status
    assert await retire(settings) == 0


async def test_it_may_be_killed_at_any_moment_and_repeated(installation: Settings, tmp_path: Path) -> None:
    settings = installation
    async with Servers(settings, channels=FILE):
        pass
    env = environment(settings.kafka, tmp_path, settings.topic_prefix)
    for delay in (0.6, 1.2, 1.6, 2.0, 2.4):
        command = [sys.executable, "-m", "cli.main", "keys", "rotate"]
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=DEVNULL, stderr=DEVNULL)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await process.wait()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        assert await readable(settings, load_secrets(settings)) == 4
    await rotate(settings)
    assert await retire(settings) == 1
    assert await readable(settings, load_secrets(settings)) == 4
