"""The `livedesk up` command."""

import asyncio
import fcntl
import json
import logging
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Never

import typer
from rich.console import Console

from deploy.channels_file import load_channels_file
from deploy.errors import LiveDeskError
from deploy.folders import DATA, open_lock
from deploy.kafka.local import LocalKafka, local_kafka
from deploy.kafka.waiting import until_kafka_answers
from deploy.ports import check_port_free
from deploy.processes.logs import configure_logging
from deploy.processes.signals import Interrupted, raise_at_sigterm, run_until_signal
from deploy.secrets import load_secrets
from deploy.settings import Settings
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile
from simulation.demo.run import CHANNELS
from simulation.stack import Ports, Stack
from streams.runtime.dead_letters import DeadLetterNews

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often it is seen whether Kafka still runs, and whether there are dead letters."""


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def up(
    context: typer.Context,
    channels: Annotated[
        Path | None,
        typer.Option(help="Agents and channels (docs/channels.example.yaml). Without it: a channel at each provider."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="How many workers share the stages.")] = 1,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port for callbacks.")] = 8080,
    control_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the control API.")] = 8081,
    worker_port: Annotated[
        int, typer.Option(min=1, max=65000, help="Port of the first worker's health page; the others follow.")
    ] = 8090,
    sandbox_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the sandbox.")] = 8900,
) -> None:
    """Run all of LiveDesk on this machine until Ctrl-C.

    That is Kafka, ingress, workers, the desk, and a sandbox in the providers' place. The embedded Kafka and the desk
    keep their data in LIVEDESK_DATA_DIR; with KAFKA_BOOTSTRAP_SERVERS that cluster is used instead. A process that ends
    by itself is started again. The channels' credentials are the sandbox's, which also plays the AI agent: nothing
    leaves this machine.
    """
    settings = context.ensure_object(Settings)
    path = channels or CHANNELS
    file = load_channels_file(path)
    ports = Ports(port, control_port, sandbox_port, tuple(range(worker_port, worker_port + workers)))
    console = Console()
    configure_logging()
    try:
        with _only_one(settings.data_dir):
            _check_ports(ports)
            _run(settings, file, path, ports, console)
    except (Interrupted, KeyboardInterrupt):
        console.print("Stopped.")


def _check_ports(ports: Ports) -> None:
    wanted = [("--port", ports.ingress), ("--control-port", ports.control), ("--sandbox-port", ports.sandbox)]
    wanted += [("--worker-port", port) for port in ports.workers]
    by_port = {port: option for option, port in reversed(wanted)}
    for option, port in wanted:
        if by_port[port] != option:
            raise LiveDeskError(f"{by_port[port]} and {option} both take port {port}.", f"Choose another {option}.")
        check_port_free("livedesk up", port, f"Stop that process, or choose another {option}.")


def _run(settings: Settings, file: ChannelsFile, path: Path, ports: Ports, console: Console) -> None:
    raise_at_sigterm()

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    folder = settings.data_dir.absolute() / "up"
    with local_kafka(settings, say) as kafka:
        say("Starting sandbox, ingress, workers and the desk")
        # It numbers customers' messages by its seed: with the one of the last run they would be taken for repetitions.
        seed = ("--seed", str(time.time_ns()))
        secrets = load_secrets(settings)
        stack = Stack(settings, secrets, file, path.absolute(), folder, ports, sandbox_options=seed)
        run_until_signal(_serve(stack, file, kafka, folder, console))


async def _serve(stack: Stack, file: ChannelsFile, kafka: LocalKafka, folder: Path, console: Console) -> Never:
    news = DeadLetterNews()
    try:
        await until_kafka_answers(stack.settings.kafka)
        async with stack:
            console.print(describe(stack, file, kafka, folder), markup=False, highlight=False, soft_wrap=True)
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if kafka.ended():
                    logger.warning("Kafka ended: it is started again")
                    await asyncio.to_thread(kafka.restart)
                await _say_dead_letters(stack, news)
    finally:
        console.print("Stopping")


async def _say_dead_letters(stack: Stack, news: DeadLetterNews) -> None:
    for worker, by_stage in (await stack.dead_letters()).items():
        news.count(worker, by_stage)
    line = news.line(time.monotonic())
    if line is not None:
        logger.warning("%s", line)


def describe(stack: Stack, file: ChannelsFile, kafka: LocalKafka, folder: Path) -> str:
    """What runs where, and what to try."""
    if kafka.embedded:
        kept = "stops with this command" if kafka.started else "was running before, and stays"
        where = f"{kafka.address}, embedded: {kept}"
    else:
        where = kafka.address
    workers = zip(stack.workers, stack.ports.workers, strict=True)
    lines = [
        "",
        "LiveDesk runs. Ctrl-C stops it.",
        "",
        f"Kafka        {where}; topics {stack.settings.topic_prefix}*",
        f"callbacks    {stack.ingress_url}/webhooks/…   metrics: {stack.ingress_url}/metrics",
        f"control API  {stack.control_url}/v1/channels   metrics: {stack.control_url}/metrics",
        f"API token    {stack.token_file}; for people and programs of yours: livedesk token create",
        f"sandbox      {stack.sandbox_url}, in place of the providers and of the AI agent",
        *(f"{worker.name:<12} metrics: http://127.0.0.1:{port}/metrics" for worker, port in workers),
        f"logs         {folder}",
        "",
        "Webhook URLs, which the providers would be given (keep them secret):",
        *(f"  {channel.id}: {stack.webhook_url(channel)}" for channel in file.channels),
    ]
    channel = next((channel for channel in file.channels if channel.human_agents), None)
    return "\n".join([*lines, *(_examples(stack, channel) if channel else ()), ""])


def _examples(stack: Stack, channel: ChannelSettings) -> Iterator[str]:
    contact = "34600100200"
    message = {"contact": contact, "name": "Ana", "text": "Hello, where is my parcel?"}
    reply = {"type": "reply", "by": channel.human_agents[0], "text": "Good morning Ana, I am looking into it."}
    yield f"\nA customer writes to {channel.id}:"
    yield f"  {_post(f'{stack.sandbox_url}/sandbox/customers/write?account={channel.id}', message)}"
    yield "An agent replies:"
    commands = f"{stack.control_url}/v1/channels/{channel.id}/conversations/{contact}/commands"
    yield f"  {_post(commands, reply, stack.token_file)}"
    yield "What the customer was sent:"
    yield f"  curl -s {shlex.quote(f'{stack.sandbox_url}/sandbox/log?contact={contact}')}"
    yield "Thirty customers, one a second:"
    script = {"customers": 30, "rate": 1, "account": channel.id}
    yield f"  {_post(f'{stack.sandbox_url}/sandbox/customers/script', script)}"


def _post(url: str, body: Mapping[str, object], token_file: Path | None = None) -> str:
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    token = "" if token_file is None else f'-H "Authorization: Bearer $(cat {shlex.quote(str(token_file))})" '
    return f"curl -s {shlex.quote(url)} {token}-H 'Content-Type: application/json' -d {data}"


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Two of them would take each other's partitions and ports. Raises LiveDeskError."""
    with open_lock(data_dir / "up.lock", DATA) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LiveDeskError(
                f"livedesk up is already running with the data in {data_dir}.",
                "Stop it with Ctrl-C where it runs. For a second one choose another LIVEDESK_DATA_DIR, other ports and "
                "LIVEDESK_BROKER_PORT or, on the same Kafka, another LIVEDESK_TOPIC_PREFIX.",
            ) from None
        yield
