"""The `livedesk sandbox` command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import SecretStr, TypeAdapter, ValidationError

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Account, Template
from simulation.sandbox.app import PLAYER, build_app, serve
from simulation.sandbox.customers import script
from simulation.sandbox.providers import Providers
from simulation.sandbox.receipts import Faults
from simulation.sandbox.stand_in import STAND_INS

ACCOUNTS = TypeAdapter(tuple[Account, ...])
NUMBER = 34_600_000_001
"""The sender number of the first account; the others' follow."""


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8900,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    accounts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="YAML or JSON list of accounts: id, provider, its credentials, phone_number, callback_url, templates, "
            "behaviour, enforce_window … Without it there is one account at each provider, whose made-up credentials "
            "are printed.",
        ),
    ] = None,
    callback_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACCOUNT=URL",
            help="Repeatable. Webhook URL of the account's channel. It can be given later: POST /sandbox/accounts.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same receipts, faults and customers.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Repeatable. Probabilities: sent_failed, delivered_failed, delivered_timeout, silence, read, "
            "duplicate, reorder, batch, delay. Seconds: pace, delay_seconds, timeout_seconds.",
        ),
    ] = None,
    receipts: Annotated[bool, typer.Option(help="Send receipts for accepted messages.")] = True,
    redeliver: Annotated[
        bool, typer.Option(help="Repeat callbacks until they are taken, even at providers that don't.")
    ] = False,
    customers: Annotated[int, typer.Option(min=0, help="How many customers write to each account.")] = 0,
    rate: Annotated[float, typer.Option(min=0.001, help="New customers a second.")] = 1.0,
) -> None:
    """Stand in for the providers and for the AI agent.

    It has each provider's API to send, to list templates and to fetch files, sends receipts, with faults on demand, and
    plays customers who write. Its address, http://127.0.0.1:8900, is for LIVEDESK_ENGAGELAB_URL,
    LIVEDESK_WHATSAPP_CLOUD_URL, LIVEDESK_TWILIO_URL, LIVEDESK_TWILIO_CONTENT_URL and LIVEDESK_TWILIO_MESSAGING_URL;
    the AI agent is at /ai, for LIVEDESK_AI_URL. Callbacks are signed as the provider signs them: LIVEDESK_PUBLIC_URL
    must be the address that callback URLs begin with.

    What was sent is at GET /sandbox/log, what was called back at GET /sandbox/callbacks. POST /sandbox/behaviour
    changes how sends are answered, POST /sandbox/ai what the AI agent answers; POST /sandbox/customers/write writes as
    a customer, POST /sandbox/files keeps a file that customers can send.
    """
    known = with_callback_urls(load_accounts(accounts) if accounts else one_of_each(), callback_url or ())
    providers = Providers(known, seed=seed, faults=parse_faults(fault or ()), auto_receipts=receipts)
    shown = [] if accounts else list(map(_credentials, known))
    asyncio.run(_serve(providers, shown, host, port, redeliver=redeliver, customers=customers, rate=rate, seed=seed))


def load_accounts(path: Path) -> tuple[Account, ...]:
    """Read a file of accounts. Raises typer.BadParameter with what is wrong."""
    try:
        found = ACCOUNTS.validate_python(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path}: neither YAML nor JSON: {error}") from error
    except ValidationError as error:
        raise typer.BadParameter(f"{path}: {_problems(error)}") from error
    ids = [account.id for account in found]
    if not ids or len(set(ids)) != len(ids):
        raise typer.BadParameter(f"{path}: needs at least one account, each with an id of its own")
    return found


def one_of_each() -> tuple[Account, ...]:
    """The accounts of a sandbox without a file of accounts: one at each provider, called as the provider is."""
    templates = (Template(name="hello", language="en"), Template(name="csat", language="en"))
    return tuple(
        Account.model_validate(
            {
                **stand_in.make_credentials(stand_in.name),
                "provider": stand_in.name,
                "phone_number": f"+{NUMBER + index}",
                "templates": templates,
            }
        )
        for index, stand_in in enumerate(STAND_INS.values())
    )


def with_callback_urls(accounts: Sequence[Account], given: Sequence[str]) -> tuple[Account, ...]:
    """Read ACCOUNT=URL options. Raises typer.BadParameter."""
    urls = {id: url for id, _, url in (item.partition("=") for item in given)}
    if unknown := sorted(urls.keys() - {account.id for account in accounts}):
        raise typer.BadParameter(f"--callback-url: no account {', '.join(map(repr, unknown))}")
    try:
        return tuple(
            Account.model_validate({**_fields(account), "callback_url": urls.get(account.id, account.callback_url)})
            for account in accounts
        )
    except ValidationError as error:
        raise typer.BadParameter(f"--callback-url: {_problems(error)}") from error


def _fields(account: Account) -> dict[str, object]:
    return {name: getattr(account, name) for name in Account.model_fields}


def _credentials(account: Account) -> str:
    """What a channel needs to use the account. Made up, so no secret."""
    shown = {}
    for name in ("phone_number", "business_account_id", *Credentials.model_fields):
        value = getattr(account, name)
        shown[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "  " + ", ".join(f"{name}: {value}" for name, value in shown.items() if value)


def parse_faults(given: Sequence[str]) -> Faults:
    """Read NAME=NUMBER options. Raises typer.BadParameter."""
    pairs = [item.partition("=") for item in given]
    try:
        return Faults.model_validate({name: value for name, _, value in pairs})
    except ValidationError as error:
        raise typer.BadParameter(f"--fault: {_problems(error)}") from error


async def _serve(
    providers: Providers,
    shown: Sequence[str],
    host: str,
    port: int,
    *,
    redeliver: bool,
    customers: int,
    rate: float,
    seed: int,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = build_app(providers, lambda: datetime.now(UTC), redeliver_on_failure=redeliver)
    async with serve(app, host, port) as url:
        accounts = providers.state.accounts.all()
        typer.echo(f"Sandbox on {url}, {len(accounts)} account(s). Ctrl-C stops it.")
        for line in shown:
            typer.echo(line)
        for account in accounts if customers else ():
            app[PLAYER].start(script(seed, customers, rate=rate), account.id)
        await stop.wait()


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}" for item in error.errors())
