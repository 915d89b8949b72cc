"""A worker: any number of stages in one process, their clockwork and their health."""

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from agents.stage import Stage
from bus.aiokafka_fixes import calm_reconnects, collect_garbage_less, quiet_loggers
from bus.follower import TopicFollower
from schemas.effects import GptRequest, KnowledgeRequest, SendRequest
from schemas.topics import AI_CALLS, CHANNELS, KNOWLEDGE, NOTIFICATIONS
from streams.runtime.dead_letters import DeadLetterNews, dead_letters_by_stage
from streams.runtime.processor import Processor, topics_of
from streams.runtime.progress import Progress
from streams.runtime.runner import COMMIT_EVERY, StageRunner
from streams.runtime.shared import Environment
from streams.runtime.task import Task
from streams.runtime.transactions import Transactions, die
from streams.topology import TOPOLOGY

logger = logging.getLogger(__name__)

STALLED_AFTER = 60.0
"""Seconds after which a task that has not gone round is taken for stuck."""

STOP_WITHIN_S = 60.0
"""Seconds for calls that run, their ends, and a rebalance that Faust waits for."""


class StageCrashed(RuntimeError):
    """Faust gave up on a stage: the process must start over."""


class Worker:
    """Runs `stages` until it is stopped.

    instance_id: this worker's stable name (static membership); None: a passing member.
    tick: seconds between two looks at Kafka's offsets, so also how late a timer may be. None: whoever sets the clock
    calls tick() (scenarios). poll: seconds that an idle fetch may wait. processor: what runs the steps; another one
    measures the runtime without them.
    """

    def __init__(
        self,
        env: Environment,
        stages: Sequence[Stage],
        *,
        topology: tuple[Stage, ...] = TOPOLOGY,
        instance_id: str | None = None,
        tick: float | None = 1.0,
        poll: float = 1.0,
        processor: type[Processor] = Processor,
    ) -> None:
        unperformed = {request for stage in stages for request in stage.effects} - env.performers.keys()
        if unperformed:
            raise LookupError(f"no performer of {', '.join(sorted(one.__name__ for one in unperformed))}")
        self._env, self._tick = env, tick
        self.progress = Progress(env.connection, env.prefix, topology, env.metrics)
        self._transactions = Transactions(env)
        self.runners = [StageRunner(env, self._transactions, stage, instance_id, poll, processor) for stage in stages]
        self._followers = [TopicFollower(env.connection, CHANNELS.full_name(env.prefix), env.settings.apply)]
        if env.notices is not None and any(SendRequest in stage.effects for stage in stages):
            notices = NOTIFICATIONS.full_name(env.prefix)
            self._followers.append(TopicFollower(env.connection, notices, env.notices, from_now=True))
        if env.spending is not None and any(GptRequest in stage.effects for stage in stages):
            calls, spending = AI_CALLS.full_name(env.prefix), env.spending
            self._followers.append(TopicFollower(env.connection, calls, spending.apply, since=spending.begin))
        if env.knowledge is not None and any(KnowledgeRequest in stage.effects for stage in stages):
            knowledge = KNOWLEDGE.full_name(env.prefix)
            self._followers.append(TopicFollower(env.connection, knowledge, env.knowledge))
        self._ticker: asyncio.Task[None] | None = None
        self._last_tick = time.monotonic()
        self._news = DeadLetterNews()

    async def start(self) -> None:
        """Read the channels, then start every stage. Tasks get ready in the background: see `ready`.

        Raises LookupError when topics are missing.
        """
        quiet_loggers()
        calm_reconnects()
        collect_garbage_less()
        try:
            for follower in self._followers:
                await follower.start()
            self._env.settings.loaded()
            await self.progress.start()
            await self._check_topics()
            await self._transactions.start()
        except BaseException:
            await self._disconnect()
            raise
        await asyncio.gather(*(runner.start() for runner in self.runners))
        quiet_loggers()
        if self._tick is not None:
            self._ticker = asyncio.create_task(self._run_ticker(self._tick))

    async def _check_topics(self) -> None:
        missing = await self.progress.missing({t for runner in self.runners for t in topics_of(runner.stage)})
        if missing:
            raise LookupError(f"topics are missing ({', '.join(missing)}): run `livedesk topics apply`")

    async def stop(self) -> None:
        """Finish running batches and effects, leave the groups, disconnect."""
        if self._ticker is not None:
            # Again and again, as aiokafka's own wait_for may lose a cancellation (Python 3.11).
            while not self._ticker.done():
                self._ticker.cancel()
                await asyncio.wait({self._ticker}, timeout=1)
            self._say_dead_letters(last=True)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await asyncio.gather(*(runner.stop() for runner in self.runners))
        except TimeoutError as error:
            die("a worker that can't give its partitions up (is Kafka there?)", error)
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self._transactions.stop()
        await self.progress.stop()
        for follower in self._followers:
            await follower.stop()

    async def run(self, until: asyncio.Event) -> None:
        """Start, run until the event is set, stop. Raises StageCrashed."""
        await self.start()
        try:
            while not until.is_set():
                for follower in self._followers:
                    follower.check()
                if self._ticker is not None and self._ticker.done():
                    self._ticker.result()
                crashed = [runner.stage.name for runner in self.runners if runner.crashed]
                if crashed:
                    raise StageCrashed(f"Faust ended {', '.join(crashed)}")
                try:
                    async with asyncio.timeout(0.5):
                        await until.wait()
                except TimeoutError:
                    continue
        finally:
            await self.stop()

    @property
    def ready(self) -> bool:
        """Every stage has its assignment and its tasks are restored."""
        return all(runner.ready for runner in self.runners)

    @property
    def alive(self) -> bool:
        """Every loop went round of late."""
        oldest = min([self._last_tick, *(runner.last_loop for runner in self.runners)])
        return time.monotonic() - oldest < STALLED_AFTER

    @property
    def tasks(self) -> list[Task]:
        """The tasks of every stage."""
        return [task for runner in self.runners for task in runner.tasks.values()]

    def rewind(self) -> None:
        """Reset timer progress after the (test) clock was set back."""
        self.progress.forget()
        for task in self.tasks:
            task.allow(None)

    async def _run_ticker(self, seconds: float) -> None:
        while True:
            await self.tick()
            self._say_dead_letters()
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                await asyncio.sleep(min(left, COMMIT_EVERY))
                await self._commit()

    def _say_dead_letters(self, *, last: bool = False) -> None:
        self._news.count("", dead_letters_by_stage(self._env.metrics.dead_letters.collect()))
        line = self._news.line(time.monotonic(), last=last)
        if line is not None:
            logger.warning("%s", line)

    async def _commit(self) -> None:
        await asyncio.gather(*(runner.commit() for runner in self.runners))

    async def tick(self) -> None:
        """Commit the groups' offsets, read those that Kafka reports, and let due timers fire."""
        await self._commit()
        try:
            async with asyncio.timeout(10):
                await self.progress.poll(self._env.clock())
        except (KafkaError, TimeoutError) as error:
            logger.warning("Kafka does not report its offsets now: %s", type(error).__name__)
        for runner in self.runners:
            name = runner.stage.name
            runner.forget()
            runner.allow(self.progress.barriers.get(name, {}))
            runner.check_committed(self.progress.reported.get(name, {}))
            ready = sum(task.ready for task in runner.tasks.values())
            self._env.metrics.tasks.labels(name).set(ready)
        self._last_tick = time.monotonic()
