"""aiokafka without a framework: `python -m tests.bench.peers.bare_aiokafka BOOTSTRAP PREFIX WARM_UP`.

What one would write by hand: fetch, count in a dict, `send` outputs and changelog, one transaction per fetch. It never
restores its state, and nothing protects its state in a rebalance.
"""

import asyncio
import sys
from collections import Counter

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.bench.peers.first import FirstRecord


async def main(bootstrap: str, prefix: str, warm_up: int) -> None:
    first, counts = FirstRecord(warm_up), Counter[bytes]()
    group = f"{prefix}bare"
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=group)
    consumer = AIOKafkaConsumer(
        f"{prefix}numbers.v1",
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    async with producer, consumer:
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            if not fetched:
                continue
            async with producer.transaction():
                sent = []
                for partition, messages in fetched.items():
                    first.see(len(messages))
                    for message in messages:
                        counts[message.key] += 1
                        count = counts[message.key]
                        output = orjson.dumps({"n": orjson.loads(message.value)["data"]["n"], "count": count})
                        place = {"key": message.key, "partition": partition.partition}
                        sent.append(await producer.send(f"{prefix}counts.v1", output, **place))
                        sent.append(await producer.send(f"{prefix}count-state.v1", b"%d" % count, **place))
                await asyncio.gather(*sent)
                offsets = {partition: messages[-1].offset + 1 for partition, messages in fetched.items()}
                await producer.send_offsets_to_transaction(offsets, group)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
