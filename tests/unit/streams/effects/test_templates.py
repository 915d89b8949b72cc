"""The lists of templates: read as a whole, seldom, by one for all, and kept while they can't be read."""

import asyncio

import orjson
import pytest

from providers.provider import Answer, Call
from providers.registry import PROVIDERS
from providers.whatsapp_cloud import WHATSAPP_CLOUD
from schemas.event import Event
from schemas.events.callbacks import NotificationReceived
from schemas.events.template import Template
from schemas.record import Record, encode
from schemas.settings.channel import parse_channel
from streams.effects.http import NotSent
from streams.effects.templates import AGAIN_S, FRESH_S, MAX_PAGES, TemplateCache
from tests.support.sends import CLOUD, NOON, Json, template

CHANNEL = parse_channel(CLOUD)
WANTED = Template(name="come_back", language="en")
REFUSED = Answer(403, b'{"error":{"code":200,"message":"permission"}}')


def page(*templates: Json, after: str | None = None) -> Answer:
    paging = {"next": f"https://graph.example/list?after={after}"} if after else {}
    return Answer(200, orjson.dumps({"data": templates, "paging": paging}))


class Bench:
    """A cache before an account whose pages the tests set. now: seconds."""

    def __init__(self, *pages: Answer | Exception) -> None:
        self.now = 0.0
        self.pages = pages
        self.calls: list[Call] = []
        self.called, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.cache = TemplateCache(self._call, lambda _provider, _call: "", lambda: self.now)

    async def usable(self, wanted: Template = WANTED) -> bool:
        why = await self.cache.why_unusable(WHATSAPP_CLOUD, CHANNEL, wanted)
        assert why is None or why.answer == "template_unavailable"
        return why is None

    async def _call(self, base_url: str, call: Call, total_s: float) -> Answer:
        assert (base_url, total_s > 0) == ("", True)
        self.calls.append(call)
        self.called.set()
        await self.gate.wait()
        answer = self.pages[min(int(call.params.get("after", 0)), len(self.pages) - 1)]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_list_is_read_once_for_many_sends_and_again_when_it_is_old() -> None:
    bench = Bench(page(template()))
    for _ in range(50):
        assert await bench.usable()
    assert len(bench.calls) == 1
    bench.now = FRESH_S - 1
    assert await bench.usable()
    assert len(bench.calls) == 1
    bench.now = FRESH_S
    assert await bench.usable()
    assert len(bench.calls) == 2


async def test_all_who_ask_at_once_wait_for_one_call() -> None:
    bench = Bench(page(template()))
    bench.gate.clear()
    asking = [asyncio.create_task(bench.usable()) for _ in range(20)]
    await bench.called.wait()
    bench.gate.set()
    assert await asyncio.gather(*asking) == [True] * 20
    assert len(bench.calls) == 1


async def test_who_gives_up_waiting_leaves_the_list_to_the_next() -> None:
    bench = Bench(page(template()))
    bench.gate.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bench.usable()
    bench.gate.set()
    bench.now = AGAIN_S
    assert await bench.usable()


async def test_every_page_is_read() -> None:
    bench = Bench(page(template("a"), after="1"), page(template("b"), after="2"), page(template()))
    assert await bench.usable()
    assert [call.params.get("after") for call in bench.calls] == [None, "1", "2"]


@pytest.mark.parametrize("pages", [1, 1_000])
async def test_a_list_without_end_is_left(pages: int) -> None:
    bench = Bench(*(page(template(f"t{number}"), after=str(number % pages + 1)) for number in range(100)))
    assert not await bench.usable()
    assert len(bench.calls) <= MAX_PAGES


async def test_what_is_not_approved_is_looked_for_again_but_at_most_once_a_minute() -> None:
    bench = Bench(page(template(status="PENDING")))
    for second in range(600):
        bench.now = second
        assert not await bench.usable()
    assert len(bench.calls) == 600 / AGAIN_S
    bench.pages = (page(template()),)
    bench.now += AGAIN_S
    assert await bench.usable()


async def test_another_language_is_another_template() -> None:
    bench = Bench(page(template()))
    assert not await bench.usable(Template(name="come_back", language="de"))


@pytest.mark.parametrize("failure", [REFUSED, Answer(500, b""), NotSent("refused")])
async def test_while_the_list_can_not_be_read_the_last_one_counts(failure: Answer | Exception) -> None:
    bench = Bench(page(template()))
    assert await bench.usable()
    bench.pages = (failure,)
    for hours in range(1, 48):
        bench.now = hours * 3600
        assert await bench.usable()
    assert not await Bench(failure).usable()


async def test_a_page_that_can_not_be_read_makes_no_half_a_list() -> None:
    bench = Bench(page(template(), after="1"), page())
    assert await bench.usable()
    bench.pages = (page(after="1"), REFUSED)
    bench.now = FRESH_S
    assert await bench.usable()


@pytest.mark.parametrize(
    ("event", "read_again"),
    [
        ("message_template_status_update", True),
        ("template_category_update", True),
        ("template_update", True),
        ("account_update", False),
    ],
)
async def test_a_notice_about_templates_has_the_list_read_again(event: str, read_again: bool) -> None:
    bench = Bench(page(template()))
    assert await bench.usable()
    bench.pages = (page(template(status="PAUSED")),)
    bench.now = AGAIN_S
    bench.cache.apply(b"cloud", notice(NotificationReceived(event=event, data={})))
    bench.cache.apply(b"another", notice(NotificationReceived(event="template_update", data={})))
    assert await bench.usable() is not read_again


async def test_a_notice_that_comes_while_the_list_is_read_has_it_read_once_more() -> None:
    bench = Bench(page(template()))
    bench.gate.clear()
    asking = asyncio.create_task(bench.usable())
    await bench.called.wait()
    bench.cache.invalidate("cloud")
    bench.gate.set()
    assert await asking
    bench.pages = (REFUSED,)
    bench.now = AGAIN_S
    assert await bench.usable()
    bench.pages = (page(template(status="PAUSED")),)
    bench.now = 2 * AGAIN_S
    assert not await bench.usable()


async def test_an_account_is_another_one_with_other_credentials() -> None:
    bench = Bench(REFUSED)
    assert not await bench.usable()
    bench.pages = (page(template()),)
    renewed = parse_channel({**CLOUD, "access_token": "new"})
    assert await bench.cache.why_unusable(WHATSAPP_CLOUD, renewed, WANTED) is None


async def test_at_twilio_a_template_s_name_says_its_language() -> None:
    content = {"sid": "HX1", "language": "en", "approval_requests": {"status": "approved"}}
    bench = Bench(Answer(200, orjson.dumps({"contents": [content], "meta": {}})))
    channel = parse_channel(
        {"id": "line", "provider": "twilio", "phone_number": "+12025550100", "account_sid": "AC" + "0" * 32}
        | {"auth_token": "t"}
    )
    assert await bench.cache.why_unusable(PROVIDERS["twilio"], channel, Template(name="HX1", language="en_US")) is None


def notice(event: Event) -> bytes:
    return encode(Record("n1", "/livedesk/intake", NOON, "cloud", event))
