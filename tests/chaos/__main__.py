"""`python -m tests.chaos --seed N --minutes M`: a run of chaos. Exit code 1: the checker found something."""

import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from deploy.errors import LiveDeskError
from deploy.processes.signals import Interrupted, run_until_signal
from tests.chaos.load import Rates
from tests.chaos.run import Plan, Progress, Report, run
from tests.chaos.schedule import Limits
from tests.chaos.view import line, live, tell

LINE_EVERY_S = 15.0


def main(
    seed: Annotated[int, typer.Option(help="Gives the same schedule of faults and the same load again.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.2, help="Of load and faults.")] = 5.0,
    rate: Annotated[float, typer.Option(min=1, help="Callbacks a second.")] = 200.0,
    faults: Annotated[float, typer.Option(min=0.1, help="Faults a minute.")] = 8.0,
    outage: Annotated[float, typer.Option(min=1, help="Seconds that the broker is unreachable at most.")] = 60.0,
    workers: Annotated[int, typer.Option(min=1, help="Workers to begin with.")] = 3,
    folder: Annotated[Path, typer.Option(help="For logs and Kafka's data; emptied first.")] = Path("build/chaos"),
) -> None:
    """Run the real system under load, break it at random but repeatable moments, and check what is left."""
    console = Console()
    plan = Plan(seed, minutes * 60, Rates(rate), Limits(faults, outage), workers)
    folder = folder.absolute() / f"seed-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    logging.basicConfig(
        filename=folder / "chaos.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        report = run_until_signal(_watched(plan, folder, console))
    except LiveDeskError as error:
        console.print(f"{error.message} {error.hint}", style="red", markup=False)
        sys.exit(2)
    except Interrupted:
        console.print(f"Interrupted. Logs: {folder}")
        sys.exit(130)
    tell(console, report)
    if report.verdict.violations:
        sys.exit(1)
    shutil.rmtree(folder / "data", ignore_errors=True)


async def _watched(plan: Plan, folder: Path, console: Console) -> Report:
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2) as shown:
            return await run(plan, folder, lambda progress: shown.update(live(plan, progress)))
    last = 0.0

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            console.print(line(plan, progress), soft_wrap=True, highlight=False)

    return await run(plan, folder, show)


if __name__ == "__main__":
    typer.run(main)
