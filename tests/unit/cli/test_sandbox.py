"""Options of `livedesk sandbox`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import typer

from cli.sandbox import load_accounts, one_of_each, parse_faults, with_callback_urls
from simulation.sandbox.stand_in import STAND_INS

RUN = "from cli.sandbox import app; app()"


def test_accounts_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("- {dev_key: k1, dev_secret: s1, phone_number: '+34600700001', templates: unreachable}")
    (found,) = load_accounts(file)
    assert (found.dev_key, found.templates) == ("k1", "unreachable")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "neither YAML nor JSON"),
        ("[]", "at least one"),
        ("- {dev_key: k1, phone_number: '34600700001'}", "dev_secret"),
        ("- &a {dev_key: k1, dev_secret: s, phone_number: '34600700001'}\n- *a", "of its own"),
        ("- {dev_key: k1, dev_secret: s, phone_number: '12'}", "phone_number"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(text)
    with pytest.raises(typer.BadParameter, match=why):
        load_accounts(file)


def test_there_is_an_account_at_each_provider() -> None:
    accounts = one_of_each()
    assert [account.id for account in accounts] == [account.provider for account in accounts] == list(STAND_INS)
    assert len({account.phone_number for account in accounts}) == len(accounts)


def test_callback_urls_are_given_by_account() -> None:
    accounts = with_callback_urls(one_of_each(), ["twilio=https://desk.example/webhooks/twilio/t?x=1"])
    urls = {account.id: account.callback_url for account in accounts if account.callback_url}
    assert urls == {"twilio": "https://desk.example/webhooks/twilio/t?x=1"}


@pytest.mark.parametrize(("given", "why"), [("shop=https://x", "no account 'shop'"), ("twilio=x", "callback_url")])
def test_a_bad_callback_url_is_refused(given: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        with_callback_urls(one_of_each(), [given])


def test_faults_are_read() -> None:
    assert parse_faults(["duplicate=0.2", "pace=3"]).duplicate == 0.2


@pytest.mark.parametrize("bad", ["duplicate", "duplicate=2", "nonsense=0.1"])
def test_a_bad_fault_is_refused(bad: str) -> None:
    with pytest.raises(typer.BadParameter, match="--fault"):
        parse_faults([bad])


async def test_the_sandbox_starts_and_stops() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, "--port", "0", "--customers", "1", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(30):
        line = await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert line.startswith(b"Sandbox on http://127.0.0.1:")
    assert b"3 account(s)" in line
