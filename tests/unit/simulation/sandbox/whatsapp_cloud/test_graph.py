"""The Graph API beside sends: numbers, templates and files."""

import hashlib

import pytest

from simulation.sandbox.accounts import Template
from simulation.sandbox.calls import Reply
from simulation.sandbox.media import LIE, TOO_MUCH, FileFault
from tests.support.sandbox import API, NUMBER, Played, json_of

TEMPLATES = tuple(Template(name=f"order_{number}", language="en") for number in range(5))


@pytest.fixture
def cloud() -> Played:
    return Played.at("whatsapp_cloud", templates=TEMPLATES)


def test_a_number_is_shown_with_the_fields_that_are_asked_for(cloud: Played) -> None:
    id = cloud.channel.phone_number_id
    shown = json_of(cloud.ask("GET", f"/v25.0/{id}", {"fields": "display_phone_number,status"}))
    assert shown == {"id": id, "display_phone_number": NUMBER, "status": "CONNECTED"}
    assert json_of(cloud.ask("GET", f"/v25.0/{id}"))["throughput"] == {"level": "STANDARD"}
    assert cloud.code(cloud.ask("GET", "/v25.0/12")) == 33


def test_a_business_has_its_numbers_and_its_app(cloud: Played) -> None:
    waba = cloud.channel.business_account_id
    numbers = json_of(cloud.ask("GET", f"/v25.0/{waba}/phone_numbers"))["data"]
    assert isinstance(numbers, list)
    assert [one["id"] for one in numbers if isinstance(one, dict)] == [cloud.channel.phone_number_id]
    assert "override_callback_uri" in str(json_of(cloud.ask("GET", f"/v25.0/{waba}/subscribed_apps")))
    assert json_of(cloud.ask("POST", f"/v25.0/{waba}/subscribed_apps")) == {"success": True}
    assert cloud.code(cloud.ask("GET", "/v25.0/1/phone_numbers")) == 33


def test_templates_come_in_pages(cloud: Played) -> None:
    path = f"/v25.0/{cloud.channel.business_account_id}/message_templates"
    found, query = [], {"limit": "2", "name": "order"}
    while True:
        page = json_of(cloud.ask("GET", path, query))
        data, paging = page["data"], page["paging"]
        assert isinstance(data, list)
        assert isinstance(paging, dict)
        found += [one["name"] for one in data if isinstance(one, dict)]
        if "next" not in paging:
            break
        assert str(paging["next"]).startswith(f"{API}{path}?")
        query["after"] = str(paging["cursors"]["after"]) if isinstance(paging["cursors"], dict) else ""
    assert found == [template.name for template in TEMPLATES]
    assert json_of(cloud.ask("GET", path, {"name": "nothing"})) == {"data": []}
    assert cloud.code(cloud.ask("GET", path, {"limit": "many"})) == 100


def test_templates_that_can_t_be_reached_have_no_answer() -> None:
    cloud = Played.at("whatsapp_cloud", templates="unreachable")
    assert cloud.ask("GET", f"/v25.0/{cloud.channel.business_account_id}/message_templates").status is None


def upload(cloud: Played, *parts: tuple[str, bytes]) -> Reply:
    head = b"--sep\r\nContent-Disposition: form-data; "
    body = b"".join(head + name.encode() + b"\r\n\r\n" + content + b"\r\n" for name, content in parts) + b"--sep--\r\n"
    headers = {"content-type": 'multipart/form-data; boundary="sep"'}
    return cloud.ask("POST", f"/v25.0/{cloud.channel.phone_number_id}/media", body=body, headers=headers)


def test_a_file_is_uploaded_described_and_fetched_with_the_token(cloud: Played) -> None:
    body = b"\x89PNG\r\n--not the end\r\n\xff"
    file = ('name="file"; filename="a.png"\r\nContent-Type: image/png', body)
    id = json_of(upload(cloud, ('name="messaging_product"', b"whatsapp"), file))["id"]
    shown = json_of(cloud.ask("GET", f"/v25.0/{id}"))
    assert (shown["mime_type"], shown["file_size"]) == ("image/png", str(len(body)))
    assert shown["sha256"] == hashlib.sha256(body).hexdigest()
    path, _, query = str(shown["url"]).removeprefix(API).partition("?")
    fetched = cloud.ask("GET", path, dict([query.split("=")]))
    assert (fetched.status, fetched.body, fetched.content_type) == (200, body, "image/png")
    assert cloud.code(upload(cloud, file)) == 100


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (None, [200, 200]),
        ("late", [404, 200]),
        ("vanished", [404, 404]),
        ("redirected", [302, 302]),
        ("lying", [200, 200]),
        ("hanging", [None, None]),
        ("too_large", [200, 200]),
    ],
)
def test_a_file_has_its_fault(cloud: Played, fault: FileFault | None, statuses: list[int | None]) -> None:
    file = cloud.providers.state.files.put(b"JPEG", "image/jpeg", fault=fault)
    replies = [cloud.ask("GET", "/whatsapp_business/attachments/", {"mid": file.id}) for _ in range(2)]
    assert [reply.status for reply in replies] == statuses
    last = replies[-1]
    assert (last.body == LIE) is (fault == "lying")
    assert (last.padding == TOO_MUCH) is (fault == "too_large")
    if fault == "redirected":
        assert last.headers["Location"].startswith("https://localhost/")
