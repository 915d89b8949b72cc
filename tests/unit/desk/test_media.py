"""Files over real HTTP: uploaded, shown to a desk, and given to whoever has a link."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import unquote

import pytest
from aiohttp import ClientError, ClientSession, FormData
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import JsonValue

from media.links import LINK_LIVES
from media.serving import content_disposition
from media.store import MediaStore, StoreUnavailable
from schemas.events.content import Attachment
from schemas.events.inbox import Reply
from tests.support.files import HTML, OPUS, PDF, SVG, picture, recorded
from tests.support.ingress import MAX_FILE, NOW, Ingress, running

UPLOAD = "/v1/channels/desk/media"
JPEG = picture()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    def __init__(self, ingress: Ingress, session: ClientSession) -> None:
        self.ingress, self.session = ingress, session

    async def upload(self, data: object, path: str = UPLOAD, **headers: str) -> tuple[int, dict[str, JsonValue]]:
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self.session.post(self.ingress.control_url + path, data=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def stored(self, data: bytes, **headers: str) -> str:
        status, body = await self.upload(data, **headers)
        assert status == 201
        return str(body["file"])

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        async with self.session.request(method, self.ingress.url + path, headers=headers) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def command(self, **media: JsonValue) -> tuple[int, JsonValue]:
        url = f"{self.ingress.control_url}/v1/channels/desk/conversations/34622333444/commands?wait=0"
        body = {"type": "reply", "by": "irene", "media": media}
        async with self.session.post(url, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    def link(self, file: str, name: str | None = None) -> str:
        return self.ingress.links.path(file, name, NOW)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running("https://desk.example/base") as (ingress, session):
        session.headers["Authorization"] = f"Bearer {ingress.token()}"
        yield Client(ingress, session)


async def test_a_browser_s_voice_note_is_stored_as_whatsapp_takes_it(client: Client) -> None:
    note = recorded()
    status, body = await client.upload(note, **{"Content-Type": "audio/webm;codecs=opus"})
    assert (status, body["mime_type"]) == (201, "audio/ogg; codecs=opus")
    shown = await client.session.get(f"{client.ingress.control_url}{UPLOAD}/{body['file']}")
    assert shown.content_type == "audio/ogg"
    assert len(await shown.read()) == body["size"]
    status, body = await client.upload(recorded(pictures=True), **{"Content-Type": "video/webm"})
    assert (status, body["mime_type"]) == (201, "video/webm")


@pytest.mark.parametrize("animated", [False, True])
async def test_it_is_known_of_a_sticker_whether_it_moves(client: Client, animated: bool) -> None:
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 255)]
    written = io.BytesIO()
    frames[0].save(written, "WEBP", save_all=animated, append_images=frames[1:] if animated else [])
    file = await client.stored(written.getvalue())
    assert (await client.command(kind="sticker", file=file))[0] == 202
    reply = client.ingress.inbox[0].event
    assert isinstance(reply, Reply)
    assert reply.content is not None
    assert reply.content.media is not None
    assert reply.content.media.animated is animated


async def test_an_uploaded_file_is_stored_with_its_type_from_its_bytes(client: Client) -> None:
    status, body = await client.upload(OPUS, **{"Content-Type": "audio/opus"})
    assert status == 201
    assert (body["mime_type"], body["size"]) == ("audio/ogg; codecs=opus", len(OPUS))
    assert str(body["file"]).startswith("out/desk/")
    shown = await client.session.get(f"{client.ingress.control_url}{UPLOAD}/{body['file']}")
    assert (await shown.read(), shown.headers["Content-Type"]) == (OPUS, "audio/ogg; codecs=opus")


async def test_a_form_s_first_file_is_stored(client: Client) -> None:
    form = FormData()
    form.add_field("note", "not this")
    form.add_field("file", JPEG, filename="año.jpg", content_type="application/pdf")
    status, body = await client.upload(form)
    assert (status, body["mime_type"], body["size"]) == (201, "image/jpeg", len(JPEG))
    large = FormData()
    large.add_field("file", io.BytesIO(bytes(MAX_FILE)), filename="large")
    assert (await client.upload(large))[0] == 201


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_file_that_is_too_large_is_refused(client: Client, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_FILE // (1 << 16) + 1):
            yield bytes(1 << 16)

    status, body = await client.upload(chunks() if chunked else bytes(MAX_FILE + 1))
    assert (status, body["code"]) == (413, "too_large")
    assert (await client.upload(bytes(MAX_FILE)))[0] == 201


async def test_what_holds_no_file_is_refused(client: Client) -> None:
    form = FormData()
    form.add_field("note", "only words")
    form.add_field("file", b"", filename="empty")
    for data in (b"", form):
        status, body = await client.upload(data)
        assert (status, body["code"]) == (422, "no_file")
    assert (await client.upload(JPEG, "/v1/channels/none/media"))[0] == 404


@pytest.mark.parametrize("file", ["out/cloud/abc.jpg", "out/desk/none.jpg", "out/desk/../cloud/abc.jpg", "x"])
async def test_a_desk_is_shown_the_channel_s_files_alone(client: Client, file: str) -> None:
    await client.ingress.store.put("out/cloud/abc.jpg", JPEG)
    answer = await client.session.get(f"{client.ingress.control_url}{UPLOAD}/{file.replace('..', '%2e%2e')}")
    assert answer.status == 404


# --- links -------------------------------------------------------------------------------------------------------


async def test_a_link_gives_the_file_and_head_the_same_headers(client: Client) -> None:
    link = client.link(await client.stored(OPUS), "nota.opus")
    given, head = await client.get(link), await client.get(link, "HEAD")
    assert (given.status, given.body) == (200, OPUS)
    assert given.headers["Content-Type"] == "audio/ogg; codecs=opus"
    assert given.headers["Content-Length"] == str(len(OPUS))
    assert given.headers["Content-Disposition"] == "inline; filename=\"nota.opus\"; filename*=UTF-8''nota.opus"
    assert given.headers["X-Content-Type-Options"] == "nosniff"
    del given.headers["Date"], head.headers["Date"]
    assert (head.status, head.body, head.headers) == (200, b"", given.headers)


@pytest.mark.parametrize("path", ["", "/base"])
async def test_a_link_works_below_the_public_address(client: Client, path: str) -> None:
    link = client.link(await client.stored(JPEG))
    assert (await client.get(path + link)).body == JPEG


async def test_a_large_file_comes_whole(client: Client) -> None:
    data = bytes(range(256)) * (MAX_FILE // 256)
    assert (await client.get(client.link(await client.stored(data)))).body == data


@pytest.mark.parametrize("data", [HTML, SVG, PDF, b"<!-- x --><script>alert(1)</script>"])
async def test_what_could_run_is_given_to_be_saved(client: Client, data: bytes) -> None:
    given = await client.get(client.link(await client.stored(data, **{"Content-Type": "image/jpeg"})))
    assert given.headers["Content-Disposition"] == "attachment"
    assert given.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in given.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, PDF[:4], f"bytes 0-3/{len(PDF)}"),
        ("bytes=5-", 206, PDF[5:], f"bytes 5-{len(PDF) - 1}/{len(PDF)}"),
        ("bytes=-4", 206, PDF[-4:], f"bytes {len(PDF) - 4}-{len(PDF) - 1}/{len(PDF)}"),
        ("bytes=2-999999", 206, PDF[2:], f"bytes 2-{len(PDF) - 1}/{len(PDF)}"),
        ("bytes=999999-", 416, b"", f"bytes */{len(PDF)}"),
        ("bytes=-999999", 200, PDF, None),
        ("bytes=0-1,3-4", 200, PDF, None),
        ("bytes=3-1", 200, PDF, None),
        ("lines=1-2", 200, PDF, None),
    ],
)
async def test_a_part_of_a_file_can_be_had(
    client: Client, wanted: str, status: int, body: bytes, content_range: str | None
) -> None:
    link = client.link(await client.stored(PDF))
    given = await client.get(link, Range=wanted)
    assert (given.status, given.body, given.headers.get("Content-Range")) == (status, body, content_range)
    assert (await client.get(link, "HEAD", Range=wanted)).status == 200


async def test_a_file_that_the_store_stops_giving_is_seen_to_be_broken_off(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: MediaStore, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        yield JPEG[:5]
        raise StoreUnavailable("down")

    link = client.link(await client.stored(JPEG))
    monkeypatch.setattr(MediaStore, "read", breaks)
    with pytest.raises(ClientError):
        await client.get(link)


async def test_while_the_store_is_away_files_are_not_there_for_now(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: MediaStore, key: str, *_: object) -> None:
        raise StoreUnavailable("down")

    link = client.link(file := await client.stored(JPEG))
    monkeypatch.setattr(MediaStore, "find", breaks)
    monkeypatch.setattr(MediaStore, "put", breaks)
    assert (await client.get(link)).status == 503
    status, body = await client.upload(JPEG)
    assert (status, body["code"]) == (503, "store_unavailable")
    assert (await client.command(kind="image", file=file))[0] == 503


async def test_a_link_that_is_forged_expired_or_of_nothing_leads_nowhere(client: Client) -> None:
    file = await client.stored(JPEG)
    other = await client.stored(PDF)
    link = client.link(file, "a.jpg")
    expires, _, rest = link.removeprefix("/media/").partition(".")
    wrong = [
        link.replace(file, other),
        link.replace("a.jpg", "b.jpg"),
        link.removesuffix("?name=a.jpg"),
        f"/media/{int(expires) + 1}.{rest}",
        "/media/x." + rest,
        "/media/" + file,
        "/media/",
        client.link("out/desk/gone.jpg"),
        client.link("../secret.key"),
        client.link("in/desk/../../secret.key"),
        link[:10] + "é" + link[11:],
    ]
    answers = [await client.get(one) for one in wrong]
    client.ingress.now = NOW + LINK_LIVES
    answers.append(await client.get(link))
    assert {(one.status, one.body) for one in answers} == {(404, b'{"status":"not_found"}')}
    client.ingress.now -= timedelta(seconds=1)
    assert (await client.get(link)).status == 200


async def test_a_link_takes_nothing(client: Client) -> None:
    answer = await client.get(client.link(await client.stored(JPEG)), "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_name_is_given_in_both_spellings() -> None:
    assert content_disposition("Factura nº 7.pdf", shown=False) == (
        "attachment; filename=\"Factura n_ 7.pdf\"; filename*=UTF-8''Factura%20n%C2%BA%207.pdf"
    )


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\a.pdf", "a.pdf"),
        ('a"; filename=b.exe\r\nX-Evil: 1', "a; filename=b.exeX-Evil: 1"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("rtl\u202egnp.exe", "rtlgnp.exe"),
    ],
)
def test_nothing_of_a_hostile_name_gets_into_the_header(name: str, clean: str) -> None:
    header = content_disposition(name, shown=False)
    assert unquote(header.partition("UTF-8''")[2]) == clean
    assert header.count('"') == 2


@given(st.text(max_size=400))
def test_any_name_makes_one_header(name: str) -> None:
    header = content_disposition(name, shown=True)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') in (0, 2)


# --- replies -----------------------------------------------------------------------------------------------------


async def test_a_reply_s_file_has_type_and_size_from_the_store(client: Client) -> None:
    file = await client.stored(PDF, **{"Content-Type": "image/jpeg"})
    status, _ = await client.command(kind="document", file=file, filename="Factura nº 7.pdf")
    assert status == 202
    reply = client.ingress.inbox[0].event
    assert isinstance(reply, Reply)
    assert reply.content is not None
    assert reply.content.media == Attachment(
        kind="document", file=file, mime_type="application/pdf", size=len(PDF), filename="Factura nº 7.pdf"
    )


@pytest.mark.parametrize(
    ("media", "field"),
    [
        ({"kind": "image", "file": "out/desk/none.jpg"}, "media.file"),
        ({"kind": "image", "file": "out/cloud/abc.jpg"}, "media.file"),
        ({"kind": "image"}, "media"),
        ({"kind": "image", "file": "out/desk/a.jpg", "link": "https://x.example/a"}, "media"),
        ({"kind": "image", "link": "file:///etc/passwd"}, "media.link"),
        ({"kind": "hologram", "link": "https://x.example/a"}, "media.kind"),
    ],
)
async def test_a_reply_with_a_file_that_is_none_is_refused(
    client: Client, media: dict[str, JsonValue], field: str
) -> None:
    await client.ingress.store.put("out/cloud/abc.jpg", JPEG)
    status, body = await client.command(**media)
    assert status == 422
    assert [one["field"] for one in body["errors"]] == [field]  # type: ignore[index, call-overload, union-attr]
    assert client.ingress.inbox == []


async def test_without_a_public_address_a_file_can_t_be_fetched_by_the_provider() -> None:
    async with running() as (ingress, session):
        session.headers["Authorization"] = f"Bearer {ingress.token()}"
        client = Client(ingress, session)
        status, body = await client.command(kind="image", file=await client.stored(JPEG))
        assert status == 422
        assert "LIVEDESK_PUBLIC_URL" in str(body)
        assert (await client.command(kind="image", link="https://x.example/a.jpg"))[0] == 202
