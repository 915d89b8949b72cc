"""`livedesk reports`: the figures of channels, agents and days."""

import asyncio
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console, JustifyMethod
from rich.table import Table

from deploy.dead_letters import read_letters
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.reports import read_partials
from deploy.settings import Settings
from desk.figures import (
    AI_OUTCOMES,
    CALLS,
    OUTCOMES,
    By,
    Figures,
    Filter,
    as_data,
    first_responses,
    in_percent,
    resolutions,
    seconds,
    summed,
)

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Figures of channels, people, days and AI agents."""


DAY: Final = ["%Y-%m-%d"]

_GAP: Final = 1
_GROUP_AT_LEAST: Final = 8
_WORDS: Final = frozenset({"channel", "agent", "ai-agent", "day", "time", "channel was", "reason"})


@app.command("show")
def show_reports(
    context: typer.Context,
    channel: Annotated[str | None, typer.Option("--channel", metavar="ID", help="Only this channel.")] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="ID", help="Only what this human agent is credited with; '-' is nobody."),
    ] = None,
    ai_agent: Annotated[
        str | None, typer.Option("--ai-agent", metavar="ID", help="Only what this AI agent did.")
    ] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, metavar="DAY", help="From this day on: 2026-06-01.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=DAY, metavar="DAY", help="Up to this day, included.")
    ] = None,
    by: Annotated[By, typer.Option("--by", help="One line for each of these.")] = "channel",
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON, one group per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print them as CSV; times are in seconds.")] = False,
) -> None:
    """Show the figures, as far as the pipeline has counted.

    It only reads, and may run beside workers. Days are those of the business hours' time zone, else of UTC. Resolutions
    and surveys are credited to whoever resolved, first responses to the human who gave them; openings, messages,
    automatic resolutions and what AI agents answer and resolve are nobody's.

    A conversation that is reopened takes its resolution back. An answer counts on the day and the agent of its survey,
    and the last answer replaces the ones before. Ratings of 4 and 5 are satisfied: their share of the answers is the
    satisfaction; the answers' share of the surveys sent is the response rate. Messages are counted under their latest
    status, on their first day. Times are exact to 5%; "open" and "closed" say what the channel was when the customer
    wrote first.

    AI agents are in tables of their own, by UTC day. They held a conversation if its customer wrote in it. "Resolved"
    is what they resolved alone: no person wrote in it. Cost is in the currency of their prices.
    """
    if as_json and as_csv:
        raise LiveDeskError("--json and --csv exclude each other.")
    only = Filter(channel, agent, ai_agent, _day(first), _day(last))
    if only.first and only.last and only.first > only.last:
        raise LiveDeskError(f"--from {only.first} is after --to {only.last}.")
    settings = context.ensure_object(Settings)
    groups, dead_letters = asyncio.run(_read(settings, by, only))
    if as_json:
        for group, figures in groups.items():
            typer.echo(orjson.dumps({by: group, **as_data(figures)}).decode())
    elif as_csv:
        print_csv(by, groups)
    else:
        print_tables(Console(highlight=False), by, groups)
    if dead_letters:
        # Beside the figures, which a program may read.
        Console(stderr=True, highlight=False, soft_wrap=True).print(warning(dead_letters), style="yellow")


def warning(dead_letters: int) -> str:
    """What is said of dead letters: what they hold is not in the figures."""
    records = "1 record is" if dead_letters == 1 else f"{dead_letters} records are"
    return f"{records} not in the figures, as dead letters: livedesk dead-letters list"


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


async def _read(settings: Settings, by: By, only: Filter) -> tuple[dict[str, Figures], int]:
    async with committed_reader(settings.kafka) as reader:
        letters = await read_letters(reader, settings.topic_prefix)
        return summed(await read_partials(reader, settings.topic_prefix), by, only), letters.unreplayed


def print_csv(by: By, groups: Mapping[str, Figures]) -> None:
    """A line for each group. A status that a group has no message of is 0."""
    lines = [{by: group, **_flat("", as_data(figures))} for group, figures in groups.items()]
    columns = dict.fromkeys(column for line in lines for column in line)
    writer = csv.DictWriter(sys.stdout, columns or [by], restval=0)
    writer.writeheader()
    writer.writerows(lines)


def _flat(prefix: str, data: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in data.items():
        flat |= _flat(f"{prefix}{name}.", value) if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


# --- as tables -----------------------------------------------------------------------------------------------------


def print_tables(console: Console, by: By, groups: Mapping[str, Figures]) -> None:
    """A table for each kind of figure, but for those with nothing to show."""
    if not groups:
        console.print("Nothing was counted, or nothing that was chosen.")
        return
    ai = {group: figures for group, figures in groups.items() if figures.has_ai}
    groups = {group: figures for group, figures in groups.items() if figures.has_more}
    statuses = sorted({status for figures in groups.values() for status in figures.messages})
    times = [row for group, figures in groups.items() for row in _times_rows(group, figures)]
    satisfaction = [_satisfaction_row(group, figures) for group, figures in groups.items()]
    conversations = [
        (group, *(str(figures.outcome(measure)) for measure in OUTCOMES)) for group, figures in groups.items()
    ]
    messages = [
        (group, *(str(figures.messages.get(status, 0)) for status in statuses)) for group, figures in groups.items()
    ]
    ratings = ("1", "2", "3", "4", "5")
    surveys = ["surveys sent", "answers", "response rate", "satisfaction", *ratings]
    for title, headers, rows in (
        ("Conversations", [measure.replace("_", " ") for measure in OUTCOMES], conversations),
        ("Times", ["time", "channel was", "number", "median", "90th percentile"], times),
        ("Satisfaction", surveys, satisfaction),
        ("Messages", [status.replace("_", " ") for status in statuses], messages),
        ("AI agents", [*(one.replace("_", " ") for one in AI_OUTCOMES), "resolved share"], [*_ai_rows(ai)]),
        ("AI agents' hand-overs", ["reason", "number"], [*_hand_over_rows(ai)]),
        ("AI agents' answers", ["answers", "first responses", "median", "90th percentile"], [*_answer_rows(ai)]),
        ("AI agents' calls", [*(one.replace("_", " ") for one in CALLS[:-1]), "cost"], [*_call_rows(ai)]),
        ("AI agents' satisfaction", surveys, [_satisfaction_row(group, one.of_ai) for group, one in ai.items()]),
    ):
        if rows and headers:
            console.print(_table(title, (by, *headers), rows, console.width))
            console.print()


def _times_rows(group: str, figures: Figures) -> Iterator[tuple[str, ...]]:
    for title, split in (("first response", first_responses(figures)), ("resolution", resolutions(figures))):
        for name, one in split.items():
            if one.count:
                spread = (_readable(one.percentile(50)), _readable(one.percentile(90)))
                yield (group, title, "any" if name == "all" else name, str(one.count), *spread)


def _satisfaction_row(group: str, figures: Figures) -> tuple[str, ...]:
    shares = (in_percent(figures.response_rate_pct), in_percent(figures.satisfaction_pct))
    return (group, str(figures.surveys_sent), str(figures.answers), *shares, *map(str, figures.ratings.values()))


def _ai_rows(groups: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    for group, figures in groups.items():
        outcomes = (str(figures.ai(measure)) for measure in AI_OUTCOMES)
        yield (group, *outcomes, in_percent(figures.resolved_by_ai_alone_pct))


def _hand_over_rows(groups: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    for group, figures in groups.items():
        for reason, number in sorted(figures.handed_over.items()):
            yield (group, reason.replace("_", " "), str(number))


def _answer_rows(groups: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    for group, figures in groups.items():
        times = figures.times("ai_first_response")
        spread = [_readable(times.percentile(percent)) if times.count else "–" for percent in (50, 90)]
        yield (group, str(figures.ai("answers")), str(times.count), *spread)


def _call_rows(groups: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    for group, figures in groups.items():
        cost = Decimal(figures.calls("cost_micros")).scaleb(-6)
        yield (group, *(str(figures.calls(measure)) for measure in CALLS[:-1]), f"{cost:f}")


def _table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """A table of that width at most: headers are broken between words and, where that isn't enough, the group is."""
    widths = [
        max(*(len(row[column]) for row in rows), *map(len, header.split())) for column, header in enumerate(headers)
    ]
    left = width - sum(widths[1:]) - _GAP * len(headers)
    widths[0] = min(widths[0], max(left, _GROUP_AT_LEAST))
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, _GAP, 0, 0))
    for header, size in zip(headers, widths, strict=True):
        justify: JustifyMethod = "left" if header in _WORDS else "right"
        table.add_column(header, justify=justify, overflow="fold", width=size, header_style="dim")
    for row in rows:
        table.add_row(*row)
    return table


def _readable(duration: timedelta | None) -> str:
    whole = seconds(duration) or 0
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length:
            return f"{whole / length:.1f} {unit}"
    return f"{whole} s"
