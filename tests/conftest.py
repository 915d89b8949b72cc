"""One real Kafka for all tests that need one: KAFKA_BOOTSTRAP_SERVERS, or an embedded broker."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from bus.connection import KafkaConnection
from deploy.errors import LiveDeskError
from deploy.kafka.broker import EmbeddedBroker, free_port
from deploy.kafka.jars import fetch_jars, quiet
from deploy.settings import load_settings

NEED_KAFKA = [Path(__file__).parent / folder for folder in ("broker", "e2e")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in NEED_KAFKA):
            item.add_marker("broker")


@contextmanager
def _or_fail() -> Iterator[None]:
    """Without a Kafka the tests fail: skipped, they would look as if they had passed."""
    problem: LiveDeskError | None = None
    try:
        yield
    except LiveDeskError as error:
        problem = error
    if problem is not None:
        pytest.fail(f"No Kafka for the broker tests. {problem}", pytrace=False)


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Kafka's jars, shared with the user's own broker: fetched once a machine, not once a run."""
    settings = load_settings()
    with _or_fail():
        fetch_jars(settings.cache_dir, quiet, settings.maven_repository)
    return settings.cache_dir


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConnection]:
    """The Kafka of this run."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield load_settings().kafka
        return
    # Not an argument: with a Kafka of one's own no jars are fetched.
    cache_dir: Path = request.getfixturevalue("cache_dir")
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path_factory.mktemp("broker"), cache_dir=cache_dir)
    with _or_fail():
        broker.start()
    try:
        yield KafkaConnection(bootstrap_servers=broker.bootstrap_servers)
    finally:
        broker.stop()


@pytest.fixture
def topic_prefix() -> str:
    """Starts the topics and consumer groups of one test, which shares its Kafka with the others."""
    return f"t{uuid4().hex[:8]}."
