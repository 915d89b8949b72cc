"""The `livedesk` command: what it is composed of, and how it reports errors."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final, Never

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command

from deploy.errors import LiveDeskError
from deploy.folders import folder_error
from deploy.processes.logs import quiet_expected_states
from deploy.settings import load_settings

COMMANDS: Final = (
    "broker",
    "topics",
    "scenario",
    "dead-letters",
    "channel",
    "agent",
    "ai",
    "hours",
    "knowledge",
    "token",
    "user",
    "keys",
    "explain",
    "reports",
    "up",
    "demo",
    "ingress",
    "worker",
    "spool",
    "desk",
    "replay",
    "sandbox",
)


class Commands(TyperGroup):
    """Imports a command (the `app` of `cli.{command}`) only when it is used: together they take a second."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        command = get_command(import_module(f"cli.{cmd_name.replace('-', '_')}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="The event pipeline behind a LiveDesk WhatsApp channel: callbacks in, conversations and greetings out. "
    "Settings come from the environment: KAFKA_BOOTSTRAP_SERVERS and LIVEDESK_*.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"livedesk {version('livedesk')}")
        except PackageNotFoundError:
            typer.echo("livedesk (not installed)")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    quiet_expected_states()
    context.obj = load_settings()


def main() -> None:
    """Entry point. What the user can put right is printed in red, without a traceback; exit code 1."""
    try:
        app()
    except LiveDeskError as error:
        _fail(error)
    except OSError as error:
        explained = folder_error(error, load_settings())
        if explained is None:
            raise
        _fail(explained)


def _fail(error: LiveDeskError) -> Never:
    console = Console(stderr=True)
    console.print(error.message, style="red", markup=False, highlight=False, soft_wrap=True)
    if error.hint:
        console.print(error.hint, markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
