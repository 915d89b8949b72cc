"""The embedded broker, each test with a data folder and a port of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bus.connection import KafkaConnection, client_options
from deploy.errors import LiveDeskError
from deploy.kafka.broker import EmbeddedBroker, free_port

TOPIC = "kept"
PARTITION = TopicPartition(TOPIC, 0)


@pytest.fixture
def broker(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path, cache_dir=cache_dir)
    yield broker
    broker.stop()


def twin(broker: EmbeddedBroker, data_dir: Path, cache_dir: Path) -> EmbeddedBroker:
    """The same broker, as another process sees it."""
    return EmbeddedBroker(port=broker.port, data_dir=data_dir, cache_dir=cache_dir)


async def write(broker: EmbeddedBroker, *values: bytes) -> None:
    options = client_options(KafkaConnection(bootstrap_servers=broker.bootstrap_servers))
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        if TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(**options, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(TOPIC, value, partition=0)


async def read(broker: EmbeddedBroker, count: int) -> list[bytes]:
    options = client_options(KafkaConnection(bootstrap_servers=broker.bootstrap_servers))
    consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([PARTITION])
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_start_is_repeatable_and_stop_ends_it(broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path) -> None:
    lines: list[str] = []
    broker.start(progress=lines.append)
    status = broker.status()
    assert status.running
    assert status.answers
    assert status.pid is not None
    assert status.bootstrap_servers == broker.bootstrap_servers == f"127.0.0.1:{broker.port}"
    assert status.uptime_seconds is not None
    assert status.uptime_seconds < 60
    assert (status.memory_bytes or 0) > 2**20
    assert broker.bootstrap_servers in lines[-1]

    other = twin(broker, tmp_path, cache_dir)
    other.start()
    assert other.status().pid == status.pid

    assert other.stop()
    assert not psutil.pid_exists(status.pid) or psutil.Process(status.pid).status() == psutil.STATUS_ZOMBIE
    assert not broker.status().running
    assert not broker.stop()


async def test_data_survive_a_restart_and_a_crash(broker: EmbeddedBroker) -> None:
    broker.start()
    await write(broker, b"before the restart")
    broker.stop()
    broker.start()
    await write(broker, b"before the crash")
    broker.kill()
    assert not broker.status().running
    broker.start()
    await write(broker, b"after the crash")
    assert await read(broker, 3) == [b"before the restart", b"before the crash", b"after the crash"]


def test_a_port_in_use_names_its_owner(broker: EmbeddedBroker) -> None:
    in_use = f"{broker.port}: the port is in use by process {os.getpid()}"
    with socket.create_server(("127.0.0.1", broker.port)), pytest.raises(LiveDeskError, match=in_use) as caught:
        broker.start()
    assert "LIVEDESK_BROKER_PORT" in caught.value.hint


def test_a_running_broker_does_not_change_its_port(broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path) -> None:
    broker.start()
    other = EmbeddedBroker(port=free_port(), data_dir=tmp_path, cache_dir=cache_dir)
    with pytest.raises(LiveDeskError, match=f"already running, on port {broker.port}, not {other.port}"):
        other.start()
    assert other.status().bootstrap_servers == broker.bootstrap_servers


def test_the_second_start_needs_no_network(broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path) -> None:
    broker.start()
    broker.stop()
    nowhere = f"http://127.0.0.1:{free_port()}"
    offline = EmbeddedBroker(port=broker.port, data_dir=tmp_path, cache_dir=cache_dir, maven_repository=nowhere)
    try:
        offline.start()
        assert offline.status().answers
    finally:
        offline.stop()


def test_the_first_start_without_network_says_so(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path, cache_dir=tmp_path / "c", maven_repository=nowhere)
    with pytest.raises(LiveDeskError, match="could not be fetched") as caught:
        broker.start()
    assert "needs the network" in caught.value.hint
    assert not broker.status().running


def test_a_kafka_that_does_not_start_shows_the_end_of_its_log(
    broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path
) -> None:
    broker.start()
    broker.stop()
    cluster_metadata = next((tmp_path / "kafka" / "log").glob("__cluster_metadata-0"))
    (cluster_metadata / "quorum-state").write_text("spoiled")
    with pytest.raises(LiveDeskError, match="ended while it started") as caught:
        broker.start()
    assert "quorum-state" in caught.value.message
    assert str(broker.log_file) in caught.value.hint
    assert not broker.status().running


def test_the_folder_of_another_cluster_is_left_alone(broker: EmbeddedBroker, tmp_path: Path) -> None:
    log_dir = tmp_path / "kafka" / "log"
    log_dir.mkdir(parents=True)
    meta = "version=1\ncluster.id=q1Sh-9_ISia_zwGINzRvyQ\nnode.id=1\n"
    (log_dir / "meta.properties").write_text(meta)
    with pytest.raises(LiveDeskError, match="holds the data of another Kafka cluster"):
        broker.start()
    assert (log_dir / "meta.properties").read_text() == meta


def test_a_data_folder_that_cannot_be_written(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "file").touch()
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path / "file", cache_dir=cache_dir)
    with pytest.raises(LiveDeskError, match="can't be made or written") as caught:
        broker.start()
    assert "LIVEDESK_DATA_DIR" in caught.value.hint


async def test_an_abandoned_transaction_holds_readers_up_for_seconds(kafka: KafkaConnection, topic_prefix: str) -> None:
    topic = f"{topic_prefix}abandoned"
    options = client_options(kafka)
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()

    crashed = AIOKafkaProducer(**options, transactional_id=f"{topic_prefix}crashed", transaction_timeout_ms=2000)
    await crashed.start()
    await crashed.begin_transaction()
    await crashed.send_and_wait(topic, b"never committed")
    await crashed.stop()
    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait(topic, b"after it")

    consumer = AIOKafkaConsumer(topic, **options, auto_offset_reset="earliest", isolation_level="read_committed")
    await consumer.start()
    try:
        # 2 s time-out, looked for each second; 63 s by Kafka's own defaults.
        async with asyncio.timeout(15):
            assert (await consumer.getone()).value == b"after it"
    finally:
        await consumer.stop()


def command_line(tmp_path: Path, port: int, cache_dir: Path) -> dict[str, str]:
    places = {"LIVEDESK_DATA_DIR": str(tmp_path), "LIVEDESK_CACHE_DIR": str(cache_dir)}
    return {**os.environ, **places, "LIVEDESK_BROKER_PORT": str(port)}


def test_the_command_line_starts_shows_and_stops_it(broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path) -> None:
    environment = command_line(tmp_path, broker.port, cache_dir)

    def livedesk(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", "broker", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    before = livedesk("status")
    assert before.returncode == 3
    assert "not running" in before.stdout

    started = livedesk("start")
    assert started.returncode == 0, started.stderr
    assert broker.bootstrap_servers in started.stdout

    status = json.loads(livedesk("status", "--json").stdout)
    assert status["running"] is True
    assert status["answers"] is True

    wrong_port = livedesk("start", "--port", str(free_port()))
    assert wrong_port.returncode == 1
    assert "already running" in wrong_port.stderr
    assert "Traceback" not in wrong_port.stderr

    assert livedesk("stop").stdout.strip() == "Stopped."
    assert livedesk("stop").stdout.strip() == "It was not running."


def test_the_command_line_says_which_of_its_files_can_t_be_written(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "kafka" / "server.properties").mkdir(parents=True)
    command = [sys.executable, "-m", "cli.main", "broker", "start"]
    environment = command_line(tmp_path, free_port(), cache_dir)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "server.properties can't be made or written: Is a directory." in done.stderr
    assert "Traceback" not in done.stderr


def test_in_the_foreground_a_signal_stops_it(broker: EmbeddedBroker, tmp_path: Path, cache_dir: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "broker", "start", "--foreground"]
    environment = {**command_line(tmp_path, broker.port, cache_dir), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "running" in process.stdout.readline()
        assert broker.status().running
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not broker.status().running
