"""`livedesk channel`: create channels, show and change them, over the control API."""

import os
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table

from cli.api_client import DEFAULT_API, Api, ApiOption, Json, JsonOption, TokenFileOption, show
from cli.forms import as_yaml, asked, edited, secret_of, settings_of
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from schemas.settings.credentials import NEEDS, SECRETS, ProviderName

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Channels: create, show, change.\n\nSecrets come from a prompt, from a file (--secret-file), or from "
    "LIVEDESK_CHANNEL_<FIELD>, such as LIVEDESK_CHANNEL_AUTH_TOKEN: never from an argument, which others could read.",
)

ChannelArgument = Annotated[str, typer.Argument(help="The channel's id.")]
SecretFileOption = Annotated[
    list[str] | None,
    typer.Option("--secret-file", metavar="FIELD=PATH", help="A file that holds a secret, such as auth_token=t.txt."),
]
NoCheckOption = Annotated[bool, typer.Option("--no-check", help="Save without trying the credentials.")]
_SECRET = (*SECRETS, "dev_key")
PROVIDER_NAMES = ", ".join(get_args(ProviderName))


@app.command()
def create(
    context: typer.Context,
    id: Annotated[str | None, typer.Option(help="Its id; left out: LiveDesk gives it one.")] = None,
    provider: Annotated[str | None, typer.Option(help=f"One of {PROVIDER_NAMES}.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    number: Annotated[str | None, typer.Option(help="Its phone number, with the country code.")] = None,
    business_account_id: Annotated[str | None, typer.Option(help="The WhatsApp business account.")] = None,
    account: Annotated[str, typer.Option(help="The account that it belongs to.")] = "main",
    agent: Annotated[list[str] | None, typer.Option(help="A human agent's id; may be repeated.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="A credential that is no secret, such as phone_number_id=1055."),
    ] = None,
    secret_file: SecretFileOption = None,
    no_check: NoCheckOption = False,
    subscribe: Annotated[bool, typer.Option(help="WhatsApp Cloud: have the account's callbacks sent here.")] = False,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a channel, once its credentials work.

    What is missing is asked for.
    """
    client = Api(context.ensure_object(Settings), api, token_file)
    form: Json = {"account": account}
    chosen = _asked("provider", provider, f"Provider ({PROVIDER_NAMES})")
    if chosen not in get_args(ProviderName):
        raise LiveDeskError(f"There is no provider {chosen!r}.", f"Choose one of {PROVIDER_NAMES}.")
    form |= {"provider": chosen, "name": _asked("name", name, "Name")} | ({} if id is None else {"id": id})
    form["phone_number"] = _asked("number", number, "Phone number, with the country code")
    if business_account_id is not None:
        form["business_account_id"] = business_account_id
    form["human_agents"] = agent or []
    form |= _pairs(field, "--field")
    given = {**_from_environment(chosen), **_from_files(secret_file)}
    for needed in NEEDS[chosen].together:  # type: ignore[index] # checked above
        if needed not in form and needed not in given:
            given[needed] = _asked(needed, None, needed, hidden=needed in _SECRET)
    answer = client.call(
        "POST",
        "/v1/channels",
        form | given,
        check="false" if no_check else "true",
        subscribe="true" if subscribe else "false",
    )
    show(answer, as_json=as_json, text=_set_up(answer))


@app.command("list")
def list_channels(
    context: typer.Context,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the channels."""
    answer = Api(context.ensure_object(Settings), api, token_file).call("GET", "/v1/channels")
    if as_json:
        show(answer, as_json=True, text="")
        return
    table = Table("id", "name", "provider", "number", "state", "revision", "agents", box=None, pad_edge=False)
    for one in answer["channels"]:
        agents = str(len(one["human_agents"]))
        table.add_row(
            one["id"], one["name"], one["provider"], one["phone_number"], one["state"], str(one["revision"]), agents
        )
    Console(soft_wrap=True, highlight=False).print(table)


@app.command("show")
def show_channel(
    context: typer.Context,
    channel: ChannelArgument,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show settings and webhook address.

    Secrets are never shown.
    """
    answer = Api(context.ensure_object(Settings), api, token_file).call("GET", f"/v1/channels/{channel}")
    show(answer, as_json=as_json, text=as_yaml(answer["channel"]))


@app.command()
def edit(
    context: typer.Context,
    channel: ChannelArgument,
    file: Annotated[
        Path | None, typer.Option(help="YAML with the settings to change. Without one an editor opens.", exists=True)
    ] = None,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change settings in an editor, or by a file."""
    client = Api(context.ensure_object(Settings), api, token_file)
    before = client.call("GET", f"/v1/channels/{channel}")["channel"]
    changes = settings_of(file) if file is not None else edited(before, _SHOWN_ONLY)
    if not changes:
        typer.echo("Nothing changed.")
        return
    answer = client.call("PATCH", f"/v1/channels/{channel}/settings", changes)
    show(answer, as_json=as_json, text=f"{channel} is at revision {answer['channel']['revision']}.")


@app.command()
def rotate(
    context: typer.Context,
    channel: ChannelArgument,
    keep_previous: Annotated[bool, typer.Option(help="The address that there was counts as well, for now.")] = False,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the webhook address."""
    client = Api(context.ensure_object(Settings), api, token_file)
    answer = client.call("POST", f"/v1/channels/{channel}/webhook/rotate", {"keep_previous": keep_previous})
    show(answer, as_json=as_json, text=_set_up(answer))


@app.command()
def credentials(
    context: typer.Context,
    channel: ChannelArgument,
    secret_file: SecretFileOption = None,
    field: Annotated[list[str] | None, typer.Option(metavar="FIELD=VALUE", help="One that is no secret.")] = None,
    no_check: NoCheckOption = False,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace credentials, once the new ones work."""
    client = Api(context.ensure_object(Settings), api, token_file)
    provider = client.call("GET", f"/v1/channels/{channel}")["channel"]["provider"]
    given = {**_from_environment(provider), **_from_files(secret_file), **_pairs(field, "--field")}
    if not given:
        needed = [name for name in NEEDS[provider].together if name in _SECRET]
        given = {name: _asked(name, None, name, hidden=True) for name in needed}
    check = "false" if no_check else "true"
    answer = client.call("PUT", f"/v1/channels/{channel}/credentials", given, check=check)
    show(answer, as_json=as_json, text=f"{channel} has new credentials (revision {answer['channel']['revision']}).")


@app.command("test")
def try_credentials(
    context: typer.Context,
    channel: ChannelArgument,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the credentials."""
    client = Api(context.ensure_object(Settings), api, token_file)
    answer = client.call("POST", f"/v1/channels/{channel}/credentials/test")
    show(answer, as_json=as_json, text="\n".join(["The credentials work.", *answer["notes"]]))


@app.command()
def disable(
    context: typer.Context, channel: ChannelArgument, api: ApiOption = DEFAULT_API, token_file: TokenFileOption = None
) -> None:
    """Take no callbacks and no commands."""
    Api(context.ensure_object(Settings), api, token_file).call("POST", f"/v1/channels/{channel}/disable")
    typer.echo(f"{channel} is disabled. livedesk channel enable {channel}")


@app.command()
def enable(
    context: typer.Context, channel: ChannelArgument, api: ApiOption = DEFAULT_API, token_file: TokenFileOption = None
) -> None:
    """Take callbacks and commands again."""
    Api(context.ensure_object(Settings), api, token_file).call("POST", f"/v1/channels/{channel}/enable")
    typer.echo(f"{channel} is enabled.")


@app.command()
def delete(
    context: typer.Context,
    channel: ChannelArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
) -> None:
    """Delete a channel for good.

    Its conversations stay readable; its number is free.
    """
    if not yes and not typer.confirm(f"Delete {channel}? Its webhook address stops at once, and its id is used up."):
        raise typer.Exit(1)
    Api(context.ensure_object(Settings), api, token_file).call("DELETE", f"/v1/channels/{channel}")
    typer.echo(f"{channel} is deleted.")


def _asked(what: str, given: str | None, prompt: str, *, hidden: bool = False) -> str:
    secretly = f"LIVEDESK_CHANNEL_{what.upper()} or --secret-file {what}=PATH"
    return asked(what, given, prompt, secretly if hidden else f"--{what.replace('_', '-')}", hidden=hidden)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    found = {}
    for pair in given or ():
        name, separator, value = pair.partition("=")
        if not separator:
            raise LiveDeskError(f"{option} {pair!r} has no '='.", f"Write {option} NAME=VALUE.")
        if name in _SECRET:
            raise LiveDeskError(f"{name} is a secret: an argument can be read by others.", f"--secret-file {name}=PATH")
        found[name] = value
    return found


def _from_files(given: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in given or ():
        name, separator, path = pair.partition("=")
        if not separator:
            raise LiveDeskError(f"--secret-file {pair!r} has no '='.", "Write --secret-file FIELD=PATH.")
        found[name] = secret_of(path, name)
    return found


def _from_environment(provider: str) -> dict[str, str]:
    names = NEEDS[provider].fields  # type: ignore[index]
    return {name: value for name in names if (value := os.environ.get(f"LIVEDESK_CHANNEL_{name.upper()}"))}


def _set_up(answer: Json) -> str:
    channel, set_up = answer["channel"], answer["set_up"]
    lines = [f"{channel['id']} is at revision {channel['revision']}.", f"webhook    {channel['webhook_url']}"]
    lines += [f"callbacks  {', '.join(set_up['callbacks'])}", *set_up["steps"], *set_up["notes"]]
    return "\n".join(lines)


_SHOWN_ONLY = ("id", "account", "provider", "revision", "state", "credentials", "webhook_url", "webhook_previous")
