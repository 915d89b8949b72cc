"""What a benchmark found: tables, and which targets were met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Verdict:
    """A figure beside its target: at least so much or, with `most`, at most."""

    what: str
    value: float
    target: float
    unit: str = ""
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the target was reached."""
        return self.value <= self.target if self.most else self.value >= self.target

    def __str__(self) -> str:
        bound = "at most" if self.most else "at least"
        reported = "met" if self.met else "not met"
        return f"{self.what}: {self.value:.3g}{self.unit} (target: {bound} {self.target:g}{self.unit}: {reported})"


@dataclass(frozen=True)
class Report:
    """One table of figures, what they mean for the targets, and what else a reader must know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()


def show(report: Report, console: Console) -> None:
    """Print it."""
    table = Table(title=report.title)
    for number, column in enumerate(report.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in report.rows:
        table.add_row(*row)
    console.print(table)
    for verdict in report.verdicts:
        console.print(str(verdict), style="green" if verdict.met else "red", highlight=False)
    for note in report.notes:
        console.print(note, highlight=False)


def markdown(report: Report) -> str:
    """The same for docs/performance.md."""
    lines = [f"### {report.title}", "", _line(report.columns), _line("---" for _ in report.columns)]
    lines += [_line(row) for row in report.rows]
    lines += ["", *(f"- {verdict}" for verdict in report.verdicts), *(f"- {note}" for note in report.notes), ""]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
