"""Starting in any order: what starts without Kafka waits for it; what `livedesk up` started ends with it."""

import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.connection import KafkaConnection
from deploy.kafka.broker import EmbeddedBroker, free_port
from tests.e2e.livedesk import environment, left_behind, running
from tests.e2e.test_up import ports

SECONDS = 90.0
AWAY_SECONDS = 5.0
WAITING = "waiting until it is"


@pytest.fixture
def broker(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedBroker]:
    """One that is not running yet."""
    broker = EmbeddedBroker(port=free_port(), data_dir=tmp_path / "own", cache_dir=cache_dir)
    yield broker
    broker.stop()


def until(condition: Callable[[], bool], output: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def environment_of(broker: EmbeddedBroker, folder: Path) -> dict[str, str]:
    return environment(KafkaConnection(bootstrap_servers=broker.bootstrap_servers), folder)


def test_up_waits_for_kafka_and_runs_once_it_is_there(broker: EmbeddedBroker, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with running(["up", *ports()], environment_of(broker, tmp_path), output) as up:
        until(lambda: WAITING in output.read_text(), output)
        assert up.poll() is None
        broker.start()
        until(lambda: "LiveDesk runs." in output.read_text(), output)
        assert output.read_text().count(WAITING) == 1
        up.send_signal(signal.SIGINT)
        assert up.wait(SECONDS) == 0, output.read_text()
        assert left_behind(tmp_path) == []


@pytest.mark.parametrize("command", [["up"], ["worker", "--all", "--port", "0"], ["ingress", "--port", "0"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting(
    command: list[str], number: signal.Signals, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    options = ports() if command == ["up"] else []
    with running([*command, *options], environment_of(broker, tmp_path), output) as process:
        until(lambda: WAITING in output.read_text(), output)
        process.send_signal(number)
        assert process.wait(10) == 0, output.read_text()
    assert "Traceback" not in output.read_text()


def test_worker_and_ingress_that_start_before_kafka_work_once_it_is_there_and_outlast_its_absence(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    env = environment_of(broker, tmp_path)
    outputs = {name: tmp_path / name for name in ("worker", "ingress", "topics")}
    broker.start()
    with running(["topics", "apply"], env, outputs["topics"]) as topics:
        assert topics.wait(SECONDS) == 0
    broker.stop()
    port = {"worker": free_port(), "ingress": free_port()}
    worker = ["worker", "--all", "--port", str(port["worker"])]
    ingress = ["ingress", "--port", str(port["ingress"])]

    def are_ready() -> bool:
        return all(is_ready(one) for one in port.values())

    with (
        running(worker, env, outputs["worker"]) as one,
        running(ingress, env, outputs["ingress"]) as two,
    ):
        for name in port:
            until(lambda name=name: WAITING in outputs[name].read_text(), outputs[name])  # type: ignore[misc]
        assert not are_ready()
        broker.start()
        until(are_ready, outputs["worker"])
        broker.kill()
        until(lambda: "can't be reached: trying again" in outputs["worker"].read_text(), outputs["worker"])
        time.sleep(AWAY_SECONDS)
        broker.start()
        until(are_ready, outputs["worker"])
        assert (one.poll(), two.poll()) == (None, None)
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
        assert (one.wait(SECONDS), two.wait(SECONDS)) == (0, 0)
    for name in port:
        assert "Traceback" not in outputs[name].read_text()


def is_ready(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).status == 200)
    except OSError:
        return False


def test_the_children_of_up_end_when_it_is_killed(tmp_path: Path, cache_dir: Path) -> None:
    """Also the embedded Kafka."""
    output = tmp_path / "output"
    env = environment(KafkaConnection(bootstrap_servers="127.0.0.1:1"), tmp_path)
    del env["KAFKA_BOOTSTRAP_SERVERS"]
    env |= {"LIVEDESK_BROKER_PORT": str(free_port()), "LIVEDESK_CACHE_DIR": str(cache_dir)}
    with running(["up", *ports()], env, output) as up:
        until(lambda: "LiveDesk runs." in output.read_text(), output)
        assert len(left_behind(tmp_path)) > 4
        up.kill()
        up.wait()
        until(lambda: not left_behind(tmp_path), output)
