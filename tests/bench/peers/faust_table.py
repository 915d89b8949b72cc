"""Stock Faust with a table: `python -m tests.bench.peers.faust_table BOOTSTRAP PREFIX PARTITIONS`.

Says READY at its first event, which it gets once the table is recovered. Memory store; every setting at its default.
"""

import os
import sys
import tempfile
from typing import Any

import faust

READY = "READY"
TABLE = "rows"


def app_id(prefix: str) -> str:
    return f"{prefix}faust"


def build(bootstrap: str, prefix: str, partitions: int) -> faust.App:
    app = faust.App(
        app_id(prefix),
        broker=f"kafka://{bootstrap}",
        topic_partitions=partitions,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
    )
    table = app.Table(TABLE, default=str)

    async def start(stream: faust.StreamT[Any]) -> None:
        async for _ in stream:
            os.write(1, f"{READY} {len(table)}\n".encode())  # Faust takes sys.stdout for its log

    app.agent(app.topic(f"{prefix}go.v1", value_serializer="raw"))(start)
    return app


if __name__ == "__main__":
    app = build(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
