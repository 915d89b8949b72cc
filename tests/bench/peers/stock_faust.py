"""Stock Faust as its documentation uses it: `python -m tests.bench.peers.stock_faust BOOTSTRAP PREFIX WARM_UP`.

A table write and a send whose acknowledgement nobody awaits, for every event; every setting at its default.
"""

import sys
import tempfile
from typing import Any

import faust

from tests.bench.peers.first import FirstRecord


def build(bootstrap: str, prefix: str, warm_up: int) -> faust.App:
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
    first = FirstRecord(warm_up)
    table = app.Table("count", default=int)

    async def count(stream: faust.StreamT[Any]) -> None:
        async for key, number in stream.items():
            first.see()
            table[key] += 1
            await counts.send(key=key, value={"n": number["data"]["n"], "count": table[key]})

    app.agent(numbers)(count)
    return app


if __name__ == "__main__":
    app = build(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
