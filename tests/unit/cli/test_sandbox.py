"""Options of `livedesk sandbox`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import typer

from cli.sandbox import load_accounts, one_account, parse_faults

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
        ("- {dev_key: k1}", "dev_secret"),
        ("- &a {dev_key: k1, dev_secret: s, phone_number: '34600700001'}\n- *a", "of its own"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(text)
    with pytest.raises(typer.BadParameter, match=why):
        load_accounts(file)


def test_a_bad_number_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="phone_number"):
        one_account("k1", "s1", "12", None)


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
