"""The media store: files in a folder, or in an object store such as S3, under keys that say whose they are."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from media.types import type_of

_KEY: Final = re.compile(
    r"(in|out)/(?P<channel>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})/[A-Za-z0-9-]{1,64}(\.preview)?\.[a-z0-9]{1,5}"
)
_CHUNK: Final = 256 << 10
_PAGE: Final = 1_000


class StoreUnavailable(Exception):
    """The store can't be reached, or refuses."""


def received_key(channel: str, id: str, extension: str) -> str:
    """The key of a customer's file."""
    return f"in/{channel}/{id}.{extension}"


def preview_key(key: str) -> str:
    """The key of a file's preview."""
    return f"{key.rpartition('.')[0]}.preview.webp"


def uploaded_key(channel: str, id: str, extension: str) -> str:
    """The key of a file that is to be sent."""
    return f"out/{channel}/{id}.{extension}"


def channel_of_key(key: str) -> str | None:
    """The channel whose file it is; None: this is no key."""
    found = _KEY.fullmatch(key)
    return found and found["channel"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store. size: bytes. mime_type: from its bytes."""

    key: str
    size: int

    @property
    def mime_type(self) -> str:
        """Its type, which its key says."""
        return type_of(self.key)


class MediaStore:
    """Reads and writes files. All methods raise StoreUnavailable.

    url: file:///folder, s3://bucket/prefix, gs:// or az://; what else is needed to get there is in the environment, as
    the clouds' own tools have it (AWS_…).
    """

    def __init__(self, url: str) -> None:
        try:
            self._store = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
        except (BaseError, ValueError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    async def put(self, key: str, file: IO[bytes] | bytes) -> None:
        """Store the file, whole or not at all, in place of what is there."""
        if not isinstance(file, bytes):
            file.seek(0)
        try:
            await obstore.put_async(self._store, key, file)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    async def find(self, key: str) -> StoredFile | None:
        """The file of that key."""
        if channel_of_key(key) is None:
            return None
        try:
            meta = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error
        return StoredFile(key, meta["size"])

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The file's bytes from start up to (not including) end."""
        try:
            if end is None:
                result = await obstore.get_async(self._store, key)
            else:
                result = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for chunk in result.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    async def delete_older(self, than: datetime) -> int:
        """Delete the files that were written before; how many there were."""
        try:
            deleted = 0
            async for page in obstore.list(self._store, chunk_size=_PAGE):
                old = [one["path"] for one in page if one["last_modified"] < than]
                await obstore.delete_async(self._store, old)
                deleted += len(old)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error
        return deleted


def folder_url(folder: Path) -> str:
    """The URL of a store in a folder."""
    return folder.absolute().as_uri()
