"""Our runtime, with the peers' work: `python -m tests.bench.peers.runtime BOOTSTRAP PREFIX WARM_UP`.

No step(), no envelope.
"""

import asyncio
import signal
import sys
from collections.abc import Iterable
from typing import ClassVar

import orjson
import uvloop
from aiokafka.structs import ConsumerRecord

from bus.connection import KafkaConnection
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.processor import Batch, Processor
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from streams.state import Changes, TaskState
from tests.bench.peers.first import FirstRecord
from tests.broker.counting import COUNT, COUNTS

ROW = "count"


class PlainProcessor(Processor):
    """Counts per key, as the peers do. All the rest is the runtime's: fence, restore, transactions, positions."""

    first: ClassVar[FirstRecord]

    async def process(self, records: Iterable[ConsumerRecord], state: TaskState) -> Batch:
        records = list(records)
        self.first.see(len(records))
        batch = Batch(Changes(state))
        outputs = batch.messages[COUNTS.full_name(self._env.prefix), self._partition]
        counts: dict[bytes, int] = {}
        for message in records:
            key = message.key
            count = counts.get(key)
            if count is None:
                count = int(state.read(key.decode(), ROW) or 0)
            counts[key] = count = count + 1
            number = orjson.loads(message.value)
            outputs.append((key, orjson.dumps({"n": number["data"]["n"], "count": count}), []))
        for key, count in counts.items():
            batch.changes.update(key.decode(), {ROW: b"%d" % count})
        return batch


async def main(bootstrap: str, prefix: str, warm_up: int) -> None:
    PlainProcessor.first = FirstRecord(warm_up)
    connection = KafkaConnection(bootstrap_servers=bootstrap)
    env = Environment(connection, prefix, SettingsStore(str), wall_clock, Metrics())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Worker(env, [COUNT], topology=(COUNT,), processor=PlainProcessor).run(stop)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
