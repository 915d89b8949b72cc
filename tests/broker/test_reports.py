"""The reports topic on a real Kafka: read whole, and only what is committed."""

from datetime import UTC, date, datetime

from aiokafka import AIOKafkaProducer

from bus.connection import KafkaConnection, client_options
from deploy.kafka.committed import committed_reader
from deploy.kafka.topics import apply
from deploy.reports import read_partials
from desk.figures import summed
from schemas.events.reports import ReportUpdated
from schemas.record import Record, encode
from schemas.topics import REPORTS


async def test_figures_are_summed_over_what_is_committed(kafka: KafkaConnection, topic_prefix: str) -> None:
    await apply(kafka, topic_prefix, (REPORTS,), partitions=3, replication_factor=1)
    producer = AIOKafkaProducer(**client_options(kafka), transactional_id=f"{topic_prefix}reports")

    async def count(key: str, **counts: int) -> None:
        event = ReportUpdated(kind="conversations", channel="shop", day=date(2026, 3, 9), counts=counts)
        value = encode(Record(key, "/test", datetime(2026, 3, 9, tzinfo=UTC), key, event, channel="shop"))
        await producer.send(REPORTS.full_name(topic_prefix), value, key=key.encode())

    async with producer:
        async with producer.transaction():
            await count("a", opened=1)
            await count("a", opened=5)
            await count("b", opened=2, closed=1)
        await producer.begin_transaction()
        await count("a", opened=50)
        await producer.abort_transaction()
    async with committed_reader(kafka) as reader:
        figures = summed(await read_partials(reader, topic_prefix))
    assert (figures["shop"].outcome("opened"), figures["shop"].outcome("closed")) == (7, 1)
