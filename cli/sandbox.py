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

from simulation.sandbox.accounts import Account, Template
from simulation.sandbox.app import PLAYER, build_app, serve
from simulation.sandbox.customers import script
from simulation.sandbox.stand_in import Faults, Provider

ACCOUNTS = TypeAdapter(tuple[Account, ...])


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
            help="YAML or JSON list of accounts: dev_key, dev_secret, phone_number, callback_url, templates, "
            "behaviour, enforce_window … Without it there is one account, made of the options below.",
        ),
    ] = None,
    dev_key: Annotated[str, typer.Option(help="Key of the one account.")] = "sandbox-key",
    dev_secret: Annotated[str, typer.Option(help="Secret of the one account.")] = "sandbox-secret",  # noqa: S107 - of a stand-in, told to everybody
    phone_number: Annotated[str, typer.Option(help="Sender number of the one account.")] = "+34600000001",
    callback_url: Annotated[
        str | None, typer.Option(help="Webhook URL of the channel. It can be given later: POST /sandbox/accounts.")
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
        bool, typer.Option(help="Repeat callbacks until they are answered with 200, which a provider does not promise.")
    ] = False,
    customers: Annotated[int, typer.Option(min=0, help="How many customers write to the first account.")] = 0,
    rate: Annotated[float, typer.Option(min=0.001, help="New customers a second.")] = 1.0,
) -> None:
    """Stand in for the provider and for the AI agent.

    It has the provider's send and template API, sends receipts, with faults on demand, and plays customers who write.
    The AI agent is at /ai, for LIVEDESK_AI_URL.

    What was sent is at GET /sandbox/log, what was called back at GET /sandbox/callbacks. POST /sandbox/behaviour
    changes how sends are answered, POST /sandbox/ai what the AI agent answers; POST /sandbox/customers/write writes as
    a customer.
    """
    known = load_accounts(accounts) if accounts else (one_account(dev_key, dev_secret, phone_number, callback_url),)
    provider = Provider(known, seed=seed, faults=parse_faults(fault or ()), auto_receipts=receipts)
    asyncio.run(_serve(provider, host, port, redeliver=redeliver, customers=customers, rate=rate, seed=seed))


def load_accounts(path: Path) -> tuple[Account, ...]:
    """Read a file of accounts. Raises typer.BadParameter with what is wrong."""
    try:
        found = ACCOUNTS.validate_python(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path}: neither YAML nor JSON: {error}") from error
    except ValidationError as error:
        raise typer.BadParameter(f"{path}: {_problems(error)}") from error
    keys = [account.dev_key for account in found]
    if not keys or len(set(keys)) != len(keys):
        raise typer.BadParameter(f"{path}: needs at least one account, each with a dev_key of its own")
    return found


def one_account(dev_key: str, dev_secret: str, phone_number: str, callback_url: str | None) -> Account:
    """The account of a sandbox without a file of accounts. Raises typer.BadParameter."""
    try:
        return Account(
            dev_key=dev_key,
            dev_secret=SecretStr(dev_secret),
            phone_number=phone_number,
            callback_url=callback_url,
            templates=(Template(name="hello", language="en"), Template(name="csat", language="en")),
        )
    except ValidationError as error:
        raise typer.BadParameter(_problems(error)) from error


def parse_faults(given: Sequence[str]) -> Faults:
    """Read NAME=NUMBER options. Raises typer.BadParameter."""
    pairs = [item.partition("=") for item in given]
    try:
        return Faults.model_validate({name: value for name, _, value in pairs})
    except ValidationError as error:
        raise typer.BadParameter(f"--fault: {_problems(error)}") from error


async def _serve(
    provider: Provider, host: str, port: int, *, redeliver: bool, customers: int, rate: float, seed: int
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = build_app(provider, lambda: datetime.now(UTC), redeliver_on_failure=redeliver)
    async with serve(app, host, port) as url:
        accounts = provider.accounts.all()
        typer.echo(f"Sandbox on {url}, {len(accounts)} account(s). Ctrl-C stops it.")
        if customers:
            app[PLAYER].start(script(seed, customers, rate=rate), accounts[0].dev_key)
        await stop.wait()


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}" for item in error.errors())
