"""The data and the cache folder, and the error where one of them can't be made or written."""

import errno
from pathlib import Path
from typing import TextIO

from deploy.errors import LiveDeskError
from deploy.settings import Settings

DATA = "LIVEDESK_DATA_DIR"
CACHE = "LIVEDESK_CACHE_DIR"

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


def make_folder(folder: Path, variable: str) -> None:
    """Make a folder, which is below the one that the variable names. Raises LiveDeskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, variable, error) from error


def open_lock(path: Path, variable: str) -> TextIO:
    """A file to be locked, and its folder, which is below the one that the variable names. Raises LiveDeskError."""
    make_folder(path.parent, variable)
    try:
        return path.open("w")
    except OSError as error:
        raise _unusable(path, variable, error) from error


def folder_error(error: OSError, settings: Settings) -> LiveDeskError | None:
    """The error in a person's words, if it is about something below one of the folders, or about a full disk."""
    for variable, folder in ((CACHE, settings.cache_dir), (DATA, settings.data_dir)):
        if isinstance(error.filename, str) and Path(error.filename).absolute().is_relative_to(folder.absolute()):
            return _unusable(Path(error.filename), variable, error)
    if error.errno in _DISK_IS_FULL:
        return LiveDeskError(
            "The disk is full.",
            f"Make room, or set {DATA} (now {settings.data_dir}) or {CACHE} ({settings.cache_dir}) to another disk.",
        )
    return None


def reason(error: OSError) -> str:
    """Why a folder or a file in it can't be made, in a few words."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder should be"
    return error.strerror or type(error).__name__


def _unusable(path: Path, variable: str, error: OSError) -> LiveDeskError:
    return LiveDeskError(f"{path} can't be made or written: {reason(error)}.", f"Set {variable} to a folder of yours.")
