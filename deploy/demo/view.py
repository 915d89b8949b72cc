"""How the demo is shown: a live picture on a terminal, lines elsewhere, and the summary."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.demo.count import Summary
from deploy.demo.picture import Picture

PLAIN_SECONDS = 2.0

_COUNTS = ("conversations", "messages", "greetings", "replies", "resolved")


class View:
    """Shows the picture whenever show() is called. plain: lines, for a terminal that is none."""

    def __init__(self, picture: Picture, console: Console, *, plain: bool) -> None:
        self._picture, self._console = picture, console
        self._live = None if plain else Live(console=console, auto_refresh=False)
        self._phase, self._last = "", 0.0

    def running(self) -> AbstractContextManager[object]:
        """The picture is on the terminal for as long as the block runs."""
        return self._live or nullcontext()

    def say(self, line: str) -> None:
        """A line about what is going on, where there is no picture."""
        if self._live is None:
            text = f"{self._picture.seconds:5.1f} s  {line}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(_draw(self._picture), refresh=True)
            return
        now = time.monotonic()
        if self._picture.phase != self._phase:
            self._phase = self._picture.phase
            self.say(self._phase)
        elif self._picture.stages and now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.say(_line(self._picture))


@dataclass(frozen=True)
class Report:
    """What is told at the end. memory: bytes by process; restarts: of processes that ended by themselves."""

    summary: Summary
    seconds: Mapping[str, float]
    memory: Mapping[str, int]
    restarts: int


def print_report(report: Report, console: Console) -> None:
    """Print every count and check."""

    def row(name: str, value: str) -> None:
        console.print(f"  {name:<24} {value}", markup=False, highlight=False, soft_wrap=True)

    console.print("\nCounted from the topics and the sandbox's log")
    for name, value in report.summary.counts.items():
        row(name, value)
    console.print("\nThe processes")
    row("memory", ", ".join(f"{name} {bytes / 2**20:.0f} MiB" for name, bytes in report.memory.items()))
    row("restarts", str(report.restarts))
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items())
    row("seconds", f"{sum(report.seconds.values()):.1f}: {phases}")
    console.print("\nChecks")
    for check in report.summary.checks:
        mark = Text("ok   ", "green") if check.ok else Text("WRONG", "bold red")
        console.print(Text("  ") + mark + f" {check.name}" + ("" if check.ok else f": {check.wrong}"), soft_wrap=True)
    wrong = sum(not check.ok for check in report.summary.checks)
    verdict = f"{wrong} of {len(report.summary.checks)} checks failed." if wrong else "Every check holds."
    end = f"Lost {report.summary.counts['lost']}, twice {report.summary.counts['twice']}. {verdict}"
    console.print(f"\n{end}", style="bold red" if wrong else "bold green", highlight=False)


def _line(picture: Picture) -> str:
    counts = ", ".join(f"{picture.counts[name]} {name}" for name in _COUNTS)
    rate = sum(stage.rate for stage in picture.stages.values())
    return f"{counts}; {len(picture.statuses)} messages with a status; {rate:.0f} records/s, lag {picture.lag}"


def _draw(picture: Picture) -> RenderableType:
    head = Text.assemble((f"{picture.seconds:5.1f} s  ", "dim"), (picture.phase, "bold"))
    if not picture.stages:
        return head
    return Group(head, Columns([_stages(picture), _numbers(picture)], padding=(0, 3)), _chat(picture))


def _stages(picture: Picture) -> Table:
    table = Table("stage", box=None, header_style="dim")
    for name in ("records", "records/s", "lag"):
        table.add_column(name, justify="right", min_width=7)
    for name, stage in picture.stages.items():
        table.add_row(name, str(stage.records), f"{stage.rate:.0f}", str(stage.lag))
    return table


def _numbers(picture: Picture) -> Table:
    table = Table("so far", "", box=None, header_style="dim")
    for name in _COUNTS:
        table.add_row(name, str(picture.counts[name]))
    for status, count in Counter(picture.statuses.values()).most_common(3):
        table.add_row(f"messages {status}", str(count))
    return table


def _chat(picture: Picture) -> Panel:
    lines = []
    for line in picture.chat:
        mark, color = ("» ", "cyan") if line.from_customer else ("  « ", "green")
        lines.append(Text.assemble((mark, color), (f"{line.who}: ", "bold"), line.text.replace("\n", " ")))
    return Panel(Text("\n", no_wrap=True, overflow="ellipsis").join(lines), title="messages", border_style="dim")
