"""`livedesk dead-letters`: what could not be processed; shown, and given back."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console

from deploy.dead_letters import Letter, Letters, Return, Selection, newest_revisions, plan, read_letters, returning
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.settings import Settings
from schemas.record import format_time

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Records that could not be processed: list, show, replay.",
)

StageOption = Annotated[str | None, typer.Option("--stage", help="Only those of this stage.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those with this reason: failed, parked, …")]
KeyOption = Annotated[str | None, typer.Option("--key", help="Only those of this key.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    stage: StageOption = None,
    reason: ReasonOption = None,
    key: KeyOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Show this many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON, one per line.")] = False,
) -> None:
    """List dead letters, and which of them were replayed. Bodies are not shown."""
    settings = context.ensure_object(Settings)
    found = asyncio.run(_read(settings)).matching(Selection((), stage, reason, key))
    found.sort(key=lambda letter: letter.record.time)
    if as_json:
        for letter in found[-limit:]:
            typer.echo(orjson.dumps(_summary(letter)).decode())
        return
    print_letters(Console(highlight=False, soft_wrap=True), found, limit)


def print_letters(console: Console, found: Sequence[Letter], limit: int) -> None:
    """Two lines for each of the last `limit` letters: an id is never broken, whatever the width."""
    for letter in found[-limit:]:
        replayed = "  replayed" if letter.replayed else ""
        console.print(f"{letter.id}  {format_time(letter.record.time)}{replayed}", style="bold", markup=False)
        event = letter.event
        detail = f": {event.detail}" if event.detail else ""
        console.print(f"    {event.stage}, key {letter.key}: {event.reason}{detail}", markup=False)
    if len(found) > limit:
        console.print(f"These are the newest {limit}; more with --limit.")
    console.print(f"{len(found)} dead letters, {sum(not letter.replayed for letter in found)} of them not replayed.")


@app.command("show")
def show_letter(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print only what was read, byte for byte.")] = False,
) -> None:
    """Show one dead letter whole. It may hold a customer's words."""
    letter = asyncio.run(_read(context.ensure_object(Settings))).get(id)
    if raw:
        typer.echo(letter.body, nl=False)
        return
    for name, value in {**_summary(letter), "headers": letter.event.headers}.items():
        typer.echo(f"{name:<10} {value if isinstance(value, str) else orjson.dumps(value).decode()}")
    try:
        body = orjson.dumps(orjson.loads(letter.body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        body = letter.body.decode(errors="replace")
    typer.echo(f"\n{body}")


@app.command("replay")
def replay_letters(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings.", show_default=False)] = None,
    stage: StageOption = None,
    reason: ReasonOption = None,
    key: KeyOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Unpark keys even if more of their records are parked in the meantime.")
    ] = False,
) -> None:
    """Write dead letters back to the topic they were read from.

    Name them, or choose all of a stage, reason or key. Only the stage that could not process a record takes it again.
    It is processed as of its own time, and becomes a dead letter again if it fails again. What intake refused is
    processed with the channel's newest settings.

    The letters of a key go back in the order in which they first came in, after a command that unparks the key. If
    another record of the key is parked in the meantime, the command has no effect, so that no record overtakes
    another: the key stays parked, its letters are listed as not replayed, and you can repeat this. For a key so busy
    that this always happens use --force: what is parked in the meantime is then left over, and is processed after newer
    records when it is replayed.
    """
    if not (ids or stage or reason or key):
        raise LiveDeskError("Nothing chosen.", "Name ids, or use --stage, --reason or --key.")
    settings = context.ensure_object(Settings)
    selection = Selection(tuple(ids or ()), stage, reason, key)
    asyncio.run(_dry_run(settings, selection) if dry_run else _replay(settings, selection, force=force, ask=not yes))


async def _read(settings: Settings) -> Letters:
    async with committed_reader(settings.kafka) as reader:
        return await read_letters(reader, settings.topic_prefix)


async def _plan(settings: Settings, selection: Selection, *, force: bool = False) -> list[Return]:
    async with committed_reader(settings.kafka) as reader:
        letters = await read_letters(reader, settings.topic_prefix)
        revisions = await newest_revisions(reader, settings.topic_prefix)
    return plan(letters, letters.chosen(selection), revisions=revisions, force=force)


async def _dry_run(settings: Settings, selection: Selection) -> None:
    _show(await _plan(settings, selection))


async def _replay(settings: Settings, selection: Selection, *, force: bool, ask: bool) -> None:
    async with returning(settings.kafka, settings.topic_prefix) as write_back:
        returns = await _plan(settings, selection, force=force)
        _show(returns)
        if not returns or (ask and not typer.confirm("Write them back?")):
            return
        await write_back(returns)
    typer.echo("Written.")


def _show(returns: Sequence[Return]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for one in returns:
        records = sum(message is not None for _, message in one.records)
        line = f"{one.stage.name}, key {one.key}: {records} records back to {one.stage.input.name}"
        if one.unpark is not None:
            line += ", and the key unparked"
        console.print(line, markup=False)
        if one.left:
            console.print(
                f"  {one.left} others of the key are left behind: newer records go before them", style="yellow"
            )
        for letter in one.unreadable:
            console.print(f"  {letter.id} is left: this version can't decode it either", style="yellow")
    if not returns:
        console.print("Nothing to replay.")


def _summary(letter: Letter) -> dict[str, object]:
    event = letter.event
    return {
        "id": letter.id,
        "time": format_time(letter.record.time),
        "stage": event.stage,
        "reason": event.reason,
        "detail": event.detail,
        "key": letter.key,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "replayed": letter.replayed,
    }
