"""The `livedesk spool` command."""

import json
import time
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.settings import Settings
from ingress.spool.folder import folders, in_use, waiting_in

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Look at callbacks that wait on this machine's disk."""


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how many callbacks wait, and since when.

    They are in LIVEDESK_DATA_DIR, until Kafka takes them. Each ingress process has a spool of its own. What a process
    that is gone has left is published by the next that starts on this machine.
    """
    settings = context.ensure_object(Settings)
    now = time.time()
    spools = []
    for folder in folders(settings.spool_root):
        waiting = [segment for segment in waiting_in(folder) if segment.records]
        spools.append(
            {
                "folder": str(folder),
                "in_use": in_use(folder),
                "records": sum(segment.records for segment in waiting),
                "bytes": sum(segment.end for segment in waiting),
                "oldest_seconds": round(now - min(segment.oldest for segment in waiting), 3) if waiting else None,
            }
        )
    records = sum(int(str(spool["records"])) for spool in spools)
    if as_json:
        typer.echo(json.dumps({"records": records, "spools": spools}, indent=2))
    elif not records:
        typer.echo(f"Nothing waits in {settings.spool_root}.")
    else:
        table = Table("spool", "callbacks", "bytes", "oldest", "process", box=None)
        for spool in spools:
            seconds = spool["oldest_seconds"]
            since = "" if seconds is None else str(timedelta(seconds=int(float(str(seconds)))))
            held = "runs" if spool["in_use"] else "gone: the next start publishes it"
            table.add_row(str(spool["folder"]), str(spool["records"]), str(spool["bytes"]), since, held)
        Console().print(table)
