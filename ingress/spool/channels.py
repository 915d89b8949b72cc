"""The channels in a file beside the spool: with it callbacks can be taken while Kafka can't be read."""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

logger = logging.getLogger(__name__)

SAVE_AFTER_SECONDS: Final = 1.0

Apply = Callable[[bytes, bytes | None], None]


class KeptChannels:
    """The newest record of every channel, as it is on the channels topic: credentials in it are encrypted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: dict[str, tuple[int, str]] = {}
        self._saving: asyncio.Task[None] | None = None
        self._due = False

    def load(self, apply: Apply) -> bool:
        """Apply what the file holds. False: there is none that can be used."""
        try:
            records: dict[str, str] = orjson.loads(self._path.read_bytes())
            for key, value in records.items():
                apply(key.encode(), value.encode())
        except FileNotFoundError:
            return False
        except Exception as error:  # noqa: BLE001 - it is a copy: the channels themselves are on Kafka
            logger.warning("%s can't be used: %s", self._path, type(error).__name__)
            return False
        return bool(records)

    def keep(self, key: bytes, value: bytes | None) -> None:
        """Take in a record of the channels topic; soon it is in the file."""
        channel, _, number = key.decode().rpartition("/")
        if not number.isdigit() or int(number) < self._newest.get(channel, (0, ""))[0]:
            return
        if value is None:
            self._newest.pop(channel, None)
        else:
            self._newest[channel] = int(number), value.decode()
        self._due = True
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def stop(self) -> None:
        """Leave the file as it is."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)

    async def _save(self) -> None:
        while self._due:
            await asyncio.sleep(SAVE_AFTER_SECONDS)
            self._due = False
            records = {f"{channel}/{revision}": value for channel, (revision, value) in self._newest.items()}
            try:
                await asyncio.to_thread(_write, self._path, orjson.dumps(records))
            except OSError as error:
                logger.warning("the channels can't be kept in %s: %s", self._path, error.strerror)
        self._saving = None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # All processes of the machine write it: each its own file, whole, in place of the last one.
    scratch = path.with_suffix(f".{os.getpid()}")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        with suppress(OSError):
            scratch.unlink()
