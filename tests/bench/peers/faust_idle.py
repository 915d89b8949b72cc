"""Stock Faust apps at rest, in one process: `python -m tests.bench.peers.faust_idle BOOTSTRAP PREFIX APPS PARTITIONS`.

Each with an agent on a topic of its own and a table. Says READY when all have their partitions.
"""

import asyncio
import os
import sys
import tempfile
from typing import Any

import faust

READY = "READY"


def input_topic(prefix: str, number: int) -> str:
    return f"{prefix}idle{number}.v1"


def build(bootstrap: str, prefix: str, number: int, partitions: int) -> faust.App:
    app = faust.App(
        f"{prefix}faust{number}",
        broker=f"kafka://{bootstrap}",
        topic_partitions=partitions,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
    )
    table = app.Table("count", default=int)

    async def count(stream: faust.StreamT[Any]) -> None:
        async for key, _ in stream.items():
            table[key] += 1

    app.agent(app.topic(input_topic(prefix, number), key_type=str, value_serializer="raw"))(count)
    return app


async def main(bootstrap: str, prefix: str, apps: int, partitions: int) -> None:
    built = [build(bootstrap, prefix, number, partitions) for number in range(apps)]
    for app in built:
        app.finalize()
        await app.start()
    while not all(app.assignor.assigned_actives() for app in built):  # noqa: ASYNC110 - Faust has no event for it
        await asyncio.sleep(0.1)
    os.write(1, f"{READY}\n".encode())
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
