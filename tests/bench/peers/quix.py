"""Quix Streams: `python quix.py BOOTSTRAP PREFIX RECORDS GUARANTEE`, in the environment of requirements.txt.

State in its RocksDB with a changelog; every other setting at its default, so it commits every 5 s. Asked for RECORDS
it also commits after the last one: its rate does not depend on when the next commit would have been due.
"""

import os
import sys
import tempfile
import time
from typing import Any, Literal, cast

from quixstreams import Application, State  # type: ignore[import-not-found]


class Counter:
    """Counts a key's numbers, and says when the first one came."""

    said = False

    def __call__(self, number: dict[str, Any], state: State) -> dict[str, Any]:
        if not self.said:
            self.said = True
            os.write(1, f"FIRST {time.monotonic()}\n".encode())
        count = state.get("count", 0) + 1
        state.set("count", count)
        return {"n": number["data"]["n"], "count": count}


def main(bootstrap: str, prefix: str, records: int, guarantee: Literal["at-least-once", "exactly-once"]) -> None:
    app = Application(
        bootstrap,
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        state_dir=tempfile.mkdtemp(prefix="bench-quix-"),
        loglevel="WARNING",
    )
    numbers = app.topic(f"{prefix}numbers.v1", value_deserializer="json")
    counts = app.topic(f"{prefix}counts.v1", value_serializer="json")
    app.dataframe(numbers).apply(Counter(), stateful=True).to_topic(counts)
    app.run(count=records, collect=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), cast(Any, sys.argv[4]))
