"""`livedesk token`: API tokens, made by whoever has Kafka and the installation's key."""

from datetime import timedelta
from typing import Annotated

import orjson
import typer

from cli.grants import (
    AccountOption,
    AgentOption,
    ChannelOption,
    JsonOption,
    RoleOption,
    described,
    grant_of,
    with_access,
)
from deploy.access import Access, terminal
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from desk.access.audit import shown
from desk.access.writer import UnknownToken
from schemas.events.access import TokenSaved
from schemas.record import format_time
from streams.clock import wall_clock

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="API tokens: create, list, revoke. They are written to Kafka, so no process of the pipeline needs to run.",
)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: RoleOption,
    account: AccountOption = None,
    channel: ChannelOption = None,
    agent: AgentOption = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How many days it counts; else until revoked.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a token and print it, this once: only its hash is kept."""
    grant = grant_of(role, account, channel, agent)
    expires_at = None if days is None else wall_clock() + timedelta(days=days)

    async def work(access: Access) -> tuple[TokenSaved, str]:
        return await access.writer.create_token(terminal(), name, grant, expires_at)

    saved, secret = with_access(context.ensure_object(Settings), work)
    typer.echo(orjson.dumps({"token": shown(saved), "secret": secret}).decode() if as_json else secret)


@app.command("list")
def list_tokens(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the tokens that were not revoked."""

    async def work(access: Access) -> list[TokenSaved]:
        return access.directory.tokens()

    tokens = with_access(context.ensure_object(Settings), work)
    if as_json:
        typer.echo(orjson.dumps({"tokens": [shown(token) for token in tokens]}).decode())
        return
    for token in tokens:
        until = "" if token.expires_at is None else f", until {format_time(token.expires_at)}"
        typer.echo(f"{token.id}  {token.name}: {described(token.grant)}{until}")


@app.command()
def revoke(context: typer.Context, id: Annotated[str, typer.Argument(help="The token's id.")]) -> None:
    """Make a token count no more."""

    async def work(access: Access) -> None:
        try:
            await access.writer.revoke_token(terminal(), id)
        except UnknownToken:
            raise LiveDeskError(f"There is no token {id}.", "Their ids: livedesk token list") from None

    with_access(context.ensure_object(Settings), work)
    typer.echo(f"revoked {id}")
