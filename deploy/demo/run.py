"""The demo from the topics to the summary, on a Kafka that runs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiohttp import ClientSession, ClientTimeout
from aiokafka.errors import KafkaError
from cryptography.fernet import Fernet

from deploy.channels_file import load_channels_file
from deploy.demo.clients import DeskClient, SandboxClient
from deploy.demo.count import COUNTED, Evidence, Summary, summarize
from deploy.demo.picture import Picture
from deploy.demo.plan import RECEIPT_FAULTS, make_plan
from deploy.demo.play import Play
from deploy.demo.read import delete_topics, read_all
from deploy.demo.view import View
from deploy.demo.watch import Watch
from deploy.secrets import Secrets
from deploy.settings import Settings
from deploy.stack import Ports, Stack
from deploy.topics import apply
from streams.topology import all_topics

CHANNELS = Path(__file__).with_name("channels.yaml")
"""The channel of the demo, and of `livedesk up` without a file."""

WRITE_SECONDS = 12.0
END_SECONDS = 60.0
SHOW_SECONDS = 0.3


@dataclass(frozen=True)
class Result:
    """What came of it. memory: bytes by process. restarts: of processes that ended by themselves."""

    summary: Summary
    memory: Mapping[str, int]
    restarts: int


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
    channels = load_channels_file(CHANNELS)
    channel = channels.channels[0]
    plan = make_plan(seed, customers, channel.human_agents, WRITE_SECONDS)
    options = ["--seed", str(seed)]
    for name, value in RECEIPT_FAULTS.items():
        options += ["--fault", f"{name}={value}"]
    secrets = Secrets(Fernet.generate_key())
    stack = Stack(settings, secrets, channels, CHANNELS, folder, Ports.free(), sandbox_options=options)
    async with AsyncExitStack() as exits:
        with picture.timed("starting sandbox, ingress and worker"):
            await exits.enter_async_context(stack)
            session = await exits.enter_async_context(ClientSession(timeout=ClientTimeout(total=10)))
            watch = Watch(stack, session, picture)
            await exits.enter_async_context(watch.running())
        sandbox = SandboxClient(session, stack.sandbox_url)
        play = Play(plan, sandbox, DeskClient(session, stack.control_url, channel.id))
        exits.push_async_callback(play.stop)
        with picture.timed("customers write"):
            await play.customers_write()
        with picture.timed("replies and receipts"):
            unfinished = await play.wait_for_end(watch, END_SECONDS)
        with picture.timed("counting"):
            evidence = Evidence(
                records=await read_all(settings.kafka, settings.topic_prefix, COUNTED),
                attempts=(await sandbox.callbacks()).attempts,
                sent=await sandbox.sent(),
                written=play.written,
                replies=play.replies,
                unfinished=unfinished,
            )
            result = Result(summarize(evidence), _memory(stack), sum(p.starts - 1 for p in stack.processes))
        with picture.timed("stopping"):
            await exits.aclose()
    return result


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
