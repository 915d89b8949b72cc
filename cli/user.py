"""`livedesk user`: people who sign in, made by whoever has Kafka and the installation's key."""

import sys
from pathlib import Path
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
from desk.access.directory import checked_login
from desk.access.passwords import Passwords, why_not
from desk.access.writer import LoginTaken, UserFields
from schemas.events.access import UserSaved

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="People who sign in: create, list, disable, set a password. They are written to Kafka, so no process of the "
    "pipeline needs to run. A password comes from a prompt or a file, never from an argument, which others could read.",
)

LoginArgument = Annotated[str, typer.Argument(help="Their email address.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", help="A file with the password, - for standard input; else it is asked for."),
]


@app.command()
def create(
    context: typer.Context,
    login: LoginArgument,
    role: RoleOption,
    name: Annotated[str | None, typer.Option(help="What people call them; else their login.")] = None,
    account: AccountOption = None,
    channel: ChannelOption = None,
    agent: AgentOption = None,
    password_file: PasswordFileOption = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="They sign in at the OIDC provider only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a user, who may sign in at once."""
    grant = grant_of(role, account, channel, agent)
    try:
        checked_login(login)
    except ValueError as error:
        raise LiveDeskError(f"The login {error}.") from None
    password = None if no_password else _password(password_file, login, name or "")

    async def work(access: Access) -> UserSaved:
        kept = None if password is None else await Passwords().hash(password)
        try:
            return await access.writer.create_user(terminal(), login, UserFields(name=name, grant=grant, password=kept))
        except LoginTaken:
            raise LiveDeskError(f"There is a user {login} already.") from None

    saved = with_access(context.ensure_object(Settings), work)
    typer.echo(orjson.dumps({"user": shown(saved)}).decode() if as_json else f"created {saved.login}")


@app.command("list")
def list_users(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the users."""

    async def work(access: Access) -> list[UserSaved]:
        return access.directory.users()

    users = with_access(context.ensure_object(Settings), work)
    if as_json:
        typer.echo(orjson.dumps({"users": [shown(user) for user in users]}).decode())
        return
    for user in users:
        typer.echo(f"{user.login}  {user.name}: {described(user.grant)}; {_signs_in_with(user)}")


@app.command()
def disable(context: typer.Context, login: LoginArgument) -> None:
    """Let a user in no more, and end their sessions."""
    _change(context, login, UserFields(disabled=True))
    typer.echo(f"disabled {login}")


@app.command()
def enable(context: typer.Context, login: LoginArgument) -> None:
    """Let a user in again who was disabled."""
    _change(context, login, UserFields(disabled=False))
    typer.echo(f"enabled {login}")


@app.command()
def password(
    context: typer.Context,
    login: LoginArgument,
    password_file: PasswordFileOption = None,
    remove_second_factor: Annotated[
        bool, typer.Option("--remove-second-factor", help="They have lost it, and their recovery codes.")
    ] = False,
) -> None:
    """Set a user's password, and end their sessions."""
    new = _password(password_file, login, "")
    _change(context, login, UserFields(second_factor_removed=remove_second_factor), new)
    typer.echo(f"changed {login}")


def _change(context: typer.Context, login: str, fields: UserFields, new_password: str | None = None) -> None:
    async def work(access: Access) -> None:
        user = access.directory.user_by_login(login)
        if user is None:
            raise LiveDeskError(f"There is no user {login}.", "Their logins: livedesk user list")
        kept = None if new_password is None else await Passwords().hash(new_password)
        changed = UserFields(
            disabled=fields.disabled, password=kept, second_factor_removed=fields.second_factor_removed
        )
        await access.writer.change_user(terminal(), user.id, changed)

    with_access(context.ensure_object(Settings), work)


def _password(file: Path | None, login: str, name: str) -> str:
    """Whoever is asked must be at a terminal. Raises LiveDeskError: nobody may choose it."""
    if file is None:
        given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LiveDeskError(f"The password file {file} can't be read: {type(error).__name__}.") from None
        given = text.removesuffix("\n").removesuffix("\r")
    reason = why_not(given, (login, name))
    if reason is not None:
        raise LiveDeskError(f"The password {reason}.")
    return given


def _signs_in_with(user: UserSaved) -> str:
    ways = {"a password": user.password, "a second factor": user.second_factor, "OIDC": user.subject}
    found = "signs in with " + (", ".join(way for way, kept in ways.items() if kept is not None) or "nothing")
    return f"disabled, {found}" if user.disabled else found
