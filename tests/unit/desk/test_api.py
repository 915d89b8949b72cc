"""The API's frame: who gets in, what a request may be, what every answer is. On routes of the test's own."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from aiohttp import ClientSession, web
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter

from bus.publisher import NotDurable
from desk.access.directory import AccessDirectory
from desk.access.permissions import PERMISSIONS, Actor, Permission, exceeds
from desk.access.tokens import new_token, token_hash
from desk.api.app import build_api
from desk.api.callers import Callers
from desk.api.openapi import openapi
from desk.api.route import Answer, Call, Route
from desk.freshness import Freshness
from desk.view.progress import Progress
from schemas.events.access import Grant, Role, TokenRevoked, TokenSaved
from schemas.record import Record, encode
from schemas.settings.types import Id, SettingsModel
from tests.support.access import AccessJournal, front_door
from tests.support.ingress import running as whole

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)


class Note(SettingsModel):
    id: Id
    text: str = ""


class Wanted(SettingsModel):
    limit: int = 10


async def show_channel(call: Call[None]) -> Answer:
    return Answer(Note(id=call.path["channel"], text=f"{call.query.limit}"))


async def save_note(call: Call[Note]) -> Answer:
    match call.body.text:
        case "break":
            raise RuntimeError("+34600111222 wrote: my secret")
        case "undurable":
            raise NotDurable("TimeoutError")
    return Answer(call.body, 201)


ROUTES = (
    Route("GET", "/v1/channels/{channel}", Permission.READ, "A channel.", show_channel, Note, query=Wanted),
    Route(
        "POST",
        "/v1/channels/{channel}/notes",
        Permission.ACT,
        "Save a note.",
        save_note,
        Note,
        status=201,
        body=TypeAdapter(Note),
    ),
)


class Office:
    """The API with tokens for each role."""

    def __init__(self) -> None:
        self.directory = AccessDirectory()
        self.tokens = {role: self.give(Grant(role=role, account="main")) for role in Role}

    def give(self, grant: Grant, *, expires_at: datetime | None = None) -> str:
        token = new_token(lambda count: bytes([len(self.directory.tokens())]) * count)
        id = f"t{len(self.directory.tokens())}"
        saved = TokenSaved(
            id=id,
            name=id,
            hash=token_hash(token),
            grant=grant,
            created_at=NOW,
            created_by="test",
            expires_at=expires_at,
        )
        self.apply(f"token/{id}", saved)
        return token

    def apply(self, key: str, event: TokenSaved | TokenRevoked) -> None:
        self.directory.apply(key.encode(), encode(Record("r", "/test", NOW, key, event)))


def visible(actor: Actor, path: dict[str, str]) -> bool:
    return actor.sees_channel("main", path["channel"])


@asynccontextmanager
async def running(office: Office) -> AsyncIterator[ClientSession]:
    callers = Callers(front_door(AccessJournal(office.directory, lambda: NOW), lambda: NOW))
    app = build_api(ROUTES, callers.authenticate, visible, lambda: NOW, Freshness(Progress()))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        yield client
    await runner.cleanup()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ldk_no", "Basic YTpi", "Bearer \u00e9"])
async def test_who_is_not_known_learns_nothing(authorization: str | None) -> None:
    async with running(Office()) as client:
        for path in ("/v1/channels/shop", "/v1/channels/nowhere"):
            headers = {} if authorization is None else {"Authorization": authorization}
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert (await answer.json(content_type="application/problem+json"))["code"] == "unknown_caller"


async def test_a_token_that_was_revoked_or_has_expired_counts_no_more() -> None:
    office = Office()
    expired = office.give(Grant(role=Role.ADMIN), expires_at=NOW)
    soon = office.give(Grant(role=Role.ADMIN), expires_at=NOW + timedelta(seconds=1))
    async with running(office) as client:
        for token, status in ((expired, 401), (soon, 200)):
            async with client.get("/v1/channels/shop", headers=bearer(token)) as answer:
                assert answer.status == status
        id = office.directory.tokens()[-1].id
        office.apply(f"token/{id}", TokenRevoked(id=id))
        async with client.get("/v1/channels/shop", headers=bearer(soon)) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(("role", "status"), [("admin", 201), ("supervisor", 201), ("agent", 201), ("read", 403)])
async def test_a_role_may_what_it_may(role: str, status: int) -> None:
    office = Office()
    async with running(office) as client:
        headers = bearer(office.tokens[Role(role)])
        async with client.post("/v1/channels/shop/notes", json={"id": "n"}, headers=headers) as answer:
            assert answer.status == status


async def test_what_one_may_not_see_is_not_there() -> None:
    office = Office()
    token = office.give(Grant(role=Role.READ, account="main", channels=("shop",)))
    stranger = office.give(Grant(role=Role.READ, account="other"))
    async with running(office) as client:
        answers = []
        for headers, path in (
            (bearer(token), "/v1/channels/office"),
            (bearer(token), "/v1/channels/office/notes"),
            (bearer(stranger), "/v1/channels/shop"),
            (bearer(token), "/v1/channels/..%2f"),
            (bearer(token), "/v2"),
        ):
            method = "POST" if path.endswith("notes") else "GET"
            async with client.request(method, path, headers=headers, json={} if method == "POST" else None) as answer:
                answers.append((answer.status, await answer.read()))
        assert len(set(answers)) == 1
        assert answers[0][0] == 404


@pytest.mark.parametrize(
    ("body", "content_type", "status", "field"),
    [
        (b'{"id": "n"}', "text/plain", 415, None),
        (b"{", "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b'{"id": "n", "txt": "x"}', "application/json", 422, "txt"),
        (b'{"id": "n", "text": 3}', "application/json", 422, "text"),
        (b"[]", "application/json", 422, ""),
    ],
)
async def test_a_body_that_can_t_be_used(body: bytes, content_type: str, status: int, field: str | None) -> None:
    office = Office()
    async with running(office) as client:
        headers = bearer(office.tokens[Role.AGENT]) | {"Content-Type": content_type}
        async with client.post("/v1/channels/shop/notes", data=body, headers=headers) as answer:
            problem = await answer.json(content_type="application/problem+json")
            assert (answer.status, problem["status"]) == (status, status)
            assert [error["field"] for error in problem["errors"]] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("query", "status"), [("limit=3", 200), ("limit=x", 422), ("limit=1&limit=2", 422), ("limits=3", 422)]
)
async def test_a_query_is_checked(query: str, status: int) -> None:
    office = Office()
    async with running(office) as client:
        headers = bearer(office.tokens[Role.READ])
        async with client.get(f"/v1/channels/shop?{query}", headers=headers) as answer:
            assert answer.status == status


@pytest.mark.parametrize(("text", "status", "code"), [("break", 500, "failed"), ("undurable", 503, "not_durable")])
async def test_a_failure_tells_its_kind_and_nothing_of_a_customer(
    text: str, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office()
    async with running(office) as client:
        body = {"id": "n", "text": text}
        headers = bearer(office.tokens[Role.AGENT])
        async with client.post("/v1/channels/shop/notes", json=body, headers=headers) as answer:
            assert (answer.status, (await answer.json(content_type="application/problem+json"))["code"]) == (
                status,
                code,
            )
            assert "34600111222" not in await answer.text()
    assert "34600111222" not in caplog.text
    assert office.tokens[Role.AGENT] not in caplog.text


async def test_no_answer_is_kept_by_a_cache_or_taken_for_a_page() -> None:
    office = Office()
    async with running(office) as client:
        for path in ("/v1/channels/shop", "/v1/nothing"):
            async with client.get(path, headers=bearer(office.tokens[Role.READ])) as answer:
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "default-src 'none'; base-uri 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_each_role_includes_the_next() -> None:
    roles = list(Role)
    for more, less in pairwise(roles):
        assert PERMISSIONS[more] > PERMISSIONS[less]


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (Grant(role=Role.ADMIN, account="main", channels=("a",)), "role"),
        (Grant(role=Role.READ, channels=("a",)), "account"),
        (Grant(role=Role.READ, account="other", channels=("a",)), "account"),
        (Grant(role=Role.READ, account="main"), "channels"),
        (Grant(role=Role.READ, account="main", channels=("a", "c")), "channels"),
        (Grant(role=Role.SUPERVISOR, account="main", channels=("a",)), None),
    ],
)
def test_nobody_gives_more_than_they_have(grant: Grant, field: str | None) -> None:
    assert exceeds(grant, Grant(role=Role.SUPERVISOR, account="main", channels=("a", "b"))) == field


def test_the_document_says_every_answer() -> None:
    document = openapi(ROUTES, "1")
    post = document["paths"]["/v1/channels/{channel}/notes"]["post"]
    assert set(post["responses"]) == {
        "201", "400", "401", "403", "404", "405", "413", "415", "422", "429", "500", "503",
    }  # fmt: skip
    assert post["operationId"] == "save_note"
    schemas = document["components"]["schemas"]
    assert schemas["Note"]["additionalProperties"] is False
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    get = document["paths"]["/v1/channels/{channel}"]["get"]
    assert [parameter["name"] for parameter in get["parameters"]] == ["channel", "limit"]


def test_models_have_names_of_their_own() -> None:
    class Other(BaseModel):
        note: Note

    async def show_other(call: Call[None]) -> Answer:
        return Answer(Other(note=Note(id="n")))

    document = openapi((*ROUTES, Route("GET", "/v1/other", None, "Other.", show_other, Other)), "1")
    assert document["paths"]["/v1/other"]["get"]["security"] == []
    assert "Other" in document["components"]["schemas"]


async def test_the_whole_document_is_served_to_anybody() -> None:
    async with whole() as (ingress, client):
        async with client.get(f"{ingress.control_url}/v1/openapi.json") as answer:
            document = await answer.json()
        assert document["openapi"] == "3.1.0"
        described = {(path, method) for path, methods in document["paths"].items() for method in methods}
        assert described == {(route.path, route.method.lower()) for route in ingress.routes}
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)


async def test_the_page_to_read_the_document_by_is_all_from_here() -> None:
    async with whole() as (ingress, client):
        async with client.get(f"{ingress.control_url}/v1/docs") as answer:
            page = await answer.text()
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert "default-src 'none'; script-src 'self'; " in answer.headers["Content-Security-Policy"]
        assert "//" not in page.removeprefix("<!doctype html>")
        assert not re.search(r"<script>|style=", page)
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(named) == 3
        for path in named:
            async with client.get(f"{ingress.control_url}/v1/{path}") as answer:
                assert (answer.status, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
                assert answer.content_type.endswith("css" if path.endswith("css") else "javascript")
        async with client.get(f"{ingress.control_url}/v1/docs/swagger-ui.js") as answer:
            assert answer.status == 404
