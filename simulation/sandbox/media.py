"""Files at the provider: those that customers send, and those that we upload. With faults on demand."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from simulation.sandbox.calls import Reply, Request

FileFault = Literal["late", "vanished", "redirected", "lying", "hanging", "too_large"]
"""What happens to whoever fetches the file: 404 the first time; 404 always; sent to another host; HTML under the stated
type; no answer; followed by more zeros than anybody takes.
"""

LIE = b"<!doctype html><script>alert(1)</script>"
TOO_MUCH = 128 << 20
"""Bytes: more than any provider's limit (100 MB, docs, confirmed)."""

FILES_PATH = "/sandbox-files"
"""Where anybody who knows the id can fetch a file, as from a content delivery network."""


_NOT_FOUND = Reply(404, b"not found", "text/plain")


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
    """The files by id. leaks: how often somebody sent credentials to where they don't belong.

    fault: of every fetch, until it is changed, whatever the file's own is.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, StoredFile] = {}
        self._fetched: Counter[str] = Counter()
        self.leaks = 0
        self.fault: FileFault | None = None

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

    def download(self, file: StoredFile, base_url: str) -> Reply:
        """The bytes, or what the fault makes of them. base_url: where they are fetched."""
        self._fetched[file.id] += 1
        match self.fault or file.fault:
            case "vanished":
                return _NOT_FOUND
            case "late" if self._fetched[file.id] == 1:
                return _NOT_FOUND
            case "hanging":
                return Reply(None, hangs=True)
            case "redirected":
                return Reply(302, headers={"Location": f"{elsewhere(base_url)}{FILES_PATH}/{file.id}/again"})
            case "lying":
                return Reply(200, LIE, file.mime_type)
            case "too_large":
                return Reply(200, file.body, file.mime_type, padding=TOO_MUCH)
        return Reply(200, file.body, file.mime_type)

    def public(self, request: Request) -> Reply:
        """The answer to a call below FILES_PATH, which wants no credentials."""
        if "authorization" in request.headers:
            self.leaks += 1
            return Reply(400, b"credentials where they don't belong", "text/plain")
        id, _, again = request.path.removeprefix(f"{FILES_PATH}/").partition("/")
        file = self.find(id)
        if file is None or request.method not in ("GET", "HEAD"):
            return _NOT_FOUND
        return Reply(200, file.body, file.mime_type) if again else self.download(file, request.base_url)


def elsewhere(base_url: str) -> str:
    """Another name of the same machine, which counts as another host."""
    host = urlsplit(base_url).hostname or ""
    return base_url.replace(host, "localhost" if host != "localhost" else "127.0.0.1", 1)
