"""`livedesk up` as people run it."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bus.connection import KafkaConnection
from deploy.kafka.broker import free_port
from tests.e2e.livedesk import environment, left_behind, running

SECONDS = 60.0
EXAMPLES = 4


def ports() -> list[str]:
    return [
        word
        for option in ("--port", "--control-port", "--worker-port", "--sandbox-port")
        for word in (option, str(free_port()))
    ]


def curl(command: str) -> bytes:
    """What the printed curl command asks for, without needing curl."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-s"]
    data = words[words.index("-d") + 1].encode() if "-d" in words else None
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    if token := re.fullmatch(r"Bearer \$\(cat (.*)\)", headers.get("Authorization", "")):
        headers["Authorization"] = f"Bearer {Path(token[1]).read_text()}"
    request = urllib.request.Request(words[2], data, headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        body: bytes = response.read()
    return body


def wait_for_lines(output: Path, up: subprocess.Popen[bytes]) -> list[str]:
    deadline = time.monotonic() + SECONDS
    while output.read_text().count("  curl ") < EXAMPLES:
        assert up.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)
    return output.read_text().splitlines()


def wait_for_texts(command: str, count: int) -> list[str]:
    deadline = time.monotonic() + SECONDS
    while True:
        texts = [entry["text"] for entry in json.loads(curl(command))]
        if len(texts) >= count:
            return texts
        assert time.monotonic() < deadline, texts
        time.sleep(0.1)


def test_the_printed_commands_work_and_nothing_is_left(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    env, output = environment(kafka, tmp_path, topic_prefix), tmp_path / "output"
    with running(["up", *ports()], env, output) as up:
        lines = wait_for_lines(output, up)
        write, reply, log, _ = (line.strip() for line in lines if line.startswith("  curl"))
        curl(write)
        assert wait_for_texts(log, 1)[0].startswith("Hello Ana")
        curl(reply)
        assert wait_for_texts(log, 2)[1].startswith("Good morning Ana")
        up.send_signal(signal.SIGTERM)
        assert up.wait(SECONDS) == 0, output.read_text()
        assert left_behind(tmp_path) == []
    assert output.read_text().endswith("Stopped.\n")


def test_dead_letters_are_said_by_up_by_the_worker_and_beside_the_figures(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    env, output = environment(kafka, tmp_path, topic_prefix), tmp_path / "output"
    said = "1 dead letter (intake 1): livedesk dead-letters list"
    with running(["up", *ports()], env, output) as up:
        lines = wait_for_lines(output, up)
        (url,) = (line.split()[1] for line in lines if line.startswith("  shop: "))
        request = urllib.request.Request(url, b"{not JSON", {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        deadline = time.monotonic() + SECONDS
        while said not in output.read_text():
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        assert (tmp_path / "up" / "worker-1.log").read_text().count(said) == 1
        command = [sys.executable, "-m", "cli.main", "reports", "show", "--json"]
        shown = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=True)
        assert shown.stderr == "1 record is not in the figures, as dead letters: livedesk dead-letters list\n"
        up.send_signal(signal.SIGTERM)
        assert up.wait(SECONDS) == 0, output.read_text()
    logs = "".join(log.read_text() for log in (tmp_path / "up").glob("*.log"))
    assert " ERROR " not in logs


def test_a_second_one_is_refused_in_plain_words(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "same-data", "other-data")]
    for folder in folders:
        folder.mkdir()
    first, same_data, other_data = folders
    refusals = (
        ("already running", environment(kafka, same_data, topic_prefix, data_dir=first)),
        ("is in use by process", environment(kafka, other_data, topic_prefix)),
    )
    taken = ports()
    with running(["up", *taken], environment(kafka, first, topic_prefix), first / "output") as up:
        wait_for_lines(first / "output", up)
        for words, env in refusals:
            with running(["up", *taken], env, tmp_path / "refused") as second:
                assert second.wait(SECONDS) == 1
                assert words in (tmp_path / "refused").read_text()
        up.send_signal(signal.SIGINT)
        assert up.wait(SECONDS) == 0
