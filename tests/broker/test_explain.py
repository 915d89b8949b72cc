"""The assignments topic on a real Kafka, explained: only what is committed."""

from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

from bus.connection import KafkaConnection, client_options
from deploy.explanations import decisions, read_assignments
from deploy.kafka.committed import committed_reader
from deploy.kafka.topics import apply
from schemas.events.assignment import AssignmentWaiting
from schemas.record import Record, encode
from schemas.topics import ASSIGNMENTS


async def test_the_decisions_about_a_conversation_are_found(kafka: KafkaConnection, topic_prefix: str) -> None:
    await apply(kafka, topic_prefix, (ASSIGNMENTS,), partitions=3, replication_factor=1)
    producer = AIOKafkaProducer(**client_options(kafka), transactional_id=f"{topic_prefix}assignments")

    async def wait(conversation: str, key: str, revision: int) -> None:
        event = AssignmentWaiting(conversation_id=conversation, revision=revision, explanation={"decision": "nobody"})
        value = encode(Record(f"{conversation}{revision}", "/test", datetime(2026, 3, 9, tzinfo=UTC), key, event))
        await producer.send(ASSIGNMENTS.full_name(topic_prefix), value, key=key.encode())

    async with producer:
        async with producer.transaction():
            await wait("c1", "shop:4915", 1)
            await wait("c2", "shop:4916", 1)
            await wait("c1", "shop:4915", 4)
        await producer.begin_transaction()
        await wait("c1", "shop:4915", 9)
        await producer.abort_transaction()
    async with committed_reader(kafka) as reader:
        records = await read_assignments(reader, topic_prefix)
    assert [decided.revision for decided in decisions(records, "c1")] == [1, 4]
    assert decisions(records, "shop:4916")[0].conversation == "c2"
