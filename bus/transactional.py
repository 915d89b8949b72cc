"""Writing to Kafka in transactions: their producer, where a key lives, and batches built by hand."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from bus.aiokafka_fixes import hurry_transactions
from bus.connection import KafkaConnection, client_options

MAX_BATCH_BYTES = 3_500_000
"""Under the topics' max.message.bytes. A larger record, such as a big callback's dead letter, is a batch of its own."""
TRANSACTION_TIMEOUT_MS = 10_000
"""How long a dead owner's open transaction may hold readers back, if nobody takes over before."""

Message = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value, headers."""


def transactional_producer(connection: KafkaConnection, transactional_id: str) -> AIOKafkaProducer:
    """A producer that fences all others with its transactional id."""
    hurry_transactions()
    return AIOKafkaProducer(
        **client_options(connection),
        transactional_id=transactional_id,
        acks="all",
        linger_ms=0,
        # 100 ms by default: 110-135 ms at the 99th percentile of transactions back to back.
        retry_backoff_ms=10,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_BATCH_BYTES,
    )


@lru_cache(maxsize=50_000)
def partition_of(key: bytes, partitions: tuple[int, ...]) -> int:
    """The partition, of those, where every Kafka client puts the key."""
    # Kept, because the partitioner hashes in Python: one of its calls costs as much as the rest of a record's writing.
    return int(DefaultPartitioner()(key, partitions, partitions))


def build_batches(create: Callable[[], BatchBuilder], messages: Iterable[Message]) -> list[BatchBuilder]:
    """The messages in as few batches as hold them: one future a batch instead of one a record."""
    now = int(time.time() * 1000)
    built: list[BatchBuilder] = [create()]
    for key, value, headers in messages:
        if built[-1].append(timestamp=now, key=key, value=value, headers=headers) is None:
            built.append(create())
            if built[-1].append(timestamp=now, key=key, value=value, headers=headers) is None:
                raise ValueError(f"a record of {len(value or b'')} bytes does not fit into a batch")
    for builder in built:
        builder.close()
    return built
