"""Files at the sandbox, fetched and uploaded by the product's own code."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from media.store import MediaStore, folder_url
from providers.provider import Answer, Call
from providers.registry import PROVIDERS
from providers.rows import Callback, InboundMessage
from providers.whatsapp_cloud.media import plan_upload, read_upload
from schemas.effects import MediaRequest, MediaResult
from schemas.events.content import Attachment
from schemas.events.conversation import Media
from schemas.settings.credentials import ProviderName
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.media import FileFault
from simulation.sandbox.stand_in import STAND_INS
from streams.effects.contract import Done
from streams.effects.media import MediaFetcher, media_session
from streams.effects.outside import Outside
from tests.support.files import picture
from tests.support.sandbox import CONTACT, NOW, Played

JPEG = picture()
NAMES = [stand_in.name for stand_in in STAND_INS.values()]


@dataclass
class Running:
    """A sandbox over HTTP, and the product's fetcher."""

    played: Played
    url: str
    store: MediaStore

    async def fetch(self, fault: FileFault | None = None) -> MediaResult:
        """A customer sends a picture, which is fetched."""
        file = self.played.providers.state.files.put(JPEG, "image/jpeg", fault=fault)
        message = CustomerMessage(contact=CONTACT, type="image", file=file.id)
        (callback,) = self.played.providers.customers_write([message], NOW, base_url=self.url)
        settings = self.played.channel
        (row,) = PROVIDERS[settings.provider].parse(Callback(callback.body), settings).rows
        assert isinstance(row, InboundMessage)
        assert row.media is not None
        urls = dict.fromkeys(PROVIDERS, self.url)
        outside = Outside(urls.values())
        async with media_session(outside) as session:
            fetcher = MediaFetcher(
                session, outside, lambda _: settings, self.store, urls, max_bytes=1 << 20, total_s=2, silence_s=0.2
            )
            media = Media(link=row.media.link, id=row.media.id, mime_type=row.media.mime_type, sha256=row.media.sha256)
            outcome = await fetcher.perform(
                MediaRequest(effect_id="e1", message_id=row.message_id, channel=settings.id, index=0, media=media)
            )
        assert isinstance(outcome, Done)
        return MediaResult.model_validate(outcome.result)


@pytest.fixture(params=NAMES)
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    name: ProviderName = request.param
    played = Played.at(name)
    async with serve(build_app(played.providers, lambda: datetime.now(UTC))) as url:
        yield Running(played, url, MediaStore(folder_url(tmp_path)))


async def test_a_customer_s_file_is_fetched(running: Running) -> None:
    stored = await running.fetch()
    assert (stored.answer, stored.size, stored.mime_type) == ("stored", len(JPEG), "image/jpeg")
    assert running.played.providers.state.files.leaks == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("late", "not_found"),
        ("vanished", "not_found"),
        ("hanging", "unreachable"),
        ("too_large", "too_large"),
    ],
)
async def test_a_fault_is_what_it_is_to_the_product(running: Running, fault: FileFault, reason: str) -> None:
    assert (await running.fetch(fault)).reason == reason


async def test_no_credentials_follow_to_another_host(running: Running) -> None:
    assert (await running.fetch("redirected")).answer == "stored"
    assert running.played.providers.state.files.leaks == 0


def test_what_is_uploaded_to_meta_can_be_sent() -> None:
    cloud = Played.at("whatsapp_cloud")
    upload = plan_upload(Attachment(kind="image", file="f", mime_type="image/jpeg"), JPEG, cloud.channel)
    assert isinstance(upload, Call)
    reply = cloud.call(upload)
    id = read_upload(Answer(reply.status or 0, reply.body))
    assert isinstance(id, str)
    kept = cloud.providers.state.files.find(id)
    assert kept is not None
    assert (kept.body, kept.mime_type) == (JPEG, "image/jpeg")
