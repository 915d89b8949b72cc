"""`livedesk ai evaluate`: conversations with GPT agents, checked against what is expected of them."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from cli.ai import KEY
from cli.ai_try import (
    AccountOption,
    FileOption,
    SandboxOption,
    advice,
    installed,
    mended,
    plain,
    quiet,
    short,
    tool_urls,
)
from cli.knowledge import documents_in
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from desk.ai_services import Tried
from schemas.events.knowledge import DocumentSaved
from schemas.settings.ai import GptAgent
from simulation.trial.evaluate import Outcome, Planned, evaluate, plan
from simulation.trial.evaluation import load_evaluation
from simulation.trial.services import open_services
from simulation.trial.subject import read_documents

app = typer.Typer(rich_markup_mode=None, add_completion=False)

JUDGE_KEY: Final = "LIVEDESK_JUDGE_KEY"
_WIDTH: Final = 160
"""Columns, where nobody knows how many there are."""
_SHOWN: Final = 400
"""Characters of the answers."""


@app.command()
def evaluate_file(
    context: typer.Context,
    evaluation: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="YAML or JSON; .jsonl has a conversation a line (docs/evaluation.example.yaml).",
        ),
    ],
    file: FileOption = None,
    account: AccountOption = None,
    sandbox: SandboxOption = None,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Run each so many times: models vary.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Conversations at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """Run conversations with GPT agents, and check what they say.

    Whether they hand over, and why; what they must and must not say; documents cited, tools called, cost; and by a
    judge, which is a model, whatever can be said in a sentence. Agents, their services and tools are those of
    livedesk ai try: every run costs what its calls cost. Nothing is sent to anybody, and nothing is kept.

    The judge's key is in LIVEDESK_JUDGE_KEY; without one, and at the agent's own service, it is the agent's.

    Exits with 0 when all is as expected, with 1 when anything is not, with 2 when the file can't be used.
    """
    settings = context.ensure_object(Settings)
    try:
        planned = _planned(settings, evaluation, file, account, sandbox)
    except LiveDeskError as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        console.print(error.message, style="red")
        if error.hint:
            console.print(error.hint)
        raise typer.Exit(2) from None
    with quiet(), open_services(tool_urls(settings, sandbox), limit=2 * concurrency) as services:
        try:
            running = evaluate(
                planned, services, partial(_advice, file, evaluation), repeat=repeat, concurrency=concurrency
            )
            outcomes = _in_order(planned, _tracked(running, repeat * len(planned)))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(orjson.dumps(_as_json(outcomes), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(outcomes, is_repeated=repeat > 1)
    if any(one.failures for one in outcomes):
        raise typer.Exit(1)


def _planned(
    settings: Settings, path: Path, file: Path | None, account: str | None, sandbox: str | None
) -> list[Planned]:
    evaluation = load_evaluation(path)

    def documents(paths: Sequence[str]) -> Sequence[DocumentSaved]:
        found = [path.parent / one for one in paths]
        missing = [str(one) for one in found if not one.exists()]
        if missing:
            raise LiveDeskError(f"there is no {', '.join(missing)}")
        return read_documents(documents_in(found))

    found = installed(settings, file, account)
    return plan(path, evaluation, found, documents, sandbox, os.environ.get(JUDGE_KEY))


def _advice(file: Path | None, evaluation: Path, tried: Tried, agent: GptAgent, *, is_judge: bool) -> str:
    where = f"judge in {evaluation}" if is_judge else mended(file, agent)
    return advice(tried, agent, where, JUDGE_KEY if is_judge else KEY)


def _tracked(running: Iterable[Outcome], total: int) -> Iterable[Outcome]:
    console = Console(stderr=True)
    return track(running, "Talking", total=total, console=console, transient=True, disable=not sys.stderr.isatty())


def _in_order(planned: Sequence[Planned], outcomes: Iterable[Outcome]) -> list[Outcome]:
    order = {one.conversation.name: place for place, one in enumerate(planned)}
    return sorted(outcomes, key=lambda one: (order[one.name], one.run))


def _show(outcomes: Sequence[Outcome], *, is_repeated: bool) -> None:
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(show_lines=True)
    for column, ratio in (("conversation", 3), ("", None), ("what failed", 4), ("answers", 5)):
        table.add_column(column, ratio=ratio, overflow="fold")
    for column in ("tokens", "cost", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in outcomes:
        name = f"{one.name} ({one.run})" if is_repeated else one.name
        verdict = Text("failed", "red") if one.failures else Text("passed", "green")
        answers = " / ".join(text for who, text in one.said if who == "assistant")
        over = f" [handed over: {one.handed_over}]" if one.handed_over else ""
        figures = (str(one.tokens), _cost(one.cost_micros), f"{one.seconds:.1f}")
        table.add_row(
            *(_cell(name), verdict, _cell("\n".join(one.failures)), _cell(short(answers, _SHOWN) + over)), *figures
        )
    console.print(table)
    console.print(_summary(outcomes))


def _cell(text: str) -> Text:
    return Text(plain(text))


def _summary(outcomes: Sequence[Outcome]) -> str:
    failed = sum(bool(one.failures) for one in outcomes)
    tokens, micros = sum(one.tokens for one in outcomes), sum(one.cost_micros for one in outcomes)
    spent = f"{tokens} tokens, cost {_cost(micros)}, {sum(one.seconds for one in outcomes):.1f} s"
    return f"{len(outcomes) - failed} passed, {failed} failed; {spent}"


def _cost(micros: int) -> str:
    return f"{micros / 1_000_000:.6f}"


def _as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "passed": sum(not one.failures for one in outcomes),
        "failed": sum(bool(one.failures) for one in outcomes),
        "tokens": sum(one.tokens for one in outcomes),
        "cost": sum(one.cost_micros for one in outcomes) / 1_000_000,
        "conversations": [_outcome_as_json(one) for one in outcomes],
    }


def _outcome_as_json(one: Outcome) -> dict[str, object]:
    data = asdict(one)
    data["cost"] = data.pop("cost_micros") / 1_000_000
    data["said"] = [{"who": who, "text": text} for who, text in one.said]
    data["verdicts"] = [verdict.model_dump() for verdict in one.verdicts]
    return {"passed": not one.failures, **data}
