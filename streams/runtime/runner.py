"""A stage on Faust: one app (consumer group), and a task for each partition it is assigned."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import TP

from agents.stage import Stage
from bus.connection import KafkaConnection, client_options
from streams.runtime.faust_overrides import App, Fetched
from streams.runtime.processor import Processor
from streams.runtime.shared import Environment
from streams.runtime.task import Barrier, Leftovers, Task
from streams.runtime.transactions import Transactions

logger = logging.getLogger(__name__)

QUEUE_FULL = 8000
QUEUE_LOW = 4000
"""Records queued for a task: at the first, its partition is paused; at the second, resumed."""

SESSION_TIMEOUT = 8.0
"""Seconds without a heartbeat until a worker is taken for dead: with a stopped one replaced within 15 s."""

COMMIT_EVERY = 0.25
"""Interval of group offset commits, and so the staleness of reported lag. Tasks resume from their changelog, not from
these."""

KEPT_S = 600.0
"""Seconds for which the rows of a partition that was given up are kept: it may come back with the next rebalance. Far
less than the day for which Kafka keeps the mark of a deleted row."""

METADATA_MS = 5_000
"""How old a consumer's view of the topics may be."""


class StageRunner:
    """Runs one stage's share of the partitions in this process."""

    def __init__(
        self,
        env: Environment,
        transactions: Transactions,
        stage: Stage,
        instance_id: str | None,
        poll_seconds: float,
        processor: type[Processor] = Processor,
    ) -> None:
        self.stage, self._processor = stage, processor
        self._env, self._transactions = env, transactions
        self._topic = stage.input.full_name(env.prefix)
        self.tasks: dict[int, Task] = {}
        self._kept: dict[int, Leftovers] = {}
        self._paused: set[int] = set()
        self._committed: dict[int, int] = {}
        self._early: list[Fetched] = []
        self._generation = -1
        self._assigned = asyncio.Event()
        self._rebalancing = False
        self._stopping = False
        self.app = self._build_app(instance_id, poll_seconds)

    def _build_app(self, instance_id: str | None, poll_seconds: float) -> App:
        data = Path(tempfile.gettempdir()) / "livedesk-faust"  # Faust insists on a folder; nothing is kept there
        app = App(
            self._env.group(self.stage),
            broker=[f"kafka://{server}" for server in self._env.connection.bootstrap_servers.split(",")],
            broker_credentials=credentials(self._env.connection),
            broker_session_timeout=SESSION_TIMEOUT,
            broker_heartbeat_interval=2.0,
            broker_rebalance_timeout=15.0,
            broker_request_timeout=30.0,
            # A group that meets while the broker, just started, knows no topics yet gives nobody any partitions, and
            # only sees it when the topics are looked up again: by default after five minutes.
            consumer_metadata_max_age_ms=METADATA_MS,
            consumer_auto_offset_reset="earliest",
            # Static membership: a worker that comes back under its name gets its partitions without a rebalance.
            **({"consumer_group_instance_id": f"{instance_id}-{self.stage.name}"} if instance_id else {}),
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            web_enabled=False,
            datadir=data,
            worker_redirect_stdouts=False,
        )
        app.deliver = self._deliver
        app.poll_seconds = poll_seconds
        topic = app.topic(
            self._topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            acks=False,  # Faust must never commit: a late commit would rewind ours
        )
        app.agent(topic, name=self.stage.name)(self._subscribe)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        return app

    async def start(self) -> None:
        """Join the group. Returns before the tasks are ready."""
        await self.app.start()

    async def stop(self) -> None:
        """Finish what runs, then leave."""
        self._stopping = True
        tasks = self.tasks
        await self._close_tasks()
        await self._commit(tasks)
        await self.app.stop()

    async def _subscribe(self, stream: faust.StreamT[bytes]) -> None:
        # The agent is here so that Faust subscribes to its topic; batches arrive through App.deliver.
        async for _ in stream:
            raise RuntimeError("a record came through Faust's stream: the transport is not ours")

    async def _on_assigned(self, app: App, assigned: set[TP], **_: object) -> None:
        if self._stopping:
            return
        await self._close_tasks()
        partitions = sorted(tp.partition for tp in assigned if tp.topic == self._topic)
        logger.info("stage %s is assigned partitions %s", self.stage.name, partitions)
        self._generation = app.consumer_generation_id
        self.tasks = {p: self._new_task(p, app.assignment_number) for p in partitions}
        self._paused.clear()
        self._committed.clear()
        self._rebalancing = False
        self._assigned.set()
        early, self._early = self._early, []
        for fetched in early:
            if fetched.partition in self.tasks:
                self._deliver(fetched)

    def _new_task(self, partition: int, assignment: int) -> Task:
        processor = self._processor(self._env, self.stage, partition)
        kept = self._kept.pop(partition, None) or Leftovers()
        return Task(self._env, self._transactions, self.stage, partition, assignment, self._on_taken, processor, kept)

    async def _on_revoked(self, app: App, revoked: set[TP], **_: object) -> None:  # noqa: ARG002 - Faust's signature
        self._rebalancing = True
        # The next owner must find nothing running: without this a revoke returned while a batch still ran.
        await self._close_tasks()

    async def _close_tasks(self) -> None:
        tasks, self.tasks = self.tasks, {}
        kept = await asyncio.gather(*(task.close() for task in tasks.values()))
        self._kept.update(zip(tasks, kept, strict=True))

    def _deliver(self, fetched: Fetched) -> None:
        task = self.tasks.get(fetched.partition)
        if task is None:
            # Faust lets fetches through before it reports the assignment, and while tasks close: an old assignment's
            # are dropped by the task that comes, one of its own must not be lost.
            self._early.append(fetched)
            return
        task.deliver(fetched)
        if task.queued >= QUEUE_FULL and fetched.partition not in self._paused:
            self._paused.add(fetched.partition)
            self.app.pause_partition(self._topic, fetched.partition)

    def allow(self, barriers: Mapping[int, Barrier]) -> None:
        """Hand each task its barrier."""
        for partition, barrier in barriers.items():
            if partition in self.tasks:
                self.tasks[partition].allow(barrier)

    def check_committed(self, reported: Mapping[int, int]) -> None:
        """Commit again if the group reports an older offset: a restarted coordinator may keep reporting it."""
        self._committed = {p: offset for p, offset in self._committed.items() if reported.get(p, -1) >= offset}

    def forget(self) -> None:
        """Let go of the rows of partitions that did not come back."""
        oldest = time.monotonic() - KEPT_S
        self._kept = {partition: kept for partition, kept in self._kept.items() if kept.at > oldest}

    async def commit(self) -> None:
        """Commit how far the tasks have come, so that Kafka can report the lag."""
        if not self._rebalancing and not self._stopping:
            await self._commit({partition: task for partition, task in self.tasks.items() if task.ready})

    async def _commit(self, tasks: Mapping[int, Task]) -> None:
        news = {p: task.next_offset for p, task in tasks.items() if task.next_offset > self._committed.get(p, 0)}
        if news:
            # What can't be committed now is committed the next time.
            with suppress(KafkaError, TimeoutError):
                await self.app.commit_positions(self._topic, news, self._generation)
                self._committed.update(news)

    def _on_taken(self, partition: int, queued: int) -> None:
        if partition in self._paused and queued <= QUEUE_LOW:
            self._paused.discard(partition)
            self.app.resume_partition(self._topic, partition)

    @property
    def last_loop(self) -> float:
        """When the slowest task last went round (time.monotonic())."""
        return min((task.last_loop for task in self.tasks.values()), default=time.monotonic())

    @property
    def ready(self) -> bool:
        """Assigned, not in a rebalance, and every task restored."""
        return self._assigned.is_set() and not self._rebalancing and all(task.ready for task in self.tasks.values())

    @property
    def crashed(self) -> bool:
        """Faust gave up on the app."""
        return bool(self.app.crashed)


def credentials(connection: KafkaConnection) -> Any:
    """The connection's SASL and TLS settings in Faust's form."""
    options = client_options(connection)
    if connection.uses_sasl:
        return faust.SASLCredentials(
            mechanism=connection.sasl_mechanism,
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=options.get("ssl_context"),
        )
    if connection.uses_tls:
        return faust.SSLCredentials(context=options["ssl_context"])
    return None
