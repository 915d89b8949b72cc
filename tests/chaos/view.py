"""What a run shows in the terminal: live while it lasts, tables at its end."""

import time
from collections import Counter

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tests.chaos.run import Plan, Progress, Report
from tests.chaos.story import smallest, story

SHOWN = 5
"""Violations of one kind that are listed."""
SHOWN_ERRORS = 3
STORY_FILE = "smallest-history.txt"


def live(plan: Plan, progress: Progress) -> Group:
    """One look at a run under way."""
    elapsed = time.monotonic() - progress.began
    done = progress.saboteur.done if progress.saboteur else []
    stall, stage = progress.watch.longest_stall if progress.watch else (0.0, "")
    table = Table.grid(padding=(0, 2))
    table.add_row("seed", f"{plan.seed}   {progress.phase}, {elapsed:.0f} of {plan.seconds:.0f} s of load")
    asked = progress.asked
    table.add_row("acknowledged", f"{len(asked.messages)} callbacks, {len(asked.commands)} commands")
    table.add_row("not taken", f"{asked.not_taken} of {asked.requests} requests, posted again")
    table.add_row("lag", f"{progress.watch.lag if progress.watch else 0} records, {progress.workers} workers run")
    table.add_row("longest stall", f"{stall:.1f} s ({stage})")
    table.add_row("faults", f"{len(done)} of {len(progress.schedule)} done")
    kinds = Counter(found.fault.name for found in done if found.hit)
    lines = [f"  {count:3d}  {name}" for name, count in kinds.most_common()]
    if progress.saboteur and progress.saboteur.under_way:
        lines.append(f"  now  {', '.join(sorted(progress.saboteur.under_way))}")
    return Group(table, Text("\n".join(lines)))


def line(plan: Plan, progress: Progress) -> str:
    """The same in one line, where there is no terminal."""
    elapsed = time.monotonic() - progress.began
    done = len(progress.saboteur.done) if progress.saboteur else 0
    lag = progress.watch.lag if progress.watch else 0
    stall = progress.watch.longest_stall[0] if progress.watch else 0.0
    return (
        f"{elapsed:4.0f} s  {progress.phase}: {len(progress.asked.messages)} callbacks acknowledged, "
        f"{done} faults, lag {lag}, longest stall {stall:.1f} s"
    )


def tell(console: Console, report: Report) -> None:
    """The end: figures, faults, what was left in doubt, and what is wrong."""
    console.print(_figures(report))
    console.print(_faults(report))
    if report.verdict.settled:
        table = Table("unknown outcomes", "", title="Settled after a fault")
        for what, count in sorted(report.verdict.settled.items()):
            table.add_row(what, str(count))
        console.print(table)
    if report.verdict.violations:
        _tell_violations(console, report)
    else:
        console.print(f"Clean: seed {report.plan.seed}.", style="green")


def _figures(report: Report) -> Table:
    reported = report.figures
    table = Table("figure", "", title=f"Chaos, seed {report.plan.seed}, {report.plan.seconds / 60:g} minutes")
    asked = report.history.acknowledged
    table.add_row("callbacks acknowledged", str(len(asked.messages)))
    table.add_row(
        "commands, settings, presences", f"{len(asked.commands)}, {len(asked.settings)}, {report.asked.presences}"
    )
    kinds = reported.sent.most_common()
    table.add_row("commanded to be sent", ", ".join(f"{count} {kind}" for kind, count in kinds))
    ends = ", ".join(f"{count} {kind}" for kind, count in reported.ends.most_common())
    table.add_row("questions to the AI agent", f"{reported.questions}: {ends}")
    table.add_row("surveys answered", str(reported.rated))
    table.add_row("requests not taken and posted again", f"{report.asked.not_taken} of {report.asked.requests}")
    table.add_row("records", str(sum(reported.records.values())))
    table.add_row("messages heard by customers", str(report.history.heard.total()))
    latency = f"{reported.median_s:.2f} s, {reported.p99_s:.1f} s, {reported.longest_s:.1f} s"
    table.add_row("callback to conversation: median, p99, longest", latency)
    stall, stage = report.longest_stall
    table.add_row("longest stall of a task", f"{stall:.1f} s ({stage})")
    table.add_row("settled after the load", f"{report.settled_s:.0f} s")
    exits = ", ".join(f"{code}: {count}" for code, count in sorted(report.exits.items()))
    table.add_row("workers' ends by exit code", exits or "none")
    errors = report.broker_errors
    table.add_row("ERROR lines in Kafka's log", f"{errors.total()} in {report.broker_starts} starts")
    for line, count in errors.most_common(SHOWN_ERRORS):
        table.add_row("", f"{count} × {line}")
    return table


def _faults(report: Report) -> Table:
    hit = Counter(name for name, was_hit in report.done if was_hit)
    missed = Counter(name for name, was_hit in report.done if not was_hit)
    total = f"{hit.total()} faults, {missed.total()} missed their moment, {report.skipped} found no worker free"
    table = Table("fault", "times", "missed", "worst callback, s", title=total)
    for name in sorted(hit.keys() | missed.keys()):
        worst = report.figures.worst_after.get(name, 0.0)
        table.add_row(name, str(hit[name]), str(missed[name] or ""), f"{worst:.1f}")
    return table


def _tell_violations(console: Console, report: Report) -> None:
    violations = report.verdict.violations
    for kind, count in Counter(violation.kind for violation in violations).most_common():
        console.print(f"{kind}: {count}", style="red", markup=False, highlight=False)
        for violation in [found for found in violations if found.kind == kind][:SHOWN]:
            console.print(f"    {violation.key} {violation.detail}", markup=False, highlight=False, soft_wrap=True)
    key = smallest(report.history, violations)
    if key is not None:
        reported = story(report.history, key)
        path = report.folder / STORY_FILE
        path.write_text("\n".join(reported) + "\n")
        console.print(f"The smallest history of them is {key}'s, {len(reported)} lines: {path}", soft_wrap=True)
    console.print(f"Logs, Kafka's data: {report.folder}", soft_wrap=True)
    again = f"python -m tests.chaos --seed {report.plan.seed} --minutes {report.plan.seconds / 60:g}"
    console.print(f"Not clean: {len(violations)} violations, seed {report.plan.seed}. Again: {again}", style="red")
