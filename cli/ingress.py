"""`livedesk ingress`: the listener for callbacks."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer
import uvloop

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
    """Take callbacks to Kafka.

    A callback is answered with 200 only when it is durable: on Kafka or, while Kafka does not take it, on this
    machine's disk (livedesk spool status), else with 503. On a terminal the webhook URL of each channel is printed. It
    is the callbacks' only protection: keep it secret.

    \b
    On --port:
      POST         /webhooks/PROVIDER/TOKEN
      GET          /healthz, /readyz, /metrics

    Ends at SIGTERM or Ctrl-C when the requests in flight are answered.
    """
    settings = context.ensure_object(Settings)
    configure_logging()
    if processes > 1 and not number:
        commands = [*_commands(host, port or free_port(), processes, pages_port or PAGES_PORT)]
        with suppress(Interrupted):
            run_until_signal(run_several(commands))
        return
    server = IngressServer(settings, host=host, port=port, pages_port=pages_port)
    with suppress(Interrupted):
        run_until_signal(_serve(server), uvloop.run)


def _commands(host: str, port: int, processes: int, pages_port: int) -> Iterator[list[str]]:
    for number in range(1, processes + 1):
        command = ["ingress", "--host", host, "--port", str(port), "--processes", str(processes)]
        yield [*command, "--number", str(number), "--pages-port", str(pages_port + number - 1)]


async def _serve(server: IngressServer) -> None:
    async with server:
        typer.echo(f"callbacks  {server.url}")
        if sys.stdout.isatty():
            for channel in server.channels:
                typer.echo(f"webhook    {channel.id}: {server.public_webhook_url(channel)}")
        else:
            # Where standard output is a log, tokens have no place in it.
            typer.echo("webhooks   livedesk channel show ID")
        await asyncio.Future()  # until a signal
