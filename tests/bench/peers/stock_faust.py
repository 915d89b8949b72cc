"""Stock Faust as its documentation uses it: `python -m tests.bench.peers.stock_faust BOOTSTRAP PREFIX`.

A table write and a send whose acknowledgement nobody awaits, for every event; every setting at its default.
"""

import os
import sys
import tempfile
import time
from typing import Any

import faust


def build(bootstrap: str, prefix: str) -> faust.App:
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{bootstrap}",
        topic_partitions=2,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
    )
    numbers = app.topic(f"{prefix}numbers.v1", key_type=str, key_serializer="raw", value_serializer="json")
    counts = app.topic(f"{prefix}counts.v1", key_serializer="raw", value_serializer="json")
    table = app.Table("count", default=int)

    async def count(stream: faust.StreamT[Any]) -> None:
        said = False
        async for key, number in stream.items():
            if not said:
                said = True
                os.write(1, f"FIRST {time.monotonic()}\n".encode())
            table[key] += 1
            await counts.send(key=key, value={"n": number["data"]["n"], "count": table[key]})

    app.agent(numbers)(count)
    return app


if __name__ == "__main__":
    app = build(*sys.argv[1:3])
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
