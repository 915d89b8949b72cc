"""Ingress on a real Kafka: what was answered with 200 is there, byte for byte, and an outage is survived.

A change of settings is on both of its topics or on none.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout
from aiokafka import AIOKafkaProducer
from pydantic import JsonValue, SecretStr

from bus.aiokafka_fixes import discard_producer
from bus.connection import KafkaConnection, client_options
from bus.follower import TopicFollower
from bus.publisher import NotDurable
from deploy.errors import LiveDeskError
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.kafka.topics import apply
from deploy.secrets import load_secrets
from deploy.settings import Settings
from desk.directory import DeskDirectory
from desk.journal import Change
from desk.kafka_journal import KafkaJournal
from schemas.codec import from_kafka
from schemas.events.callbacks import WebhookReceived
from schemas.events.channels import ChannelChanged, ChannelSaved
from schemas.events.inbox import Reply
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.record import Record
from schemas.settings.channels_file import Agent, parse_channels_file
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, TOPICS, WEBHOOKS, Topic
from streams.clock import wall_clock
from tests.support.reading import committed_messages, committed_records, until
from tests.support.servers import Servers

JSON = {"Content-Type": "application/json"}
FILE = parse_channels_file(
    {
        "agents": [{"id": "nadia", "state": "online"}],
        "channels": [{"id": "orders", "phone_number": "+34633000222", "dev_key": "k", "dev_secret": "very-secret"}],
    }
)


def settings_for(kafka: KafkaConnection, prefix: str, data_dir: Path) -> Settings:
    key = SecretStr("aW5ncmVzcy10ZXN0LWtleS1pbmdyZXNzLXRlc3Qta2U=")
    return Settings(kafka=kafka, topic_prefix=prefix, secret_key=key, data_dir=data_dir)


async def make_topics(kafka: KafkaConnection, prefix: str) -> None:
    await apply(kafka, prefix, TOPICS, 2, 1)


@pytest.fixture
async def settings(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> Settings:
    await make_topics(kafka, topic_prefix)
    return settings_for(kafka, topic_prefix, tmp_path)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[ClientSession]:
    headers = {"Authorization": f"Bearer {load_secrets(settings).own_token}"}
    async with ClientSession(timeout=ClientTimeout(total=10), headers=headers) as session:
        yield session


async def callbacks(settings: Settings) -> list[Record]:
    messages = await committed_messages(settings.kafka, WEBHOOKS.full_name(settings.topic_prefix))
    return [from_kafka(WEBHOOKS, message.value, message.headers) for message in messages]


async def bodies(settings: Settings) -> list[bytes]:
    events = [record.event for record in await callbacks(settings)]
    return [event.body for event in events if isinstance(event, WebhookReceived)]


async def records(settings: Settings, topic: Topic) -> list[Record]:
    return await committed_records(settings.kafka, settings.topic_prefix, topic)


def webhook(server: Servers) -> str:
    return server.webhook_url(server.channels[0])


async def post(client: ClientSession, url: str, body: bytes) -> int:
    async with client.post(url, data=BytesIO(body), headers=JSON) as answer:
        return answer.status


async def test_callbacks_answered_with_200_are_on_kafka_byte_for_byte_in_order(
    settings: Settings, client: ClientSession
) -> None:
    sent = [
        b'{"total":1,"rows":[{"message_id":"1"}]}',
        b'{"total":2,"rows":[{"mess',
        b'{"text":"\\udc00 alone, raw \xed\xb0\x80"}',
        b"\x00\xff",
        b"[" + b" " * (3 * 2**20 - 2) + b"]",
    ]
    async with Servers(settings, channels=FILE) as server:
        answers = [await post(client, webhook(server), body) for body in sent]
        refused = [
            await post(client, webhook(server), b" " * (3 * 2**20 + 1)),
            await post(client, webhook(server) + "x", sent[0]),
            await post(client, webhook(server), b""),
        ]
    assert (answers, refused) == ([200] * 5, [413, 404, 200])
    assert await bodies(settings) == sent
    assert {(record.channel, record.settings_revision) for record in await callbacks(settings)} == {("orders", 1)}


async def test_the_next_callback_and_command_carry_the_revision_that_was_just_saved(
    settings: Settings, client: ClientSession
) -> None:
    async with Servers(settings, channels=FILE) as server:
        for name in ("One", "Two"):
            url = f"{server.control_url}/v1/channels/orders/settings"
            async with client.patch(url, json={"name": name}) as answer:
                assert answer.status == 200
            await server.ingress.caught_up()
            assert await post(client, webhook(server), name.encode()) == 200
        url = f"{server.control_url}/v1/channels/orders/conversations/34699888777/commands?wait=0"
        async with client.post(url, json={"type": "reply", "id": "c1", "by": "nadia", "text": "Hello"}) as answer:
            assert answer.status == 202
    assert [record.settings_revision for record in await callbacks(settings)] == [2, 3]
    (command,) = await records(settings, INBOX)
    assert command.event == Reply(command_id="c1", by="nadia", text="Hello")
    assert (command.subject, command.settings_revision) == ("orders:34699888777", 3)


async def test_a_restart_finds_the_channels_and_writes_only_what_differs(
    settings: Settings, client: ClientSession
) -> None:
    async with Servers(settings, channels=FILE) as server:
        url = webhook(server)
    async with Servers(settings, channels=FILE) as server:
        assert webhook(server).partition("/webhooks")[2] == url.partition("/webhooks")[2]
        assert server.channels[0] == FILE.channels[0]
    stored = await records(settings, CHANNELS)
    assert [record.subject for record in stored] == ["orders/1"]
    assert isinstance(stored[0].event, ChannelSaved)
    assert "very-secret" not in stored[0].event.model_dump_json()


async def test_with_another_key_it_does_not_start_and_touches_no_channel(settings: Settings) -> None:
    async with Servers(settings, channels=FILE):
        pass
    key = SecretStr("YW5vdGhlci1rZXktYW5vdGhlci1rZXktYW5vdGhlci0=")
    with pytest.raises(LiveDeskError, match="another key"):
        async with Servers(settings.model_copy(update={"secret_key": key}), channels=FILE):
            pass
    assert len(await records(settings, CHANNELS)) == 1


async def test_an_ingress_knows_at_once_the_channel_that_another_saved(
    settings: Settings, client: ClientSession
) -> None:
    async with Servers(settings) as first, Servers(settings, channels=FILE) as second:
        url = first.url + webhook(second).removeprefix(second.url)
        assert await post(client, url, b"{}") == 200


async def test_without_topics_it_says_what_to_do(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> None:
    with pytest.raises(LiveDeskError, match="livedesk topics apply"):
        async with Servers(settings_for(kafka, topic_prefix, tmp_path)):
            pass


@pytest.mark.parametrize(
    ("option", "who"), [("port", "Ingress can't listen on"), ("control_port", "The control API can't listen on")]
)
async def test_a_taken_port_names_the_option(settings: Settings, option: str, who: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LiveDeskError, match=f"{who} 127.0.0.1:{port}: the port is in use by") as caught:
            async with Servers(settings, **{option: port}):
                pass
    assert f"--{option.replace('_', '-')}" in caught.value.hint


async def test_requests_in_flight_are_answered_when_it_stops(settings: Settings, client: ClientSession) -> None:
    acknowledged: list[bytes] = []
    statuses: set[int] = set()

    async def keep_posting(url: str, worker: int) -> None:
        number = 0
        while True:
            body = f"{worker}-{number}".encode()
            try:
                statuses.add(await post(client, url, body))
            except ClientError:
                return
            acknowledged.append(body)
            number += 1

    async with Servers(settings, channels=FILE) as server:
        posting = [asyncio.create_task(keep_posting(webhook(server), worker)) for worker in range(8)]
        deadline = time.monotonic() + 20
        while len(acknowledged) < 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    await asyncio.gather(*posting)
    assert statuses == {200}
    assert set(acknowledged) <= set(await bodies(settings))


async def test_an_agent_s_life_is_on_the_directory_and_the_account_inbox(
    settings: Settings, client: ClientSession
) -> None:
    async with Servers(settings, channels=FILE) as server:
        url = f"{server.control_url}/v1/accounts/main/agents/omar"
        assert await put(client, url, {"teams": ["late"]}) == 200
        assert await put(client, f"{url}/presence", {"state": "idle"}) == 202
        assert await put(client, f"{server.control_url}/v1/channels/orders/agents/omar", {}) == 200
        async with client.delete(url) as answer:
            assert answer.status == 200
    nadia, omar = AgentSaved(agent="nadia", name="nadia"), AgentSaved(agent="omar", name="omar", teams=("late",))
    assert [record.event for record in await records(settings, DIRECTORY)] == [nadia, omar, AgentDeleted(agent="omar")]
    assert [record.event for record in await records(settings, ACCOUNT_INBOX)] == [
        nadia,
        PresenceChanged(agent="nadia", state="online"),
        ChannelChanged(channel="orders"),
        omar,
        PresenceChanged(agent="omar", state="idle"),
        ChannelChanged(channel="orders"),
        AgentDeleted(agent="omar"),
        ChannelChanged(channel="orders", left=("omar",)),
    ]
    assert [record.subject for record in await records(settings, CHANNELS)] == ["orders/1", "orders/2", "orders/3"]


async def put(client: ClientSession, url: str, body: JsonValue) -> int:
    async with client.put(url, json=body) as answer:
        return answer.status


async def test_two_processes_that_save_at_once_make_one_revision_each(
    settings: Settings, client: ClientSession
) -> None:
    async with Servers(settings, channels=FILE) as first, Servers(settings) as second:

        async def change(server: Servers, name: str) -> int:
            url = f"{server.control_url}/v1/channels/orders/settings"
            async with client.patch(url, json={"name": name}) as answer:
                return answer.status

        statuses = [
            *await asyncio.gather(*(change(server, f"name {n}") for n in range(2) for server in (first, second)))
        ]
        assert statuses == [200] * 4
        await until(lambda: {server.channels[0].revision for server in (first, second)} == {5}, "revision 5 in both")
    assert [record.subject for record in await records(settings, CHANNELS)] == [f"orders/{n}" for n in range(1, 6)]
    reported = [record for record in await records(settings, ACCOUNT_INBOX) if record.channel is not None]
    assert [record.settings_revision for record in reported] == list(range(1, 6))


@asynccontextmanager
async def journal(settings: Settings) -> AsyncIterator[KafkaJournal]:
    """The journal of an ingress process."""
    directory = DeskDirectory(str)
    topic = DIRECTORY.full_name(settings.topic_prefix)
    follower = TopicFollower(settings.kafka, topic, directory.apply_person)
    await follower.start()
    ids = count(1)
    try:
        yield KafkaJournal(
            settings.kafka,
            {topic: follower},
            prefix=settings.topic_prefix,
            encrypt=str,
            clock=wall_clock,
            new_id=lambda: f"id-{next(ids)}",
        )
    finally:
        await follower.stop()


async def test_a_change_that_fails_half_way_is_on_neither_topic_and_blocks_nobody(settings: Settings) -> None:
    def fill(change: Change) -> None:
        change.save_agent("main", Agent(id="ada"))
        change.messages.append((ACCOUNT_INBOX.full_name(settings.topic_prefix), b"main", b"x" * 2**23, ()))

    async with journal(settings) as saving:
        with pytest.raises(NotDurable):
            await saving.write(fill)
        await saving.write(lambda change: change.save_agent("main", Agent(id="bea")))
    for topic in (DIRECTORY, ACCOUNT_INBOX):
        assert [record.event for record in await records(settings, topic)] == [AgentSaved(agent="bea", name="bea")]


async def test_a_change_left_open_by_a_dead_process_is_on_neither_topic(settings: Settings) -> None:
    options = {**client_options(settings.kafka), "transactional_id": f"{settings.topic_prefix}ingress"}
    async with journal(settings) as saving:
        dead = AIOKafkaProducer(**options)
        await dead.start()
        await dead.begin_transaction()
        await dead.send_and_wait(DIRECTORY.full_name(settings.topic_prefix), b"never", b"agent/main/ada")
        await discard_producer(dead)
        await saving.write(lambda change: change.save_agent("main", Agent(id="bea")))
    for topic in (DIRECTORY, ACCOUNT_INBOX):
        assert [record.event for record in await records(settings, topic)] == [AgentSaved(agent="bea", name="bea")]


@pytest.fixture
def own_broker(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path, cache_dir=cache_dir)
    broker.start()
    yield broker
    broker.stop()


@asynccontextmanager
async def frozen(broker: EmbeddedBroker) -> AsyncIterator[None]:
    pid = broker.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_kafka_does_not_acknowledge_is_200_in_time_and_on_kafka_afterwards_in_order(
    own_broker: EmbeddedBroker, client: ClientSession, tmp_path: Path
) -> None:
    kafka = KafkaConnection(bootstrap_servers=own_broker.bootstrap_servers)
    await make_topics(kafka, "own.")
    settings = settings_for(kafka, "own.", tmp_path)
    async with Servers(settings, channels=FILE) as server:
        url = webhook(server)
        await taken_in_time(client, url, b"before")
        async with frozen(own_broker):
            await taken_in_time(client, url, b"frozen 1", b"frozen 2", b"frozen 3")
            async with client.get(server.url + "/readyz") as ready:
                assert ready.status == 200
            assert await metric(client, server, "spool_records") == 3
        await emptied(client, server)
        await taken_in_time(client, url, b"between")
        await asyncio.to_thread(own_broker.kill)
        await taken_in_time(client, url, b"killed 1", b"killed 2")
        await asyncio.to_thread(own_broker.start)
        await emptied(client, server)
        await taken_in_time(client, url, b"after")
        await rename(client, server)
    found = list(dict.fromkeys(await bodies(settings)))
    wanted = "before", "frozen 1", "frozen 2", "frozen 3", "between", "killed 1", "killed 2", "after"
    assert found == [body.encode() for body in wanted]


async def test_what_is_spooled_when_ingress_stops_is_published_by_the_next_one(
    own_broker: EmbeddedBroker, client: ClientSession, tmp_path: Path
) -> None:
    kafka = KafkaConnection(bootstrap_servers=own_broker.bootstrap_servers)
    await make_topics(kafka, "own.")
    settings = settings_for(kafka, "own.", tmp_path)
    async with Servers(settings, channels=FILE) as server:
        await asyncio.to_thread(own_broker.kill)
        await taken_in_time(client, webhook(server), b"first", b"second")
    await asyncio.to_thread(own_broker.start)
    async with Servers(settings) as server:
        await taken_in_time(client, webhook(server), b"third")
        await emptied(client, server)
    assert list(dict.fromkeys(await bodies(settings))) == [b"first", b"second", b"third"]


async def test_a_full_spool_is_503_and_keeps_what_it_has(
    own_broker: EmbeddedBroker, client: ClientSession, tmp_path: Path
) -> None:
    kafka = KafkaConnection(bootstrap_servers=own_broker.bootstrap_servers)
    await make_topics(kafka, "own.")
    settings = settings_for(kafka, "own.", tmp_path).model_copy(update={"spool_max_bytes": 2**20})
    acknowledged: list[bytes] = []
    async with Servers(settings, channels=FILE) as server:
        await asyncio.to_thread(own_broker.kill)
        statuses = set()
        for number in range(30):
            body = b"%d" % number + b" " * 50_000
            statuses.add(status := await post(client, webhook(server), body))
            acknowledged += [body] if status == 200 else []
        assert statuses == {200, 503}
        async with client.get(server.url + "/readyz") as ready:
            assert ready.status == 200  # not quite full: a smaller one is taken
        await taken_in_time(client, webhook(server), b"small")
        await asyncio.to_thread(own_broker.start)
        await emptied(client, server)
    assert list(dict.fromkeys(await bodies(settings))) == [*acknowledged, b"small"]


async def metric(client: ClientSession, server: Servers, name: str) -> float:
    async with client.get(server.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"livedesk_ingress_{name} "))


async def emptied(client: ClientSession, server: Servers) -> None:
    """Wait until everything spooled is on Kafka."""
    deadline = time.monotonic() + 60
    while await metric(client, server, "spool_records"):
        assert time.monotonic() < deadline, "the spool is not emptied"
        await asyncio.sleep(0.05)


async def rename(client: ClientSession, server: Servers) -> None:
    """Change settings, which takes the reader of the channels, too."""
    deadline = time.monotonic() + 60
    while True:
        async with client.patch(f"{server.control_url}/v1/channels/orders/settings", json={"name": "New"}) as answer:
            if answer.status == 200:
                return
        assert time.monotonic() < deadline, "settings can't be changed after an outage"


async def taken_in_time(client: ClientSession, url: str, *sent: bytes) -> None:
    """EngageLab waits for 3 s."""
    for body in sent:
        started = time.monotonic()
        assert await post(client, url, body) == 200
        assert time.monotonic() - started < 3
