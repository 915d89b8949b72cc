"""Files over HTTP: shown to a desk, and given to whoever has a link, such as a provider."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import quote

from aiohttp import web

from media.links import Links
from media.store import MediaStore, StoredFile, StoreUnavailable, channel_of_key
from media.types import SHOWN, extension_of

_MAX_NAME: Final = 200


class FileServer:
    """Answers requests for files of the store. All methods raise StoreUnavailable."""

    def __init__(self, store: MediaStore, links: Links, clock: Callable[[], datetime]) -> None:
        self._store, self._links, self._clock = store, links, clock

    async def give(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse | None:
        """Answer a request for a link. None: there is nothing behind it, for whatever reason."""
        found = self._links.read(path, query, self._clock())
        file = None if found is None else await self._store.find(found[0])
        return None if found is None or file is None else await self._send(request, file, found[1])

    async def show(self, request: web.BaseRequest, channel: str, key: str) -> web.StreamResponse | None:
        """Answer a desk's request for a file of the channel. None: there is none."""
        file = await self._store.find(key) if channel_of_key(key) == channel else None
        return None if file is None else await self._send(request, file, None)

    async def _send(self, request: web.BaseRequest, file: StoredFile, name: str | None) -> web.StreamResponse:
        headers = {
            "Content-Type": file.mime_type,
            "Content-Disposition": content_disposition(name, shown=extension_of(file.key) in SHOWN),
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, max-age=3600",
            # What customers sent must not run as a page of ours.
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        start, end = part = _part(request, file.size)
        if start >= end:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size}"})
        is_part = part != (0, file.size)
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
        response.content_length = end - start
        await response.prepare(request)
        if request.method == "GET":
            try:
                async for chunk in self._store.read(file.key, start, end):
                    await response.write(chunk)
            except StoreUnavailable:
                # Too late for an error: whoever reads must see that the file is not whole.
                if request.transport is not None:
                    request.transport.abort()
                return response
        await response.write_eof()
        return response


def content_disposition(name: str | None, *, shown: bool) -> str:
    """The header of a file that is shown in its place, or saved, under a name that may come from anybody."""
    kind = "inline" if shown else "attachment"
    last = re.split(r"[/\\]", name or "")[-1]
    clean = "".join(character for character in last if character.isprintable() and character != '"').strip(" .")
    if not clean:
        return kind
    clean = clean[-_MAX_NAME:]
    plain = "".join(character if character.isascii() and character not in "%;" else "_" for character in clean)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"


def _part(request: web.BaseRequest, size: int) -> tuple[int, int]:
    """From where to (not including) where the file is wanted: all of it, where that can't be read (RFC 9110)."""
    try:
        wanted = request.http_range if request.method == "GET" else slice(None)
    except ValueError:
        return 0, size
    start, end = wanted.start or 0, wanted.stop
    return max(0, size + start) if start < 0 else start, size if end is None else min(end, size)
