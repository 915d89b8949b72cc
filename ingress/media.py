"""Files over HTTP: taken from a desk and shown to it, and given to whoever has a link, such as a provider."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import IO, Final
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from media.links import Links
from media.store import MediaStore, StoredFile, StoreUnavailable, channel_of_key, uploaded_key
from media.types import SHOWN, detect, extension_of
from providers.registry import PROVIDERS
from schemas.events.conversation import file_of, with_file
from schemas.events.inbox import Command, Reply
from schemas.settings.channel import ChannelSettings
from schemas.settings.errors import FieldError, InvalidSettings

_CHUNK: Final = 64 << 10
_IN_MEMORY: Final = 1 << 20
_MAX_NAME: Final = 200
_NO_PUBLIC_URL: Final = "the channel's provider fetches files from a public address: LIVEDESK_PUBLIC_URL is not set"


class TooLarge(Exception):
    """The file is larger than LIVEDESK_MEDIA_MAX_BYTES."""


class NoFile(Exception):
    """The body holds no file."""


class MediaFiles:
    """The media store as ingress offers it. All methods raise StoreUnavailable.

    public: whether LIVEDESK_PUBLIC_URL is set. max_bytes: of an upload.
    """

    def __init__(
        self,
        store: MediaStore,
        links: Links,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        *,
        public: bool,
        max_bytes: int,
    ) -> None:
        self._store, self._links, self._clock, self._new_id = store, links, clock, new_id
        self._public, self._max_bytes = public, max_bytes

    async def give(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse | None:
        """Answer a request for a link. None: there is nothing behind it, for whatever reason."""
        found = self._links.read(path, query, self._clock())
        file = None if found is None else await self._store.find(found[0])
        return None if found is None or file is None else await self._send(request, file, found[1])

    async def show(self, request: web.BaseRequest, channel: str, key: str) -> web.StreamResponse | None:
        """Answer a desk's request for a file of the channel. None: there is none."""
        file = await self._store.find(key) if channel_of_key(key) == channel else None
        return None if file is None else await self._send(request, file, None)

    async def take(self, request: web.Request, channel: str) -> StoredFile:
        """Store the file in the request's body, of whatever type it says. Raises TooLarge, NoFile."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            size = await self._receive(request, file)
            extension = await asyncio.to_thread(detect, file, request.content_type)
            key = uploaded_key(channel, self._new_id(), extension)
            await self._store.put(key, file)
        return StoredFile(key, size)

    async def described(self, command: Command, channel: ChannelSettings) -> Command:
        """The command with its file's type and size as the store has them. Raises InvalidSettings."""
        media = file_of(command.content, command.template) if isinstance(command, Reply) else None
        if not isinstance(command, Reply) or media is None or media.file is None:
            return command
        field = "media.file" if command.template is None else "template.header.media.file"
        file = await self._store.find(media.file) if channel_of_key(media.file) == channel.id else None
        if file is None:
            raise InvalidSettings((FieldError(field, "there is no such file of the channel"),))
        if PROVIDERS[channel.provider].uploading is None and not self._public:
            raise InvalidSettings((FieldError(field, _NO_PUBLIC_URL),))
        known = media.model_copy(update={"mime_type": file.mime_type, "size": file.size})
        content, template = with_file(command.content, command.template, known)
        return command.model_copy(update={"content": content, "template": template})

    async def _receive(self, request: web.Request, file: IO[bytes]) -> int:
        size = 0
        async for chunk in _body(request):
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLarge(f"the file has more than {self._max_bytes:,} bytes")
            file.write(chunk)
        if size == 0:
            raise NoFile
        return size

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


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """The body's bytes or, of a form, those of its first file."""
    if request.content_type != "multipart/form-data":
        async for chunk in request.content.iter_chunked(_CHUNK):
            yield chunk
        return
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.filename is not None:
            while chunk := await part.read_chunk(_CHUNK):
                yield chunk
            return


def _part(request: web.BaseRequest, size: int) -> tuple[int, int]:
    """From where to (not including) where the file is wanted: all of it, where that can't be read (RFC 9110)."""
    try:
        wanted = request.http_range if request.method == "GET" else slice(None)
    except ValueError:
        return 0, size
    start, end = wanted.start or 0, wanted.stop
    return max(0, size + start) if start < 0 else start, size if end is None else min(end, size)
