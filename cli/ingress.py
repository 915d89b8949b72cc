"""`livedesk ingress`: the listener for callbacks, and the one for commands, settings and agents."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from deploy.channels_file import load_channels_file
from deploy.kafka.broker import free_port
from deploy.processes.ingress import IngressServer
from deploy.processes.logs import configure_logging
from deploy.processes.several import run_several
from deploy.processes.signals import Interrupted, run_until_signal
from deploy.settings import Settings

PAGES_PORT = 8070

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def ingress(
    context: typer.Context,
    host: Annotated[
        str,
        typer.Option(help="Address to take callbacks on; 0.0.0.0 is every address, as in a container behind a proxy."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for callbacks; 0 takes any free one.")] = 8080,
    channels: Annotated[
        Path | None,
        typer.Option(help="Agents and channels (docs/channels.example.yaml). New and changed ones are saved first."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many processes take callbacks, all of them on --port.")
    ] = 1,
    pages_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65000,
            help="Port on 127.0.0.1 of the first process' own /healthz, /readyz and /metrics; the others follow. On "
            "--port any of the processes answers.  [default: 8070 if there are several]",
        ),
    ] = None,
    number: Annotated[int, typer.Option(hidden=True, help="Which of them this is, from 1 on.")] = 0,
) -> None:
    """Take callbacks, commands and settings to Kafka.

    A callback is answered with 200 only when it is durable: on Kafka or, while Kafka does not take it, on this
    machine's disk (livedesk spool status), else with 503. On a terminal the webhook URL of each channel is printed. It
    is the callbacks' only protection: keep it secret.

    \b
    On --port:
      POST         /webhooks/PROVIDER/TOKEN
      GET          /healthz, /readyz, /metrics
    On --control-port:
      GET          /v1/channels
      PATCH        /v1/channels/ID/settings
      POST         /v1/channels/ID/conversations/CONTACT/commands
      PUT, DELETE  /v1/channels/ID/agents/AGENT               a member of the channel, or not
      GET          /v1/accounts/ACCOUNT/agents
      PUT, DELETE  /v1/accounts/ACCOUNT/agents/AGENT
      PUT          /v1/accounts/ACCOUNT/agents/AGENT/presence
      PUT, DELETE  /v1/accounts/ACCOUNT/agents/AGENT/memberships

    Ends at SIGTERM or Ctrl-C when the requests in flight are answered.
    """
    settings = context.ensure_object(Settings)
    file = None if channels is None else load_channels_file(channels)
    configure_logging()
    if processes > 1 and not number:
        commands = [*_commands(host, port or free_port(), control_port, channels, processes, pages_port or PAGES_PORT)]
        with suppress(Interrupted):
            run_until_signal(run_several(commands))
        return
    server = IngressServer(
        settings,
        channels=file,
        host=host,
        port=port,
        # One for all: they would have to share its port as well.
        control_port=control_port if number <= 1 else None,
        pages_port=pages_port,
    )
    with suppress(Interrupted):
        run_until_signal(_serve(server), uvloop.run)


def _commands(
    host: str, port: int, control_port: int, channels: Path | None, processes: int, pages_port: int
) -> Iterator[list[str]]:
    for number in range(1, processes + 1):
        command = ["ingress", "--host", host, "--port", str(port), "--control-port", str(control_port)]
        command += [
            "--processes",
            str(processes),
            "--number",
            str(number),
            "--pages-port",
            str(pages_port + number - 1),
        ]
        yield command + (["--channels", str(channels)] if channels is not None and number == 1 else [])


async def _serve(server: IngressServer) -> None:
    async with server:
        typer.echo(f"callbacks  {server.url}")
        if not server.control_url:
            await asyncio.Future()  # until a signal
        typer.echo(f"control    {server.control_url}")
        if sys.stdout.isatty():
            for channel in server.channels:
                typer.echo(f"webhook    {channel.id}: {server.public_webhook_url(channel)}")
        else:
            # Where standard output is a log, tokens have no place in it.
            typer.echo(f"webhooks   GET {server.control_url}/v1/channels")
        await asyncio.Future()  # until a signal
