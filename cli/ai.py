"""`livedesk ai`: AI agents of an account, over the control API."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup
from typer.main import get_command

from cli.api_client import DEFAULT_API, Api, ApiOption, Json, JsonOption, TokenFileOption, show
from cli.forms import as_yaml, asked, edited, secret_of, settings_of
from deploy.errors import LiveDeskError
from deploy.settings import Settings

_APART: Final = ("try", "evaluate")


class Commands(TyperGroup):
    """Imports what calls models (the `app` of `cli.ai_{command}`) only when it is used: it takes a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See click."""
        return [*super().list_commands(ctx), *_APART]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See click."""
        if cmd_name not in _APART:
            return super().get_command(ctx, cmd_name)
        command = get_command(import_module(f"cli.ai_{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="AI agents: settings, talks in the terminal, evaluations.",
)
agent_app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="AI agents: create, show, change.\n\nA channel lists the ids of those that serve it (ai.agents). The key "
    "comes from a prompt, a file (--key-file), or LIVEDESK_AI_KEY: never from an argument, which others could read.",
)
app.add_typer(agent_app, name="agent")

KEY: Final = "LIVEDESK_AI_KEY"
_SHOWN_ONLY: Final = ("id", "kind", "revision", "has_key")

AgentArgument = Annotated[str, typer.Argument(help="The AI agent's id.")]
AccountOption = Annotated[str, typer.Option(help="The account that it belongs to.")]
FileOption = Annotated[
    Path | None,
    typer.Option(exists=True, help="YAML or JSON with settings, such as tools and hand_over; an option wins over it."),
]
KeyFileOption = Annotated[Path | None, typer.Option(exists=True, help="A file that holds the service's key.")]
NameOption = Annotated[str | None, typer.Option(help="What people call it.")]
ModelOption = Annotated[str | None, typer.Option(help="The model's name at the service.")]
BaseUrlOption = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible service, with its /v1. Default: https://api.openai.com/v1.")
]
UrlOption = Annotated[str | None, typer.Option(help="Of kind http: the AI agent's address.")]
InstructionsOption = Annotated[str | None, typer.Option(help="What it is to do, and how.")]
ToneOption = Annotated[str | None, typer.Option(help="Such as: friendly and short.")]
LanguageOption = Annotated[str | None, typer.Option(help="Default: the customer's.")]
KnowledgeOption = Annotated[list[str] | None, typer.Option(help="A collection of documents; may be repeated.")]
GroundedOption = Annotated[
    bool | None, typer.Option("--grounded/--not-grounded", help="Answer only by its knowledge.", show_default=False)
]
PriceInOption = Annotated[str | None, typer.Option(help="Of a million tokens that go in.")]
PriceOutOption = Annotated[str | None, typer.Option(help="Of a million tokens that come out.")]


@agent_app.command()
def create(
    context: typer.Context,
    id: Annotated[str | None, typer.Option(help="Its id: letters, digits, '.', '_' and '-'.")] = None,
    kind: Annotated[str | None, typer.Option(help="gpt, or http: a service of yours.")] = None,
    name: NameOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    url: UrlOption = None,
    instructions: InstructionsOption = None,
    tone: ToneOption = None,
    language: LanguageOption = None,
    knowledge: KnowledgeOption = None,
    grounded: GroundedOption = None,
    price_in: PriceInOption = None,
    price_out: PriceOutOption = None,
    file: FileOption = None,
    key_file: KeyFileOption = None,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an AI agent.

    What is missing is asked for.
    """
    client = Api(context.ensure_object(Settings), api, token_file)
    form = {} if file is None else settings_of(file)
    form |= _given(id=id, kind=kind, name=name, model=model, base_url=base_url, url=url, instructions=instructions)
    form |= _given(tone=tone, language=language, knowledge=knowledge, grounded=grounded)
    form |= _given(price_in=price_in, price_out=price_out)
    form.setdefault("kind", "http" if "url" in form else "gpt")
    form["id"] = asked("id", form.get("id"), "Id", "--id")
    needed, says = ("url", "Address") if form["kind"] == "http" else ("model", "Model, such as gpt-4o-mini")
    form[needed] = asked(needed, form.get(needed), says, f"--{needed}")
    key = _key(key_file)
    if key is None and "api_key" not in form and sys.stdin.isatty():
        key = asked("key", None, "Key (empty: none)", "--key-file", hidden=True, default="")
    answer = client.call("POST", _path(account), form | ({"api_key": key} if key else {}))
    id = answer["agent"]["id"]
    show(answer, as_json=as_json, text=f"{id} is there. Try it: livedesk ai agent test {id}")


@agent_app.command("list")
def list_agents(
    context: typer.Context,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the AI agents."""
    answer = Api(context.ensure_object(Settings), api, token_file).call("GET", _path(account))
    if as_json:
        show(answer, as_json=True, text="")
        return
    table = Table("id", "name", "kind", "model or address", "key", "revision", box=None, pad_edge=False)
    for one in answer["agents"]:
        service = one.get("model") or one.get("url") or ""
        key = "set" if one["has_key"] else "none"
        table.add_row(one["id"], one["name"], one["kind"], service, key, str(one["revision"]))
    Console(soft_wrap=True, highlight=False).print(table)


@agent_app.command("show")
def show_agent(
    context: typer.Context,
    agent: AgentArgument,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show settings, and the channels that list it.

    Its key and its tools' headers are never shown.
    """
    answer = Api(context.ensure_object(Settings), api, token_file).call("GET", _path(account, agent))
    show(answer, as_json=as_json, text=as_yaml({**answer["agent"], "channels": answer["channels"]}))


@agent_app.command()
def edit(
    context: typer.Context,
    agent: AgentArgument,
    name: NameOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    url: UrlOption = None,
    instructions: InstructionsOption = None,
    tone: ToneOption = None,
    language: LanguageOption = None,
    knowledge: KnowledgeOption = None,
    grounded: GroundedOption = None,
    price_in: PriceInOption = None,
    price_out: PriceOutOption = None,
    file: FileOption = None,
    key_file: KeyFileOption = None,
    new_key: Annotated[bool, typer.Option("--new-key", help=f"Replace the key: by {KEY}, or asked for.")] = False,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change settings by options, a file, or an editor.

    The editor opens where there is neither.
    """
    client = Api(context.ensure_object(Settings), api, token_file)
    changes = {} if file is None else settings_of(file)
    changes |= _given(name=name, model=model, base_url=base_url, url=url, instructions=instructions, tone=tone)
    changes |= _given(language=language, knowledge=knowledge, grounded=grounded)
    changes |= _given(price_in=price_in, price_out=price_out)
    if key_file is not None or new_key:
        given = _key(key_file) or asked(
            "key", None, "Key (empty: none)", f"{KEY} or --key-file", hidden=True, default=""
        )
        changes["api_key"] = given or None
    elif file is None and not changes:
        changes = edited(client.call("GET", _path(account, agent))["agent"], _SHOWN_ONLY)
    if not changes:
        typer.echo("Nothing changed.")
        return
    answer = client.call("PATCH", _path(account, agent), changes)
    show(answer, as_json=as_json, text=f"{agent} is at revision {answer['agent']['revision']}.")


@agent_app.command("test")
def try_agent(
    context: typer.Context,
    agent: AgentArgument,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try its address, key and model.

    A GPT agent's model is asked for one word.
    """
    answer = Api(context.ensure_object(Settings), api, token_file).call("POST", f"{_path(account, agent)}/test")
    show(answer, as_json=as_json, text=answer["message"])


@agent_app.command()
def delete(
    context: typer.Context,
    agent: AgentArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
) -> None:
    """Delete an AI agent that no channel lists."""
    if not yes and not typer.confirm(f"Delete {agent}?"):
        raise typer.Exit(1)
    Api(context.ensure_object(Settings), api, token_file).call("DELETE", _path(account, agent))
    typer.echo(f"{agent} is deleted.")


def _path(account: str, agent: str | None = None) -> str:
    return f"/v1/accounts/{account}/ai-agents" + ("" if agent is None else f"/{agent}")


def _given(**settings: Any) -> Json:
    return {name: value for name, value in settings.items() if value is not None}


def _key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(KEY) or None
    key = secret_of(file, "the key")
    if not key:
        raise LiveDeskError(f"The file {file} is empty.")
    return key
