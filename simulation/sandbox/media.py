"""Files at the provider: those that customers send, and those that we upload. With faults on demand."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

FileFault = Literal["late", "vanished", "redirected", "lying", "hanging", "too_large"]
"""What happens to whoever fetches the file: 404 the first time; 404 always; sent to another host; HTML under the stated
type; no answer; followed by more zeros than anybody takes.
"""

LIE = b"<!doctype html><script>alert(1)</script>"
TOO_MUCH = 128 << 20
"""Bytes: more than any provider's limit (100 MB, docs, confirmed)."""

FILES_PATH = "/sandbox-files"
"""Where anybody who knows the id can fetch a file, as from a content delivery network."""


@dataclass(frozen=True)
class StoredFile:
    """A file. id: digits. sha256: of the bytes."""

    id: str
    body: bytes = field(repr=False)
    mime_type: str
    filename: str | None = None
    fault: FileFault | None = None

    @property
    def sha256(self) -> bytes:
        """The digest."""
        return hashlib.sha256(self.body).digest()


class Files:
    """The files by id. leaks: how often somebody sent credentials to where they don't belong."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredFile] = {}
        self._fetched: Counter[str] = Counter()
        self.leaks = 0

    def put(
        self, body: bytes, mime_type: str, filename: str | None = None, fault: FileFault | None = None
    ) -> StoredFile:
        """Keep a file. The same files, in the same order, get the same ids."""
        id = str(900_000_000_000_001 + len(self._by_id))
        file = self._by_id[id] = StoredFile(id, body, mime_type, filename, fault)
        return file

    def find(self, id: str) -> StoredFile | None:
        """The file, if there is one."""
        return self._by_id.get(id)

    def fetch(self, file: StoredFile) -> bool:
        """Count a download; false: there is nothing to fetch, yet or any more."""
        self._fetched[file.id] += 1
        return file.fault != "vanished" and (file.fault != "late" or self._fetched[file.id] > 1)


def elsewhere(base_url: str) -> str:
    """Another name of the same machine, which counts as another host."""
    host = urlsplit(base_url).hostname or ""
    return base_url.replace(host, "localhost" if host != "localhost" else "127.0.0.1", 1)
