"""The world on a broker: ingress, Kafka, the Faust stages and the sandbox, on a clock that only the runner sets."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from pydantic import SecretStr
from yarl import URL

from bus.connection import client_options
from bus.follower import Apply
from deploy.kafka.topics import apply
from deploy.processes.control import ControlServer
from deploy.processes.ingress import IngressServer
from deploy.processes.worker import open_environment
from deploy.secrets import load_secrets
from deploy.settings import Settings
from desk.journal import Change
from desk.people import PresenceRequest
from providers.registry import base_urls
from schemas.codec import from_kafka
from schemas.effects import MediaRequest
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import FieldError
from schemas.topics import AUDIT, TIMERS, TOPICS, Topic
from simulation.sandbox.accounts import Account, Behaviour
from simulation.sandbox.ai import AiBehaviour, AiStandIn
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.gpt.stand_in import AI_PATH, GptStandIn, at_sandbox
from simulation.sandbox.happenings import Written
from simulation.sandbox.in_memory import store_at_once
from simulation.sandbox.providers import LogEntry, Providers
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Scenario
from simulation.scenario.held_effects import HeldEffects
from simulation.scenario.knowledge import documents
from simulation.scenario.prefix import prefixed, stripped
from simulation.scenario.run import Finished, run
from simulation.scenario.world import PUBLIC_URL, Evidence, Refusal, StepIds
from streams.clock import ManualClock
from streams.runtime.progress import Progress
from streams.runtime.shared import Environment
from streams.runtime.worker import Worker
from streams.topology import TOPOLOGY, all_topics

SEND_SECONDS = 0.5
"""Real seconds until a send that the sandbox leaves unanswered counts as unknown."""
POLL_SECONDS = 0.02
QUIET_SECONDS = 60.0
"""Real seconds that the pipeline may take to come to rest."""


class NotQuiet(RuntimeError):
    """The pipeline did not come to rest."""


@dataclass
class Bench:
    """One running system that serves any number of scenarios, one after the other."""

    clock: ManualClock
    provider: Providers
    ai: AiStandIn
    gpt: GptStandIn
    ingress: IngressServer
    control: ControlServer
    worker: Worker
    env: Environment
    held: HeldEffects
    http: ClientSession
    tail: "TopicTail"
    sandbox_url: str
    indexed: set[bytes]
    next_id: Callable[[], str] = lambda: str(uuid.uuid4())
    performed: int = 0

    async def perform(self, scenario: Scenario, with_records: bool) -> Finished:
        """Run one scenario, its ids prefixed meanwhile."""
        self.performed += 1
        prefix = f"x{self.performed}x-"
        ours = prefixed(scenario, prefix)
        finished = await run(ours, await BrokerWorld.build(ours, self, prefix), with_records=with_records)
        return stripped(finished, scenario, prefix)

    async def quiet(self) -> None:
        """Wait until every stage has processed its input and no effect is under way."""
        await self._until(self._is_quiet)
        while await self.held.release():
            await self._until(self._is_quiet)

    async def add_documents(self, scenario: Scenario, new_id: Callable[[], str]) -> None:
        """Write the scenario's knowledge, and wait until it is found."""
        keys: set[bytes] = set()
        async with AIOKafkaProducer(**client_options(self.env.connection), acks="all") as producer:
            change = Change(self.env.prefix, new_id(), self.clock(), str)
            for saved in documents(scenario, self.clock()):
                change.change_document(saved, None, None)
            for topic, key, value, headers in change.messages:
                await producer.send_and_wait(topic, value, key=key, headers=list(headers))
                keys.add(key)

        async def known() -> bool:
            return keys <= self.indexed

        await self._until(known)

    async def fetched(self) -> None:
        """Wait until everything that was written has reached its task."""
        await self._until(self._is_fetched)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                while not await condition():  # noqa: ASYNC110 - rest is a condition, not an event
                    await asyncio.sleep(POLL_SECONDS / 2)
        except TimeoutError:
            raise NotQuiet(f"the stages did not come to rest within {QUIET_SECONDS:.0f} s") from None

    async def _is_fetched(self) -> bool:
        ends = await self.worker.progress.ends()
        return all(task.delivered_offset >= ends[task.stage.name][task.partition] for task in self.worker.tasks)

    async def _is_quiet(self) -> bool:
        # What is known here comes first: Kafka is asked once nothing here is under way.
        if any(task.in_transaction or task.next_offset < task.delivered_offset for task in self.worker.tasks):
            return False
        ends = await self.worker.progress.ends()
        for task in self.worker.tasks:
            if task.in_transaction or task.next_offset < ends[task.stage.name][task.partition]:
                return False
        if sum(task.busy_effects for task in self.worker.tasks) > self.held.waiting:
            return False
        # What a task wrote after the ends were read shows in the ends that are read now.
        return await self.worker.progress.ends() == ends


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Bench]:
    """The whole system in this process, beside the Kafka of the settings, on topics of its own."""
    prefix = f"{settings.topic_prefix}scenario-{uuid.uuid4().hex[:8]}."
    clock = ManualClock(datetime.now(UTC))
    provider, ai, gpt = Providers(auto_receipts=False), AiStandIn(), GptStandIn()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(build_app(provider, clock, ai=ai, gpt=gpt)))
        # A folder of its own, which ends with it: ingress keeps a spool.
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="livedesk-scenario-")))
        key = SecretStr(load_secrets(settings).key)
        own = {"topic_prefix": prefix, "partitions": 2, "data_dir": folder, "secret_key": key}
        own |= {"public_url": PUBLIC_URL, "ai_url": url + AI_PATH, "provider_urls": dict.fromkeys(base_urls(), url)}
        own |= {"tool_urls": frozenset({url})}
        settings = settings.model_copy(update=own)
        await apply(settings.kafka, prefix, all_topics(), partitions=2, replication_factor=settings.replication_factor)
        secrets = load_secrets(settings)
        env = await stack.enter_async_context(
            open_environment(settings, secrets, clock=clock, send_seconds=SEND_SECONDS)
        )
        # Of files there are only names.
        held = HeldEffects({**env.performers, MediaRequest: store_at_once})
        indexed: set[bytes] = set()
        env = replace(env, performers=held.performers, collect=0.0, knowledge=_noting(env.knowledge, indexed))
        worker = Worker(env, TOPOLOGY, tick=None, poll=POLL_SECONDS)
        await worker.start()
        stack.push_async_callback(worker.stop)
        ingress = IngressServer(settings, clock=clock, new_id=lambda: bench.next_id())
        await stack.enter_async_context(ingress)
        control = ControlServer(settings, ingress_url=ingress.url, clock=clock, new_id=lambda: bench.next_id())
        await stack.enter_async_context(control)
        tail = TopicTail(settings, worker.progress)
        await tail.start()
        stack.push_async_callback(tail.stop)
        http = await stack.enter_async_context(ClientSession())
        bench = Bench(clock, provider, ai, gpt, ingress, control, worker, env, held, http, tail, url, indexed)
        async with asyncio.timeout(QUIET_SECONDS):
            while not worker.ready:  # noqa: ASYNC110 - readiness is a condition, not an event
                await asyncio.sleep(POLL_SECONDS)
        yield bench


class BrokerWorld:
    """Runs one (prefixed) scenario on the bench. Made by `BrokerWorld.build`.

    prefix: what the scenario's ids begin with; it separates its records and timers from the other scenarios'.
    """

    def __init__(self, scenario: Scenario, bench: Bench, prefix: str) -> None:
        self._bench, self._prefix = bench, prefix
        self._accounts: list[Account] = [channel.provider_account for channel in scenario.channels]
        self._ids = StepIds(scenario.channels[0].id)

    @classmethod
    async def build(cls, scenario: Scenario, bench: Bench, prefix: str) -> "BrokerWorld":
        """The world with the scenario's agents and channels saved in it."""
        world = cls(scenario, bench, prefix)
        for account in world._accounts:
            bench.provider.state.accounts.put(account)
        bench.clock.now = scenario.steps[0].at
        bench.worker.rewind()
        bench.next_id = world._ids
        bench.gpt.service.forget()
        channels = tuple(channel.settings for channel in scenario.channels)
        ai_agents = tuple(at_sandbox(agent, bench.sandbox_url) for agent in scenario.ai_agents)
        await bench.control.save(ChannelsFile(agents=scenario.agents, ai_agents=ai_agents, channels=channels))
        if scenario.knowledge:
            await bench.add_documents(scenario, world._ids)
        await bench.ingress.caught_up()
        return world

    async def advance(self, to: datetime) -> None:
        bench = self._bench
        await bench.quiet()
        while (deadline := self._next_deadline()) is not None and deadline <= to:
            bench.clock.now = max(bench.clock.now, deadline)
            while deadline == self._next_deadline():
                await bench.worker.tick()
                await asyncio.sleep(POLL_SECONDS / 2)
            await bench.quiet()
        bench.clock.now = max(bench.clock.now, to)

    async def settle(self, at: datetime) -> None:
        self._bench.clock.now = max(self._bench.clock.now, at)
        # What was handed in together is also fetched together.
        await self._bench.fetched()
        self._bench.env.gate.set()
        await self._bench.quiet()

    async def begin(self, step: int, at: datetime) -> None:
        # Nothing is processed between what is handed in together.
        self._bench.env.gate.clear()
        self._bench.clock.now = max(self._bench.clock.now, at)
        self._ids.begin(step)

    def webhook_url(self, channel: str) -> str:
        return self._bench.ingress.public_webhook_url(self._newest(channel))

    async def provider_keeps(self, channel: str, message: Written) -> None:
        self._bench.provider.keep(channel, message, self._bench.clock())

    async def hand_in_callback(self, channel: str, request: CallbackRequest) -> None:
        settings, url = self._newest(channel), request.to or self.webhook_url(channel)
        signature = STAND_INS[settings.provider].sign(settings, url, request, self._bench.clock())
        headers = {**signature, "Content-Type": request.content_type}
        address = URL(url.replace(PUBLIC_URL, self._bench.ingress.url, 1), encoded=True)
        async with self._bench.http.post(address, data=request.body, headers=headers) as got:
            if got.status != 200:
                raise NotQuiet(f"ingress answered a callback with {got.status}")

    async def hand_in_command(
        self, channel: str, contact: str, body: Mapping[str, object], command_id: str
    ) -> Refusal | None:
        path = f"/v1/channels/{channel}/conversations/{contact}/commands?wait=0"
        return await self._ask("POST", path, {**body, "id": command_id})

    async def change_settings(self, channel: str, change: Mapping[str, object]) -> Refusal | None:
        return await self._ask("PATCH", f"/v1/channels/{channel}/settings", dict(change))

    async def set_presence(self, account: str, agent: str, presence: PresenceRequest) -> Refusal | None:
        path = f"/v1/accounts/{account}/agents/{agent}/presence"
        return await self._ask("PUT", path, presence.model_dump(mode="json"))

    async def set_member(self, account: str, channel: str | None, agent: str, member: bool) -> Refusal | None:
        path = f"/v1/channels/{channel}/agents/{agent}"
        if channel is None:
            path = f"/v1/accounts/{account}/agents/{agent}/memberships"
        return await self._ask("PUT" if member else "DELETE", path)

    async def delete_agent(self, account: str, agent: str) -> Refusal | None:
        return await self._ask("DELETE", f"/v1/accounts/{account}/agents/{agent}")

    async def set_provider(self, channel: str, behaviour: Behaviour) -> None:
        self._bench.provider.set_behaviour(behaviour, channel)

    async def set_ai(self, channel: str, answer: str) -> None:
        self._bench.ai.set_behaviour(AiBehaviour(answer=answer, channel=channel))

    async def set_gpt(self, script: GptScript) -> None:
        self._bench.gpt.service.set_script(script)

    async def set_tool(self, script: ToolScript) -> None:
        self._bench.gpt.tools.set_script(script)

    async def settings(self, channel: str) -> ChannelSettings:
        return self._newest(channel)

    async def evidence(self) -> Evidence:
        records = await self._bench.tail.records(self._prefix)
        log = tuple(entry for entry in self._bench.provider.log if self._is_ours(entry))
        return Evidence(records, log, tuple(self._bench.gpt.service.requests))

    async def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> Refusal | None:
        url, headers = self._bench.control.url + path, self._bench.control.headers
        async with self._bench.http.request(method, url, json=body, headers=headers) as answer:
            refused = _refusal(answer.status, await answer.json(content_type=None))
        # The next callback is stamped with what was just saved.
        await self._bench.ingress.caught_up()
        return refused

    def _newest(self, channel: str) -> ChannelSettings:
        return next(one for one in self._bench.control.channels if one.id == channel)

    def _next_deadline(self) -> datetime | None:
        deadlines = (task.state.next_deadline(self._prefix) for task in self._bench.worker.tasks)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _is_ours(self, entry: LogEntry) -> bool:
        return (entry.conversation or "").startswith(self._prefix)


def _noting(apply: Apply | None, keys: set[bytes]) -> Apply:
    """Takes in a record of knowledge, and notes its key."""

    def noted(key: bytes, value: bytes | None) -> None:
        if apply is not None:
            apply(key, value)
        keys.add(key)

    return noted


def _refusal(status: int, body: dict[str, Any]) -> Refusal | None:
    if status < 400:
        return None
    code, detail = body["code"], body["detail"]
    if code == "not_found":
        return Refusal("unknown_agent", "there is no such human agent")
    if code not in _CODES:
        raise NotQuiet(f"the control API answered {status} {code}: {detail}")
    wrong = [str(FieldError(**field)) for field in body["errors"]]
    return Refusal(_CODES[code], "; ".join(wrong) or detail)


_CODES = {
    "invalid_settings": "invalid_settings",
    "not_valid": "invalid_settings",
    "unknown_agent": "unknown_agent",
}


class TopicTail:
    """Everything committed on the pipeline's topics, in the order of Kafka's timestamps."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._progress = progress
        prefix = settings.topic_prefix
        self._topics: dict[str, Topic] = {
            topic.full_name(prefix): topic for topic in TOPICS if topic not in (TIMERS, AUDIT)
        }
        self._consumer = AIOKafkaConsumer(
            *self._topics,
            **client_options(settings.kafka),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
        )
        self._messages: list[tuple[int, ConsumerRecord]] = []
        self._newest: defaultdict[TopicPartition, int] = defaultdict(int)

    async def start(self) -> None:
        """Start reading."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._consumer.stop()

    async def records(self, prefix: str) -> tuple[tuple[Topic, Record], ...]:
        """Every record so far whose key holds the prefix."""
        ends = await self._progress.end_offsets(list(self._consumer.assignment()))
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, messages in (await self._consumer.getmany(timeout_ms=20)).items():
                for message in messages:
                    # A record may be older than the one before it, which another writer wrote.
                    self._newest[tp] = max(self._newest[tp], message.timestamp)
                    self._messages.append((self._newest[tp], message))
        ours = [one for one in self._messages if prefix in one[1].key.decode()]
        ours.sort(key=lambda one: one[0])
        return tuple(
            (topic := self._topics[message.topic], from_kafka(topic, message.value, message.headers))
            for _, message in ours
        )
