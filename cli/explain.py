"""`livedesk explain`: why the pipeline did what it did, as a person would say it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console

from deploy.errors import LiveDeskError
from deploy.explanations import Decided, decisions, headline, read_assignments, reasons
from deploy.kafka.committed import committed_reader
from deploy.settings import Settings
from schemas.record import Record

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Why a conversation was assigned as it was."""


@app.command("assignment")
def explain_assignment(
    context: typer.Context,
    conversation: Annotated[
        str, typer.Argument(help="The conversation's id, or CHANNEL:CONTACT for the contact's latest.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the decisions as JSON, one per line.")] = False,
) -> None:
    """Show why a conversation was assigned as it was, or why it waits.

    Each automatic decision is shown, the newest last; what a person assigned is not among them. Decisions are kept for
    30 days.
    """
    settings = context.ensure_object(Settings)
    found = decisions(asyncio.run(_read(settings)), conversation)
    if not found:
        raise LiveDeskError(
            f"There is no decision about {conversation}.",
            "It may not be decided yet, be assigned by a person, or be older than 30 days.",
        )
    if as_json:
        for decided in found:
            typer.echo(orjson.dumps(_as_data(decided)).decode())
    else:
        _print(Console(highlight=False, soft_wrap=True), found)


async def _read(settings: Settings) -> list[Record]:
    async with committed_reader(settings.kafka) as reader:
        return await read_assignments(reader, settings.topic_prefix)


def _as_data(decided: Decided) -> dict[str, object]:
    assignee = None if decided.assignee is None else decided.assignee.model_dump()
    return {**decided._asdict(), "assignee": assignee}


# --- in words ------------------------------------------------------------------------------------------------------


def _print(console: Console, found: Sequence[Decided]) -> None:
    console.print(f"Conversation {found[0].conversation} of channel {found[0].channel}", style="bold", markup=False)
    for decided in found:
        console.print()
        style = "yellow" if decided.assignee is None or decided.refused else "green"
        console.print(f"{decided.time}  {headline(decided)}", style=style, markup=False)
        for line in reasons(decided.explanation):
            console.print(f"  {line}", markup=False)
