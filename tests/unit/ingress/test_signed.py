"""Callbacks of the providers that sign them, over real HTTP."""

import asyncio
import base64
import hashlib
import hmac
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from pydantic import JsonValue
from yarl import URL

from schemas.events.callbacks import WebhookReceived
from schemas.settings.channels_file import ChannelsFile, parse_channels_file
from simulation.sandbox.engagelab.callbacks import signature_header
from tests.support.ingress import Ingress, running

PUBLIC = "https://desk.example/base"
TWILIO: dict[str, JsonValue] = {
    "id": "line",
    "provider": "twilio",
    "phone_number": "+34910000009",
    "account_sid": "AC" + "0" * 32,
    "auth_token": "token",
}


def cloud(id: str, number: str, app_secret: str = "app") -> dict[str, JsonValue]:
    return {
        "id": id,
        "provider": "whatsapp_cloud",
        "phone_number": f"+3491000000{number[-1]}",
        "business_account_id": "66",
        "phone_number_id": number,
        "access_token": "t",
        "app_secret": app_secret,
        "verify_token": "word",
    }


def channels(*data: dict[str, JsonValue]) -> ChannelsFile:
    return parse_channels_file({"channels": list(data)})


def body(*numbers: str, **change: Any) -> bytes:
    changes = [{"field": "messages", "value": {"metadata": {"phone_number_id": number}}} for number in numbers]
    return orjson.dumps({"entry": [{"id": "66", "changes": [*changes, *([change] if change else [])]}]})


async def post(ingress: Ingress, client: ClientSession, raw: bytes, *, key: str = "app") -> int:
    signature = "sha256=" + hmac.new(key.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    async with client.post(ingress.webhook("one", "whatsapp_cloud"), data=raw, headers=headers) as answer:
        return answer.status


def stored(ingress: Ingress) -> list[tuple[str, set[str]]]:
    """Each callback's channel, and what of it is another's."""
    events = [(record.subject, record.event) for record in ingress.callbacks]
    return [(channel, set(event.elsewhere)) for channel, event in events if isinstance(event, WebhookReceived)]


def by_token(url: str, form: str) -> str:
    return base64.b64encode(hmac.new(b"token", (url + form).encode(), hashlib.sha1).digest()).decode()


async def test_what_meta_did_not_sign_is_refused_and_not_stored() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551")))
        assert await post(ingress, client, body("551"), key="other") == 401
        async with client.post(ingress.webhook("one", "whatsapp_cloud"), json={}) as answer:
            assert answer.status == 401
        assert ingress.callbacks == []
        async with client.get(ingress.url + "/metrics") as page:
            assert 'callbacks_total{channel="one",outcome="bad_signature"} 2.0' in await page.text()
        assert await post(ingress, client, body("551")) == 200
        assert stored(ingress) == [("one", set())]


async def test_the_handshake_echoes_its_challenge_to_who_knows_the_word() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551")))
        query = {"hub.mode": "subscribe", "hub.challenge": "17"}
        for word, status, text in (("word", 200, "17"), ("other", 403, "forbidden")):
            url = ingress.webhook("one", "whatsapp_cloud")
            async with client.get(url, params={**query, "hub.verify_token": word}) as answer:
                assert (answer.status, await answer.text()) == (status, text)
                assert answer.content_type == "text/plain"
        async with client.get(ingress.webhook()) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert ingress.callbacks == []


async def test_a_callback_about_several_numbers_goes_to_the_channel_of_each() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551"), cloud("two", "552"), cloud("three", "553")))
        assert await post(ingress, client, body("551", "552", "559")) == 200
        assert stored(ingress) == [("one", {"552"}), ("two", {"551", "559"})]


async def test_an_account_s_notice_goes_to_all_its_channels() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551"), cloud("two", "552")))
        assert await post(ingress, client, body(field="account_update", value={"event": "X"})) == 200
        assert stored(ingress) == [("one", set()), ("two", set())]


async def test_another_app_s_channel_gets_nothing_by_this_one_s_signature() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551"), cloud("theirs", "552", app_secret="theirs")))
        assert await post(ingress, client, body("551", "552")) == 200
        assert stored(ingress) == [("one", set())]


async def test_a_channel_whose_number_id_changed_is_found_by_the_new_one_alone() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(cloud("one", "551"), cloud("two", "552")))
        await ingress.writer.change("two", {"phone_number_id": "553"})
        assert await post(ingress, client, body("551", "552")) == 200
        assert stored(ingress) == [("one", set())]
        ingress.forget()
        assert await post(ingress, client, body("551", "553")) == 200
        assert stored(ingress) == [("one", {"553"}), ("two", {"551"})]


@pytest.mark.parametrize("port", ["", ":443"])
@pytest.mark.parametrize("kept", ["/base", ""])
async def test_twilio_signs_the_public_address_byte_for_byte(port: str, kept: str) -> None:
    async with running(PUBLIC) as (ingress, client):
        await ingress.writer.save_file(channels(TWILIO))
        below = ingress.webhook("line", "twilio").removeprefix(ingress.url) + "/status?n=o'neil&x=a%27b&e="
        form, parameters = b"MessageSid=SM1&Body=%C3%B1", "Body\u00f1MessageSidSM1"
        signature = by_token(PUBLIC.replace("example", f"example{port}") + below, parameters)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        url = URL(ingress.url + kept + below, encoded=True)
        async with client.post(url, data=form, headers=headers) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (200, "text/xml", "<Response/>")
        (record,) = ingress.callbacks
        assert isinstance(record.event, WebhookReceived)
        assert (record.event.body, record.event.query) == (form, "n=o'neil&x=a%27b&e=")
        forged = by_token(PUBLIC.replace("desk.example", "evil.example") + below, parameters)
        headers |= {"X-Forwarded-Host": "evil.example", "X-Twilio-Signature": forged}
        async with client.post(url, data=form, headers=headers) as answer:
            assert answer.status == 401
        assert len(ingress.callbacks) == 1


async def test_what_twilio_could_not_deliver_may_come_to_the_fallback_address() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(TWILIO))
        url = ingress.webhook("line", "twilio") + "/fallback"
        form = {"Body": "hola", "ErrorCode": "11200", "MessageSid": "SM1"}
        headers = {"X-Twilio-Signature": by_token(url, "".join(name + form[name] for name in sorted(form)))}
        async with client.post(url, data=form, headers=headers) as answer:
            assert (answer.status, await answer.text()) == (200, "<Response/>")
        assert len(ingress.callbacks) == 1


async def test_without_a_public_address_the_one_that_was_called_is_signed() -> None:
    async with running() as (ingress, client):
        await ingress.writer.save_file(channels(TWILIO))
        url = ingress.webhook("line", "twilio")
        headers = {"X-Twilio-Signature": by_token(url, "aB")}
        async with client.post(url, data={"a": "B"}, headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("provider", ["whatsapp_cloud", "twilio"])
async def test_an_address_that_is_no_text_is_refused_as_what_is_not_signed(provider: str) -> None:
    async with running() as (ingress, _):
        await ingress.writer.save_file(channels(cloud("one", "551"), TWILIO))
        channel = "one" if provider == "whatsapp_cloud" else "line"
        path = ingress.webhook(channel, provider).removeprefix(ingress.url).encode()
        for method in (b"GET", b"POST"):
            host, _, port = ingress.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = b"%b %b?hub.mode=subscribe&hub.verify_token=\xff\xfe HTTP/1.1\r\n" % (method, path)
            writer.write(head + b"Host: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            status = int((await reader.readline()).split()[1])
            assert 400 <= status < 500
            writer.close()
            await writer.wait_closed()


async def test_another_path_below_a_token_is_not_found() -> None:
    async with running() as (ingress, client):
        async with client.post(ingress.webhook().replace("/webhooks/", "/webhooksx/"), json={}) as answer:
            assert answer.status == 404
        for below in ("/status/more", "/other", "/"):
            async with client.post(ingress.webhook() + below, json={}) as answer:
                assert answer.status == 404


async def test_a_callback_of_a_channel_with_a_callback_secret_is_signed_or_refused() -> None:
    async with running() as (ingress, client):
        keys = {"dev_key": "k", "dev_secret": "s", "callback_secret": "key"}
        await ingress.writer.change("desk", keys)
        good = signature_header("key", "user", 1773000000, "nonce")
        for header, status in (
            (good, 200),
            (good.replace(";", " ; "), 200),
            (good.replace("nonce=nonce", "nonce=other"), 401),
            (signature_header("other", "user", 1773000000, "nonce"), 401),
            ("signature=", 401),
            ("", 401),
        ):
            async with client.post(ingress.webhook(), json={"rows": []}, headers={"X-CALLBACK-ID": header}) as answer:
                assert answer.status == status, header
        assert len(ingress.callbacks) == 2
        # An address is tried out before anybody knows the secret.
        async with client.post(ingress.webhook(), json={"echostr": "hi"}) as answer:
            assert (answer.status, await answer.text()) == (200, "hi")


@pytest.mark.parametrize(
    ("allowed", "trusted", "forwarded", "status"),
    [
        (["127.0.0.0/8"], (), "198.51.100.1", 200),
        (["198.51.100.0/24"], (), "198.51.100.1", 403),
        (["198.51.100.0/24"], ("127.0.0.1",), "198.51.100.1", 200),
        (["198.51.100.0/24"], ("127.0.0.1",), "198.51.100.1, 192.0.2.1", 403),
        ([], (), "192.0.2.1", 200),
    ],
)
async def test_a_callback_from_another_address_is_refused_and_not_stored(
    allowed: list[str], trusted: tuple[str, ...], forwarded: str, status: int
) -> None:
    async with running(trusted=tuple(map(ip_network, trusted))) as (ingress, client):
        await ingress.writer.change("desk", {"allowed_addresses": allowed})
        headers = {"X-Forwarded-For": forwarded}
        async with client.post(ingress.webhook(), json={"rows": []}, headers=headers) as answer:
            assert answer.status == status
        assert len(ingress.callbacks) == (status == 200)
