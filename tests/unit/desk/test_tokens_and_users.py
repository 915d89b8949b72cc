"""Tokens and users over real HTTP: who may give what to whom, and what is shown of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from desk.access.permissions import Actor
from desk.access.writer import UserFields
from schemas.events.access import AuditRecorded, Grant, Role
from schemas.topics import ACCESS, AUDIT
from tests.support.access import Browser
from tests.support.ingress import NOW, Ingress, running

Json = dict[str, JsonValue]

MAIN: Json = {"role": "admin", "account": "main"}
DESK: Json = {"role": "admin", "account": "main", "channels": ["desk"]}
IRENE: Json = {"role": "agent", "account": "main", "agent": "irene"}


class Admins:
    """Callers with tokens of different reach."""

    def __init__(self, ingress: Ingress, client: Any) -> None:
        self.ingress, self._client = ingress, client
        self.root = self.bearer(ingress.token(Role.ADMIN))
        self.main = self.bearer(ingress.token(Role.ADMIN, account="main"))
        self.desk = self.bearer(ingress.token(Role.ADMIN, account="main", channels=("desk",)))
        self.other = self.bearer(ingress.token(Role.ADMIN, account="other"))

    def bearer(self, token: str | None = None) -> Browser:
        browser = Browser(self._client, self.ingress.control_url)
        if token is not None:
            browser.headers["Authorization"] = f"Bearer {token}"
        return browser

    def audited(self) -> list[AuditRecorded]:
        return [record.event for record in self.ingress.records(AUDIT) if isinstance(record.event, AuditRecorded)]


@pytest.fixture
async def admins() -> AsyncIterator[Admins]:
    async with running() as (ingress, client):
        yield Admins(ingress, client)


def fields(answer: Any) -> list[str]:
    return [error["field"] for error in answer["errors"]]


def user(login: str = "marta@example.com", grant: Json = IRENE, **more: JsonValue) -> Json:
    return {"login": login, "name": "Marta", "grant": grant, **more}


async def test_a_token_is_shown_once_and_counts_until_it_is_revoked(admins: Admins) -> None:
    status, created = await admins.main.call("POST", "/v1/tokens", {"name": "script", "grant": IRENE})
    assert status == 201
    assert created["secret"].startswith("ldk_")
    script = admins.bearer(created["secret"])
    assert (await script.call("GET", "/v1/session"))[1]["actor"] == f"token/{created['token']['id']}"
    listed = (await admins.main.call("GET", "/v1/tokens"))[1]["tokens"]
    [shown] = [token for token in listed if token["name"] == "script"]
    assert shown == {**created["token"], "last_used_at": "2026-03-09T08:30:15.250000Z"}
    assert (shown["created_by"], shown["grant"]["agent"]) == ("token/t1", "irene")
    assert created["secret"] not in str(listed)
    assert (await admins.main.call("DELETE", f"/v1/tokens/{shown['id']}"))[0] == 200
    assert (await script.call("GET", "/v1/session"))[0] == 401
    assert (await admins.main.call("DELETE", f"/v1/tokens/{shown['id']}"))[0] == 404


async def test_a_token_expires(admins: Admins) -> None:
    form: Json = {"name": "short", "grant": IRENE, "expires_at": NOW.isoformat()}
    status, answer = await admins.main.call("POST", "/v1/tokens", form)
    assert (status, fields(answer)) == (422, ["expires_at"])
    form["expires_at"] = (NOW + timedelta(hours=1)).isoformat()
    status, created = await admins.main.call("POST", "/v1/tokens", form)
    assert status == 201
    script = admins.bearer(created["secret"])
    assert (await script.call("GET", "/v1/session"))[0] == 200
    admins.ingress.now += timedelta(hours=1)
    assert (await script.call("GET", "/v1/session"))[0] == 401


async def test_last_use_is_kept_to_ten_minutes_and_on_no_topic(admins: Admins) -> None:
    written = len(admins.ingress.kafka.records)
    for minutes in (0, 5, 4, 2):
        admins.ingress.now += timedelta(minutes=minutes)
        await admins.desk.call("GET", "/v1/session")
    used = await admins.ingress.door.store.last_used()
    assert used["token/t2"] == NOW + timedelta(minutes=11)
    assert len(admins.ingress.kafka.records) == written


@pytest.mark.parametrize(
    ("by", "grant", "status", "field"),
    [
        ("root", {"role": "admin"}, 201, None),
        ("main", {"role": "admin"}, 403, "grant.account"),
        ("main", {"role": "read", "account": "other"}, 403, "grant.account"),
        ("main", MAIN, 201, None),
        ("desk", MAIN, 403, "grant.channels"),
        ("desk", {"role": "read", "account": "main", "channels": ["desk", "cloud"]}, 403, "grant.channels"),
        ("desk", DESK, 201, None),
        ("main", {"role": "agent", "account": "main"}, 422, "grant.agent"),
        ("main", {**IRENE, "agent": "nobody"}, 422, "grant.agent"),
        ("root", {"role": "agent"}, 422, "grant.agent"),
        ("root", {"role": "agent", "agent": "irene"}, 422, "grant.account"),
        ("root", {"role": "read", "channels": ["desk"]}, 422, "grant.account"),
        ("main", {"role": "read", "account": "main", "channels": ["desk", "shop"]}, 422, "grant.channels[1]"),
        ("root", {"role": "read", "account": "other", "channels": ["desk"]}, 422, "grant.channels[0]"),
        ("root", {"role": "owner"}, 422, "grant.role"),
        ("root", {"role": "read", "accounts": "main"}, 422, "grant.accounts"),
    ],
)
@pytest.mark.parametrize("what", ["tokens", "users"])
async def test_nobody_gives_more_than_they_have(
    admins: Admins, what: str, by: str, grant: Json, status: int, field: str | None
) -> None:
    form = user(grant=grant) if what == "users" else {"name": "x", "grant": grant}
    found, answer = await getattr(admins, by).call("POST", f"/v1/{what}", form)
    assert (found, fields(answer) if found >= 400 else [None]) == (status, [field])


@pytest.mark.parametrize("role", [Role.SUPERVISOR, Role.AGENT, Role.READ])
async def test_only_administrators_see_and_give(admins: Admins, role: Role) -> None:
    caller = admins.bearer(admins.ingress.token(role, account="main", agent="irene"))
    asked: list[tuple[str, str, JsonValue]] = [
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/tokens", {"name": "x", "grant": {"role": "read", "account": "main"}}),
        ("DELETE", "/v1/tokens/t0", None),
        ("GET", "/v1/users", None),
        ("GET", "/v1/users/x", None),
        ("POST", "/v1/users", user()),
        ("PATCH", "/v1/users/x", {}),
        ("DELETE", "/v1/users/x", None),
    ]
    for method, path, body in asked:
        status, answer = await caller.call(method, path, body)
        assert (status, answer["code"]) == (403, "not_allowed"), path


async def test_tokens_and_users_of_others_are_not_there(admins: Admins) -> None:
    _, created = await admins.main.call("POST", "/v1/users", user())
    token = (await admins.main.call("POST", "/v1/tokens", {"name": "x", "grant": IRENE}))[1]["token"]["id"]
    id = created["user"]["id"]
    missing = await admins.main.call("GET", "/v1/users/nobody")
    assert missing[0] == 404
    asked: list[tuple[str, str, JsonValue]] = [
        ("GET", f"/v1/users/{id}", None),
        ("PATCH", f"/v1/users/{id}", {"disabled": True}),
        ("PATCH", f"/v1/users/{id}", {"password": "short"}),
        ("DELETE", f"/v1/users/{id}", None),
        ("DELETE", f"/v1/tokens/{token}", None),
        ("DELETE", "/v1/tokens/t0", None),
    ]
    for other in (admins.other, admins.desk):
        for method, path, body in asked:
            assert await other.call(method, path, body) == missing
        tokens = (await other.call("GET", "/v1/tokens"))[1]["tokens"]
        assert token not in {one["id"] for one in tokens}
        assert (await other.call("GET", "/v1/users"))[1] == {"users": [], "cursor": None}
    # The same of who has more: an administrator of everything is no business of an account's.
    assert (await admins.main.call("DELETE", "/v1/tokens/t0"))[0] == 404


async def test_a_user_is_created_changed_and_deleted(admins: Admins) -> None:
    status, created = await admins.main.call("POST", "/v1/users", user("Marta@Example.com", password="a long password"))
    assert status == 201
    shown = created["user"]
    id = shown["id"]
    assert (shown["login"], shown["password"], shown["second_factor"], shown["oidc"]) == (
        "marta@example.com",
        True,
        False,
        False,
    )
    assert (await admins.bearer().sign_in("marta@example.com", "a long password"))[0] == 201
    change: Json = {"name": "Marta G.", "grant": {"role": "supervisor", "account": "main"}, "password": "a longer one"}
    status, changed = await admins.main.call("PATCH", f"/v1/users/{id}", change)
    assert status == 200
    assert (changed["user"]["name"], changed["user"]["grant"]["role"]) == ("Marta G.", "supervisor")
    assert (await admins.bearer().sign_in("marta@example.com", "a long password"))[0] == 401
    assert (await admins.bearer().sign_in("marta@example.com", "a longer one"))[0] == 201
    assert (await admins.main.call("GET", f"/v1/users/{id}"))[1]["user"]["last_used_at"] is None
    assert (await admins.main.call("PATCH", f"/v1/users/{id}", {"disabled": True}))[0] == 200
    assert (await admins.bearer().sign_in("marta@example.com", "a longer one"))[0] == 401
    assert (await admins.main.call("DELETE", f"/v1/users/{id}"))[0] == 200
    assert (await admins.main.call("GET", f"/v1/users/{id}"))[0] == 404


async def test_a_login_is_one_user_s(admins: Admins) -> None:
    assert (await admins.main.call("POST", "/v1/users", user()))[0] == 201
    status, answer = await admins.root.call("POST", "/v1/users", user("MARTA@example.com"))
    assert (status, answer["code"], fields(answer)) == (409, "login_taken", ["login"])


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (user("marta"), "login"),
        (user("marta @example.com"), "login"),
        (user(password="password1"), "password"),
        (user(password="short"), "password"),
        (user(password="x" * 129), "password"),
        (user(password="marta123"), "password"),
        (user(id="x"), "id"),
        ({**user(), "name": ""}, "name"),
        ({**user(), "name": "a\x1b[2J"}, "name"),
        (user("a\x00@example.com"), "login"),
        (user("a@b@example.com"), "login"),
    ],
)
async def test_what_no_user_can_be_is_refused(admins: Admins, form: Json, field: str) -> None:
    status, answer = await admins.main.call("POST", "/v1/users", form)
    assert (status, fields(answer)) == (422, [field])
    assert admins.ingress.records(ACCESS) == []


async def test_an_administrator_removes_a_lost_second_factor_but_not_their_own(admins: Admins) -> None:
    door = admins.ingress.door
    boss = await door.writer.create_user(
        Actor("test", "", Grant(role=Role.ADMIN)),
        "boss@example.com",
        UserFields(grant=Grant(role=Role.ADMIN, account="main"), password=await door.passwords.hash("a long password")),
    )
    browser = admins.bearer()
    assert (await browser.sign_in("boss@example.com", "a long password"))[0] == 201
    changes: list[Json] = [{"password": "another long one"}, {"remove_second_factor": True}]
    for change in changes:
        status, answer = await browser.call("PATCH", f"/v1/users/{boss.id}", change)
        assert (status, answer["code"]) == (409, "own_secret")
    status, answer = await admins.root.call("PATCH", f"/v1/users/{boss.id}", {"remove_second_factor": True})
    assert (status, answer["user"]["second_factor"]) == (200, False)
    # Nothing changed, so no session ended.
    assert (await browser.call("GET", "/v1/session"))[0] == 200


async def test_an_administrator_ends_a_user_s_sessions(admins: Admins) -> None:
    _, created = await admins.main.call("POST", "/v1/users", user(password="a long password"))
    browser = admins.bearer()
    assert (await browser.sign_in("marta@example.com", "a long password"))[0] == 201
    assert (await admins.main.call("PATCH", f"/v1/users/{created['user']['id']}", {"sign_out": True}))[0] == 200
    assert (await browser.call("GET", "/v1/session"))[0] == 401


async def test_an_administrator_s_own_grant_may_shrink_and_not_grow(admins: Admins) -> None:
    door = admins.ingress.door
    boss = await door.writer.create_user(
        Actor("test", "", Grant(role=Role.ADMIN)),
        "boss@example.com",
        UserFields(grant=Grant(role=Role.ADMIN, account="main"), password=await door.passwords.hash("a long password")),
    )
    browser = admins.bearer()
    await browser.sign_in("boss@example.com", "a long password")
    path = f"/v1/users/{boss.id}"
    assert (await browser.call("PATCH", path, {"grant": {"role": "admin"}}))[0] == 403
    assert (await browser.call("PATCH", path, {"grant": DESK}))[0] == 200
    assert (await browser.call("GET", "/v1/session"))[0] == 401


async def test_every_change_is_audited_in_its_own_transaction(admins: Admins) -> None:
    _, token = await admins.main.call("POST", "/v1/tokens", {"name": "script", "grant": IRENE})
    await admins.main.call("DELETE", f"/v1/tokens/{token['token']['id']}")
    _, created = await admins.root.call("POST", "/v1/users", user(password="a long password"))
    id = created["user"]["id"]
    await admins.main.call("PATCH", f"/v1/users/{id}", {"name": "M."})
    await admins.main.call("PATCH", f"/v1/users/{id}", {"name": "M."})
    await admins.main.call("DELETE", f"/v1/users/{id}")
    done = [(one.actor, one.action, one.target.partition("/")[0]) for one in admins.audited()]
    assert done == [
        ("token/t1", "create_token", "tokens"),
        ("token/t1", "revoke_token", "tokens"),
        ("token/t0", "create_user", "users"),
        ("token/t1", "change_user", "users"),
        ("token/t1", "delete_user", "users"),
    ]
    change = admins.audited()[3]
    assert isinstance(change.before, dict)
    assert isinstance(change.after, dict)
    assert (change.before["name"], change.after["name"]) == ("Marta", "M.")
    assert {record.subject for record in admins.ingress.records(AUDIT)} == {"main"}
    ids = [record.id.partition(".")[0] for topic in (ACCESS, AUDIT) for record in admins.ingress.records(topic)]
    assert sorted(ids[:5]) == sorted(ids[5:])


async def test_what_kafka_does_not_take_is_not_done(admins: Admins) -> None:
    admins.ingress.kafka.down = True
    status, answer = await admins.main.call("POST", "/v1/tokens", {"name": "x", "grant": IRENE})
    assert (status, answer["code"]) == (503, "not_durable")
    assert len((await admins.main.call("GET", "/v1/tokens"))[1]["tokens"]) == 2


@pytest.mark.parametrize("what", ["users", "tokens"])
async def test_a_list_comes_by_pages_of_what_the_caller_may_see(admins: Admins, what: str) -> None:
    for number in range(5):
        if what == "users":
            assert (await admins.main.call("POST", "/v1/users", user(f"u{number}@example.com")))[0] == 201
        else:
            assert (await admins.main.call("POST", "/v1/tokens", {"name": f"n{number}", "grant": IRENE}))[0] == 201
    everything = (await admins.main.call("GET", f"/v1/{what}"))[1]
    found: list[JsonValue] = []
    cursor = ""
    while True:
        _, page = await admins.main.call("GET", f"/v1/{what}?limit=2{cursor}")
        assert len(page[what]) <= 2
        found += page[what]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert found == everything[what]
    assert len(found) >= 5
    for wrong, code in (("limit=0", "not_valid"), ("limit=201", "not_valid"), ("cursor=_w==", "bad_cursor")):
        status, answer = await admins.main.call("GET", f"/v1/{what}?{wrong}")
        assert (status, answer["code"]) == (422, code)
    assert (await admins.other.call("GET", "/v1/users"))[1] == {"users": [], "cursor": None}
