"""Files that a desk uploads to be sent, and the commands that name them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import IO, Final

from aiohttp import BodyPartReader, web

from media.serving import FileServer
from media.store import MediaStore, StoredFile, channel_of_key, uploaded_key
from media.types import detect
from providers.registry import PROVIDERS
from schemas.events.conversation import file_of, with_file
from schemas.events.inbox import Command, Reply
from schemas.settings.channel import ChannelSettings
from schemas.settings.errors import FieldError, InvalidSettings

_CHUNK: Final = 64 << 10
_IN_MEMORY: Final = 1 << 20
_NO_PUBLIC_URL: Final = "the channel's provider fetches files from a public address: LIVEDESK_PUBLIC_URL is not set"


class TooLarge(Exception):
    """The file is larger than it may be."""


class NoFile(Exception):
    """The body holds no file."""


class DeskFiles:
    """The media store as the desk offers it. All methods raise StoreUnavailable.

    public: whether LIVEDESK_PUBLIC_URL is set. max_bytes: of an upload.
    """

    def __init__(
        self, store: MediaStore, server: FileServer, new_id: Callable[[], str], *, public: bool, max_bytes: int
    ) -> None:
        self._store, self.server, self._new_id = store, server, new_id
        self._public, self._max_bytes = public, max_bytes

    async def take(self, request: web.Request, channel: str) -> StoredFile:
        """Store the file in the request's body, of whatever type it says. Raises TooLarge, NoFile."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            size = await receive(request, file, self._max_bytes)
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


async def receive(request: web.Request, file: IO[bytes], max_bytes: int) -> int:
    """Write the file in a request's body to `file`. Its bytes. Raises TooLarge, NoFile."""
    size = 0
    async for chunk in _body(request):
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"the file has more than {max_bytes:,} bytes")
        file.write(chunk)
    if size == 0:
        raise NoFile
    return size


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
