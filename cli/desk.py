"""`livedesk desk`: the control API, and the read model that conversations are listed, searched and read from."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.channels_file import load_channels_file
from deploy.processes.desk import DeskOptions, rebuild, run_desk
from deploy.processes.logs import configure_logging
from deploy.processes.signals import Interrupted, run_until_signal
from deploy.settings import Settings

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def desk(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address of the control API; 0.0.0.0 is every address. Put TLS before it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the control API; 0 takes any free one.")] = 8081,
    ingress_url: Annotated[
        str, typer.Option(help="Where ingress listens, for webhook addresses where LIVEDESK_PUBLIC_URL is not set.")
    ] = "http://127.0.0.1:8080",
    channels: Annotated[
        Path | None,
        typer.Option(help="Agents and channels (docs/channels.example.yaml). New and changed ones are saved first."),
    ] = None,
) -> None:
    """Serve the control API, and keep what it shows.

    That is a database: lists, threads, search.

    It follows the topics into SQLite in LIVEDESK_DATA_DIR, or into the PostgreSQL of LIVEDESK_DATABASE_URL. That is a
    view: it can be deleted, and is then made anew of what Kafka still has. GET /healthz, /readyz, /metrics. Ends at
    SIGTERM or Ctrl-C.

    Whoever calls the API signs in with a token (livedesk token create).
    """
    if context.invoked_subcommand is not None:
        return
    settings = context.ensure_object(Settings)
    file = None if channels is None else load_channels_file(channels)
    configure_logging()
    uvloop.run(run_desk(settings, DeskOptions(host, port, ingress_url, file)))


@app.command("rebuild")
def _rebuild(context: typer.Context) -> None:
    """Make the view anew of what Kafka still has.

    Rows of older records stay. Until it is done the view has gaps. If it is interrupted `livedesk desk` goes on.
    """
    settings = context.ensure_object(Settings)
    configure_logging()
    try:
        run_until_signal(_show(settings))
    except Interrupted:
        raise typer.Exit(130) from None


async def _show(settings: Settings) -> None:
    columns = (TextColumn("Reading"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} records"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task, total = progress.add_task(""), 0
        async for left in rebuild(settings):
            total = max(total, left)
            progress.update(task, total=total, completed=total - left)
    typer.echo("The view is made anew.")
