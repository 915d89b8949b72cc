"""Files that a desk uploads to be sent, and the commands that name them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import IO, Final

from aiohttp import BodyPartReader, web

from media.serving import FileServer
from media.store import MediaStore, StoredFile, channel_of_key, uploaded_key
from media.types import WEBP_HEAD, detect, is_animated
from media.voice import ogg_of
from providers.registry import PROVIDERS
from schemas.events.inbox import Command, Reply
from schemas.events.template import file_of, with_file
from schemas.settings.channel import ChannelSettings
from schemas.settings.errors import FieldError, InvalidSettings

_CHUNK: Final = 64 << 10
_IN_MEMORY: Final = 1 << 20

Shown = Callable[[str], Awaitable[bool]]

_NO_PUBLIC_URL: Final = "the channel's provider fetches files from a public address: LIVEDESK_PUBLIC_URL is not set"


class TooLarge(Exception):
    """The file is larger than it may be."""


class NoFile(Exception):
    """The body holds no file."""


def is_of_uploader(key: str, uploader: str) -> bool:
    """Whether it is the key of a file that they uploaded."""
    id, dash, tag = key.rpartition("/")[2].partition(".")[0].rpartition("-")
    return key.startswith("out/") and bool(dash) and tag == _tag(id, uploader)


def _tag(id: str, uploader: str) -> str:
    """A part of the key, as nothing else says who uploaded a file."""
    return sha256(f"{id} {uploader}".encode()).hexdigest()[:16]


class DeskFiles:
    """The media store as the desk offers it. All methods raise StoreUnavailable.

    public: whether LIVEDESK_PUBLIC_URL is set. max_bytes: of an upload.
    """

    def __init__(
        self, store: MediaStore, server: FileServer, new_id: Callable[[], str], *, public: bool, max_bytes: int
    ) -> None:
        self._store, self.server, self._new_id = store, server, new_id
        self._public, self._max_bytes = public, max_bytes

    async def take(self, request: web.Request, channel: str, uploader: str) -> StoredFile:
        """Store the file in the request's body, of whatever type it says. Raises TooLarge, NoFile.

        A voice note as a browser records it, in WebM, is stored as WhatsApp takes it, in Ogg.
        """
        id = self._new_id()
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            size = await receive(request, file, self._max_bytes)
            extension = await asyncio.to_thread(detect, file, request.content_type)
            voice = await asyncio.to_thread(ogg_of, file, size) if extension == "webm" else None
            key = uploaded_key(channel, f"{id}-{_tag(id, uploader)}", extension if voice is None else "opus")
            await self._store.put(key, file if voice is None else voice)
        return StoredFile(key, size if voice is None else len(voice))

    async def described(self, command: Command, channel: ChannelSettings, shown: Shown) -> Command:
        """The command with its file's type and size as the store has them. Raises InvalidSettings.

        shown: whether who gives it may see the channel's file of a key.
        """
        media = file_of(command.content, command.template) if isinstance(command, Reply) else None
        if not isinstance(command, Reply) or media is None or media.file is None:
            return command
        field = "media.file" if command.template is None else "template.header.media.file"
        theirs = channel_of_key(media.file) == channel.id and await shown(media.file)
        file = await self._store.find(media.file) if theirs else None
        if file is None:
            raise InvalidSettings((FieldError(field, "there is no such file of the channel"),))
        if PROVIDERS[channel.provider].uploading is None and not self._public:
            raise InvalidSettings((FieldError(field, _NO_PUBLIC_URL),))
        known = media.model_copy(update={"mime_type": file.mime_type, "size": file.size})
        if media.kind == "sticker":
            head = b"".join([chunk async for chunk in self._store.read(file.key, 0, min(file.size, WEBP_HEAD))])
            known = known.model_copy(update={"animated": is_animated(head)})
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
