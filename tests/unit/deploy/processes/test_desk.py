"""The desk's database is opened, or it is said in plain words why not."""

import asyncio
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.errors import LiveDeskError
from deploy.processes.desk import open_view
from deploy.settings import Settings, load_settings
from tests.support.reading import until


def settings(folder: Path, url: str | None = None) -> Settings:
    given = {"data_dir": folder, "database_url": None if url is None else SecretStr(url)}
    return load_settings().model_copy(update=given)


async def test_without_a_setting_it_is_a_file_that_others_can_t_read(tmp_path: Path) -> None:
    async with open_view(settings(tmp_path)):
        mode = (tmp_path / "desk.db").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://lucia:hidden@host/desk", "mysql is neither sqlite nor postgresql"),
        ("hidden", "is no URL of a database"),
        ("sqlite://", "SQLite needs a file"),
    ],
)
async def test_what_is_no_database_of_ours_is_refused_and_not_repeated(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(LiveDeskError, match=said) as raised:
        async with open_view(settings(tmp_path, url)):
            pass
    assert "hidden" not in str(raised.value)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "desk.db").write_text("Hello " * 1_000)
    with pytest.raises(LiveDeskError, match="file is not a database"):
        async with open_view(settings(tmp_path)):
            pass


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "later"

    async def opened() -> None:
        async with open_view(settings(tmp_path, f"sqlite:///{folder / 'desk.db'}")):
            pass

    opening = asyncio.create_task(opened())
    await until(lambda: "waiting until it can" in caplog.text, "that it says so")
    folder.mkdir()
    await opening
    assert (folder / "desk.db").exists()
