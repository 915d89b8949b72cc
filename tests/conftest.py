"""One real Kafka for all tests that need one: KAFKA_BOOTSTRAP_SERVERS, or an embedded broker.

The processes of one run (pytest -n) share it: the first that needs it starts it, the one that started them stops it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
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

SHARED_FOLDER = "TEST_BROKER_FOLDER"
SHARED_PORT = "TEST_BROKER_PORT"
NEED_KAFKA = [Path(__file__).parent / folder for folder in ("broker", "e2e")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in NEED_KAFKA):
            item.add_marker("broker")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[SHARED_FOLDER] = tempfile.mkdtemp(prefix="livedesk-test-broker-")
        os.environ[SHARED_PORT] = str(free_port())


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(SHARED_FOLDER))
        EmbeddedBroker(port=int(os.environ.pop(SHARED_PORT)), data_dir=folder, cache_dir=folder).stop()
        shutil.rmtree(folder)


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
def kafka(request: pytest.FixtureRequest) -> KafkaConnection:
    """The Kafka of this run."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return load_settings().kafka
    # Not an argument: with a Kafka of one's own no jars are fetched.
    cache_dir: Path = request.getfixturevalue("cache_dir")
    port = os.environ[SHARED_PORT]
    folders = {"LIVEDESK_DATA_DIR": os.environ[SHARED_FOLDER], "LIVEDESK_CACHE_DIR": str(cache_dir)}
    # By the command, which finds the broker that another process of the run has started; it is no child of this one.
    command = [sys.executable, "-m", "cli.main", "broker", "start", "--port", port]
    started = subprocess.run(command, env={**os.environ, **folders}, capture_output=True, text=True, check=False)
    if started.returncode:
        pytest.fail(f"No Kafka for the broker tests. {started.stderr}", pytrace=False)
    return KafkaConnection(bootstrap_servers=f"127.0.0.1:{port}")


@pytest.fixture
def topic_prefix() -> str:
    """Starts the topics and consumer groups of one test, which shares its Kafka with the others."""
    return f"t{uuid4().hex[:8]}."
