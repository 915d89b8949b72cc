"""Creating channels and what follows, over real HTTP; the provider's answers are the test's."""

from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from pydantic import JsonValue

from providers.provider import Answer
from schemas.events.access import AuditRecorded, Role
from schemas.topics import AUDIT
from tests.support.ingress import running
from tests.unit.desk.test_control import Control, Json, refusal


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with running() as (ingress, client):
        yield Control(ingress, client)


CLOUD: Json = {
    "id": "shop",
    "provider": "whatsapp_cloud",
    "name": "Shop",
    "phone_number": "+34 600 000 001",
    "business_account_id": "660001",
    "phone_number_id": "550001",
    "access_token": "tok-secret",
    "app_secret": "app-secret",
    "verify_token": "verify-secret",
    "human_agents": ["irene"],
}
TWILIO: Json = {
    "id": "line",
    "provider": "twilio",
    "phone_number": "+12025550100",
    "account_sid": "AC" + "1" * 32,
    "auth_token": "auth-secret",
}
ENGAGELAB: Json = {"id": "lab", "phone_number": "+34600000009", "dev_key": "key-secret", "dev_secret": "dev-secret"}


def said(body: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(body))


NUMBER = said({"id": "550001", "display_phone_number": "+34 600 00 00 01", "status": "CONNECTED"})
NUMBERS = said({"data": [{"id": "550001"}]})
SUBSCRIBED = said({"data": [{"whatsapp_business_api_data": {"id": "1"}}]})
ACCOUNT = said({"status": "active"})
SENDERS = said({"senders": [{"sender_id": "whatsapp:+12025550100", "status": "ONLINE"}]})


@pytest.mark.parametrize(
    ("form", "answers"),
    [(CLOUD, [NUMBER, NUMBERS, SUBSCRIBED]), (TWILIO, [ACCOUNT, SENDERS]), (ENGAGELAB, [said([])])],
)
async def test_a_channel_whose_credentials_work_is_created_with_its_address(
    control: Control, form: Json, answers: list[Answer]
) -> None:
    control.ingress.answers += answers
    status, created = await control.send("POST", "/v1/channels", form)
    assert status == 201, created
    channel, set_up = created["channel"], created["set_up"]
    assert isinstance(channel, dict)
    assert isinstance(set_up, dict)
    assert (channel["id"], channel["revision"], channel["state"]) == (form["id"], 1, "active")
    assert f"/webhooks/{channel['provider']}/" in str(channel["webhook_url"])
    assert str(channel["webhook_url"]) in str(set_up["steps"])
    assert set_up["callbacks"]
    assert "-secret" not in str(created)
    assert control.ingress.channels.find(str(form["id"])) is not None


@pytest.mark.parametrize(
    ("form", "answers", "status", "code", "field"),
    [
        (CLOUD, [said({"error": {"code": 190}}, 401)], 409, "wrong_credentials", ["access_token"]),
        (CLOUD, [said({"error": {"code": 10}}, 403)], 409, "not_permitted", ["access_token"]),
        (CLOUD, [said({"error": {"code": 100}}, 400)], 409, "wrong_number", ["phone_number_id"]),
        (CLOUD, [said({"display_phone_number": "+34 600 00 00 02"})], 409, "wrong_number", ["phone_number"]),
        (CLOUD, [NUMBER, said({"data": [{"id": "9"}]})], 409, "wrong_number", ["business_account_id"]),
        (CLOUD, [None], 504, "provider_unreachable", []),
        (CLOUD, [said("<html>", 502)], 502, "unreadable", []),
        (TWILIO, [said({"code": 20003}, 401)], 409, "wrong_credentials", ["auth_token"]),
        (TWILIO, [said({"code": 20404}, 404)], 409, "wrong_credentials", ["account_sid"]),
        (TWILIO, [said({"status": "suspended"})], 409, "inactive", ["account_sid"]),
        (TWILIO, [ACCOUNT, said({"senders": []})], 409, "wrong_number", ["phone_number"]),
        (ENGAGELAB, [said({"code": 2001, "message": "no"}, 401)], 409, "wrong_credentials", ["dev_secret"]),
        (ENGAGELAB, [said({"code": 7, "message": "no"}, 401)], 409, "wrong_credentials", ["dev_secret"]),
        (ENGAGELAB, [None], 504, "provider_unreachable", []),
    ],
)
async def test_what_is_wrong_is_told_apart_and_nothing_is_saved(
    control: Control, form: Json, answers: Sequence[Answer | None], status: int, code: str, field: list[str]
) -> None:
    control.ingress.answers += answers
    written = len(control.ingress.kafka.records)
    assert refusal(await control.send("POST", "/v1/channels", form)) == (status, code, field)
    assert len(control.ingress.kafka.records) == written


async def test_a_number_and_an_id_belong_to_one_channel_and_nothing_is_tried(control: Control) -> None:
    taken: Json = {**ENGAGELAB, "phone_number": "0034611000111"}
    assert refusal(await control.send("POST", "/v1/channels", taken)) == (422, "invalid_settings", ["phone_number"])
    assert refusal(await control.send("POST", "/v1/channels", {**ENGAGELAB, "id": "desk"}))[2] == ["id"]
    assert refusal(await control.send("POST", "/v1/channels", {**CLOUD, "app_secret": None}))[2] == ["app_secret"]
    assert refusal(await control.send("POST", "/v1/channels", {**CLOUD, "revision": 7}))[2] == ["revision"]
    assert control.ingress.calls == []


async def test_a_number_of_a_deleted_channel_is_free(control: Control) -> None:
    assert (await control.send("DELETE", "/v1/channels/desk"))[0] == 200
    assert refusal(await control.send("GET", "/v1/channels/desk"))[0] == 404
    async with control.client.post(control.ingress.webhook(), json={}) as answer:
        assert answer.status == 404
    control.ingress.answers.append(said([]))
    again: Json = {**ENGAGELAB, "phone_number": "+34611000111"}
    assert (await control.send("POST", "/v1/channels", again))[0] == 201


async def test_a_disabled_channel_takes_nothing_until_it_is_enabled(control: Control) -> None:
    for action, callback, command in (("disable", 404, 409), ("enable", 200, 202)):
        assert (await control.send("POST", f"/v1/channels/desk/{action}"))[0] == 200
        async with control.client.post(control.ingress.webhook(), json={}) as answer:
            assert answer.status == callback
        assert (await control.command({"type": "resolve", "by": "irene"}))[0] == command


async def test_a_webhook_address_is_replaced_and_the_one_before_may_be_kept(control: Control) -> None:
    urls = [control.ingress.webhook()]
    for keep in (False, True):
        _, rotated = await control.send("POST", "/v1/channels/desk/webhook/rotate", {"keep_previous": keep})
        channel = rotated["channel"]
        assert isinstance(channel, dict)
        urls.append(str(channel["webhook_url"]))
    statuses = []
    for url in urls:
        async with control.client.post(url, json={}) as answer:
            statuses.append(answer.status)
    assert statuses == [404, 200, 200]


async def test_a_change_based_on_settings_that_have_changed_is_refused(control: Control) -> None:
    async def change(etag: str) -> tuple[int, str, list[str]] | int:
        answer = await control.send("PATCH", "/v1/channels/desk/settings", {"name": "New"}, **{"If-Match": etag})
        return answer[0] if answer[0] == 200 else refusal(answer)

    assert await change('"1"') == 200
    for etag in ('"1"', "nonsense"):
        assert await change(etag) == (412, "changed_meanwhile", [])
    assert await change("*") == 200
    assert await change('"3"') == 200


async def test_credentials_are_replaced_only_when_the_new_ones_work(control: Control) -> None:
    path = "/v1/channels/desk/credentials"
    control.ingress.answers += [said({"code": 2001}, 401), said([])]
    new: Json = {"dev_key": "k-new", "dev_secret": "s-new"}
    assert refusal(await control.send("PUT", path, new))[:2] == (409, "wrong_credentials")
    assert (await control.send("PUT", path, new))[0] == 200
    assert refusal(await control.send("PUT", path, {"name": "x"})) == (422, "invalid_settings", ["name"])
    now = control.ingress.directory.channel("desk")
    assert now.dev_key == "k-new"
    control.ingress.answers.append(said([]))
    status, checked = await control.send("POST", f"{path}/test")
    assert (status, bool(checked["notes"])) == (200, True)


async def test_who_only_reads_sees_no_address_that_lets_one_write(control: Control) -> None:
    control.token = control.ingress.token(Role.SUPERVISOR, account="main")
    _, shown = await control.send("GET", "/v1/channels/desk")
    channel = shown["channel"]
    assert isinstance(channel, dict)
    assert channel["webhook_url"] is None
    assert channel["credentials"] == ["dev_key", "dev_secret"]


async def test_another_account_s_channels_are_not_there(control: Control) -> None:
    control.token = control.ingress.token(Role.ADMIN, account="other")
    paths: list[tuple[str, str, JsonValue]] = [
        ("GET", "/v1/channels/desk", None),
        ("DELETE", "/v1/channels/desk", None),
        ("PATCH", "/v1/channels/desk/settings", {}),
        ("POST", "/v1/channels/desk/webhook/rotate", {}),
        ("GET", "/v1/accounts/main/agents", None),
        ("PUT", "/v1/accounts/main/agents/x", {}),
        ("POST", "/v1/channels/desk/conversations/34622333444/commands", {"type": "resolve", "by": "irene"}),
    ]
    answers = [await control.send(method, path, body) for method, path, body in paths]
    missing = await control.send("GET", "/v1/channels/nowhere")
    assert all(answer == missing for answer in answers)
    assert (await control.send("GET", "/v1/channels"))[1] == {"channels": []}
    assert refusal(await control.send("POST", "/v1/channels", ENGAGELAB))[:2] == (403, "not_allowed")


async def test_who_sees_one_account_learns_nothing_of_another_s_channels(control: Control) -> None:
    control.token = control.ingress.token(Role.ADMIN, account="other")
    mine: Json = {**ENGAGELAB, "account": "other"}
    # Whether "desk" is there, in another account, makes no difference.
    answers = [
        await control.send("POST", "/v1/channels?check=false", {**mine, "id": id}) for id in ("desk", "nobody-s")
    ]
    assert answers[0] == answers[1]
    assert refusal(answers[0]) == (422, "invalid_settings", ["id"])
    named = {name: value for name, value in mine.items() if name != "id"}
    _, taken = await control.send("POST", "/v1/channels?check=false", {**named, "phone_number": "+34611000111"})
    assert "desk" not in str(taken["errors"])
    status, created = await control.send("POST", "/v1/channels?check=false", named)
    assert status == 201
    channel = created["channel"]
    assert isinstance(channel, dict)
    assert (await control.send("GET", f"/v1/channels/{channel['id']}"))[0] == 200
    assert (await control.send("PATCH", f"/v1/channels/{channel['id']}/settings", {"name": "Mine"}))[0] == 200


async def test_what_is_done_to_channels_and_agents_is_in_the_audit_without_secrets(control: Control) -> None:
    control.ingress.forget()
    await control.send("PATCH", "/v1/channels/desk/settings", {"name": "Front", "dev_secret": "s-newest"})
    await control.send("POST", "/v1/channels/desk/webhook/rotate", {})
    await control.send("PUT", "/v1/accounts/main/agents/lea", {"name": "Lea"})
    await control.send("DELETE", "/v1/accounts/main/agents/lea")
    told = [record.event for record in control.ingress.records(AUDIT)]
    assert all(isinstance(event, AuditRecorded) for event in told)
    assert [(event.action, event.target) for event in told if isinstance(event, AuditRecorded)] == [
        ("change_settings", "channels/desk"),
        ("rotate_webhook", "channels/desk"),
        ("save_agent", "agents/lea"),
        ("delete_agent", "agents/lea"),
    ]
    first = told[0]
    assert isinstance(first, AuditRecorded)
    assert isinstance(first.after, dict)
    assert (first.actor, first.after["name"]) == ("token/t0", "Front")
    assert "s-newest" not in str(told)
    assert "s-desk" not in str(told)
