"""`livedesk agent`: an account's human agents, over the control API."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.api_client import DEFAULT_API, Api, ApiOption, Json, JsonOption, TokenFileOption, show
from deploy.errors import LiveDeskError
from deploy.settings import Settings

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Human agents: list, save, delete.",
)

AgentArgument = Annotated[str, typer.Argument(help="The agent's id.")]
AccountOption = Annotated[str, typer.Option(help="The account that they belong to.")]


@app.command("list")
def list_agents(
    context: typer.Context,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List an account's agents."""
    answer = Api(context.ensure_object(Settings), api, token_file).call("GET", f"/v1/accounts/{account}/agents")
    if as_json:
        show(answer, as_json=True, text="")
        return
    table = Table("id", "name", "workload", "teams", box=None, pad_edge=False)
    for one in answer["agents"]:
        workload = "no limit" if one["workload"] is None else str(one["workload"])
        table.add_row(one["id"], one["name"], workload, ", ".join(one["teams"]))
    Console(soft_wrap=True, highlight=False).print(table)


@app.command()
def save(
    context: typer.Context,
    agent: AgentArgument,
    name: Annotated[str, typer.Option(help="What people call them; left out, the id.")] = "",
    workload: Annotated[
        str, typer.Option(help="Open conversations at most: a number, none (no limit), or default (the channel's).")
    ] = "default",
    team: Annotated[list[str] | None, typer.Option(help="A team that they are in; may be repeated.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="A channel to become a member of; may be repeated.")] = None,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add or replace an agent."""
    client = Api(context.ensure_object(Settings), api, token_file)
    form: Json = {"name": name, "workload": _workload(workload), "teams": team or []}
    answer = client.call("PUT", f"/v1/accounts/{account}/agents/{agent}", form)
    for one in channel or ():
        client.call("PUT", f"/v1/channels/{one}/agents/{agent}")
    show(answer, as_json=as_json, text=f"{agent} is saved.")


@app.command()
def delete(
    context: typer.Context,
    agent: AgentArgument,
    account: AccountOption = "main",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
) -> None:
    """Delete an agent, who leaves every channel.

    Their open conversations are queued again.
    """
    if not yes and not typer.confirm(f"Delete {agent}? Their open conversations are given to others."):
        raise typer.Exit(1)
    Api(context.ensure_object(Settings), api, token_file).call("DELETE", f"/v1/accounts/{account}/agents/{agent}")
    typer.echo(f"{agent} is deleted.")


@app.command()
def presence(
    context: typer.Context,
    agent: AgentArgument,
    state: Annotated[str, typer.Argument(help="online, busy, idle or offline.")],
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
) -> None:
    """Set whether an agent is there."""
    client = Api(context.ensure_object(Settings), api, token_file)
    client.call("PUT", f"/v1/accounts/{account}/agents/{agent}/presence", {"state": state})
    typer.echo(f"{agent} is {state}.")


def _workload(text: str) -> int | str | None:
    if text in ("default", "none"):
        return None if text == "none" else text
    if not text.isascii() or not text.isdigit():
        raise LiveDeskError(f"--workload {text!r} is no number.", "Give a number, none or default.")
    return int(text)
