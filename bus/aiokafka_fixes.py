"""The only place that touches the internals of aiokafka.

Pinned to aiokafka 0.14.0: each override says which lines it replaces and why, and a test fails when the version moves.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError, for_code
from aiokafka.producer import sender
from aiokafka.protocol.commit import OffsetFetchRequest

logger = logging.getLogger(__name__)

VERSION = "0.14.0"

BETWEEN_TRANSACTIONS_S = 0.002
OFFSET_FETCH = OffsetFetchRequest.API_KEY
REST_WAIT_MS = 500
RECONNECT_S = 0.05
RECONNECT_AT_MOST_S = 0.25
STILL_TRIED_S = 5.0
COLLECT_GARBAGE_AFTER = 50_000
"""New objects between two looks for cycles."""
UNREACHED = ("Unable connect to node with id %s: %s", "Unable to update metadata from %s")
"""What aiokafka's client.py logs (l. 435, 325) at every attempt."""


def collect_garbage_less() -> None:
    """Let this process look for cycles less often: the records of a fetch and a batch are no garbage yet.

    At Python's 700 a quarter of a record's time went into looking at the records that wait (docs/performance.md).
    """
    gc.set_threshold(COLLECT_GARBAGE_AFTER, *gc.get_threshold()[1:])


def wait_longer_when_idle(fetcher: Fetcher) -> None:
    """Let a fetch wait longer at the broker if it asks for every partition there: whatever comes ends the wait.

    One fetch is in flight per broker (consumer/fetcher.py l. 609). A partition that it does not ask for, because its
    records were not taken yet, waits until it is back, so that one must be short. At rest short ones cost CPU time.
    """
    build = fetcher._get_actions_per_node

    def build_resting(assignment: Any) -> Any:
        actions = build(assignment)
        for node, request in actions[0]:
            asked = sum(len(partitions) for _, partitions in request.topics)
            if asked == sum(fetcher._select_read_replica(tp) == node for tp in assignment.tps):
                request._max_wait_ms = REST_WAIT_MS
        return actions

    fetcher._get_actions_per_node = build_resting


def hurry_transactions() -> None:
    """Let every producer of this process ask again soon while Kafka still writes the markers of its last transaction.

    producer/sender.py l. 40: 20 ms, which is what a transaction right after another one took, of 3.
    """
    sender.BACKOFF_OVERRIDE = BETWEEN_TRANSACTIONS_S


@dataclass
class _Outage:
    since: float
    pause: float = RECONNECT_S
    not_before: float = 0.0


class Outages:
    """The brokers, by host and port, that this process can't connect to, and when it may try again."""

    def __init__(self) -> None:
        self._outages: dict[tuple[str, int], _Outage] = {}

    async def pause(self, broker: tuple[str, int]) -> None:
        """Wait until the broker may be tried again."""
        outage = self._outages.get(broker)
        if outage is not None:
            await asyncio.sleep(outage.not_before - time.monotonic())

    def tried(self, broker: tuple[str, int], began: float, connected: bool) -> None:
        """Tell what came of an attempt. began: when (time.monotonic())."""
        now = time.monotonic()
        if connected:
            outage = self._outages.pop(broker, None)
            if outage is not None:
                logger.warning("Kafka at %s:%d is reached again, after %.1f s", *broker, now - outage.since)
            return
        if broker not in self._outages:
            logger.warning("Kafka at %s:%d can't be reached: trying again until it is", *broker)
        outage = self._outages.setdefault(broker, _Outage(now))
        if began >= outage.not_before:  # else one of several attempts at a time, which are one
            outage.not_before = now + outage.pause
            outage.pause = min(2 * outage.pause, RECONNECT_AT_MOST_S)

    def is_news(self, record: logging.LogRecord) -> bool:
        """Whether a line of aiokafka's says more than that a broker is still away. The first one says why it is."""
        # A node that is no longer tried may have left the cluster.
        tried_of_late = time.monotonic() - STILL_TRIED_S
        return record.msg not in UNREACHED or all(out.not_before < tried_of_late for out in self._outages.values())


def calm_reconnects() -> None:
    """Let the clients of this process pause between attempts to connect to a broker, and say once that it is away.

    client.py l. 385 has no such pause (Kafka's own client does: reconnect.backoff.ms). A worker's sixty clients tried
    some thousand times a second, a core's work, and wrote two lines each time, while the broker was starting.
    """
    connect, outages = AIOKafkaClient._get_conn, Outages()
    if connect.__module__ == __name__:
        return

    async def connect_calmly(self: Any, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        connection, known = self._conns.get((node_id, group)), self.cluster.broker_metadata(node_id)
        if known is None or (connection is not None and connection.connected()):
            return await connect(self, node_id, group=group)
        broker = known.host, known.port
        await outages.pause(broker)
        began = time.monotonic()
        connection = await connect(self, node_id, group=group)
        outages.tried(broker, began, connection is not None)
        return connection

    AIOKafkaClient._get_conn = connect_calmly
    logging.getLogger("aiokafka").addFilter(outages.is_news)


def believe_loaded_offsets_only(client: AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    """Let it ask again for a group's committed offsets while Kafka does not know them. To be called before it starts.

    After a broker has restarted, the offsets of a group are read from its log; until then the answer holds no offset,
    but an error. consumer/group_coordinator.py l. 1194 and admin/client.py l. 535 do not look at it: they take it that
    nothing was ever committed, and a consumer begins at the beginning of the topic.
    """
    send = client._client.send

    async def checked(node_id: int, request: Any, **options: Any) -> Any:
        response = await send(node_id, request, **options)
        if response.API_KEY == OFFSET_FETCH and response.API_VERSION >= 2 and response.error_code:
            raise for_code(response.error_code)()
        return response

    client._client.send = checked


async def ask_any_broker(admin: AIOKafkaAdminClient, request: Any) -> Any:
    """Send what the admin client has no method for (admin/client.py l. 144)."""
    return await admin._send_request(request)


def end_tls_at_once() -> None:
    """Let every client of this process close its connections without waiting for the broker to agree.

    conn.py l. 475 closes politely, and uvloop then waits up to 30 s for the broker's part of the TLS shutdown, which
    one that holds a long poll does not send: each rebalance took that long. What was sent is answered by then, or
    nobody waits for it.
    """
    close = AIOKafkaConnection.close
    if close.__module__ == __name__:
        return

    def close_at_once(self: Any, reason: Any = None, exc: Any = None) -> Any:
        if self._writer is not None and self._ssl_context is not None:
            self._writer.transport.abort()
        return close(self, reason, exc)

    AIOKafkaConnection.close = close_at_once


async def discard_producer(producer: AIOKafkaProducer) -> None:
    """Disconnect a producer, which then delivers nothing more.

    Without the flush of its stop() (producer/message_accumulator.py l. 384), which waits for the batch that an
    idempotent producer never gives up.
    """
    sending = producer._sender.sender_task
    if sending is not None:
        sending.cancel()
        # Cut the connections before waiting: the sender first waits for the answers that it is still owed.
        await producer.client.close()
        while not sending.done():
            await asyncio.wait([sending], timeout=1)
            sending.cancel()
        accumulator = producer._message_accumulator
        # What was to be sent again (producer/message_accumulator.py l. 464) is taken out of this set again (l. 459).
        accumulator._pending_batches.update(chain(*accumulator._batches.values()))
        accumulator.fail_all(KafkaError("the producer was replaced"))
    for future in _failures(producer):
        if future.done() and not future.cancelled():
            # Whoever has to know that it failed does: asyncio would log that nobody asked.
            future.exception()
    await producer.stop()


def _failures(producer: AIOKafkaProducer) -> Iterator[asyncio.Future[None]]:
    accumulator, transaction = producer._message_accumulator, producer._txn_manager
    for batch in chain(*accumulator._batches.values(), accumulator._pending_batches):
        yield from (batch.future, batch._drain_waiter)
    if transaction is not None and transaction._transaction_waiter is not None:
        yield transaction._transaction_waiter


def quiet_loggers() -> None:
    """Leave only what matters of the libraries' logs.

    Faust leaves aiokafka's loggers at DEBUG, where they format keys and values: slow, and texts in a log.
    """
    for name in ("aiokafka", "faust", "mode", __name__, *logging.root.manager.loggerDict):
        if name.split(".")[0] in ("aiokafka", "faust", "mode") or name == __name__:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Kafka answers NOT_ENOUGH_REPLICAS to a transaction that begins while the last one's markers are being written;
    # the sender tries again at once, and warns every time.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)
