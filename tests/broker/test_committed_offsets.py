"""What a group tells of its committed offsets while its broker comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.broker import EmbeddedBroker, free_port
from deploy.settings import load_settings
from streams.faust_internals import believe_loaded_offsets_only

GROUP = "readers"
PARTITIONS = [TopicPartition("numbers", number) for number in range(40)]
COMMITS = 50


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path, cache_dir=load_settings().cache_dir)
    broker.start()
    yield broker
    broker.stop()


async def commit_offsets(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic("numbers", len(PARTITIONS), 1)])
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id="reader")
    await producer.start()
    for offset in range(1, COMMITS + 1):
        async with producer.transaction():
            await producer.send_offsets_to_transaction(dict.fromkeys(PARTITIONS, offset), GROUP)
    await producer.stop()
    # A commit returns before its markers are written; until then the group tells the offsets before it, killed or not.
    async with asyncio.timeout(20):
        while await told_offsets(admin) != dict.fromkeys(PARTITIONS, COMMITS):  # noqa: ASYNC110 - Kafka tells no event
            await asyncio.sleep(0.02)
    await admin.close()


async def told_offsets(admin: AIOKafkaAdminClient) -> dict[TopicPartition, int]:
    return {tp: entry.offset for tp, entry in (await admin.list_consumer_group_offsets(GROUP)).items()}


async def test_a_consumer_waits_until_a_broker_that_comes_back_knows_the_offsets(broker: EmbeddedBroker) -> None:
    await commit_offsets(broker.bootstrap_servers)
    broker.kill()
    broker.start()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, group_id=GROUP, isolation_level="read_committed"
    )
    believe_loaded_offsets_only(consumer)
    await consumer.start()
    try:
        assert [await consumer.committed(tp) for tp in PARTITIONS] == [COMMITS] * len(PARTITIONS)
    finally:
        await consumer.stop()
