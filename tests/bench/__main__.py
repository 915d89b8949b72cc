"""`python -m tests.bench [NAME ...] [--quick | --full]`: measures on this machine. docs/performance.md explains."""

import gc
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.errors import LiveDeskError
from deploy.processes.signals import Interrupted, run_until_signal
from deploy.settings import load_settings
from tests.bench import (
    desk,
    failover,
    fuzz,
    growth,
    idle,
    ingress,
    knowledge,
    latency,
    pipeline,
    restore,
    stage,
)
from tests.bench.report import Report, markdown, show
from tests.bench.session import NoResult, Session, Size, machine

RESULTS = Path("build/bench.md")
TOO_SMALL = "Tiny sizes: these figures say nothing about the targets."
WIDTH = 120
"""Columns where there is no terminal: tables would be cut to 80."""

BENCHMARKS: dict[str, Callable[[Session], Coroutine[object, object, Sequence[Report]]]] = {
    "stage": stage.run,
    "ingress": ingress.run,
    "pipeline": pipeline.run,
    "latency": latency.run,
    "restore": restore.run,
    "growth": growth.run,
    "idle": idle.run,
    "failover": failover.run,
    "fuzz": fuzz.run,
    "desk": desk.run,
    "knowledge": knowledge.run,
}


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(BENCHMARKS)}. None: all.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes: shows that it works, measures nothing.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="The sizes that the targets speak of. Takes much longer.")
    ] = False,
) -> None:
    """Run benchmarks one after the other, each on a Kafka of its own, and print what they found.

    A figure never makes it fail: a table says whether its target was met. Exits with 1 when there is no figure. The
    tables are written to build/bench.md as well. The first run fetches the peers that are compared with.
    """
    unknown = set(names or ()) - BENCHMARKS.keys()
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose of {', '.join(BENCHMARKS)}")
    if quick and full:
        raise typer.BadParameter("--quick or --full, not both")
    size = Size.QUICK if quick else Size.FULL if full else Size.NORMAL
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers are killed here
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    described = f"{machine()}; size {size}"
    try:
        failed = _run(names or list(BENCHMARKS), size, described, console)
    except Interrupted:
        console.print("Interrupted. Everything that was started is stopped.")
        sys.exit(130)
    console.print(described, highlight=False)
    sys.exit(1 if failed else 0)


def _run(names: list[str], size: Size, described: str, console: Console) -> list[str]:
    """Returns the names of those without a result."""
    failed: list[str] = []
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"{described}\n\n")
    columns = (
        SpinnerColumn(),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            began = time.monotonic()
            progress.update(task, description=name)

            def say(line: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {line}")
                if not console.is_terminal:
                    console.print(f"{name}: {line}", highlight=False, soft_wrap=True)

            try:
                reports = _measure(name, size, say)
                if size is Size.QUICK:
                    reports = [replace(report, verdicts=(), notes=(TOO_SMALL,)) for report in reports]
            except (NoResult, LiveDeskError) as error:
                failed.append(name)
                progress.console.print(f"{name}: no result. {error}", style="red", markup=False, highlight=False)
                continue
            finally:
                progress.advance(task)
            with RESULTS.open("a") as results:
                for report in reports:
                    show(report, progress.console)
                    results.write(markdown(report) + "\n")
            progress.console.print(f"{name} took {time.monotonic() - began:.0f} s\n", highlight=False)
    return failed


def _measure(name: str, size: Size, say: Callable[[str], None]) -> Sequence[Report]:
    with tempfile.TemporaryDirectory(prefix="livedesk-bench-", ignore_cleanup_errors=True) as folder:
        session = Session(size, Path(folder), load_settings().cache_dir, say)
        try:
            return run_until_signal(BENCHMARKS[name](session))
        finally:
            gc.collect()  # what one benchmark leaves is not to cost the next one


if __name__ == "__main__":
    typer.run(main)
