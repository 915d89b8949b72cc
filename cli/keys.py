"""`livedesk keys`: replacing the installation's key."""

import asyncio

import typer
from cryptography.fernet import Fernet

from deploy.keys import retire, rotate
from deploy.secrets import KEY_FILE
from deploy.settings import Settings

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The installation's key: replace it while everything runs."""


@app.command("rotate")
def _rotate(context: typer.Context) -> None:
    """Add a new key, and encrypt with it what is stored.

    Processes of the same LIVEDESK_DATA_DIR know it within a second. Webhook addresses, tokens, users and sessions stay.
    The old key still counts until livedesk keys retire. If it is interrupted, repeat it.

    With LIVEDESK_SECRET_KEY you add the key: NEW,OLD.
    """
    settings = context.ensure_object(Settings)
    number = asyncio.run(rotate(settings))
    typer.echo(f"{number} records were encrypted with the new key.")
    typer.echo("Links to files that were sent, signed with the old one, count for a day. Then: livedesk keys retire")
    if settings.secret_key is None:
        typer.echo(f"Keep a copy of {settings.data_dir / KEY_FILE}.")


@app.command("retire")
def _retire(context: typer.Context) -> None:
    """Take the old key out, when nothing that is stored needs it."""
    settings = context.ensure_object(Settings)
    if not asyncio.run(retire(settings)):
        typer.echo("There is but one key.")
    elif settings.secret_key is None:
        typer.echo("The old key is gone.")
    else:
        typer.echo("Nothing needs the old key: take it out of LIVEDESK_SECRET_KEY, for every process.")


@app.command("new")
def _new() -> None:
    """Print a new key, for LIVEDESK_SECRET_KEY."""
    typer.echo(Fernet.generate_key().decode())
