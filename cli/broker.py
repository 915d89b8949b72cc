"""`livedesk broker`: the embedded Kafka, for a laptop, tests and demos."""

import signal
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from deploy.errors import LiveDeskError
from deploy.kafka.broker import BrokerStatus
from deploy.kafka.local import embedded_broker
from deploy.settings import Settings

NOT_RUNNING = 3
"""Exit code of `status`, as service managers have it."""

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Run a single-node Apache Kafka on this machine. It needs no Docker. "
    "For more than one machine use a cluster: set KAFKA_BOOTSTRAP_SERVERS.",
)


@app.command()
def start(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: LIVEDESK_BROKER_PORT, else 19092.")
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until Ctrl-C or SIGTERM, then stop the broker.")
    ] = False,
) -> None:
    """Start the broker and wait until it answers. Does nothing if it runs already.

    The first start fetches Apache Kafka into LIVEDESK_CACHE_DIR; later ones need no network.
    Its data are kept in LIVEDESK_DATA_DIR.
    """
    broker = embedded_broker(context.ensure_object(Settings), port)
    console = Console()
    if foreground:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with console.status("Starting Apache Kafka") as line:
            broker.start(progress=line.update)
        _show(broker.status(), console)
        if not foreground:
            console.print("Stop it with: livedesk broker stop")
            return
        broker.wait()
    except KeyboardInterrupt:
        if not foreground:
            raise
        broker.stop()
    else:
        raise LiveDeskError("The broker has ended.", f"Its log: {broker.log_file}")


@app.command()
def stop(context: typer.Context) -> None:
    """Stop the broker and wait until it has ended. Its data are kept."""
    console = Console()
    with console.status("Stopping Apache Kafka"):
        stopped = embedded_broker(context.ensure_object(Settings)).stop()
    console.print("Stopped." if stopped else "It was not running.")


@app.command()
def status(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show whether the broker runs. Exits with 3 if it does not.

    Also shown are its address, its memory and its folders."""
    found = embedded_broker(context.ensure_object(Settings)).status()
    if json:
        typer.echo(found.model_dump_json())
    else:
        _show(found, Console())
    if not found.running:
        raise typer.Exit(NOT_RUNNING)


def _show(status: BrokerStatus, console: Console) -> None:
    def row(name: str, value: object) -> None:
        console.print(f"{name:<8} {value}", soft_wrap=True, markup=False, highlight=False)

    if not status.running:
        row("broker", "not running")
    else:
        row("broker", "running" if status.answers else "running, but it does not answer")
        row("address", status.bootstrap_servers)
        row("pid", status.pid)
        row("uptime", f"{status.uptime_seconds or 0:.0f} s")
        row("memory", f"{(status.memory_bytes or 0) / 2**20:.0f} MiB")
    row("data", status.data_dir)
    row("log", status.log_file)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
