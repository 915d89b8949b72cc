"""Sending files: uploaded to WhatsApp Cloud first, behind a link for the others. Over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr

from media.store import MediaStore, StoreUnavailable
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment, Outgoing
from schemas.events.template import Template, TemplateHeader
from schemas.settings.channel import ChannelSettings
from streams.clock import wall_clock
from streams.effects import sending
from streams.effects.attachments import Attachments
from streams.effects.contract import Done, Outcome, Postponed
from streams.effects.http import HttpTransport
from streams.effects.sending import Sender
from tests.support.files import OPUS
from tests.support.http import CLOSING, Handler, answering, hang_up, never_answer

KEY = "out/shop/abc.opus"
CHANNELS = {
    "whatsapp_cloud": ChannelSettings(
        id="shop",
        provider="whatsapp_cloud",
        phone_number="+4930000099",
        phone_number_id="8",
        access_token=SecretStr("t"),
        app_secret=SecretStr("s"),
        verify_token=SecretStr("v"),
    ),
    "engagelab": ChannelSettings(id="shop", phone_number="+4930000099", dev_key="k", dev_secret=SecretStr("s")),
}
REQUEST = SendRequest(
    effect_id="e1",
    message_id="o1",
    conversation="shop:4915200000042",
    channel="shop",
    contact="4915200000042",
    kind="reply",
    via="session",
    content=Outgoing(media=Attachment(kind="voice", file=KEY, mime_type="audio/ogg; codecs=opus", size=len(OPUS))),
)


class Server:
    """A provider on this machine; how it answers is set by the tests."""

    def __init__(self) -> None:
        self.url = ""
        self.uploads: list[dict[str, Any]] = []
        self.sends: list[Any] = []
        self.upload: Handler = answering(200, {"id": "77"})
        self.send: Handler = answering(200, {"messages": [{"id": "wamid.1"}], "message_id": "p1"})

    async def take_upload(self, request: web.Request) -> web.StreamResponse:
        form: dict[str, Any] = {}
        async for part in await request.multipart():
            assert not isinstance(part, web.Request)
            form[str(part.name)] = (part.headers.get("Content-Type"), await part.read())  # type: ignore[union-attr]
        self.uploads.append(form)
        return await self.upload(request)

    async def take_send(self, request: web.Request) -> web.StreamResponse:
        self.sends.append(orjson.loads(await request.read()))
        return await self.send(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=10 << 20)
    app[CLOSING] = asyncio.Event()
    app.router.add_post("/v25.0/8/media", made.take_upload)
    app.router.add_post("/v25.0/8/messages", made.take_send)
    app.router.add_post("/v1/messages", made.take_send)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    app[CLOSING].set()
    await runner.cleanup()


@pytest.fixture
async def store() -> MediaStore:
    store = MediaStore("memory:///")
    await store.put(KEY, OPUS)
    return store


class Bench:
    """A sender of the provider. public: whether LIVEDESK_PUBLIC_URL is set."""

    def __init__(
        self, session: ClientSession, server: Server, store: MediaStore, provider: str, *, public: bool = True
    ) -> None:
        transport = HttpTransport(session)
        link = f"https://desk.example/media/1.x/{KEY}" if public else None
        self.settings = CHANNELS[provider]
        attachments = Attachments(transport, store, lambda _: link, total_s=0.5)
        self.sender = Sender(
            transport, lambda _: self.settings, wall_clock, {provider: server.url}, attachments=attachments
        )

    async def send(self, request: SendRequest = REQUEST) -> Outcome:
        return await self.sender.perform(request)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as made:
        yield made


def result(outcome: Outcome) -> SendResult:
    assert isinstance(outcome, Done)
    return SendResult.model_validate(outcome.result)


async def test_a_file_is_uploaded_to_cloud_and_sent_by_its_id(
    session: ClientSession, server: Server, store: MediaStore
) -> None:
    sent = result(await Bench(session, server, store, "whatsapp_cloud").send())
    assert (sent.answer, sent.provider_message_id) == ("accepted", "wamid.1")
    assert server.uploads == [
        {
            "messaging_product": (None, b"whatsapp"),
            "type": (None, b"audio/ogg; codecs=opus"),
            "file": ("audio/ogg; codecs=opus", OPUS),
        }
    ]
    assert server.sends[0]["audio"] == {"id": "77", "voice": True}


async def test_a_file_that_was_uploaded_is_not_uploaded_again(
    session: ClientSession, server: Server, store: MediaStore
) -> None:
    bench = Bench(session, server, store, "whatsapp_cloud")
    server.send = answering(400, {"error": {"code": 130429}})
    assert result(await bench.send()).answer == "retry"
    await bench.send()
    assert len(server.uploads) == 1
    bench.settings = bench.settings.model_copy(update={"revision": 2})
    await bench.send()
    assert len(server.uploads) == 2


async def test_a_large_file_is_uploaded(session: ClientSession, server: Server, store: MediaStore) -> None:
    data = bytes(3 << 20)
    await store.put(KEY, data)
    assert result(await Bench(session, server, store, "whatsapp_cloud").send()).answer == "accepted"
    assert server.uploads[0]["file"][1] == data


async def test_an_upload_that_takes_long_is_sent_by_the_next_attempt(
    session: ClientSession, server: Server, store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor may have taken the key over meanwhile: a send must begin soon after its attempt."""
    monkeypatch.setattr(sending, "START_WITHIN", 0.0)
    bench = Bench(session, server, store, "whatsapp_cloud")
    assert await bench.send() == Postponed()
    assert server.sends == []
    monkeypatch.undo()
    assert result(await bench.send()).answer == "accepted"
    assert (len(server.uploads), len(server.sends)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answering(400, {"error": {"code": 131053}}), "refused"),
        (answering(401, {"error": {"code": 190}}), "credentials"),
        (answering(500, {}), "retry"),
        (hang_up, "retry"),
        (never_answer, "retry"),
    ],
)
async def test_a_failed_upload_sends_nothing(
    session: ClientSession, server: Server, store: MediaStore, answer: Handler, expected: str
) -> None:
    """So that nothing of it is ever unknown."""
    server.upload = answer
    assert result(await Bench(session, server, store, "whatsapp_cloud").send()).answer == expected
    assert server.sends == []


@pytest.mark.parametrize("provider", ["whatsapp_cloud"])
async def test_a_file_that_is_gone_is_refused(session: ClientSession, server: Server, provider: str) -> None:
    sent = result(await Bench(session, server, MediaStore("memory:///"), provider).send())
    assert (sent.answer, "media store" in sent.message) == ("refused", True)


class Broken(MediaStore):
    """A store that can't be reached."""

    async def find(self, key: str) -> None:
        raise StoreUnavailable("down")


async def test_while_the_store_is_away_nothing_is_tried(session: ClientSession, server: Server) -> None:
    bench = Bench(session, server, Broken("memory:///"), "whatsapp_cloud")
    assert await bench.send() == Postponed()


async def test_engagelab_is_given_a_link(session: ClientSession, server: Server, store: MediaStore) -> None:
    assert result(await Bench(session, server, store, "engagelab").send()).answer == "accepted"
    assert server.uploads == []
    assert server.sends[0]["body"] == {"type": "audio", "audio": {"link": f"https://desk.example/media/1.x/{KEY}"}}


async def test_without_a_public_address_there_is_no_link(
    session: ClientSession, server: Server, store: MediaStore
) -> None:
    sent = result(await Bench(session, server, store, "engagelab", public=False).send())
    assert (sent.answer, "LIVEDESK_PUBLIC_URL" in sent.message) == ("refused", True)
    assert server.sends == []


async def test_somebody_else_s_link_is_sent_as_it_is(session: ClientSession, server: Server, store: MediaStore) -> None:
    link = "https://x.example/a.jpg"
    request = REQUEST.model_copy(update={"content": Outgoing(media=Attachment(kind="image", link=link))})
    for provider in CHANNELS:
        assert result(await Bench(session, server, store, provider, public=False).send(request)).answer == "accepted"
    assert server.uploads == []
    assert [one.get("image") or one["body"]["image"] for one in server.sends] == [{"link": link}] * 2


def test_a_send_with_a_file_has_more_time() -> None:
    assert REQUEST.ends_within_s > REQUEST.model_copy(update={"content": None, "text": "x"}).ends_within_s == 10.0


@pytest.mark.parametrize("provider", ["whatsapp_cloud", "engagelab"])
async def test_the_file_in_a_template_s_header_is_uploaded_or_linked_too(
    session: ClientSession, server: Server, store: MediaStore, provider: str
) -> None:
    bill = Attachment(kind="document", file=KEY, filename="Año nº 7.pdf")
    template = Template(name="bill", language="es", header=TemplateHeader(media=bill))
    request = REQUEST.model_copy(update={"content": None, "template": template, "via": "template"})
    assert isinstance(await Bench(session, server, store, provider).send(request), Done)
    (sent,) = server.sends
    written = sent["template"] if provider == "whatsapp_cloud" else sent["body"]["template"]
    file = {"id": "77"} if provider == "whatsapp_cloud" else {"link": f"https://desk.example/media/1.x/{KEY}"}
    parameter = {"type": "document", "document": {**file, "filename": "Año nº 7.pdf"}}
    assert written["components"] == [{"type": "header", "parameters": [parameter]}]
