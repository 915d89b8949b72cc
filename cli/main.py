"""The `livedesk` command: what it is composed of, and how it reports errors."""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Never

import typer
from rich.console import Console

from cli import broker, dead_letters, explain, reports, scenario, topics
from cli.demo import demo
from cli.ingress import ingress
from cli.replay import replay
from cli.sandbox import sandbox
from cli.up import up
from cli.worker import worker
from deploy.errors import LiveDeskError
from deploy.folders import folder_error
from deploy.processes.logs import quiet_expected_states
from deploy.settings import load_settings

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="The event pipeline behind a LiveDesk WhatsApp channel: callbacks in, conversations and greetings out. "
    "Settings come from the environment: KAFKA_BOOTSTRAP_SERVERS and LIVEDESK_*.",
)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.add_typer(scenario.app, name="scenario")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(explain.app, name="explain")
app.add_typer(reports.app, name="reports")
app.command()(up)
app.command()(demo)
app.command()(ingress)
app.command()(worker)
app.command()(replay)
app.command()(sandbox)


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
