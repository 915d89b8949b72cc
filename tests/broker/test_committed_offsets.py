"""What a group tells of its committed offsets while its broker comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bus.aiokafka_fixes import believe_loaded_offsets_only
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.settings import load_settings

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
    await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=GROUP, enable_auto_commit=False)
    consumer.assign(PARTITIONS)
    await consumer.start()
    for offset in range(1, COMMITS + 1):
        await consumer.commit(dict.fromkeys(PARTITIONS, offset))
    await consumer.stop()


async def answers(consumer: AIOKafkaConsumer, enough: asyncio.Event) -> list[int | None]:
    """What it is answered, asking all the time."""
    answers = []
    while not enough.is_set():
        answers.append(await consumer.committed(PARTITIONS[0]))
    return answers


async def test_a_consumer_waits_until_a_broker_that_comes_back_knows_the_offsets(broker: EmbeddedBroker) -> None:
    await commit_offsets(broker.bootstrap_servers)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, group_id=GROUP, isolation_level="read_committed"
    )
    believe_loaded_offsets_only(consumer)
    await consumer.start()
    try:
        enough = asyncio.Event()
        asking = asyncio.create_task(answers(consumer, enough))
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        enough.set()
        assert set(await asking) == {COMMITS}
        assert [await consumer.committed(tp) for tp in PARTITIONS] == [COMMITS] * len(PARTITIONS)
    finally:
        await consumer.stop()
