"""The only place that touches the internals of Faust.

Pinned to faust-streaming 0.15.3: each override says which lines it replaces and why, and a test fails
when the version moves.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import CommitFailedError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from bus.aiokafka_fixes import believe_loaded_offsets_only, wait_longer_when_idle

logger = logging.getLogger(__name__)

VERSION = "0.15.3"


FETCH_WAIT_MS = 100
COMMIT_WITHIN_S = 2.0


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
        except Exception:  # noqa: BLE001 - it has reported its crash to the app; whoever stops it must not wait (l. 215)
            self._service.set_shutdown()

    def stop(self) -> None:
        """Nothing to join: whoever stops the service has waited for its shutdown."""


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka's consumer, reads only what was committed, and reports positions along with records."""

    Worker = InLoop

    async def _gather_remaining_tasks(self) -> None:
        # mode/threads.py l. 264 cancels everything in the loop, which is not the service's own here.
        return

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fetched_to: dict[int, int] = {}
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
        wait_longer_when_idle(self._consumer._fetcher)

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
                before = self._fetched_to.get(tp.partition)
                self._fetched_to[tp.partition] = state.position
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
            self._fetched_to.clear()
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
