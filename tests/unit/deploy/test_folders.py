"""What a person reads about a folder that can't be used."""

import errno
import os
from pathlib import Path

import pytest

from deploy.errors import LiveDeskError
from deploy.folders import CACHE, DATA, folder_error, make_folder, open_lock
from deploy.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_in_the_place_of_the_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LiveDeskError) as caught:
        make_folder(tmp_path / path, DATA)
    assert (
        caught.value.message == f"{tmp_path / path} can't be made or written: a file stands where a folder should be."
    )
    assert caught.value.hint == "Set LIVEDESK_DATA_DIR to a folder of yours."


def test_a_folder_that_the_system_refuses() -> None:
    with pytest.raises(LiveDeskError, match=r"^/proc/x can't be made or written: No such file or directory\."):
        make_folder(Path("/proc/x"), CACHE)


def test_a_lock_that_can_t_be_opened(tmp_path: Path) -> None:
    (tmp_path / "up.lock").mkdir()
    with pytest.raises(LiveDeskError, match=r"up\.lock can't be made or written: Is a directory"):
        open_lock(tmp_path / "up.lock", DATA)


@pytest.mark.parametrize(("folder", "variable"), [("data", DATA), ("cache", CACHE)])
def test_any_other_file_below_a_folder(folder: str, variable: str, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / folder / "kafka" / "server.properties"
    explained = folder_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)), settings)
    assert explained is not None
    assert explained.message == f"{path} can't be made or written: Permission denied."
    assert variable in explained.hint


def test_a_full_disk(settings: Settings) -> None:
    explained = folder_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), settings)
    assert explained is not None
    assert explained.message == "The disk is full."


def test_an_error_of_something_else_is_not_explained(settings: Settings, tmp_path: Path) -> None:
    assert folder_error(FileNotFoundError(errno.ENOENT, "", str(tmp_path / "elsewhere")), settings) is None
    assert folder_error(ConnectionResetError(), settings) is None
