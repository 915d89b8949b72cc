"""The `livedesk replay` command."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from agents.stage import Stage
from bus.connection import KafkaConnection
from cli.worker import chosen_stages
from deploy.kafka.committed import committed_reader
from deploy.settings import Settings
from deploy.stage_log import Progress, read_settings, read_stage
from streams.replay.check import Difference, Report, check

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def replay(
    context: typer.Context,
    stages: Annotated[list[str] | None, typer.Argument(help="Stages to replay.", show_default=False)] = None,
    all_stages: Annotated[bool, typer.Option("--all", help="Replay every stage.")] = False,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition of the stage's input.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON, one per line.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Also show what differs, which may be a customer's words.")
    ] = False,
) -> None:
    """Rebuild stages from their log and compare every record.

    This proves that outputs and rows are what the input leads to. It only reads, may run beside workers, and needs no
    secret key. A stage's log must fit into memory. Where
    retention has deleted the beginning of an input, keys whose history is not whole are left out, and counted.

    Exits with 0 when all is identical, else with 1 and shows the first difference of each stage.
    """
    settings, chosen = context.ensure_object(Settings), chosen_stages(stages, all_stages=all_stages)
    # Standard output is for the results alone, where they are read by a program.
    console = Console(stderr=as_json, soft_wrap=True, highlight=False)
    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        shown = _Shown(bars)
        reports = asyncio.run(replay_stages(settings.kafka, settings.topic_prefix, chosen, partition, shown.update))
    for report in reports:
        if as_json:
            typer.echo(orjson.dumps(_as_json(report, show=show)).decode())
        else:
            print_report(console, report, show=show)
    if not all(report.identical for report in reports):
        raise typer.Exit(1)


async def replay_stages(
    kafka: KafkaConnection,
    prefix: str,
    stages: Sequence[Stage],
    partition: int | None = None,
    progress: Progress = lambda *_: None,
) -> list[Report]:
    """Read each stage's log from Kafka and compare it with its replay. Raises LiveDeskError."""
    reports = []
    async with committed_reader(kafka) as reader:
        for stage in stages:
            log = await read_stage(reader, prefix, stage, partition, progress)
            # After the log, so that every revision that its records name is there.
            store = await read_settings(reader, prefix)
            total, done = sum(len(partition.inputs) for partition in log.partitions), 0

            def advance(count: int, stage: Stage = stage, total: int = total) -> None:
                nonlocal done
                done += count
                progress(f"{stage.name}: replay", done, total)

            reports.append(await asyncio.to_thread(check, stage, log, store.lookup, advance))
    return reports


class _Shown:
    """One bar for whatever is under way."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            for earlier in self._tasks.values():
                self._bars.update(earlier, visible=False)
            self._tasks[what] = self._bars.add_task(what)
        self._bars.update(self._tasks[what], completed=done, total=total)


def _as_json(report: Report, *, show: bool) -> dict[str, object]:
    body: dict[str, object] = {**vars(report), "identical": report.identical}
    body["difference"] = report.difference and {
        name: value for name, value in vars(report.difference).items() if show or name not in ("expected", "got")
    }
    return body


def print_report(console: Console, report: Report, *, show: bool) -> None:
    """One stage's result, in lines that fit a terminal."""
    word, style = ("identical", "green") if report.identical else ("differs", "red")
    console.print(f"{report.stage}: {word}", style=style, markup=False)
    pending = f" ({report.pending} pending)" if report.pending else ""
    lines = [
        f"{report.inputs} inputs and {report.timers} timer firings of {report.keys} keys gave",
        f"{report.outputs} outputs, {report.rows} rows and {report.effects} effects{pending}",
    ]
    if report.skipped:
        lines.append(f"{report.skipped} keys left out: their history begins before the log")
    if report.gone:
        lines.append(f"{report.gone} outputs are gone by retention")
    if report.difference is not None:
        lines += _lines(report.difference, show=show)
    for line in lines:
        console.print(f"    {line}", markup=False)


def _lines(found: Difference, *, show: bool) -> list[str]:
    offset = "" if found.offset is None else f" offset {found.offset}"
    lines = [f"{found.problem}: {found.topic}, key {found.key}, partition {found.partition}{offset}"]
    if found.record_id is not None:
        lines.append(f"record {found.record_id}")
    if found.attribute is not None:
        lines.append(f"{found.attribute}" + ("" if show else " (what it is: --show)"))
        if show:
            lines += [f"expected {_short(found.expected)}", f"got      {_short(found.got)}"]
    return lines


def _short(value: str | None, limit: int = 400) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= limit else f"{value[:limit]}… ({len(value)} characters)"
