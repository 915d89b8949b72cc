"""`livedesk scenario`: shows what the pipeline would do, and checks that it does."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from deploy.kafka.local import local_kafka
from deploy.processes.logs import configure_logging
from deploy.settings import Settings
from schemas.settings.credentials import ProviderName
from simulation.scenario import broker_run
from simulation.scenario.format import Loaded, load_file, matching
from simulation.scenario.play import Outcome, Perform, Verdict, in_memory, play
from simulation.scenario.run import Finished
from simulation.scenario.timeline import tables, timeline

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Try out settings on scenarios: what would the pipeline do?"""


@app.command("run")
def run_files(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Scenario files: YAML or JSON; .jsonl holds one per line.", exists=True, dir_okay=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON, one per line.")] = False,
    with_records: Annotated[
        bool, typer.Option("--records", help="With --json: also print all records that were written.")
    ] = False,
    broker: Annotated[
        bool, typer.Option("--broker", help="Use ingress, Kafka, the workers and the sandbox instead of memory.")
    ] = False,
    provider: Annotated[
        ProviderName | None,
        typer.Option(help="Play all channels at this provider, in place of their own.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-k", metavar="REGEX", help="Only scenarios whose name matches.")
    ] = None,
) -> None:
    """Play scenarios and show what the pipeline does. One with an `expect` part is also checked.

    Exits with 0 when all is as expected, with 1 when anything differs, else with 2 when a scenario could not be run.
    """
    # What went wrong in a scenario is its result, not a warning about this process.
    logging.getLogger("streams").addHandler(logging.NullHandler())
    loaded = [one for file in files for one in matching(load_file(file), _pattern(name))]
    report = partial(_report, loaded, as_json=as_json, with_records=with_records, provider=provider)
    verdicts = asyncio.run(_on_broker(context.ensure_object(Settings), report) if broker else report(in_memory))
    if verdicts["failed"] or verdicts["unusable"]:
        raise typer.Exit(1 if verdicts["failed"] else 2)


async def _on_broker(settings: Settings, report: Callable[[Perform], Awaitable[Counter[Verdict]]]) -> Counter[Verdict]:
    console = Console(stderr=True)
    configure_logging(logging.WARNING)
    with local_kafka(settings, lambda line: console.print(line, markup=False)):
        async with broker_run.running(settings) as bench:
            return await report(bench.perform)


async def _report(
    loaded: list[Loaded],
    perform: Perform,
    *,
    as_json: bool,
    with_records: bool,
    provider: ProviderName | None,
) -> Counter[Verdict]:
    verdicts: Counter[Verdict] = Counter()
    # Standard output is for the results alone, where they are read by a program.
    console = Console(stderr=as_json, soft_wrap=True, highlight=False)
    async for outcome in play(loaded, perform, with_records=with_records, provider=provider):
        verdicts[outcome.verdict] += 1
        if as_json:
            typer.echo(orjson.dumps(_as_json(outcome)).decode())
        elif len(loaded) == 1 and outcome.finished is not None:
            _show(console, outcome.finished)
        _show_verdict(console, outcome)
    console.print(f"{verdicts['passed']} passed, {verdicts['failed']} failed" + _unusable(verdicts["unusable"]))
    return verdicts


def _as_json(outcome: Outcome) -> dict[str, object]:
    if outcome.finished is None:
        return {"name": outcome.loaded.name, "error": "; ".join(outcome.problems)}
    return {**outcome.finished.result.as_json()}


def _show(console: Console, finished: Finished) -> None:
    console.print(finished.scenario.name, style="bold", markup=False)
    for line in timeline(finished):
        console.print(line)
    for table in tables(finished.result):
        console.print(table)


def _show_verdict(console: Console, outcome: Outcome) -> None:
    style = {"passed": "green", "failed": "red", "unusable": "yellow"}[outcome.verdict]
    console.print(f"{outcome.verdict:9}{outcome.loaded.name}", style=style, markup=False)
    for line in (*outcome.problems, *map(str, outcome.differences)):
        console.print(f"         {line}", markup=False)


def _unusable(count: int) -> str:
    return f", {count} could not be run" if count else ""


def _pattern(name: str | None) -> re.Pattern[str] | None:
    try:
        return None if name is None else re.compile(name)
    except re.error as error:
        raise typer.BadParameter(f"not a regular expression: {error}", param_hint="--name") from None
