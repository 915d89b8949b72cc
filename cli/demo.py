"""The `livedesk demo` command."""

import logging
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console

from deploy.errors import LiveDeskError
from deploy.kafka.local import local_kafka
from deploy.processes.logs import configure_logging
from deploy.processes.signals import Interrupted, raise_at_sigterm, run_until_signal
from deploy.settings import Settings
from simulation.demo.picture import Picture
from simulation.demo.run import run_demo
from simulation.demo.view import Report, View, print_report

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def demo(
    context: typer.Context,
    customers: Annotated[int, typer.Option(min=1, max=500, help="How many customers write.")] = 36,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same customers, messages, agents and repeated callbacks.")
    ] = 7,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines instead of a live picture; the default without a terminal.")
    ] = False,
) -> None:
    """Play conversations on the pipeline and check the result.

    Customers write to two channels that are open and to one that is closed until an administrator opens it; rules, AI
    agents and human agents take them; a GPT agent answers by an FAQ, which it cites; AI agents hand over; agents
    resolve; customers answer the survey.

    The demo starts everything and stops it again: Kafka (unless it runs, or KAFKA_BOOTSTRAP_SERVERS names one),
    ingress, the stages, and a sandbox that stands in for the provider: it delivers callbacks twice and receipts out of
    order. Its topics have a prefix of their own. Exits with 1 when a check fails: a message lost, a customer
    greeted twice …
    """
    settings = context.ensure_object(Settings)
    console = Console()
    plain = plain or not console.is_terminal
    folder = Path(tempfile.mkdtemp(prefix="livedesk-demo-"))
    configure_logging(logging.WARNING, folder / "demo.log")
    try:
        report = _run(settings, customers, seed, folder, console, plain=plain)
    except (Interrupted, KeyboardInterrupt):
        shutil.rmtree(folder)
        console.print("Interrupted. Everything that was started is stopped.")
        raise typer.Exit(INTERRUPTED) from None
    except LiveDeskError as error:
        raise LiveDeskError(error.message, f"{error.hint}\nThe logs: {folder}".strip()) from error
    print_report(report, console)
    if not report.result.summary.ok:
        console.print(f"The logs: {folder}", soft_wrap=True)
        raise typer.Exit(1)
    shutil.rmtree(folder)


def _run(settings: Settings, customers: int, seed: int, folder: Path, console: Console, *, plain: bool) -> Report:
    raise_at_sigterm()
    picture = Picture()
    view = View(picture, console, plain=plain)

    def progress(line: str) -> None:
        picture.phase = line
        view.show()

    own = settings.model_copy(update={"topic_prefix": f"demo-{uuid4().hex[:8]}.", "data_dir": folder})
    with view.running(), ExitStack() as exits:
        with picture.timed("starting Kafka"):
            kafka = exits.enter_context(local_kafka(settings, progress))
        result = run_until_signal(
            run_demo(own, customers=customers, seed=seed, folder=folder, picture=picture, view=view)
        )
        memory = {"Kafka": kafka.memory, **result.memory} if kafka.memory else result.memory
        with picture.timed("stopping Kafka"):
            exits.close()
    return Report(result, picture.phases, memory)
