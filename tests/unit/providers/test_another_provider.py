"""A fourth provider is one value: ingress, intake and the sender serve it without knowing its name."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest
from aiohttp import ClientSession, web

from agents.intake import INTAKE
from providers.provider import (
    Answer,
    Call,
    Checked,
    Checking,
    Provider,
    Screened,
    SetUp,
    TemplatePage,
    WebhookAnswer,
    WebhookRequest,
)
from providers.registry import PROVIDERS
from providers.rows import Callback, InboundMessage, ParsedCallback
from schemas.effects import SendRequest, SendResult
from schemas.events.callbacks import WebhookReceived
from schemas.events.inbox import MessageReceived
from schemas.settings.channel import ChannelSettings
from streams.clock import wall_clock
from streams.effects.contract import Done
from streams.effects.http import HttpTransport
from streams.effects.sending import Sender
from tests.support.ingress import FILE, NOW, running
from tests.support.stage import StageBench, the

CHANNEL = FILE.channels[0].model_copy(update={"id": "loft", "phone_number": "+34910000001", "provider": "pigeon"})


def screen(request: WebhookRequest, _settings: ChannelSettings) -> Screened | None:
    if request.headers.get("X-Ring") == "gold":
        return None
    return Screened("bad_signature", WebhookAnswer(401, b"no ring"))


def parse(callback: Callback, _settings: ChannelSettings) -> ParsedCallback:
    contact, _, text = callback.body.decode().partition(" ")
    message = InboundMessage("received", f"p-{text}", None, contact, None, "text", text, None, None, None)
    return ParsedCallback((message,))


def plan_send(request: SendRequest, settings: ChannelSettings, webhook_url: str | None) -> Call | SendResult:
    body = {"from": settings.phone_number, "to": request.contact, "note": request.text, "back": webhook_url}
    return Call("POST", "/flights", body=orjson.dumps(body))


def read_send(answer: Answer) -> SendResult | None:
    return SendResult(answer="accepted", provider_message_id=answer.body.decode(), http_status=answer.status)


def plan_templates(_settings: ChannelSettings, _cursor: str | None) -> Call | SendResult:
    return SendResult(answer="template_unavailable", message="a pigeon carries no templates")


def check(_settings: ChannelSettings) -> Checking:
    yield Call("GET", "/loft")
    return Checked()


PIGEON = Provider(
    name="pigeon",
    base_urls={"": "https://loft.example"},
    max_text=140,
    kept_headers=(),
    accepts=lambda content_type: content_type.startswith("text/"),
    screen=screen,
    parse=parse,
    plan_send=plan_send,
    read_send=read_send,
    classify=lambda _code: "request",
    plan_templates=plan_templates,
    read_templates=lambda _answer: TemplatePage(()),
    check=check,
    set_up=lambda _settings, url: SetUp(("flights",), (f"Tell the pigeons of {url}.",)),
    acknowledgement=WebhookAnswer(202, b"coo"),
)


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """The one line in the registry."""
    assert isinstance(PROVIDERS, dict)
    PROVIDERS["pigeon"] = PIGEON
    yield
    del PROVIDERS["pigeon"]


async def test_ingress_stores_what_it_accepts_and_answers_as_it_wants() -> None:
    async with running() as (ingress, client):
        ingress.channels.add(CHANNEL)
        url = ingress.webhook("loft", "pigeon")
        for ring, status, text in (("gold", 202, "coo"), ("tin", 401, "no ring")):
            headers = {"X-Ring": ring, "Content-Type": "text/plain"}
            async with client.post(url, data="34655000001 hola", headers=headers) as answer:
                assert (answer.status, await answer.text()) == (status, text)
        (record,) = ingress.callbacks
        assert record.event == WebhookReceived(provider="pigeon", body=b"34655000001 hola")


def test_intake_reads_it() -> None:
    bench = StageBench(INTAKE, CHANNEL)
    emitted = bench.feed(WebhookReceived(provider="pigeon", body=b"34655000001 hola"), at=NOW, key="loft")
    assert [one.key for one in emitted] == ["loft:34655000001"]
    assert the(MessageReceived, emitted).text == "hola"


@dataclass
class Loft:
    """The provider's API."""

    taken: object = None

    async def take(self, request: web.Request) -> web.Response:
        self.taken = orjson.loads(await request.read())
        return web.Response(text="flight-1")


async def test_the_sender_sends_what_it_plans() -> None:
    loft, app = Loft(), web.Application()
    app.router.add_post("/flights", loft.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    request = SendRequest(
        effect_id="e",
        message_id="m",
        conversation="loft:34655000001",
        channel="loft",
        contact="34655000001",
        kind="reply",
        via="session",
        text="hola",
    )
    async with ClientSession() as session:
        urls = {"pigeon": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        sender = Sender(
            HttpTransport(session), lambda _id: CHANNEL, wall_clock, urls, webhook_url=lambda _: "https://w"
        )
        outcome = await sender.perform(request)
    await runner.cleanup()
    assert isinstance(outcome, Done)
    assert outcome.result == {"answer": "accepted", "provider_message_id": "flight-1", "http_status": 200}
    assert loft.taken == {"from": "+34910000001", "to": "34655000001", "note": "hola", "back": "https://w"}
