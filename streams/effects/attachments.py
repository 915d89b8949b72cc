"""Makes a file ready to be sent: uploaded to a provider that takes uploads, else behind a link of ours."""

import time
from collections.abc import Callable
from typing import Final

from media.store import MediaStore, StoreUnavailable
from providers.provider import Call, Provider, Uploading
from schemas.effects import TRANSFER_S, SendRequest, SendResult
from schemas.events.content import Attachment
from schemas.events.template import with_file
from schemas.settings.channel import ChannelSettings
from streams.effects.contract import Postponed
from streams.effects.http import NoAnswer, NotSent, Transport

NO_PUBLIC_URL: Final = SendResult(
    answer="refused", message="media: the provider fetches files from a public address: LIVEDESK_PUBLIC_URL is not set"
)
GONE: Final = SendResult(answer="refused", message="media: the file is not in the media store")
UPLOAD_FAILED: Final = SendResult(answer="retry", message="media: the upload had no answer")
_KNOWN_FOR_S: Final = 24 * 3_600.0
"""Far less than a provider keeps an upload (Meta: 30 days)."""


class Attachments:
    """Uploads files, each once a day at most, or makes links to them.

    link: to a stored file, as the providers reach it; None: they can't. total_s: seconds for an upload.
    """

    def __init__(
        self,
        transport: Transport,
        store: MediaStore,
        link: Callable[[Attachment], str | None],
        *,
        total_s: float = TRANSFER_S - 10.0,
    ) -> None:
        self._transport, self._store, self._link, self._total_s = transport, store, link, total_s
        self._uploaded: dict[tuple[str, int, str], tuple[str, float]] = {}

    async def prepare(
        self, request: SendRequest, provider: Provider, settings: ChannelSettings, base_url: str
    ) -> SendRequest | SendResult | Postponed:
        """The request with its file's id or link in it; else why it can't be sent. Nothing was sent in either case."""
        attachment = request.attachment
        if attachment is None or attachment.file is None:
            return request
        if provider.uploading is not None:
            return await self._uploaded_in(request, attachment, attachment.file, provider.uploading, settings, base_url)
        link = self._link(attachment)
        if link is None:
            return NO_PUBLIC_URL
        linked = attachment.model_copy(update={"link": link})
        content, template = with_file(request.content, request.template, linked)
        return request.model_copy(update={"content": content, "template": template})

    async def _uploaded_in(
        self,
        request: SendRequest,
        attachment: Attachment,
        file: str,
        uploading: Uploading,
        settings: ChannelSettings,
        base_url: str,
    ) -> SendRequest | SendResult | Postponed:
        # By revision, as another number or account has files of its own.
        place, now = (settings.id, settings.revision, file), time.monotonic()
        self._uploaded = {one: known for one, known in self._uploaded.items() if now - known[1] < _KNOWN_FOR_S}
        if place not in self._uploaded:
            data = await self._read(file)
            if not isinstance(data, bytes):
                return data
            id = await self._upload(uploading.plan(attachment, data, settings), uploading, base_url)
            if isinstance(id, SendResult):
                return id
            self._uploaded[place] = id, now
        return request.model_copy(update={"media_id": self._uploaded[place][0]})

    async def _upload(self, call: Call | SendResult, uploading: Uploading, base_url: str) -> str | SendResult:
        if isinstance(call, SendResult):
            return call
        try:
            return uploading.read(await self._transport(base_url, call, self._total_s))
        except (NotSent, NoAnswer):
            return UPLOAD_FAILED

    async def _read(self, file: str) -> bytes | SendResult | Postponed:
        try:
            if await self._store.find(file) is None:
                return GONE
            return b"".join([chunk async for chunk in self._store.read(file)])
        except StoreUnavailable:
            return Postponed()
