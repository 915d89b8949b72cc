"""The pipeline on a secured cluster: each process signs in as itself, and may do what it needs and no more."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from bus.connection import KafkaConnection, client_options
from deploy.channels_file import load_channels_file
from deploy.errors import LiveDeskError
from deploy.kafka.acls import ROLES, acls, allow
from deploy.kafka.topics import admin_client, apply, plan
from deploy.processes.managed import ManagedProcess
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from schemas.topics import ACCESS, CHANNELS, CONVERSATIONS, INBOX, WEBHOOKS, Topic
from simulation.stack import Ports, Stack
from streams.topology import TOPOLOGY, all_topics
from tests.support.secured import ADMINISTRATOR, SecuredCluster

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

PREFIX = "secured."
SECONDS = 60.0
CHANNELS_FILE = """
channels:
  - {id: shop, phone_number: "+34600000001", dev_key: key0, dev_secret: secret0, greeting: {enabled: true, text: Hello}}
"""


@pytest.fixture(scope="module")
def cluster(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    users: dict[str, str] = {role: f"{role}-secret" for role in ROLES}
    with SecuredCluster(tmp_path_factory.mktemp("secured") / "kafka", cache_dir, users) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def allowed(cluster: SecuredCluster) -> SecuredCluster:
    """With every role's permissions, given as an administrator gives them."""
    options = [word for role in ROLES for word in ("--principal", f"{role}=User:{role}")]
    done = livedesk(cluster.environment(ADMINISTRATOR), "topics", "acls", "--apply", *options)
    assert done.returncode == 0, done.stderr
    assert "permissions are in force" in done.stdout
    return cluster


def livedesk(env: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli.main", *arguments]
    env = {**os.environ, **env, "LIVEDESK_TOPIC_PREFIX": PREFIX, "LIVEDESK_REPLICATION_FACTOR": "3"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)


class SecuredStack(Stack):
    """Every process as a user of its own: the sandbox, which knows no Kafka, as nobody."""

    def __init__(self, cluster: SecuredCluster, folder: Path) -> None:
        self._cluster = cluster
        file = folder / "channels.yaml"
        file.write_text(CHANNELS_FILE)
        settings = load_settings().model_copy(
            update={
                "kafka": cluster.connection("operator"),
                "topic_prefix": PREFIX,
                "partitions": 2,
                "replication_factor": 3,
                "data_dir": folder / "data",
            }
        )
        channels, secrets = load_channels_file(file), load_secrets(settings)
        super().__init__(settings, secrets, channels, file, folder / "logs", Ports.free())

    def _process(self, name: str, arguments: Sequence[str], env: dict[str, str], ready_url: str) -> ManagedProcess:
        role = name.partition("-")[0]
        user = self._cluster.environment(role) if role in ROLES else {}
        return super()._process(name, arguments, {**env, **user}, ready_url)


async def test_it_greets_a_customer_and_a_service_reads_it(allowed: SecuredCluster, tmp_path: Path) -> None:
    async with SecuredStack(allowed, tmp_path) as stack, ClientSession() as http:
        written = {"contact": "34655123123", "name": "Ana", "text": "hola"}
        async with http.post(f"{stack.sandbox_url}/sandbox/customers/write?account=shop", json=written) as response:
            assert response.status < 300, await response.text()
        async with asyncio.timeout(SECONDS):
            while "Hello" not in await sent(http, stack.sandbox_url):  # noqa: ASYNC110 - another process sends it
                await asyncio.sleep(0.1)
        consumer = AIOKafkaConsumer(
            CONVERSATIONS.full_name(PREFIX),
            **client_options(allowed.connection("reader")),
            group_id=f"{PREFIX}reader.billing",
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            async with asyncio.timeout(SECONDS):
                message = await consumer.getone()
        finally:
            await consumer.stop()
        assert message.key == b"shop:34655123123"
    for process in stack.processes:
        assert "Authorization" not in process.log.read_text(), process.log.read_text()[-4000:]


async def sent(http: ClientSession, url: str) -> list[str | None]:
    async with http.get(f"{url}/sandbox/log") as response:
        return [entry["text"] for entry in await response.json()]


@pytest.fixture
async def topics(allowed: SecuredCluster) -> SecuredCluster:
    await apply(allowed.connection("operator"), PREFIX, all_topics(), partitions=2, replication_factor=3)
    return allowed


@pytest.mark.parametrize(
    ("role", "topic"),
    [("ingress", INBOX), ("worker", ACCESS), ("worker", CHANNELS), ("desk", WEBHOOKS), ("reader", CONVERSATIONS)],
)
async def test_nobody_writes_what_is_another_s(topics: SecuredCluster, role: str, topic: Topic) -> None:
    producer = AIOKafkaProducer(**client_options(topics.connection(role)))
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic.full_name(PREFIX), b"x", partition=0)
    finally:
        await producer.stop()


@pytest.mark.parametrize(("role", "topic"), [("ingress", INBOX), ("worker", ACCESS), ("reader", INBOX)])
async def test_nobody_sees_what_is_not_for_them(topics: SecuredCluster, role: str, topic: Topic) -> None:
    async with admin_client(topics.connection(role)) as admin:
        (described,) = await admin.describe_topics([topic.full_name(PREFIX)])
        assert described["error_code"] == TopicAuthorizationFailedError.errno


async def test_ingress_does_not_read_what_it_writes(topics: SecuredCluster) -> None:
    place = TopicPartition(WEBHOOKS.full_name(PREFIX), 0)
    consumer = AIOKafkaConsumer(**client_options(topics.connection("ingress")), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([place])
        with pytest.raises(KafkaError):
            async with asyncio.timeout(SECONDS):
                await consumer.getone(place)
    finally:
        await consumer.stop()


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
async def test_only_the_operator_makes_topics(topics: SecuredCluster, role: str) -> None:
    found = await plan(topics.connection("operator"), PREFIX, all_topics(), partitions=2, replication_factor=3)
    assert found.missing == ()
    with pytest.raises(LiveDeskError):
        await apply(topics.connection(role), f"{PREFIX}more.", (INBOX,), partitions=1, replication_factor=3)


@pytest.mark.parametrize("role", ROLES)
async def test_nobody_gives_themselves_permissions(topics: SecuredCluster, role: Any) -> None:
    mine = [(acl, f"User:{role}") for acl in acls(PREFIX) if acl.role == "operator"]
    with pytest.raises(LiveDeskError, match="refuses to change permissions"):
        await allow(topics.connection(role), mine)


def test_every_stage_has_its_group_and_no_topic_is_forgotten() -> None:
    groups = {acl.name for acl in acls(PREFIX) if acl.role == "worker" and acl.resource == "group"}
    assert groups == {f"{PREFIX}{stage.name}" for stage in TOPOLOGY}
    named = {acl.name for acl in acls(PREFIX) if acl.resource == "topic"}
    assert {topic.full_name(PREFIX) for topic in all_topics()} <= named
    assert not {acl.role for acl in acls(PREFIX) if acl.prefixed and acl.resource == "topic"} - {"operator"}


async def test_a_wrong_password_is_said_to_be_one(cluster: SecuredCluster) -> None:
    wrong: KafkaConnection = cluster.connection("operator", "wrong")
    with pytest.raises(LiveDeskError):
        await plan(wrong, PREFIX, (INBOX,), partitions=1, replication_factor=3)
