"""Quix Streams: `python -m tests.bench.peers.quix BOOTSTRAP PREFIX WARM_UP RECORDS GUARANTEE`.

In the environment of requirements.txt. State in its RocksDB with a changelog; every other setting at its default, so
it commits every 5 s. Asked for RECORDS it also commits after the last one: its rate does not depend on when the next
commit would have been due.
"""

import sys
import tempfile
from typing import Any, Literal, cast

from quixstreams import Application, State  # type: ignore[import-not-found]

from tests.bench.peers.first import FirstRecord

Guarantee = Literal["at-least-once", "exactly-once"]


class Counter:
    """Counts a key's numbers."""

    def __init__(self, warm_up: int) -> None:
        self._first = FirstRecord(warm_up)

    def __call__(self, number: dict[str, Any], state: State) -> dict[str, Any]:
        self._first.see()
        count = state.get("count", 0) + 1
        state.set("count", count)
        return {"n": number["data"]["n"], "count": count}


def main(bootstrap: str, prefix: str, warm_up: int, records: int, guarantee: Guarantee) -> None:
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
    app.dataframe(numbers).apply(Counter(warm_up), stateful=True).to_topic(counts)
    app.run(count=records, collect=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), cast(Guarantee, sys.argv[5]))
