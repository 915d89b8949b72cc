"""Fetches customers' files into the media store: one performer for all providers, which say what is asked and how."""

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import IO, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from yarl import URL

from media.previews import PICTURES, preview_of
from media.store import MediaStore, StoreUnavailable, preview_key, received_key
from media.types import detect, type_of
from providers.media import FORBIDDEN, UNREACHABLE, UNSUPPORTED
from providers.provider import Answer, Fetch, Fetching
from providers.registry import PROVIDERS
from schemas.effects import TRANSFER_S, MediaRequest, MediaResult
from schemas.ids import derived_id
from schemas.settings.channel import ChannelSettings
from streams.effects.contract import Done, Outcome, Postponed
from streams.effects.outside import ForbiddenAddress, Outside, outside_session

logger = logging.getLogger(__name__)

MAX_REDIRECTS: Final = 3
AT_ONCE: Final = 16
"""Files that a process fetches at once."""
IN_MEMORY: Final = 1 << 20
"""Bytes of a file that is not written to the disk while it is fetched."""
_QUEUE_S: Final = 5.0
_TOTAL_S: Final = TRANSFER_S - 5.0
_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 15.0
_MAX_LOOKUP: Final = 64 << 10
_CHUNK: Final = 64 << 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

TOO_LARGE: Final = MediaResult(answer="refused", reason="too_large")
EMPTY: Final = MediaResult(answer="missing", reason="empty")
WRONG_HASH: Final = MediaResult(answer="missing", reason="wrong_hash")
STORE_FAILED: Final = MediaResult(answer="later", reason="store")


def media_session(outside: Outside) -> ClientSession:
    """A session for files, with connections of its own."""
    return outside_session(outside, 2 * AT_ONCE, auto_decompress=False)


class MediaFetcher:
    """Fetches a file and puts it into the store, with a preview of a picture.

    session: of media_session(outside). newest: a channel's newest settings; raises LookupError. base_urls: of the
    providers' REST APIs. max_bytes: of a file.
    """

    def __init__(
        self,
        session: ClientSession,
        outside: Outside,
        newest: Callable[[str], ChannelSettings],
        store: MediaStore,
        base_urls: Mapping[str, str],
        *,
        max_bytes: int,
        total_s: float = _TOTAL_S,
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._session, self._outside, self._newest, self._store = session, outside, newest, store
        self._base_urls, self._max_bytes = base_urls, max_bytes
        self._timeout = ClientTimeout(total=total_s, connect=_CONNECT_S, sock_read=silence_s)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def perform(self, request: MediaRequest) -> Outcome:
        """Fetch once. Done holds a MediaResult; Postponed: it was not tried."""
        try:
            settings = self._newest(request.channel)
            async with asyncio.timeout(_QUEUE_S):
                await self._slots.acquire()
        except (LookupError, TimeoutError):
            return Postponed()
        try:
            result = await self._fetch(request, settings)
        finally:
            self._slots.release()
        if result.answer != "stored":
            logger.warning("channel %s: a file is not fetched: %s, %s", request.channel, result.answer, result.reason)
        return Done(result.model_dump(mode="json", exclude_defaults=True))

    async def _fetch(self, request: MediaRequest, settings: ChannelSettings) -> MediaResult:
        fetching = PROVIDERS[settings.provider].fetching
        if fetching is None:
            return UNSUPPORTED
        try:
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
                try:
                    sha256 = await self._download(fetching, request, settings, file)
                except (ForbiddenAddress, ValueError, IndexError):  # the latter two: it is no address
                    return FORBIDDEN
                return sha256 if isinstance(sha256, MediaResult) else await self._keep(request, file, sha256)
        except (ClientError, TimeoutError):
            return UNREACHABLE
        except (StoreUnavailable, OSError):
            return STORE_FAILED

    async def _download(
        self, fetching: Fetching, request: MediaRequest, settings: ChannelSettings, file: IO[bytes]
    ) -> MediaResult | str:
        """Write the file's bytes to `file`. Its hash in hex, or why there is none."""
        base_url = self._base_urls[settings.provider]
        wanted = fetching.plan(request.media, settings, base_url)
        expected = None
        if isinstance(wanted, Fetch) and wanted.is_lookup:
            expected = wanted.sha256
            wanted = await self._look_up(fetching, wanted, settings, base_url)
        if isinstance(wanted, MediaResult):
            return wanted
        digest, size = hashlib.sha256(), 0
        async with self._get(wanted) as response:
            if response.status != 200:
                return fetching.read_failure(Answer(response.status))
            if (response.content_length or 0) > self._max_bytes:
                return TOO_LARGE
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self._max_bytes:
                    return TOO_LARGE
                digest.update(chunk)
                file.write(chunk)
        if size == 0:
            return EMPTY
        found = digest.hexdigest()
        return WRONG_HASH if (expected or wanted.sha256) not in (None, found) else found

    async def _look_up(
        self, fetching: Fetching, wanted: Fetch, settings: ChannelSettings, base_url: str
    ) -> Fetch | MediaResult:
        async with self._get(wanted) as response:
            answer = Answer(response.status, await response.content.read(_MAX_LOOKUP))
        if answer.status != 200:
            return fetching.read_failure(answer)
        return fetching.read_lookup(answer, settings, base_url)

    @asynccontextmanager
    async def _get(self, wanted: Fetch) -> AsyncIterator[ClientResponse]:
        """A GET that follows redirects, but with nothing of what it was sent with: they may lead to anybody."""
        url, headers = _url(wanted.url), wanted.headers
        for _ in range(MAX_REDIRECTS + 1):
            self._outside.check(url)
            async with self._session.get(
                url,
                headers={**headers, "Accept-Encoding": "identity"},
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    yield response
                    return
                url, headers = url.join(_url(response.headers["Location"])), {}
        raise ForbiddenAddress

    async def _keep(self, request: MediaRequest, file: IO[bytes], sha256: str) -> MediaResult:
        """Put the file into the store, under a key that another attempt gives it again."""
        size = file.seek(0, 2)
        extension = await asyncio.to_thread(detect, file, request.media.mime_type)
        id = derived_id(request.channel, request.message_id, request.index)
        key = received_key(request.channel, id, extension)
        preview = await asyncio.to_thread(preview_of, file) if extension in PICTURES else None
        await self._store.put(key, file)
        if preview is not None:
            await self._store.put(preview_key(key), preview)
        return MediaResult(
            answer="stored",
            file=key,
            mime_type=type_of(key),
            size=size,
            sha256=sha256,
            preview=None if preview is None else preview_key(key),
        )


def _url(text: str) -> URL:
    """The address as it came, as a signed one is valid in one spelling alone; with what no address holds encoded.

    Raises ValueError, IndexError: it is none.
    """
    return URL(text, encoded=all("!" <= character <= "~" for character in text))
