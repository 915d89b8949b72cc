"""The demo from the topics to the summary, on a Kafka that runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import psutil
from aiohttp import ClientSession, ClientTimeout
from aiokafka.errors import KafkaError
from cryptography.fernet import Fernet

from deploy.channels_file import load_channels_file
from deploy.explanations import decisions
from deploy.kafka.topics import apply
from deploy.secrets import Secrets
from deploy.settings import Settings
from desk.figures import summed
from schemas.topics import ASSIGNMENTS, CONVERSATIONS
from simulation.demo.clients import ControlClient, SandboxClient
from simulation.demo.conversations import Conversations
from simulation.demo.count import summarize
from simulation.demo.facts import COUNTED, Evidence, Facts
from simulation.demo.picture import Picture
from simulation.demo.plan import RECEIPT_FAULTS, make_plan
from simulation.demo.play import Play
from simulation.demo.read import delete_topics, read_all
from simulation.demo.result import Result
from simulation.demo.story import pick, tell
from simulation.demo.view import View
from simulation.demo.watch import Watch
from simulation.stack import Ports, Stack
from streams.topology import all_topics

CHANNELS = Path(__file__).with_name("channels.yaml")
"""The channel of `livedesk up` without a file."""
DEMO = Path(__file__).with_name("demo.yaml")

ACT_SECONDS = 4.5
SETTLE_SECONDS = 20.0
END_SECONDS = 60.0
SHOW_SECONDS = 0.3


async def run_demo(
    settings: Settings, *, customers: int, seed: int, folder: Path, picture: Picture, view: View
) -> Result:
    """Play and count. settings: with a topic prefix of the demo's own, whose topics are deleted in the end.

    folder: for logs. Raises LiveDeskError.
    """
    prefix = settings.topic_prefix
    async with _shown(view):
        try:
            with picture.timed("creating the topics"):
                await apply(settings.kafka, prefix, all_topics(), settings.partitions, settings.replication_factor)
            return await _run(settings, customers, seed, folder, picture)
        finally:
            with picture.timed("deleting the topics"), suppress(KafkaError):
                await delete_topics(settings.kafka, [topic.full_name(prefix) for topic in all_topics()])


async def _run(settings: Settings, customers: int, seed: int, folder: Path, picture: Picture) -> Result:
    ports, path = Ports.free(), folder / DEMO.name
    path.write_text(DEMO.read_text().replace("{sandbox}", f"http://127.0.0.1:{ports.sandbox}"))
    file = load_channels_file(path)
    channels = {channel.id: channel for channel in file.channels}
    agents = {channel.id: channel.human_agents for channel in file.channels}
    plan = make_plan(seed, customers, agents, ACT_SECONDS)
    options = ["--seed", str(seed)]
    for name, value in RECEIPT_FAULTS.items():
        options += ["--fault", f"{name}={value}"]
    stack = Stack(settings, Secrets(Fernet.generate_key()), file, path, folder, ports, sandbox_options=options)
    async with AsyncExitStack() as exits:
        with picture.timed("starting sandbox, ingress and worker"):
            await exits.enter_async_context(stack)
            session = await exits.enter_async_context(ClientSession(timeout=ClientTimeout(total=10)))
            conversations = Conversations()
            watch = Watch(stack, session, picture, conversations)
            await exits.enter_async_context(watch.running())
        sandbox = SandboxClient(session, stack.sandbox_url)
        play = Play(plan, channels, sandbox, ControlClient(session, stack.control_url, stack.headers), conversations)
        exits.push_async_callback(play.stop)
        unfinished = await _play(play, watch, picture, END_SECONDS + customers)
        with picture.timed("counting"):
            evidence = Evidence(
                records=await read_all(settings.kafka, settings.topic_prefix, COUNTED),
                attempts=(await sandbox.callbacks()).attempts,
                sent=await sandbox.sent(),
                asked=await sandbox.model_calls(),
                customers=plan.customers,
                channels=channels,
                workload={agent.id: agent.workload for agent in file.agents if isinstance(agent.workload, int)},
                written=play.written,
                replies=play.replies,
                resolved=play.resolved,
                unfinished=unfinished,
            )
            result = _result(evidence, stack)
        with picture.timed("stopping"):
            await exits.aclose()
    return result


async def _play(play: Play, watch: Watch, picture: Picture, seconds: float) -> list[str]:
    """From the first message to the last conversation closed. Returns what was not over when the time was up."""
    with picture.timed("customers write; support is closed"):
        await play.begin()
        await play.customers_write(0)
        await play.settle(SETTLE_SECONDS)
    with picture.timed("support opens; customers write on"):
        await play.open()
        await play.customers_write(1)
    with picture.timed("replies, surveys and receipts"):
        return await play.wait_for_end(watch, seconds)


def _result(evidence: Evidence, stack: Stack) -> Result:
    facts = Facts.gather(evidence)
    life = pick(evidence.records[CONVERSATIONS])
    return Result(
        summarize(evidence, facts),
        tell(life),
        decisions(evidence.records[ASSIGNMENTS], life[0].subject) if life else [],
        summed(facts.partials),
        _memory(stack),
        sum(process.starts - 1 for process in stack.processes),
    )


def _memory(stack: Stack) -> dict[str, int]:
    memory = {process.name: process.memory for process in stack.processes}
    return memory | {"this demo": psutil.Process().memory_info().rss}


@asynccontextmanager
async def _shown(view: View) -> AsyncIterator[None]:
    async def show_on() -> None:
        while True:
            view.show()
            await asyncio.sleep(SHOW_SECONDS)

    task = asyncio.create_task(show_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
