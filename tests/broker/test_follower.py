"""Following a topic on a real Kafka."""

from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaProducer

from bus.connection import KafkaConnection, client_options
from bus.follower import TopicFollower
from deploy.kafka.topics import apply
from schemas.topics import NOTIFICATIONS


async def test_a_follower_from_now_on_applies_what_is_written_after_its_start_alone(
    kafka: KafkaConnection, topic_prefix: str
) -> None:
    await apply(kafka, topic_prefix, (NOTIFICATIONS,), partitions=3, replication_factor=1)
    topic, applied = NOTIFICATIONS.full_name(topic_prefix), list[bytes]()
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        for number in range(6):
            await producer.send_and_wait(topic, b"{}", key=b"before-%d" % number)
        follower = TopicFollower(kafka, topic, lambda key, _value: applied.append(key), from_now=True)
        await follower.start()
        try:
            for number in range(6):
                await producer.send_and_wait(topic, b"{}", key=b"after-%d" % number)
            await follower.caught_up()
        finally:
            await follower.stop()
    assert sorted(applied) == [b"after-%d" % number for number in range(6)]


async def test_a_follower_since_an_instant_applies_what_was_written_from_then_on(
    kafka: KafkaConnection, topic_prefix: str
) -> None:
    await apply(kafka, topic_prefix, (NOTIFICATIONS,), partitions=2, replication_factor=1)
    topic, applied = NOTIFICATIONS.full_name(topic_prefix), list[bytes]()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        # The other partition has nothing since then.
        for hours, partition in ((-1, 0), (0, 0), (1, 0), (-2, 1)):
            at = round((today + timedelta(hours=hours)).timestamp() * 1000)
            await producer.send_and_wait(topic, b"{}", key=b"%d" % hours, partition=partition, timestamp_ms=at)
        follower = TopicFollower(kafka, topic, lambda key, _value: applied.append(key), since=lambda: today)
        await follower.start()
        try:
            await producer.send_and_wait(topic, b"{}", key=b"later", partition=1)
            await follower.caught_up()
        finally:
            await follower.stop()
    assert sorted(applied) == [b"0", b"1", b"later"]
