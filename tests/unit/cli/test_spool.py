"""`livedesk spool status`: what waits, in words and as JSON."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.spool import app
from deploy.settings import Settings
from ingress.spool.folder import SpoolFolder
from ingress.spool.format import Spooled


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def said(settings: Settings, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["status", *arguments], obj=settings)
    assert result.exit_code == 0
    return result.output


def test_where_nothing_waits_it_says_so(settings: Settings) -> None:
    assert said(settings) == f"Nothing waits in {settings.spool_root}.\n"
    assert json.loads(said(settings, "--json")) == {"records": 0, "spools": []}


def test_what_waits_is_counted_by_folder_whether_its_process_runs_or_not(settings: Settings) -> None:
    runs, gone = SpoolFolder.open(settings.spool_root), SpoolFolder.open(settings.spool_root)
    runs.append([Spooled(time.time() - 90, b"shop", b"{}", []), Spooled(time.time(), b"shop", b"{}", [])])
    gone.append([Spooled(time.time(), b"shop", b"{}", [])])
    gone.close()
    try:
        found = json.loads(said(settings, "--json"))
        text = said(settings)
    finally:
        runs.close()
    assert found["records"] == 3
    assert [(one["records"], one["in_use"]) for one in found["spools"]] == [(2, True), (1, False)]
    assert 90 <= found["spools"][0]["oldest_seconds"] < 100
    assert "0:01:30" in text
    assert "gone" in text
