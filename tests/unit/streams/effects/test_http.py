"""The client against a real HTTP server, the faults of the network included."""

import asyncio
import base64
import logging
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import orjson
import pytest
from aiohttp import ClientSession, web
from pydantic import JsonValue, SecretStr

from schemas.effects import SendRequest, SendResult
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from streams.clock import wall_clock
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.http import HttpTransport
from streams.effects.sending import WINDOW_CLOSED, Sender
from tests.support.http import CLOSING, Handler, answering, answering_bytes, hang_up, never_answer

CHANNEL = ChannelSettings(id="shop", phone_number="+49 30 000099", dev_key="key", dev_secret=SecretStr("pässword"))
TEMPLATE = Template(name="come_back", language="de", parameters=("Eva",))
TEXT_REQUEST = SendRequest(
    effect_id="e1",
    message_id="o1",
    conversation="shop:4915200000042",
    channel="shop",
    contact="4915200000042",
    kind="reply",
    via="session",
    text="Guten Tag",
)
TEMPLATE_REQUEST = TEXT_REQUEST.model_copy(
    update={"kind": "survey", "via": "template", "text": None, "template": TEMPLATE, "check_template": True}
)
ACCEPTED: dict[str, JsonValue] = {"message_id": "p1", "request_id": "o1"}


class Server:
    """EngageLab on this machine; how it answers is set by the tests."""

    def __init__(self) -> None:
        self.url = ""
        self.sends: list[dict[str, JsonValue]] = []
        self.lookups: list[dict[str, str]] = []
        self.credentials: list[str] = []
        self.send: Handler = answering(200, ACCEPTED)
        self.templates: Handler = answering(200, [])

    async def take_send(self, request: web.Request) -> web.StreamResponse:
        self.credentials.append(request.headers["Authorization"])
        self.sends.append(orjson.loads(await request.read()))
        return await self.send(request)

    async def take_lookup(self, request: web.Request) -> web.StreamResponse:
        self.lookups.append(dict(request.query))
        return await self.templates(request)


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"message_id": "p')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app[CLOSING] = asyncio.Event()
    app.router.add_post("/v1/messages", made.take_send)
    app.router.add_get("/v1/templates", made.take_lookup)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    app[CLOSING].set()
    await runner.cleanup()


async def perform(
    url: str,
    request: SendRequest = TEXT_REQUEST,
    *,
    newest: Callable[[str], ChannelSettings] = lambda channel: CHANNEL,
    total_s: float = 9.5,
) -> Outcome:
    async with ClientSession() as session:
        urls = {"engagelab": url}
        return await Sender(HttpTransport(session), newest, wall_clock, urls, total_s=total_s).perform(request)


def result(outcome: Outcome) -> SendResult:
    assert isinstance(outcome, Done)
    return SendResult.model_validate(outcome.result)


async def test_a_text_is_not_sent_once_its_window_is_over(server: Server) -> None:
    late = TEXT_REQUEST.model_copy(update={"not_after": wall_clock()})
    assert result(await perform(server.url, late)) == WINDOW_CLOSED
    assert server.sends == []
    in_time = TEXT_REQUEST.model_copy(update={"not_after": wall_clock() + timedelta(minutes=5)})
    assert result(await perform(server.url, in_time)).answer == "accepted"


async def test_a_text_goes_out_and_comes_back_with_the_providers_id(server: Server) -> None:
    outcome = await perform(server.url)
    assert result(outcome) == SendResult(answer="accepted", provider_message_id="p1", http_status=200)
    assert server.sends == [
        {
            "from": "+4930000099",
            "to": ["4915200000042"],
            "body": {"type": "text", "text": {"body": "Guten Tag"}},
            "request_id": "o1",
            "custom_args": {"id": "o1", "conversation": "shop:4915200000042"},
        }
    ]
    assert server.credentials == ["Basic " + base64.b64encode("key:pässword".encode()).decode()]
    assert server.lookups == []


@pytest.mark.parametrize(
    ("status", "body", "answer", "code"),
    [
        (401, {"code": 2001, "message": "bad token"}, "credentials", 2001),
        (401, {"code": 2002, "message": "expired"}, "credentials", 2002),
        (403, {"code": 2004, "message": "not yours"}, "credentials", 2004),
        (500, {"code": 1000, "message": "internal"}, "retry", 1000),
        (503, None, "retry", 0),
        (429, None, "retry", 0),
        (400, {"code": 3002, "message": "parameters"}, "refused", 3002),
        (400, {"code": 2003, "message": "Meta"}, "refused", 2003),
        (400, {"code": 5002, "message": "Meta refused"}, "refused", 5002),
        (200, {"code": 3003, "message": "business"}, "refused", 3003),
        (302, None, "refused", 0),
    ],
)
async def test_a_refusal_is_read_by_its_code(
    server: Server, status: int, body: JsonValue, answer: str, code: int
) -> None:
    server.send = answering(status, body)
    got = result(await perform(server.url))
    assert (got.answer, got.code, got.http_status) == (answer, code, status)
    assert got.message == (body["message"] if isinstance(body, dict) else "")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("999999", 3600), ("Wed, 01 Jan 2031 00:00:00 GMT", None), ("-1", None)]
)
async def test_retry_after_is_honoured_within_reason(server: Server, value: str, seconds: float | None) -> None:
    server.send = answering(429, None, {"Retry-After": value})
    got = result(await perform(server.url))
    assert (got.answer, got.retry_after_s) == ("retry", seconds)


@pytest.mark.parametrize(
    "send",
    [
        answering_bytes(200, b"<html>"),
        answering(200, {"message_id": ""}),
        answering_bytes(504, b"gateway time-out"),
        hang_up,
        break_off,
    ],
    ids=["garbage", "no id", "gateway time-out", "hang up", "break off"],
)
async def test_a_call_that_may_have_been_sent_is_unknown(server: Server, send: Handler) -> None:
    server.send = send
    assert await perform(server.url) == Unknown()
    assert len(server.sends) == 1


async def test_a_provider_that_does_not_answer_in_time_leaves_the_send_unknown(server: Server) -> None:
    server.send = never_answer
    assert await perform(server.url, total_s=0.2) == Unknown()
    assert len(server.sends) == 1


async def test_a_connection_that_is_refused_sent_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        got = result(await perform(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (got.answer, got.http_status) == ("retry", 0)


async def test_a_host_that_does_not_exist_was_sent_nothing() -> None:
    assert result(await perform("http://provider.invalid")).answer == "retry"


async def test_a_connection_that_does_not_come_about_in_time_sent_nothing() -> None:
    # Full backlog: the kernel answers no further connection attempt.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        got = result(await perform(f"http://127.0.0.1:{full.getsockname()[1]}", total_s=0.4))
        for client in waiting:
            client.close()
    assert got.answer == "retry"


async def test_a_failed_tls_handshake_sent_nothing(server: Server) -> None:
    assert result(await perform(server.url.replace("http:", "https:"))).answer == "retry"
    assert server.sends == []


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "come_back", "language": "de", "status": "APPROVED", "category": "UTILITY"},
        {"name": "come_back", "language": "de", "status": "approved"},
    ],
)
async def test_an_approved_template_is_sent(server: Server, entry: JsonValue) -> None:
    server.templates = answering(200, [{"name": "other", "language": "de", "status": "REJECTED"}, entry])
    assert result(await perform(server.url, TEMPLATE_REQUEST)).answer == "accepted"
    assert len(server.lookups) == 1
    assert server.sends[0]["body"] == {
        "type": "template",
        "template": {
            "name": "come_back",
            "language": "de",
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Eva"}]}],
        },
    }


@pytest.mark.parametrize(
    ("templates", "answer"),
    [
        (answering(200, []), "template_unavailable"),
        (answering(200, [{"name": "come_back", "language": "de", "status": "PENDING"}]), "template_unavailable"),
        (answering(200, [{"name": "come_back", "language": "en", "status": "APPROVED"}]), "template_unavailable"),
        (answering(500, {"code": 1000, "message": "internal"}), "template_unavailable"),
        (answering_bytes(200, b"<html>"), "template_unavailable"),
        (hang_up, "template_unavailable"),
        (answering(401, {"code": 2002, "message": "expired"}), "credentials"),
    ],
    ids=["none", "pending", "other language", "internal", "garbage", "hang up", "credentials"],
)
async def test_a_template_that_is_not_surely_approved_is_not_sent(
    server: Server, templates: Handler, answer: str
) -> None:
    server.templates = templates
    assert result(await perform(server.url, TEMPLATE_REQUEST)).answer == answer
    assert server.sends == []


async def test_a_list_of_templates_that_does_not_come_in_time_is_no_approval(server: Server) -> None:
    server.templates = never_answer
    assert result(await perform(server.url, TEMPLATE_REQUEST, total_s=0.3)).answer == "template_unavailable"
    assert server.sends == []


async def test_a_reply_with_a_template_goes_without_a_look_at_the_list(server: Server) -> None:
    request = TEMPLATE_REQUEST.model_copy(update={"kind": "reply", "check_template": False})
    assert result(await perform(server.url, request)).answer == "accepted"
    assert server.lookups == []


@pytest.mark.parametrize(
    "credentials",
    [{"dev_key": None, "dev_secret": None}, {"dev_key": "a:b", "dev_secret": SecretStr("s")}],
    ids=["none", "a key with a colon"],
)
async def test_a_channel_without_usable_credentials_sends_nothing(
    server: Server, credentials: dict[str, object]
) -> None:
    channel = CHANNEL.model_copy(update=credentials)
    assert result(await perform(server.url, newest=lambda _: channel)).answer == "credentials"
    assert server.sends == []


async def test_a_channel_whose_settings_are_not_read_yet_is_postponed(server: Server) -> None:
    def unread(channel: str) -> ChannelSettings:
        raise LookupError(channel)

    assert await perform(server.url, newest=unread) == Postponed()


async def test_a_text_that_cannot_be_sent_is_refused_here(server: Server) -> None:
    got = result(await perform(server.url, TEXT_REQUEST.model_copy(update={"text": "x" * 4097})))
    assert (got.answer, got.code, got.message) == ("refused", 3002, "text: more than 4096 characters")
    assert server.sends == []


async def test_the_log_holds_neither_texts_nor_numbers_nor_secrets(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.send = answering(400, {"code": 3002, "message": "4915200000042 can't be reached: Guten Tag"})
    await perform(server.url)
    server.send = hang_up
    await perform(server.url)
    assert "channel shop: a send was answered refused (code 3002, HTTP 400)" in caplog.text
    assert "channel shop: a send ended unknown: " in caplog.text
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("streams"))
    for private in ("4915200000042", "Guten Tag", "pässword", "4930000099"):
        assert private not in logged
