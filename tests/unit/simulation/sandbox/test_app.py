"""The sandbox over HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

import aiohttp
import orjson
import pytest
from aiohttp import web
from pydantic import JsonValue, SecretStr

from schemas.settings.credentials import ProviderName
from simulation.sandbox.accounts import Account, Behaviour, Template
from simulation.sandbox.app import SENDER, build_app, serve
from simulation.sandbox.media import LIE
from simulation.sandbox.providers import Providers
from simulation.sandbox.receipts import Faults
from simulation.sandbox.stand_in import STAND_INS
from tests.support.sandbox import channel_at

NUMBER = "+34600700001"
AUTH = {"Authorization": "Basic " + base64.b64encode(b"k1:s1").decode()}
SEND: dict[str, JsonValue] = {
    "from": NUMBER,
    "to": ["34611222333"],
    "body": {"type": "text", "text": {"body": "Buenos días"}},
    "custom_args": {"id": "o1", "conversation": "wa1:34611222333"},
}


class Options(TypedDict, total=False):
    redeliver_on_failure: bool
    callback_timeout: float
    hold_seconds: float


@dataclass
class Receiver:
    """A callback address that answers by a script, 200 once it has run out."""

    answers: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    hang: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(request.headers.get("X-CALLBACK-ID", ""))
        if self.hang:
            await self.hang.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    def statuses(self) -> list[str]:
        rows = [row for body in self.bodies for row in orjson.loads(body)["rows"]]
        return [row["status"]["message_status"] for row in rows if "status" in row]


@dataclass
class Sandbox:
    provider: Providers
    app: web.Application
    url: str
    http: aiohttp.ClientSession

    async def send(self, body: JsonValue = None) -> tuple[int, dict[str, JsonValue]]:
        async with self.http.post(f"{self.url}/v1/messages", json=body or SEND, headers=AUTH) as response:
            return response.status, await response.json()

    async def control(self, path: str, body: JsonValue) -> tuple[int, JsonValue]:
        async with self.http.post(f"{self.url}/sandbox/{path}", json=body) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, JsonValue]:
        async with self.http.get(f"{self.url}{path}", headers=AUTH) as response:
            return response.status, await response.json()

    async def call(self, method: str, path: str, body: JsonValue = None) -> tuple[int, JsonValue]:
        async with self.http.request(method, f"{self.url}{path}", json=body, headers=AUTH) as response:
            return response.status, await response.json()


def account(callback_url: str | None = None) -> Account:
    templates = (
        Template(name="greeting_es", language="es"),
        Template(name="csat", language="es", category="MARKETING", status="PENDING"),
    )
    return Account(
        id="k1",
        dev_key="k1",
        dev_secret=SecretStr("s1"),
        phone_number=NUMBER,
        callback_url=callback_url,
        callback_secret=SecretStr("c1"),
        templates=templates,
    )


@asynccontextmanager
async def running(provider: Providers, options: Options | None = None) -> AsyncIterator[Sandbox]:
    app = build_app(provider, lambda: datetime.now(UTC), **(options or {}))
    async with serve(app) as url, aiohttp.ClientSession() as http:
        yield Sandbox(provider, app, url, http)


@asynccontextmanager
async def pair(
    receiver: Receiver, faults: Faults | None = None, options: Options | None = None
) -> AsyncIterator[Sandbox]:
    target = web.Application()
    target.router.add_post("/hook", receiver.handle)
    async with serve(target) as url:
        provider = Providers([account(f"{url}/hook")], faults=faults or Faults(pace=0))
        async with running(provider, options) as sandbox:
            yield sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Providers([account()], auto_receipts=False)) as started:
        yield started


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - some of what is awaited lies in plain counters
            await asyncio.sleep(0.01)


async def test_a_send_is_answered_logged_and_followed_by_receipts() -> None:
    receiver = Receiver()
    async with pair(receiver) as sandbox:
        status, answer = await sandbox.send()
        assert (status, answer) == (200, {"message_id": sandbox.provider.log[0].message_id})
        await until(lambda: len(receiver.bodies) == 5)
        await until(lambda: sandbox.app[SENDER].counts.delivered == 5)
    assert sorted(receiver.statuses()) == sorted(["plan", "target_valid", "sent", "delivered", "read"])
    assert all(header.startswith("timestamp=") for header in receiver.headers)


async def test_a_refused_call_has_a_code_and_a_message(sandbox: Sandbox) -> None:
    status, answer = await sandbox.send({"to": [], "body": {}})
    assert (status, answer["code"]) == (400, 3002)
    async with sandbox.http.post(f"{sandbox.url}/v1/messages", json=SEND) as response:
        assert (response.status, (await response.json())["code"]) == (401, 2001)


async def test_retry_after_is_a_header(sandbox: Sandbox) -> None:
    await sandbox.control("behaviour", {"answer": "refuse", "code": 1000, "http_status": 429, "retry_after": 2})
    async with sandbox.http.post(f"{sandbox.url}/v1/messages", json=SEND, headers=AUTH) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "2")


async def test_an_unreachable_provider_is_a_gateway_that_says_so(sandbox: Sandbox) -> None:
    sandbox.provider.set_behaviour(Behaviour(answer="unreachable", times=1))
    async with sandbox.http.post(f"{sandbox.url}/v1/messages", json=SEND, headers=AUTH) as response:
        assert (response.status, await response.read()) == (503, b"")
    assert sandbox.provider.log == ()
    assert (await sandbox.send())[0] == 200


async def test_a_timeout_hangs_until_the_client_gives_up(sandbox: Sandbox) -> None:
    sandbox.provider.set_behaviour(Behaviour(answer="timeout", times=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sandbox.send(), 0.2)
    assert [entry.outcome for entry in sandbox.provider.log] == ["timeout"]
    assert (await sandbox.send())[0] == 200
    assert [entry.repeat for entry in sandbox.provider.log] == [0, 1]


async def test_a_hanging_send_does_not_hold_up_the_shutdown() -> None:
    provider = Providers([account()])
    provider.set_behaviour(Behaviour(answer="timeout"))
    async with asyncio.timeout(5):
        async with running(provider) as sandbox:
            hanging = asyncio.create_task(sandbox.send())
            await until(lambda: len(provider.log) == 1)
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_a_callback_that_is_not_taken_is_not_repeated() -> None:
    receiver = Receiver(answers=[503])
    async with pair(receiver, Faults(pace=0, batch=1)) as sandbox:
        await sandbox.send()
        await until(lambda: sandbox.app[SENDER].counts.failed == 1)
        assert sandbox.app[SENDER].counts.pending == 0
        _, shown = await sandbox.get("/sandbox/callbacks")
    assert isinstance(shown, dict)
    assert shown["counts"] == {"delivered": 0, "failed": 1, "pending": 0}


async def test_a_callback_is_repeated_where_asked() -> None:
    receiver = Receiver(answers=[503])
    async with pair(receiver, Faults(pace=0, batch=1), {"redeliver_on_failure": True}) as sandbox:
        await sandbox.send()
        await until(lambda: sandbox.app[SENDER].counts.delivered == 1)
        assert [attempt.attempt for attempt in sandbox.app[SENDER].attempts] == [1, 2]
    assert receiver.bodies[0] == receiver.bodies[1]


@asynccontextmanager
async def pair_at(name: ProviderName, receiver: Receiver, address: str | None = None) -> AsyncIterator[Sandbox]:
    """A provider's account whose callbacks go to the receiver, or to another address."""
    target = web.Application()
    target.router.add_post("/hook", receiver.handle)
    async with serve(target) as url:
        own = Account.of(channel_at(name), callback_url=address or f"{url}/hook")
        async with running(Providers([own])) as sandbox:
            yield sandbox


async def test_meta_repeats_what_is_not_taken() -> None:
    receiver = Receiver(answers=[503])
    async with pair_at("whatsapp_cloud", receiver) as sandbox:
        await sandbox.control("customers/write", {"contact": "34611222333", "text": "hola"})
        await until(lambda: sandbox.app[SENDER].counts.delivered == 1)
        assert [attempt.status for attempt in sandbox.app[SENDER].attempts] == [503, 200]


async def test_twilio_takes_no_text_for_an_answer_and_does_not_ask_again() -> None:
    async with pair_at("twilio", Receiver()) as sandbox:
        await sandbox.control("customers/write", {"contact": "34611222333", "text": "hola"})
        await until(lambda: sandbox.app[SENDER].counts.failed == 1)
        (attempt,) = sandbox.app[SENDER].attempts
        assert (attempt.status, attempt.error, sandbox.app[SENDER].counts.pending) == (200, "NotTaken", 0)


async def test_twilio_asks_once_more_where_nobody_listens() -> None:
    async with pair_at("twilio", Receiver(), "http://127.0.0.1:1/hook") as sandbox:
        await sandbox.control("customers/write", {"contact": "34611222333", "text": "hola"})
        await until(lambda: sandbox.app[SENDER].counts.failed == 2)
        assert sandbox.app[SENDER].counts.pending == 0


def test_each_provider_repeats_callbacks_in_its_way() -> None:
    day = 86_400
    after = {
        name: [
            stand_in.retry_after_s(*attempt)
            for attempt in ((1, "refused", 0), (1, "unconnected", 0), (9, "refused", 8 * day))
        ]
        for name, stand_in in STAND_INS.items()
    }
    assert after == {
        "engagelab": [None, None, None],
        "whatsapp_cloud": [2, 2, None],
        "twilio": [None, 0.5, None],
    }
    gaps = [STAND_INS["whatsapp_cloud"].retry_after_s(attempt, "silent", 3 * day) for attempt in (1, 5, 99)]
    assert gaps == [2, 32, 3_600]


async def test_customers_send_files_that_anybody_can_fetch_by_their_link(sandbox: Sandbox) -> None:
    async with sandbox.http.post(
        f"{sandbox.url}/sandbox/files?filename=a.jpg", data=b"JPEG", headers={"Content-Type": "image/jpeg"}
    ) as response:
        kept = await response.json()
    message: JsonValue = {"contact": "34611222333", "type": "image", "file": kept["id"]}
    _, bodies = await sandbox.control("customers/write", message)
    assert isinstance(bodies, list)
    link = orjson.loads(str(bodies[0]))["rows"][0]["response"]["response_data"]["message"]["image"]["link"]
    async with sandbox.http.get(link) as response:
        assert (await response.read(), response.content_type) == (b"JPEG", "image/jpeg")
    status, refused = await sandbox.control("files?fault=nonsense", None)
    assert status == 400
    assert "lying" in str(refused)


async def test_a_file_that_is_too_large_does_not_end(sandbox: Sandbox) -> None:
    file = sandbox.provider.state.files.put(b"JPEG", "image/jpeg", fault="too_large")
    async with sandbox.http.get(f"{sandbox.url}/sandbox-files/{file.id}") as response:
        assert (await response.content.readexactly(1 << 20))[:5] == b"JPEG\0"


async def test_all_files_can_be_spoiled_for_a_while(sandbox: Sandbox) -> None:
    file = sandbox.provider.state.files.put(b"JPEG", "image/jpeg", fault="late")
    url = f"{sandbox.url}/sandbox-files/{file.id}"
    for fault, status, body in (("vanished", 404, b"not found"), ("lying", 200, LIE), (None, 200, b"JPEG")):
        assert await sandbox.control("files/fault", {"fault": fault}) == (200, {"fault": fault})
        async with sandbox.http.get(url) as response:
            assert (response.status, await response.read()) == (status, body)
    assert (await sandbox.control("files/fault", {"fault": "nonsense"}))[0] == 400


async def test_what_no_provider_has_is_404(sandbox: Sandbox) -> None:
    assert (await sandbox.get("/v3/nothing"))[0] == 404
    assert await sandbox.get("/sandbox/marks") == (200, [])


async def test_a_receiver_that_is_too_slow_has_failed() -> None:
    receiver = Receiver(hang=asyncio.Event())
    async with pair(receiver, Faults(pace=0, batch=1), {"callback_timeout": 0.1}) as sandbox:
        await sandbox.send()
        await until(lambda: sandbox.app[SENDER].counts.failed == 1)
        attempt = sandbox.app[SENDER].attempts[0]
        assert receiver.hang
        receiver.hang.set()
    assert (attempt.status, attempt.delivered) == (None, False)
    assert "Timeout" in str(attempt.error)


async def test_without_an_address_a_callback_fails(sandbox: Sandbox) -> None:
    await sandbox.control("customers/write", {"contact": "34611222333", "text": "hola"})
    await until(lambda: sandbox.app[SENDER].counts.failed == 1)
    assert sandbox.app[SENDER].attempts[0].error == "NoCallbackAddress"


async def test_customers_write_and_a_callback_may_come_twice() -> None:
    receiver = Receiver()
    async with pair(receiver) as sandbox:
        messages: JsonValue = [{"contact": "34611222333", "text": "hola"}, {"contact": "34611222444", "text": "buenas"}]
        status, body = await sandbox.control("customers/write?copies=2", messages)
        await until(lambda: len(receiver.bodies) == 2)
    assert status == 202
    assert receiver.bodies[0] == receiver.bodies[1]
    assert body == [receiver.bodies[0].decode()]
    assert orjson.loads(receiver.bodies[0])["total"] == 2


async def test_a_script_is_played() -> None:
    receiver = Receiver()
    async with pair(receiver) as sandbox:
        wanted: JsonValue = {"customers": 5, "rate": 1000, "follow_ups": 0, "batch": 0, "redeliver": 1}
        status, answer = await sandbox.control("customers/script", wanted)
        await until(lambda: len(receiver.bodies) == 10)
    assert (status, answer) == (202, {"steps": 10})
    assert len(set(receiver.bodies)) == 5


async def test_a_script_is_cut_short_by_the_shutdown(sandbox: Sandbox) -> None:
    status, _ = await sandbox.control("customers/script", {"customers": 5, "rate": 0.001})
    assert status == 202


async def test_the_log_can_be_narrowed(sandbox: Sandbox) -> None:
    for id in ("o1", "o2"):
        await sandbox.send(SEND | {"custom_args": {"id": id}})
    _, found = await sandbox.get("/sandbox/log?id=o2&contact=34611222333&after=0")
    assert isinstance(found, list)
    assert [entry["text"] for entry in found if isinstance(entry, dict)] == ["Buenos días"]


async def test_accounts_are_added_and_changed_and_keep_their_secrets(sandbox: Sandbox) -> None:
    new: JsonValue = {"id": "k2", "dev_key": "k2", "dev_secret": "s2", "phone_number": "+34600700002"}
    changed = await sandbox.control("accounts", {"id": "k1", "callback_url": "http://127.0.0.1:1/tok3n"})
    added = await sandbox.control("accounts", new)
    assert (changed[0], added[0]) == (200, 200)
    assert sandbox.provider.state.accounts.get("k1").dev_secret == SecretStr("s1")
    _, shown = await sandbox.get("/sandbox/accounts")
    assert b"s2" not in orjson.dumps(shown)
    assert b"tok3n" not in orjson.dumps(shown)


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("accounts", {"id": "k9", "dev_key": "k9", "phone_number": NUMBER}, "dev_secret"),
        ("accounts", [], "object"),
        ("behaviour", {"answer": "shrug"}, "answer"),
        ("behaviour", {"account": "k9"}, "k9"),
        ("customers/write", {"text": "x"}, "contact"),
        ("customers/write", [], "nothing"),
        ("customers/write?copies=x", {"contact": "1"}, "x"),
        ("customers/script", {"customers": 0}, "customers"),
    ],
)
async def test_bad_control_input_says_what_is_wrong(sandbox: Sandbox, path: str, body: JsonValue, names: str) -> None:
    status, answer = await sandbox.control(path, body)
    assert status == 400
    assert isinstance(answer, dict)
    assert names in str(answer["error"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["greeting_es", "csat"]),
        ("?name=greet", ["greeting_es"]),
        ("?status=APPROVED&language_code=es", ["greeting_es"]),
        ("?category=MARKETING", ["csat"]),
        ("?language_code=en", []),
    ],
)
async def test_templates_are_listed(sandbox: Sandbox, query: str, names: list[str]) -> None:
    status, found = await sandbox.get(f"/v1/templates{query}")
    assert status == 200
    assert isinstance(found, list)
    assert [template["name"] for template in found if isinstance(template, dict)] == names


async def test_the_life_of_a_template(sandbox: Sandbox) -> None:
    new: JsonValue = {"name": "order", "language": "es", "category": "UTILITY", "components": [{"type": "BODY"}]}
    status, made = await sandbox.call("POST", "/v1/templates", new)
    assert status == 200
    assert isinstance(made, dict)
    path = f"/v1/templates/{made['template_id']}"
    assert (await sandbox.call("POST", "/v1/templates", new))[0] == 400
    assert (await sandbox.call("PUT", path, {"components": []}))[1] == {"code": 0, "message": "success"}
    _, shown = await sandbox.get(path)
    assert isinstance(shown, dict)
    assert (shown["status"], shown["components"]) == ("PENDING", [])
    assert (await sandbox.call("DELETE", "/v1/templates/order"))[1] == {"code": 0, "message": "success"}
    assert await sandbox.get(path) == (400, {"code": 4001, "message": "template not found"})
    assert (await sandbox.call("DELETE", "/v1/templates/order"))[0] == 400


async def test_a_bad_template_names_its_field(sandbox: Sandbox) -> None:
    status, answer = await sandbox.call("POST", "/v1/templates", {"name": "x"})
    assert isinstance(answer, dict)
    assert (status, answer["code"]) == (400, 3002)
    assert "language" in str(answer["message"])


async def test_an_unreachable_template_list_drops_the_connection(sandbox: Sandbox) -> None:
    await sandbox.control("accounts", {"id": "k1", "templates": "unreachable"})
    with pytest.raises(aiohttp.ClientConnectionError):
        await sandbox.get("/v1/templates")
    assert (await sandbox.send())[0] == 200


async def test_health(sandbox: Sandbox) -> None:
    assert await sandbox.get("/healthz") == (200, {"status": "ok"})


async def test_a_moved_clock_is_looked_at_when_woken() -> None:
    now = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
    receiver = Receiver()
    target = web.Application()
    target.router.add_post("/hook", receiver.handle)
    async with serve(target) as hook:
        provider = Providers([account(f"{hook}/hook")], faults=Faults(pace=3600, batch=1))
        app = build_app(provider, lambda: now)
        async with serve(app) as url, aiohttp.ClientSession() as http:
            await Sandbox(provider, app, url, http).send()
            assert app[SENDER].counts.pending == 1
            now = datetime(2026, 6, 3, tzinfo=UTC)
            app[SENDER].wake()
            await until(lambda: len(receiver.bodies) == 1)
