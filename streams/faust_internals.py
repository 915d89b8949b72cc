"""The only place that touches the internals of Faust and aiokafka.

Pinned to faust-streaming 0.15.3 and aiokafka 0.14.0: each override says which lines it replaces and why, and a test
fails when either version moves.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import CommitFailedError, KafkaError, for_code
from aiokafka.producer import sender
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

logger = logging.getLogger(__name__)

VERSIONS = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}

BETWEEN_TRANSACTIONS_S = 0.002
OFFSET_FETCH = OffsetFetchRequest.API_KEY

FETCH_WAIT_MS = 100
REST_WAIT_MS = 500
COMMIT_WITHIN_S = 2.0
RECONNECT_S, RECONNECT_AT_MOST_S = 0.05, 0.25
STILL_TRIED_S = 5.0
UNREACHED = ("Unable connect to node with id %s: %s", "Unable to update metadata from %s")
"""What aiokafka's client.py logs (l. 435, 325) at every attempt."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought for one partition.

    position: the offset after everything fetched so far, past transaction markers, which are no records.
    assignment: the number of the consumer's assignment that it is of: a task takes nothing of another one.
    after: the position of the fetch before this one of the same assignment; None: this is the first. Whoever finds the
    chain broken has lost a fetch.
    """

    partition: int
    records: list[ConsumerRecord]
    position: int
    assignment: int
    after: int | None


Deliver = Callable[[Fetched], None]


class InLoop:
    """In place of mode's WorkerThread (mode/threads.py l. 41): runs the service in the event loop that starts it.

    With a thread for each stage's consumer, a dozen of them and the loop of the tasks wait for the interpreter's lock,
    up to 5 ms each time: that was most of what a worker did (docs/adr/0012-one-event-loop.md).
    """

    def __init__(self, service: Any) -> None:
        self._service = service

    def start(self) -> None:
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._service._serve()
        except Exception:  # noqa: BLE001 - it has told the app of its crash; who stops it must not wait (l. 215)
            self._service.set_shutdown()

    def stop(self) -> None:
        """Nothing to join: whoever stops the service has waited for its shutdown."""


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka's consumer, reads only what was committed, and tells positions along with records."""

    Worker = InLoop

    async def _gather_remaining_tasks(self) -> None:
        # mode/threads.py l. 264 cancels everything in the loop, which is not the service's own here.
        return

    def __post_init__(self) -> None:
        super().__post_init__()
        self._told: dict[int, int] = {}
        self._assignment: Any = None
        self._number = 0

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # driver l. 571: read_committed comes only with processing_guarantee=exactly_once, which is not what it says.
        consumer._isolation_level = "read_committed"
        # driver l. 615: hard-coded 1500 ms.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        believe_loaded_offsets_only(consumer)
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        rest_longer(self._consumer._fetcher)

    async def commit_positions(self, positions: dict[TopicPartition, int], generation: int) -> None:
        """Commit the group's offsets. Raises TimeoutError; KafkaError, also when the group has another generation now.

        Beside Consumer.commit (driver l. 790), which ends the app when the group rebalances meanwhile. Once: aiokafka's
        own (consumer/group_coordinator.py l. 983) tries for ever, shielded from whoever gives up.
        """
        coordinator = self._ensure_consumer()._coordinator
        if coordinator.generation != generation:
            raise CommitFailedError(f"the group has left generation {generation}")
        offsets = {tp: OffsetAndMetadata(position, "") for tp, position in positions.items()}
        async with asyncio.timeout(COMMIT_WITHIN_S):
            await coordinator._do_commit_offsets(None, offsets)

    async def fetch(self, partitions: set[TP], timeout: float) -> list[Fetched]:
        """What is there for the partitions, waiting up to `timeout` seconds. Replaces getmany (driver l. 1070)."""
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError
        wanted = {TopicPartition(tp.topic, tp.partition) for tp in partitions}
        with fetcher._subscriptions.fetch_context():
            records: Mapping[TopicPartition, list[ConsumerRecord]] = await fetcher.fetched_records(
                wanted, timeout=timeout
            )
        # From here to the end nothing is awaited: the records are of the assignment that is active now, even where a
        # rebalance came while they were waited for, and a position read later could be past records that no task has
        # seen.
        assignment = consumer._subscription.subscription.assignment
        if assignment is None:
            return []
        number = self.assignment_number()
        fetched = []
        for tp in wanted & set(assignment.tps):
            state = assignment.state_value(tp)
            if state is not None and state.has_valid_position:
                before = self._told.get(tp.partition)
                self._told[tp.partition] = state.position
                fetched.append(Fetched(tp.partition, records.get(tp, []), state.position, number, before))
        return fetched

    def assignment_number(self) -> int:
        """The number of the assignment that the consumer has now, from 1.

        Not the group's generation: that is the next one's as soon as a join is answered, and none's when the group has
        lost the member, while the assignment, with positions past what it has handed over, is still the last one.
        """
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        if assignment is not self._assignment:
            self._assignment = assignment
            self._number += 1
            self._told.clear()
        return self._number


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Hands each fetched batch of a partition over as one item."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        """Replaces transport/consumer.py l. 1170: a channel, a stream and two tasks for every message.

        Also its one-second sleep when every partition is under back-pressure (l. 808): there it waits for room.
        """
        app = self.app
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                partitions = set(self._get_active_partitions())
                if not partitions:
                    self._room.clear()
                    await self.wait_first(self._room.wait(), fetcher._stopped.wait(), timeout=app.poll_seconds)
                    continue
                for fetched in await self._thread.fetch(partitions, app.poll_seconds):
                    app.deliver(fetched)
                # A backlog that never waits must still let the others run.
                await asyncio.sleep(0)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with the consumer above."""

    Consumer = Consumer


class App(faust.App):  # type: ignore[misc]
    """A Faust app whose fetched batches go to `deliver` instead of to a channel."""

    deliver: Deliver
    poll_seconds: float = 1.0

    def _new_transport(self) -> Transport:
        # app/base.py l. 1932: by URL only; there is no setting for another transport class.
        return Transport(self.conf.broker_consumer, self)

    async def commit_positions(self, topic: str, positions: Mapping[int, int], generation: int) -> None:
        """Commit the group's offsets of a topic, by partition, as of that generation of it.

        Raises TimeoutError; KafkaError, also when the group has moved on.
        """
        offsets = {TopicPartition(topic, partition): offset for partition, offset in positions.items()}
        await self.consumer._thread.commit_positions(offsets, generation)

    @property
    def assignment_number(self) -> int:
        """The number of the consumer's assignment, which its fetches bear."""
        number: int = self.consumer._thread.assignment_number()
        return number

    def pause_partition(self, topic: str, partition: int) -> None:
        """Fetch nothing more of the partition until it is resumed."""
        self.consumer.on_buffer_full(TP(topic, partition))

    def resume_partition(self, topic: str, partition: int) -> None:
        """Fetch from the partition again."""
        self.consumer.on_buffer_drop(TP(topic, partition))


def rest_longer(fetcher: Fetcher) -> None:
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
        # One that nobody tries any more may have left the cluster.
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
        producer._message_accumulator.fail_all(KafkaError("the producer was replaced"))
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
