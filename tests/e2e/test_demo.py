"""`livedesk demo` as people run it."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from bus.connection import KafkaConnection, client_options
from tests.e2e.livedesk import environment, left_behind, running

SECONDS = 120.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


async def topics(kafka: KafkaConnection) -> list[str]:
    admin = AIOKafkaAdminClient(**client_options(kafka))
    await admin.start()
    try:
        return [name for name in await admin.list_topics() if name.startswith("demo-")]
    finally:
        await admin.close()


def test_the_demo_counts_nothing_lost_and_nothing_twice(kafka: KafkaConnection, tmp_path: Path) -> None:
    log = tmp_path / "output"
    with running(["demo", "--plain", "--customers", "12"], environment(kafka, tmp_path), log) as demo:
        assert demo.wait(SECONDS) == 0, log.read_text()
        assert left_behind(tmp_path) == []
    output = log.read_text()
    assert "WRONG" not in output
    assert output.count("  ok    ") == 37
    assert output.endswith("Lost 0, twice 0. Every check holds.\n")
    for count in (
        "conversations            12: Closed 11, Open 1",
        "greetings                5",
        "told that it is closed   3",
        "dead letters             0",
    ):
        assert f"\n  {count}\n" in output
    assert "The life of one conversation\n    +0.0 s  " in output
    assert asyncio.run(topics(kafka)) == []
    assert list(tmp_path.glob("livedesk-demo-*")) == []


def test_a_demo_that_is_interrupted_leaves_nothing(kafka: KafkaConnection, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(["demo", "--plain"], environment(kafka, tmp_path), log) as demo:
        wait_for(lambda: "customers write" in log.read_text() or demo.poll() is not None, "the demo does not start")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(SECONDS) == 130, log.read_text()
        assert left_behind(tmp_path) == []
    assert "Interrupted" in log.read_text()
    assert asyncio.run(topics(kafka)) == []
