"""How the command ends when something outside is wrong: one sentence and exit code 1, no traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.broker import free_port

SCENARIO = sorted((Path(__file__).parents[2] / "scenarios").glob("*.jsonl"))[0]


def livedesk(*arguments: str, **variables: object) -> str:
    """What it prints when it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEDESK_", "KAFKA_"))}
    env = {**kept, **{name: str(value) for name, value in variables.items()}}
    command = [sys.executable, "-m", "cli.main", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "command",
    [
        ["broker", "start"],
        ["up"],
        ["demo"],
        ["scenario", "run", "--broker", str(SCENARIO)],
        ["worker", "--all"],
        ["ingress"],
    ],
    ids=" ".join,
)
def test_a_data_folder_that_can_t_be_made(command: list[str], tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    output = livedesk(*command, LIVEDESK_DATA_DIR=place, LIVEDESK_BROKER_PORT=free_port())
    assert str(place) in output
    assert "a file stands where a folder should be" in output
    assert "LIVEDESK_DATA_DIR to a folder of yours" in output


def test_a_cache_folder_that_can_t_be_made(tmp_path: Path) -> None:
    variables = {"LIVEDESK_DATA_DIR": tmp_path, "LIVEDESK_CACHE_DIR": "/proc/x", "LIVEDESK_BROKER_PORT": free_port()}
    output = livedesk("broker", "start", **variables)
    assert output.startswith("/proc/x/kafka-")
    assert "Set LIVEDESK_CACHE_DIR to a folder of yours" in output


@pytest.mark.parametrize(
    ("command", "option", "who"),
    [
        ("worker --all", "--port", "The worker's health page"),
        ("sandbox", "--port", "The sandbox"),
        ("up", "--port", "livedesk up"),
        ("up", "--control-port", "livedesk up"),
        ("up", "--worker-port", "livedesk up"),
        ("up", "--sandbox-port", "livedesk up"),
    ],
)
def test_a_taken_port(command: str, option: str, who: str, taken: int, tmp_path: Path) -> None:
    output = livedesk(*command.split(), option, str(taken), LIVEDESK_DATA_DIR=tmp_path)
    assert f"{who} can't listen on 127.0.0.1:{taken}: the port is in use by process {os.getpid()} " in output
    assert f"another {option}" in output


def test_up_with_one_port_for_two_processes(tmp_path: Path) -> None:
    port = str(free_port())
    output = livedesk("up", "--control-port", port, "--worker-port", port, LIVEDESK_DATA_DIR=tmp_path)
    assert f"--control-port and --worker-port both take port {port}." in output
