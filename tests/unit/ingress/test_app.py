"""The public listener over real HTTP: what is recorded, what is refused, and what never leaks."""

import asyncio
import gzip
import logging
from io import BytesIO
from urllib.parse import urlsplit

import pytest

from schemas.events.callbacks import WebhookReceived
from schemas.record import Record
from tests.support.ingress import FILE, MAX_BODY, NOW, Ingress, running

JSON = {"Content-Type": "application/json"}
CALLBACK = b'{"total":1,"rows":[{"message_id":"77","itime":1773045000}]}'


async def test_a_callback_is_recorded_byte_for_byte_with_its_envelope() -> None:
    async with running() as (ingress, client):
        headers = {**JSON, "User-Agent": "engage/3", "X-CALLBACK-ID": "timestamp=1;nonce=2", "Cookie": "no"}
        async with client.post(ingress.webhook(), data=CALLBACK, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        kept = {"content-type": "application/json", "user-agent": "engage/3", "x-callback-id": "timestamp=1;nonce=2"}
        event = WebhookReceived(provider="engagelab", body=CALLBACK, request_headers=kept)
        (record,) = ingress.callbacks
        assert record == Record(record.id, "/livedesk/ingress", NOW, "desk", event, "desk", 1)
        assert ingress.kafka.records[-1][:2] == ("t.webhooks.v1", b"desk")


@pytest.mark.parametrize(
    "body",
    [
        b'{"total":1,"rows":[{"mess',
        b"not json at all",
        b'{"text":"\\ud83d alone, and raw \xed\xa0\xbd"}',
        b"\x00\xff\xfe",
        b"[]",
    ],
    ids=["truncated", "no JSON", "lone surrogates", "binary", "no object"],
)
async def test_a_body_that_is_wrong_inside_is_left_to_intake(body: bytes) -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook(), data=body, headers=JSON) as answer:
            assert answer.status == 200
        assert ingress.bodies == [body]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/cloudevents+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_json_is_taken(content_type: str, status: int) -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook(), data=CALLBACK, headers={"Content-Type": content_type}) as answer:
            assert answer.status == status
        assert len(ingress.callbacks) == (status == 200)


async def test_a_body_without_content_type_is_taken() -> None:
    async with running() as (ingress, _):
        assert await raw(ingress, f"Content-Length: {len(CALLBACK)}", CALLBACK) == 200
        assert ingress.bodies == [CALLBACK]


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1, 10 * 2**20])
async def test_a_body_over_the_limit_is_refused(size: int) -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook(), data=BytesIO(b" " * size), headers=JSON) as answer:
            assert answer.status == (200 if size <= MAX_BODY else 413)
        assert [len(body) for body in ingress.bodies] == ([size] if size <= MAX_BODY else [])


async def test_a_compressed_body_is_recorded_as_what_it_holds_and_its_limit_is_that_of_what_it_holds() -> None:
    async with running() as (ingress, client):
        headers = {**JSON, "Content-Encoding": "gzip"}
        async with client.post(ingress.webhook(), data=gzip.compress(CALLBACK), headers=headers) as answer:
            assert answer.status == 200
        async with client.post(ingress.webhook(), data=gzip.compress(b" " * 2**22), headers=headers) as answer:
            assert answer.status == 413
        assert ingress.bodies == [CALLBACK]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 9", b"not gzip!"),
        ("Content-Type: application/json\r\nTransfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n"),
    ],
    ids=["content encoding", "chunking"],
)
async def test_a_request_that_cannot_be_a_callback_is_refused(header: str, body: bytes) -> None:
    async with running() as (ingress, _):
        assert await raw(ingress, header, body) == 400
        assert ingress.callbacks == []


async def test_header_bytes_that_are_not_utf8_do_not_stop_a_callback() -> None:
    async with running() as (ingress, _):
        head = f"Content-Type: application/json\r\nUser-Agent: b\xf6t\r\nContent-Length: {len(CALLBACK)}"
        assert await raw(ingress, head, CALLBACK) == 200
        (record,) = ingress.callbacks
        assert isinstance(record.event, WebhookReceived)
        assert record.event.request_headers["user-agent"] == "b\ufffdt"


async def test_an_empty_post_is_answered_and_not_recorded() -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook()) as answer:
            assert answer.status == 200
        assert ingress.callbacks == []


async def test_the_address_check_is_echoed_as_plain_text_and_not_recorded() -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook(), json={"echostr": "9f-Zü"}) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (200, "text/plain", "9f-Zü")
        assert ingress.callbacks == []


@pytest.mark.parametrize("body", [b'{"echostr":"x","rows":[]}', b'{"echostr":7}', b'["echostr"]', b'{"echostr":"x"'])
async def test_a_callback_that_only_looks_like_an_address_check_is_recorded(body: bytes) -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook(), data=body, headers=JSON) as answer:
            assert answer.status == 200
        assert ingress.bodies == [body]


async def test_an_unknown_token_and_a_token_of_another_provider_are_refused_after_one_look_at_kafka() -> None:
    async with running() as (ingress, client):
        before = ingress.lookups
        unknown = [ingress.url + "/webhooks/engagelab/" + "x" * 43, ingress.webhook("cloud"), ingress.webhook("nobody")]

        async def post(url: str) -> int:
            async with client.post(url, data=CALLBACK, headers=JSON) as answer:
                return answer.status

        assert set(await asyncio.gather(*map(post, unknown * 20))) == {404}
        assert ingress.lookups - before <= 10
        assert ingress.callbacks == []


async def test_a_channel_that_another_process_has_just_saved_is_known_before_404() -> None:
    async with running() as (ingress, client):
        other = Ingress()
        new = FILE.channels[0].model_copy(update={"id": "brand-new"})
        await other.writer.save_file(FILE.model_copy(update={"channels": (new,)}))
        ingress.kafka.records += other.kafka.records
        async with client.post(ingress.webhook("brand-new"), data=CALLBACK, headers=JSON) as answer:
            assert answer.status == 200


async def test_a_callback_that_is_not_durable_is_503_with_a_time_to_come_back() -> None:
    async with running() as (ingress, client):
        ingress.kafka.down = True
        async with client.post(ingress.webhook(), data=CALLBACK, headers=JSON) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        ingress.kafka.down = False
        async with client.post(ingress.webhook(), data=CALLBACK, headers=JSON) as answer:
            assert answer.status == 200


async def test_ready_while_connected_healthy_always() -> None:
    async with running() as (ingress, client):
        for connected, status in ((True, 200), (False, 503)):
            ingress.kafka.connected = connected
            async with client.get(ingress.url + "/readyz") as ready, client.get(ingress.url + "/healthz") as healthy:
                assert (ready.status, healthy.status) == (status, 200)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/webhooks/engagelab/token", 405, "POST"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("HEAD", "/healthz", 200, None),
        ("POST", "/webhooks/engagelab/", 404, None),
        ("POST", "/webhooks/engagelab/token/more", 404, None),
        ("POST", "/webhooks/token", 404, None),
        ("GET", "/", 404, None),
    ],
)
async def test_another_path_or_method_is_refused(method: str, path: str, status: int, allowed: str | None) -> None:
    async with running() as (ingress, client), client.request(method, ingress.url + path, data=b"") as answer:
        assert (answer.status, answer.headers.get("Allow")) == (status, allowed)
    assert not ingress.callbacks


async def test_metrics_count_outcomes_and_tokens_are_in_no_metric_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running() as (ingress, client):
        for body in (CALLBACK, CALLBACK, b""):
            await (await client.post(ingress.webhook(), data=body, headers=JSON)).read()
        guess = "g" * 43
        await (await client.post(f"{ingress.url}/webhooks/engagelab/{guess}", data=CALLBACK, headers=JSON)).read()
        async with client.get(ingress.url + "/metrics") as answer:
            text = await answer.text()
    assert 'livedesk_ingress_callbacks_total{channel="desk",outcome="durable"} 2.0' in text
    assert 'livedesk_ingress_callbacks_total{channel="desk",outcome="handshake"} 1.0' in text
    assert 'livedesk_ingress_callbacks_total{channel="",outcome="unknown_token"} 1.0' in text
    assert "livedesk_ingress_durable_seconds_count 2.0" in text
    assert f"livedesk_ingress_body_bytes_total {2 * len(CALLBACK)}.0" in text
    for secret in (guess, ingress.webhook().rpartition("/")[2]):
        assert secret not in text
        assert secret not in caplog.text


async def raw(ingress: Ingress, head: str, body: bytes) -> int:
    """The status of a request that no client would send."""
    parts = urlsplit(ingress.webhook())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = f"POST {parts.path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{head}\r\n\r\n"
    writer.write(request.encode("latin-1") + body)
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status
