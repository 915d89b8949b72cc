"""The performer that fetches files, against a real HTTP server that plays the providers, and strangers."""

import asyncio
import base64
import gzip
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import SecretStr

from agents.stage import Effect
from media.store import MediaStore, folder_url
from providers.media import hex_sha256
from schemas.effects import MediaRequest, MediaResult
from schemas.events.conversation import Media
from schemas.settings.channel import ChannelSettings
from streams.effects import runner
from streams.effects.contract import Done, Postponed
from streams.effects.media import MediaFetcher, media_session
from streams.effects.outside import ForbiddenAddress, Outside, OutsideResolver
from tests.support.files import HTML, OPUS, picture
from tests.support.http import CLOSING, Handler, answering, answering_bytes, hang_up, never_answer

JPEG = picture()
SID = "AC" + "0" * 32
CHANNELS = {
    "engagelab": ChannelSettings(id="shop", phone_number="+4930000099"),
    "twilio": ChannelSettings(
        id="shop", provider="twilio", phone_number="+4930000099", account_sid=SID, auth_token=SecretStr("token")
    ),
    "whatsapp_cloud": ChannelSettings(
        id="shop",
        provider="whatsapp_cloud",
        phone_number="+4930000099",
        phone_number_id="8",
        access_token=SecretStr("token"),
        app_secret=SecretStr("s"),
        verify_token=SecretStr("v"),
    ),
}
TWILIO_FILE = f"/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1"


class Server:
    """A host on this machine: paths -> their answers in order, the last one again and again."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, list[Handler]] = {}
        self.asked: list[tuple[str, str | None]] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path_qs, request.headers.get("Authorization")))
        answers = self.answers[request.path]
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)


async def serve() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app[CLOSING] = asyncio.Event()
    app.router.add_get("/{path:.*}", made.take)
    site = web.AppRunner(app)
    await site.setup()
    await web.TCPSite(site, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{site.addresses[0][1]}"
    yield made
    app[CLOSING].set()
    await site.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async for made in serve():
        yield made


@pytest.fixture
async def stranger() -> AsyncIterator[Server]:
    async for made in serve():
        yield made


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(folder_url(tmp_path))


def redirect(location: str, status: int = 307) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return answer


class Bench:
    """The performer. trusted: further hosts, as though the operator had set them; a public host can't be had here."""

    def __init__(self, server: Server, store: MediaStore, *trusted: str, **options: Any) -> None:
        self.base_urls = dict.fromkeys(CHANNELS, server.url)
        self.outside = Outside([*self.base_urls.values(), *trusted])
        self.store, self.options = store, {"max_bytes": 1 << 20, **options}

    async def fetch(self, media: Media, provider: str = "engagelab") -> MediaResult:
        async with media_session(self.outside) as session:
            fetcher = MediaFetcher(
                session, self.outside, lambda _: CHANNELS[provider], self.store, self.base_urls, **self.options
            )
            request = MediaRequest(effect_id="e", channel="shop", message_id="wamid.1==", index=0, media=media)
            outcome = await fetcher.perform(request)
        assert isinstance(outcome, Done)
        return MediaResult.model_validate(outcome.result)

    async def stored(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.store.read(key)])


def refused(result: MediaResult) -> tuple[str, str]:
    return result.answer, result.reason


async def test_a_file_behind_a_link_is_stored_under_a_key_of_its_own(server: Server, store: MediaStore) -> None:
    server.answers["/a"] = [answering_bytes(200, JPEG)]
    bench = Bench(server, store)
    result = await bench.fetch(Media(link=f"{server.url}/a?x=%2F1", mime_type="text/html", filename="../../a.exe"))
    assert (result.answer, result.mime_type, result.size) == ("stored", "image/jpeg", len(JPEG))
    assert result.sha256 == hashlib.sha256(JPEG).hexdigest()
    assert result.file.startswith("in/shop/")
    assert result.file.endswith(".jpg")
    assert await bench.stored(result.file) == JPEG
    assert result.preview is not None
    assert (await bench.stored(result.preview))[8:12] == b"WEBP"
    assert server.asked == [("/a?x=%2F1", None)]
    assert await bench.fetch(Media(link=f"{server.url}/a")) == result


async def test_an_id_alone_can_t_be_fetched_from_engagelab(server: Server, store: MediaStore) -> None:
    assert refused(await Bench(server, store).fetch(Media(id="9"))) == ("refused", "unsupported")
    assert server.asked == []


# --- WhatsApp Cloud ----------------------------------------------------------------------------------------------


def cloud_lookup(server: Server, **more: object) -> Handler:
    return answering(200, {"url": f"{server.url}/file", "id": "9", **more})  # type: ignore[dict-item]


async def test_a_cloud_file_is_looked_up_by_its_id_and_fetched_with_the_token(
    server: Server, store: MediaStore
) -> None:
    server.answers = {
        "/v25.0/9": [cloud_lookup(server, sha256=hashlib.sha256(OPUS).hexdigest(), file_size="70")],
        "/file": [answering_bytes(200, OPUS)],
    }
    sent = base64.b64encode(hashlib.sha256(OPUS).digest()).decode()
    media = Media(id="9", mime_type="audio/ogg; codecs=opus", sha256=hex_sha256(sent), link=f"{server.url}/old")
    result = await Bench(server, store).fetch(media, "whatsapp_cloud")
    assert (result.answer, result.mime_type, result.preview) == ("stored", "audio/ogg; codecs=opus", None)
    assert server.asked == [("/v25.0/9", "Bearer token"), ("/file", "Bearer token")]


async def test_a_look_up_never_names_the_phone_number(server: Server, store: MediaStore) -> None:
    """With it, it was refused for customers' files."""

    async def look_up(request: web.Request) -> web.StreamResponse:
        if request.query:
            error = {"code": 100, "message": "Param phone_number_id is not a valid whatsapp business phone number id"}
            return web.json_response({"error": error}, status=400)
        return web.json_response({"url": f"{server.url}/file"})

    server.answers = {"/v25.0/9": [look_up], "/file": [answering_bytes(200, JPEG)]}
    assert (await Bench(server, store).fetch(Media(id="9"), "whatsapp_cloud")).answer == "stored"


@pytest.mark.parametrize("where", ["webhook", "look-up"])
async def test_a_file_of_another_hash_is_not_stored(server: Server, store: MediaStore, where: str) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    server.answers = {
        "/v25.0/9": [cloud_lookup(server, sha256=other) if where == "look-up" else cloud_lookup(server)],
        "/file": [answering_bytes(200, JPEG)],
    }
    media = Media(id="9", sha256=other if where == "webhook" else None)
    assert refused(await Bench(server, store).fetch(media, "whatsapp_cloud")) == ("missing", "wrong_hash")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": {"code": 100, "error_subcode": 33}}, ("missing", "not_found")),
        (404, {}, ("missing", "not_found")),
        (401, {"error": {"code": 190}}, ("later", "forbidden")),
        (400, {"error": {"code": 80007}}, ("later", "unreachable")),
        (500, {"error": {"code": 1}}, ("later", "unreachable")),
        (503, {}, ("later", "unreachable")),
        (200, {"id": "9"}, ("missing", "not_found")),
        (200, [], ("missing", "not_found")),
    ],
)
async def test_what_a_refused_look_up_means(
    server: Server, store: MediaStore, status: int, body: Any, expected: tuple[str, str]
) -> None:
    server.answers["/v25.0/9"] = [answering(status, body)]
    assert refused(await Bench(server, store).fetch(Media(id="9"), "whatsapp_cloud")) == expected


async def test_a_cloud_token_goes_to_no_host_but_meta_s(server: Server, store: MediaStore, stranger: Server) -> None:
    server.answers["/v25.0/9"] = [answering(200, {"url": f"{stranger.url}/file"})]
    stranger.answers["/file"] = [answering_bytes(200, JPEG)]
    assert (await Bench(server, store, stranger.url).fetch(Media(id="9"), "whatsapp_cloud")).answer == "stored"
    assert stranger.asked == [("/file", None)]


# --- Twilio ------------------------------------------------------------------------------------------------------


async def test_a_twilio_file_is_fetched_with_credentials_that_follow_no_redirect(
    server: Server, store: MediaStore, stranger: Server
) -> None:
    server.answers[TWILIO_FILE] = [redirect(f"{stranger.url}/signed?Signature=a%2Bb")]
    stranger.answers["/signed"] = [answering_bytes(200, JPEG)]
    media = Media(link=f"https://api.twilio.com{TWILIO_FILE}", mime_type="image/jpeg")
    assert (await Bench(server, store, stranger.url).fetch(media, "twilio")).answer == "stored"
    basic = "Basic " + base64.b64encode(f"{SID}:token".encode()).decode()
    assert server.asked == [(TWILIO_FILE, basic)]
    assert stranger.asked == [("/signed?Signature=a%2Bb", None)]


async def test_credentials_don_t_come_back_with_a_redirect_to_where_they_came_from(
    server: Server, store: MediaStore
) -> None:
    server.answers = {TWILIO_FILE: [redirect("/again", 302)], "/again": [answering_bytes(200, JPEG)]}
    assert (await Bench(server, store).fetch(Media(link=server.url + TWILIO_FILE), "twilio")).answer == "stored"
    assert [credentials is None for _, credentials in server.asked] == [False, True]


async def test_another_account_s_file_is_asked_for_without_credentials(server: Server, store: MediaStore) -> None:
    path = TWILIO_FILE.replace(SID, "AC" + "1" * 32)
    server.answers[path] = [answering_bytes(200, JPEG)]
    await Bench(server, store).fetch(Media(link=server.url + path), "twilio")
    assert server.asked == [(path, None)]


async def test_a_twilio_file_that_comes_a_moment_later_is_stored_then(server: Server, store: MediaStore) -> None:
    server.answers[TWILIO_FILE] = [answering(404, {}), answering(404, {}), answering_bytes(200, JPEG)]
    bench, media = Bench(server, store), Media(link=server.url + TWILIO_FILE)
    assert refused(await bench.fetch(media, "twilio")) == ("missing", "not_found")
    assert refused(await bench.fetch(media, "twilio")) == ("missing", "not_found")
    assert (await bench.fetch(media, "twilio")).answer == "stored"


# --- strangers ---------------------------------------------------------------------------------------------------


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(JPEG[:10])
    assert request.transport is not None
    request.transport.abort()
    return response


async def stall(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(JPEG[:10])
    return await never_answer(request)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(bytes(1 << 16))
    except ConnectionError:
        return response


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answering_bytes(404, b"gone"), ("missing", "not_found")),
        (answering_bytes(403, b""), ("refused", "forbidden")),
        (answering_bytes(429, b""), ("later", "unreachable")),
        (answering_bytes(500, b""), ("later", "unreachable")),
        (answering_bytes(204, b""), ("later", "unreachable")),
        (answering_bytes(200, b""), ("missing", "empty")),
        (hang_up, ("later", "unreachable")),
        (break_off, ("later", "unreachable")),
        (never_answer, ("later", "unreachable")),
        (stall, ("later", "unreachable")),
        (answering_bytes(200, bytes(2 << 20)), ("refused", "too_large")),
        (endless, ("refused", "too_large")),
    ],
)
async def test_what_a_link_that_gives_no_file_means(
    server: Server, store: MediaStore, answer: Handler, expected: tuple[str, str]
) -> None:
    server.answers["/a"] = [answer]
    assert refused(await Bench(server, store, silence_s=0.2).fetch(Media(link=f"{server.url}/a"))) == expected


async def test_what_is_packed_is_stored_as_it_came(server: Server, store: MediaStore) -> None:
    """Unpacked it could have any size."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(10 << 20)), headers={"Content-Encoding": "gzip"})

    server.answers["/a"] = [answer]
    result = await Bench(server, store).fetch(Media(link=f"{server.url}/a"))
    assert result.answer == "stored"
    assert result.size < 1 << 20


async def test_a_redirect_without_end_is_not_followed(server: Server, store: MediaStore) -> None:
    server.answers["/a"] = [redirect("/a")]
    assert refused(await Bench(server, store).fetch(Media(link=f"{server.url}/a"))) == ("refused", "forbidden")
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://files.example/a",
        "http://[bad",
        "https://a:b/",
        "https://a:-1",
        "http://6][7]c@# -",
        "//user:secret@127.0.0.1/a",
        "https://",
        "data:,x",
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
async def test_what_is_no_web_address_is_refused(
    server: Server, store: MediaStore, location: str, redirected: bool
) -> None:
    server.answers["/a"] = [redirect(location)]
    link = f"{server.url}/a" if redirected else location
    assert refused(await Bench(server, store).fetch(Media(link=link))) == ("refused", "forbidden")


PRIVATE = [
    "http://127.0.0.1/latest",
    "http://169.254.169.254/latest/meta-data",
    "http://10.1.2.3/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://0.0.0.0/",
    "http://100.64.0.1/",
    "http://localhost/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://127.1/",
]


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("redirected", [False, True])
async def test_a_private_address_is_not_called(
    server: Server, store: MediaStore, address: str, redirected: bool
) -> None:
    server.answers["/a"] = [redirect(address)]
    link = f"{server.url}/a" if redirected else address
    assert refused(await Bench(server, store).fetch(Media(link=link))) == ("refused", "forbidden")


@pytest.mark.parametrize(("path", "asked"), [("/a b", "/a b"), ("/a\r\nX-Evil: 1", "/aX-Evil: 1"), ("/ñ", "/ñ")])
async def test_an_address_that_is_spelled_carelessly_is_called(
    server: Server, store: MediaStore, path: str, asked: str
) -> None:
    server.answers = {asked: [answering_bytes(200, JPEG)]}
    assert (await Bench(server, store).fetch(Media(link=server.url + path))).answer == "stored"


async def test_another_port_of_a_trusted_host_is_private_like_any_other(
    server: Server, store: MediaStore, stranger: Server
) -> None:
    stranger.answers["/a"] = [answering_bytes(200, JPEG)]
    assert refused(await Bench(server, store).fetch(Media(link=f"{stranger.url}/a"))) == ("refused", "forbidden")
    assert stranger.asked == []


class Names(AbstractResolver):
    """A look-up that answers what the test says."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=2, proto=6, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        (PUBLIC, PUBLIC),
        (("10.0.0.7", PUBLIC[0], "127.0.0.1"), PUBLIC[:1]),
        (("10.0.0.7",), ()),
        (("fe80::1%eth0",), ()),
        (("224.0.0.1",), ()),
    ],
)
async def test_a_name_is_judged_by_where_it_leads(addresses: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    resolver = OutsideResolver(Outside(["http://sandbox:8900"]), Names(*addresses))
    if allowed:
        assert [one["host"] for one in await resolver.resolve("files.example", 443)] == list(allowed)
    else:
        with pytest.raises(ForbiddenAddress):
            await resolver.resolve("files.example", 443)
    assert len(await resolver.resolve("sandbox", 8900)) == len(addresses)


async def test_a_stand_in_may_be_called_by_another_of_its_names(server: Server, store: MediaStore) -> None:
    """And is another host, which gets no credentials."""
    named = server.url.replace("127.0.0.1", "localhost")
    server.answers = {TWILIO_FILE: [redirect(f"{named}/file")], "/file": [answering_bytes(200, JPEG)]}
    assert (await Bench(server, store).fetch(Media(link=server.url + TWILIO_FILE), "twilio")).answer == "stored"
    assert [credentials is None for _, credentials in server.asked] == [False, True]


async def test_a_page_that_says_it_is_a_picture_is_stored_as_the_page_it_is(server: Server, store: MediaStore) -> None:
    async def lie(request: web.Request) -> web.Response:
        return web.Response(body=HTML, content_type="image/jpeg")

    server.answers["/a"] = [lie]
    result = await Bench(server, store).fetch(Media(link=f"{server.url}/a", mime_type="image/jpeg"))
    assert (result.answer, result.mime_type, result.preview) == ("stored", "text/html", None)


async def test_a_store_that_takes_nothing_is_tried_again(server: Server, store: MediaStore, tmp_path: Path) -> None:
    server.answers["/a"] = [answering_bytes(200, JPEG)]
    (tmp_path / "in").write_text("a file where a folder should be")
    assert refused(await Bench(server, store).fetch(Media(link=f"{server.url}/a"))) == ("later", "store")


async def test_the_log_says_neither_address_nor_token(
    server: Server, store: MediaStore, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers["/v25.0/9"] = [answering(500, {"error": {"message": "secret-words"}})]
    with caplog.at_level(logging.DEBUG, logger="streams"):
        await Bench(server, store).fetch(Media(id="9"), "whatsapp_cloud")
        await Bench(server, store).fetch(Media(link="http://10.0.0.1/secret-words"))
    assert "channel shop" in caplog.text
    assert "secret-words" not in caplog.text
    assert "token" not in caplog.text


async def test_a_channel_whose_settings_are_not_known_yet_is_postponed(server: Server, store: MediaStore) -> None:
    def unknown(channel: str) -> ChannelSettings:
        raise LookupError(channel)

    outside = Outside([])
    async with media_session(outside) as session:
        fetcher = MediaFetcher(session, outside, unknown, store, {}, max_bytes=1)
        request = MediaRequest(effect_id="e", channel="shop", message_id="m", index=0, media=Media(id="9"))
        assert await fetcher.perform(request) == Postponed()


async def test_a_transfer_under_way_is_cut_off_once_its_partition_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than a rebalance waits. Its next owner makes it again."""
    monkeypatch.setattr(runner, "DRAIN_S", 0.05)
    begun, ends = asyncio.Event(), list[str]()

    async def transfer(request: MediaRequest) -> Done:
        begun.set()
        await asyncio.Event().wait()
        return Done()

    effects = runner.EffectRunner({MediaRequest: transfer}, lambda key, _end: ends.append(key))
    request = MediaRequest(effect_id="e", channel="shop", message_id="m", index=0, media=Media(id="9"))
    effects.start("shop:1", Effect("e", request), time.monotonic())
    await begun.wait()
    await effects.drain()
    assert (effects.running, ends) == (0, [])
