"""What can't be processed is set aside on dead-letters, whole, and everything else is processed."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from bus.connection import KafkaConnection, client_options
from deploy.channels_file import load_channels_file
from deploy.kafka.topics import apply
from deploy.settings import load_settings
from schemas.events.inbox import MessageReceived
from schemas.events.operations import DeadLettered
from schemas.record import Record, encode
from schemas.topics import CHANNELS, DEAD_LETTERS, INBOX, TIMERS, state_topic
from simulation.scenario.broker_run import Bench, running
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from tests.broker.counting import COUNT, COUNTS, NUMBERS, Counted, Number
from tests.support.reading import committed_records, until

LARGEST = 3 << 20
"""Bytes of a callback that ingress takes."""


async def dead_letters(kafka: KafkaConnection, prefix: str) -> list[DeadLettered]:
    found = [record.event for record in await committed_records(kafka, prefix, DEAD_LETTERS)]
    return [event for event in found if isinstance(event, DeadLettered)]


async def test_a_key_whose_record_fails_is_parked_and_the_others_go_on(
    kafka: KafkaConnection, topic_prefix: str
) -> None:
    topics = (NUMBERS, COUNTS, TIMERS, CHANNELS, DEAD_LETTERS, state_topic(COUNT.name))
    await apply(kafka, topic_prefix, topics, partitions=1, replication_factor=1)
    env = Environment(kafka, topic_prefix, SettingsStore(str), wall_clock, Metrics())
    worker = Worker(env, [COUNT], topology=(COUNT,), tick=0.1, poll=0.1)
    await worker.start()
    try:
        sent = [("good", 1), ("bad", 2), ("bad", -1), ("bad", 3), ("good", 4)]
        async with AIOKafkaProducer(**client_options(kafka)) as producer:
            topic = NUMBERS.full_name(topic_prefix)
            for key, n in sent:
                record = Record(f"r{n}", "/test", wall_clock(), key, Number(n=n))
                await producer.send_and_wait(topic, encode(record), key=key.encode())
            await producer.send_and_wait(topic, b"not a record", key=b"ugly")
        await until(lambda: all(task.next_offset == len(sent) + 1 for task in worker.tasks), "the inputs", 30)
    finally:
        if worker.tasks:
            await worker.stop()

    counted = [(r.subject, r.event.count) for r in await committed_records(kafka, topic_prefix, COUNTS)
               if isinstance(r.event, Counted)]  # fmt: skip
    assert counted == [("good", 1), ("bad", 1), ("good", 2)]
    letters = await dead_letters(kafka, topic_prefix)
    assert [(letter.reason, letter.offset) for letter in letters] == [("failed", 2), ("parked", 3), ("undecodable", 5)]
    assert (letters[2].body, letters[2].encoding) == ("not a record", "text")


@pytest.fixture
async def bench(kafka: KafkaConnection, tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "channels.yaml"
    path.write_text("agents: []\nchannels: [{id: wa1, phone_number: '+34600000001', dev_key: k, dev_secret: s}]\n")
    async with running(load_settings().model_copy(update={"kafka": kafka, "data_dir": tmp_path})) as bench:
        await bench.control.save(load_channels_file(path))
        await bench.ingress.caught_up()
        yield bench


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda: b'{"rows": ["' + b'"' * (LARGEST - 11), "invalid_json"),
        (lambda: b'{"rows": [{"status": ' + b"\\u0000" * ((LARGEST - 21) // 6), "invalid_json"),
        (lambda: b'{"rows": [{"server": "whatsapp", "x": "' + b"\\n" * ((LARGEST - 43) // 2) + b'"}]}', None),
    ],
    ids=["nothing but quotes", "nothing but escapes", "a row of line breaks"],
)
async def test_the_largest_callback_that_is_taken_fits_into_a_dead_letter(
    bench: Bench, body: Callable[[], bytes], reason: str | None
) -> None:
    content = body()
    url = bench.ingress.webhook_url(bench.ingress.channels[0])
    async with bench.http.post(url, data=BytesIO(content), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 200
    await asyncio.wait_for(bench.quiet(), 30)
    letters = await dead_letters(bench.env.connection, bench.env.prefix)
    assert len(letters) == 1
    assert reason is None or letters[0].reason == reason
    if reason is not None:
        assert base64.b64decode(letters[0].body) == content


async def test_the_largest_callback_with_a_thousand_messages_is_processed(bench: Bench) -> None:
    rows = [{"message_id": str(n), "to": "34600000001", "from": "34611000001", "server": "whatsapp", "response": {
        "event": "received", "response_data": {"message": {"type": "text", "text": {"body": "x" * 2_900}}}}}
        for n in range(1, 1_001)]  # fmt: skip
    content = orjson.dumps({"total": len(rows), "rows": rows})
    content += b" " * (LARGEST - len(content))
    url = bench.ingress.webhook_url(bench.ingress.channels[0])
    async with bench.http.post(url, data=BytesIO(content), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 200
    await asyncio.wait_for(bench.quiet(), 60)
    inbox = await committed_records(bench.env.connection, bench.env.prefix, INBOX)
    assert sum(isinstance(record.event, MessageReceived) for record in inbox) == len(rows)
    assert await dead_letters(bench.env.connection, bench.env.prefix) == []
