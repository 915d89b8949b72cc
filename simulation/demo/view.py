"""How the demo is shown: a live picture on a terminal, lines elsewhere, and the summary."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from textwrap import wrap

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.explanations import headline, reasons
from desk.figures import Figures, Times, in_percent
from schemas.events.conversation import Status
from simulation.demo.picture import KINDS, Picture
from simulation.demo.result import Result

PLAIN_SECONDS = 2.0

_COUNTS = ("messages", *KINDS.values(), "handed over", "ratings")


class View:
    """Shows the picture whenever show() is called. plain: lines only, for what is no terminal."""

    def __init__(self, picture: Picture, console: Console, *, plain: bool) -> None:
        self._picture, self._console = picture, console
        self._live = None if plain else Live(console=console, auto_refresh=False)
        self._phase, self._last = "", 0.0

    def running(self) -> AbstractContextManager[object]:
        """The picture is on the terminal for as long as the block runs."""
        return self._live or nullcontext()

    def say(self, line: str) -> None:
        """A line about what happens, where there is no picture."""
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
    """What is printed at the end. memory: bytes by process."""

    result: Result
    seconds: Mapping[str, float]
    memory: Mapping[str, int]


def print_report(report: Report, console: Console) -> None:
    """Print one conversation, the figures, every count and every check."""
    result, summary = report.result, report.result.summary

    def row(name: str, value: str) -> None:
        lines = wrap(value, max(console.width - 27, 20)) or [""]
        for line in (f"  {name:<24} {lines[0]}", *(f"{'':27}{line}" for line in lines[1:])):
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    _print_story(result, console)
    console.print("\nThe reports (times: medians)")
    console.print(_figures(result.figures))
    console.print("\nCounted from the topics and the sandbox's log")
    for name, value in summary.counts.items():
        row(name, value)
    console.print("\nThe processes")
    row("memory", ", ".join(f"{name} {bytes / 2**20:.0f} MiB" for name, bytes in report.memory.items()))
    row("restarts", str(result.restarts))
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items())
    row("seconds", f"{sum(report.seconds.values()):.1f}: {phases}")
    console.print("\nChecks")
    for check in summary.checks:
        mark = Text("ok   ", "green") if check.ok else Text("WRONG", "bold red")
        console.print(Text("  ") + mark + f" {check.name}" + ("" if check.ok else f": {check.wrong}"), soft_wrap=True)
    wrong = sum(not check.ok for check in summary.checks)
    verdict = f"{wrong} of {len(summary.checks)} checks failed." if wrong else "Every check holds."
    end = f"Lost {summary.counts['lost']}, twice {summary.counts['twice']}. {verdict}"
    console.print(f"\n{end}", style="bold red" if wrong else "bold green", highlight=False)


def _print_story(result: Result, console: Console) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say("\nThe life of one conversation")
    for moment in result.story:
        say(f"{moment.after.total_seconds():+8.1f} s  {moment.text}")
    for decided in result.decided[-1:]:
        say("\nWhy it is with whom it is (livedesk explain)")
        for line in (headline(decided), *reasons(decided.explanation)):
            say(f"  {line}")


def _figures(figures: Mapping[str, Figures]) -> Table:
    table = Table("channel", box=None, header_style="dim", padding=(0, 0, 0, 1))
    for name in ("opened", "resolved", "closed", "reply in", "resolved in", "surveys", "answered", "satisfied"):
        table.add_column(name, justify="right")
    for channel, sums in figures.items():
        first = sums.times("first_response_open") + sums.times("first_response_closed")
        whole = sums.times("resolution_open") + sums.times("resolution_closed")
        outcomes = [str(sums.outcome(outcome)) for outcome in ("opened", "resolved", "closed")]
        satisfied = in_percent(sums.satisfaction_pct)
        table.add_row(
            channel, *outcomes, _median(first), _median(whole), str(sums.surveys_sent), str(sums.answers), satisfied
        )
    return table


def _median(times: Times) -> str:
    median = times.percentile(50)
    return "-" if median is None else f"{median.total_seconds():.0f} s"


def _line(picture: Picture) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in _by_status(picture))
    counts = ", ".join(f"{picture.counts[name]} {name}" for name in _COUNTS if picture.counts[name])
    rate = sum(stage.rate for stage in picture.stages.values())
    return f"conversations: {statuses or 'none'}; {counts or 'no messages'}; {rate:.0f} records/s, lag {picture.lag}"


def _draw(picture: Picture) -> RenderableType:
    head = Text.assemble((f"{picture.seconds:5.1f} s  ", "dim"), (picture.phase, "bold"))
    if not picture.stages:
        return head
    columns = Table.grid(padding=(0, 2))
    columns.add_row(_stages(picture), _numbers(picture), _conversations(picture))
    return Group(head, columns, _why(picture), _chat(picture))


def _stages(picture: Picture) -> Table:
    table = Table("stage", box=None, header_style="dim")
    for name in ("records", "a second", "lag"):
        table.add_column(name, justify="right")
    for name, stage in picture.stages.items():
        table.add_row(name, str(stage.records), f"{stage.rate:.0f}", str(stage.lag))
    return table


def _numbers(picture: Picture) -> Table:
    table = Table("so far", "", box=None, header_style="dim")
    for name in _COUNTS:
        table.add_row(name, str(picture.counts[name]))
    return table


def _conversations(picture: Picture) -> Table:
    table = Table("conversations", "", box=None, header_style="dim")
    for status, count in _by_status(picture):
        table.add_row(status, str(count))
    table.add_row("")
    table.add_row(Text("messages to them", "dim"))
    for message_status, count in Counter(picture.statuses.values()).most_common(4):
        table.add_row(message_status, str(count))
    return table


def _by_status(picture: Picture) -> list[tuple[Status, int]]:
    counts = Counter(picture.conversations.values())
    return [(status, counts[status]) for status in Status if counts[status]]


def _why(picture: Picture) -> Text:
    words = headline(picture.decided) if picture.decided is not None else ""
    return Text(words, "dim", no_wrap=True, overflow="ellipsis")


def _chat(picture: Picture) -> Panel:
    lines = []
    for line in picture.chat:
        mark, color = ("» ", "cyan") if line.from_customer else ("  « ", "green")
        lines.append(Text.assemble((mark, color), (f"{line.who}: ", "bold"), line.text.replace("\n", " ")))
    return Panel(Text("\n", no_wrap=True, overflow="ellipsis").join(lines), title="messages", border_style="dim")
