"""Signing in and out over real HTTP, with the second factor and everything that ends a session."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import Any

import pyotp
import pytest
from aiohttp import ClientSession
from argon2 import PasswordHasher
from pydantic import JsonValue

from desk.access.passwords import Passwords
from desk.access.permissions import Actor
from desk.access.sessions import ABSOLUTE, COOKIE, IDLE
from desk.access.sign_in import AT_ONCE, Shown, SignInRefused, TooManyTries
from desk.access.writer import UserFields
from desk.api.sessions import EnrolmentAnswer, RecoveryAnswer
from schemas.events.access import AuditRecorded, Grant, Role, UserSaved
from schemas.topics import AUDIT
from tests.support.access import Browser
from tests.support.ingress import Ingress, running

ROOT = Actor("test", "test", Grant(role=Role.ADMIN))
Json = dict[str, JsonValue]
LOGIN, PASSWORD = "marta@example.com", "planted-password-é"


class Home:
    """The control API, and Marta, who has a password."""

    def __init__(self, ingress: Ingress, client: ClientSession, marta: UserSaved) -> None:
        self.ingress, self.client, self.marta = ingress, client, marta

    def browser(self) -> Browser:
        return Browser(self.client, self.ingress.control_url)

    async def signed_in(self, code: str | None = None) -> Browser:
        browser = self.browser()
        status, answer = await browser.sign_in(LOGIN, PASSWORD, code)
        assert status == 201, answer
        return browser

    async def change(self, **fields: Any) -> None:
        await self.ingress.door.writer.change_user(ROOT, self.marta.id, UserFields(**fields))

    def later(self, by: timedelta) -> None:
        self.ingress.now += by

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).at(self.ingress.now)

    async def with_second_factor(self) -> tuple[Browser, str, list[str]]:
        """Marta, signed in, with her secret and recovery codes."""
        browser = await self.signed_in()
        _, enrolled = await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD})
        form = {"enrolment": enrolled["enrolment"], "code": self.code(enrolled["secret"])}
        status, answer = await browser.call("POST", "/v1/session/second-factor/confirm", form)
        assert status == 200, answer
        self.later(timedelta(seconds=30))
        return browser, enrolled["secret"], answer["recovery_codes"]

    def audited(self) -> list[AuditRecorded]:
        return [record.event for record in self.ingress.records(AUDIT) if isinstance(record.event, AuditRecorded)]


@asynccontextmanager
async def open_home(*, require_second_factor: bool = False) -> AsyncIterator[Home]:
    async with running(require_second_factor=require_second_factor) as (ingress, client):
        door = ingress.door
        password = await door.passwords.hash(PASSWORD)
        grant = Grant(role=Role.AGENT, account="main", agent="irene")
        fields = UserFields(name="Marta", grant=grant, password=password)
        yield Home(ingress, client, await door.writer.create_user(ROOT, LOGIN, fields))


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with open_home() as home:
        yield home


async def status(browser: Browser, method: str = "GET", path: str = "/v1/session", **headers: str) -> int:
    return (await browser.call(method, path, **headers))[0]


async def test_who_signs_in_is_told_who_they_are_and_what_they_may(home: Home) -> None:
    browser = await home.signed_in()
    assert await browser.call("GET", "/v1/session") == (
        200,
        {
            "actor": f"user/{home.marta.id}",
            "name": "Marta",
            "grant": {"role": "agent", "account": "main", "channels": None, "agent": "irene"},
            "permissions": ["read", "act", "self"],
            "login": LOGIN,
            "second_factor": False,
            "ends_at": "2026-03-09T20:30:15.250000Z",
        },
    )
    assert await status(browser, path="/v1/channels/desk") == 200


async def test_the_cookie_is_kept_from_scripts_other_hosts_and_plain_http(home: Home) -> None:
    browser = await home.signed_in()
    [cookie] = browser.set_cookies
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"{COOKIE}=lds_")
    assert sorted(attributes) == ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Lax", "Secure"]
    assert len(name) >= len(COOKIE) + 1 + 43


async def test_a_login_is_read_as_people_type_it(home: Home) -> None:
    assert (await home.browser().sign_in("  MARTA@Example.com ", PASSWORD))[0] == 201


async def test_each_sign_in_has_a_session_of_its_own_and_ends_the_browser_s_last_one(home: Home) -> None:
    browser = home.browser()
    browser.cookies[COOKIE] = "lds_chosen-by-somebody-else"
    assert (await browser.sign_in(LOGIN, PASSWORD))[0] == 201
    first = browser.session
    assert first != "lds_chosen-by-somebody-else"
    assert (await browser.sign_in(LOGIN, PASSWORD))[0] == 201
    assert browser.session != first
    browser.cookies[COOKIE] = str(first)
    assert await status(browser) == 401


@pytest.mark.parametrize(
    ("idle", "times", "counts"),
    [
        (IDLE - timedelta(seconds=1), 1, True),
        (IDLE, 1, False),
        (timedelta(hours=1), 11, True),
        (ABSOLUTE / 8, 8, False),
    ],
)
async def test_a_session_ends_unused_and_after_a_day_s_work(
    home: Home, idle: timedelta, times: int, counts: bool
) -> None:
    browser = await home.signed_in()
    for _ in range(times - 1):
        home.later(idle)
        assert await status(browser) == 200
    home.later(idle)
    assert await status(browser) == (200 if counts else 401)


async def test_signing_out_ends_this_session_only(home: Home) -> None:
    browser, other = await home.signed_in(), await home.signed_in()
    cookie = browser.session
    assert await status(browser, "DELETE") == 200
    assert browser.received["Clear-Site-Data"] == '"cache", "storage"'
    assert browser.session is None
    browser.cookies[COOKIE] = str(cookie)
    assert [await status(browser), await status(other)] == [401, 200]


async def test_signing_out_everywhere_ends_all(home: Home) -> None:
    browser, other = await home.signed_in(), await home.signed_in()
    cookie = browser.session
    assert await status(browser, "DELETE", "/v1/sessions") == 200
    browser.cookies[COOKIE] = str(cookie)
    assert [await status(browser), await status(other)] == [401, 401]
    assert await status(await home.signed_in()) == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"disabled": True},
        {"grant": Grant(role=Role.SUPERVISOR, account="main")},
        {"password": "$argon2id$another"},
    ],
)
async def test_a_change_of_rights_ends_all_sessions(home: Home, fields: dict[str, object]) -> None:
    browser = await home.signed_in()
    await home.change(name="Marta G.")
    assert await status(browser) == 200
    await home.change(**fields)
    assert await status(browser) == 401


async def test_a_session_ends_with_its_user(home: Home) -> None:
    browser = await home.signed_in()
    await home.ingress.door.writer.delete_user(ROOT, home.marta.id)
    assert await status(browser) == 401


async def test_who_is_enabled_again_has_no_session_of_before(home: Home) -> None:
    browser = await home.signed_in()
    await home.change(disabled=True)
    await home.change(disabled=False)
    assert await status(browser) == 401


# --- other sites -----------------------------------------------------------------------------------------------------

ELSEWHERE = "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": ELSEWHERE}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "none"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": ""}, False),
    ],
)
async def test_another_site_s_page_can_t_use_the_session(home: Home, headers: dict[str, str], allowed: bool) -> None:
    browser = await home.signed_in()
    path, busy = "/v1/accounts/main/agents/irene/presence", Json(state="busy")
    found, answer = await browser.call("PUT", path, busy, **headers)
    assert (found, answer.get("code")) == ((202, None) if allowed else (403, "cross_site"))
    assert await status(browser, **headers) == 200
    # A token is sent by no browser of itself.
    browser.headers["Authorization"] = f"Bearer {home.ingress.token(Role.ADMIN)}"
    assert (await browser.call("PUT", path, busy, **headers))[0] == 202


async def test_another_site_s_page_can_t_sign_somebody_in(home: Home) -> None:
    browser = home.browser()
    browser.headers["Origin"] = ELSEWHERE
    assert (await browser.sign_in(LOGIN, PASSWORD))[0] == 403
    browser.headers["Origin"] = ""
    assert (await browser.sign_in(LOGIN, PASSWORD))[0] == 201


async def test_a_token_that_does_not_count_is_not_made_good_by_a_cookie(home: Home) -> None:
    browser = await home.signed_in()
    for authorization in ("Bearer ldk_no", "Basic YTpi", "x"):
        assert await status(browser, Authorization=authorization) == 401


# --- guessing --------------------------------------------------------------------------------------------------------


async def test_every_refusal_is_the_same(home: Home) -> None:
    door = home.ingress.door
    await door.writer.create_user(ROOT, "sso@example.com", UserFields(grant=Grant(role=Role.READ)))
    off = await door.writer.create_user(
        ROOT, "off@example.com", UserFields(grant=Grant(role=Role.READ), password=home.marta.password)
    )
    await door.writer.change_user(ROOT, off.id, UserFields(disabled=True))
    answers = [
        await home.browser().sign_in(login, password)
        for login, password in [
            ("nobody@example.com", PASSWORD),
            (LOGIN, "wrong"),
            (LOGIN, PASSWORD + "x" * 500),
            ("off@example.com", PASSWORD),
            ("sso@example.com", PASSWORD),
            *[(LOGIN, "wrong")] * 4,
            (LOGIN, PASSWORD),
        ]
    ]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0][0], answers[0][1]["code"]) == (401, "sign_in_refused")


async def test_every_refusal_takes_the_same_time() -> None:
    # With parameters that take some milliseconds, so that a way around them would be seen.
    hasher = PasswordHasher(time_cost=4, memory_cost=8192, parallelism=1)
    async with open_home() as home:
        passwords = Passwords(hasher)
        home.ingress.door.sign_in._passwords = passwords
        await home.change(password=await passwords.hash(PASSWORD))
        spent: dict[str, list[float]] = {"unknown": [], "wrong": [], "locked": []}
        for number in range(8):
            # Locked after five, so each kind has a login of its own each time.
            cases = {"unknown": f"nobody{number}@example.com", "wrong": LOGIN, "locked": "locked@example.com"}
            for kind, login in cases.items():
                began = perf_counter()
                assert (await home.browser().sign_in(login, "wrong"))[0] == 401
                spent[kind].append(perf_counter() - began)
        times = [median(some) for some in spent.values()]
        assert max(times) < 2 * min(times), spent


async def test_guesses_at_a_password_must_wait_and_the_right_one_waits_too(home: Home) -> None:
    for _ in range(6):
        assert (await home.browser().sign_in(LOGIN, "wrong"))[0] == 401
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 401
    home.later(timedelta(seconds=3))
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201
    for _ in range(4):
        assert (await home.browser().sign_in(LOGIN, "wrong"))[0] == 401
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201


async def test_guesses_at_once_are_no_way_around_the_wait(home: Home) -> None:
    guesses = [home.browser().sign_in(LOGIN, f"wrong{number}") for number in range(20)]
    await asyncio.gather(*guesses)
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 401


async def test_more_sign_ins_at_once_than_can_be_judged_are_put_off(home: Home) -> None:
    admit = home.ingress.door.sign_in.admit
    tries = (admit(Shown(f"u{n}@example.com", "wrong"), f"192.0.2.{n}") for n in range(AT_ONCE + 7))
    refused = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(one) for one in refused] == [SignInRefused] * AT_ONCE + [TooManyTries] * 7
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201


async def test_an_address_that_tries_many_logins_must_wait(home: Home) -> None:
    browser = home.browser()
    for number in range(30):
        assert (await browser.sign_in(f"user{number}@example.com", "wrong"))[0] == 401
    found, answer = await browser.sign_in(LOGIN, PASSWORD)
    assert (found, answer["code"]) == (429, "too_many_tries")
    home.later(timedelta(seconds=int(browser.received["Retry-After"])))
    assert (await browser.sign_in(LOGIN, PASSWORD))[0] == 201


async def test_guesses_with_a_stolen_session_must_wait(home: Home) -> None:
    browser = await home.signed_in()
    for _ in range(5):
        found, _ = await browser.call("POST", "/v1/session/second-factor", {"password": "wrong"})
        assert found == 422
    assert (await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD}))[0] == 422
    home.later(timedelta(seconds=2))
    assert (await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD}))[0] == 200


# --- passwords and the second factor ---------------------------------------------------------------------------------


async def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(home: Home) -> None:
    browser, other = await home.signed_in(), await home.signed_in()
    before, new = browser.session, "another-planted-password"
    found, answer = await browser.call("PUT", "/v1/session/password", {"current": "wrong", "new": new})
    assert (found, answer["errors"][0]["field"]) == (422, "current")
    found, answer = await browser.call("PUT", "/v1/session/password", {"current": PASSWORD, "new": "password1"})
    assert (found, answer["errors"][0]["field"]) == (422, "new")
    assert (await browser.call("PUT", "/v1/session/password", {"current": PASSWORD, "new": new}))[0] == 200
    assert [await status(browser), await status(other)] == [200, 401]
    assert browser.session != before
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 401
    assert (await home.browser().sign_in(LOGIN, new))[0] == 201


async def test_who_has_a_second_factor_needs_it(home: Home) -> None:
    _, secret, _ = await home.with_second_factor()
    found, answer = await home.browser().sign_in(LOGIN, PASSWORD)
    assert (found, answer["code"]) == (401, "code_needed")
    found, answer = await home.browser().sign_in(LOGIN, PASSWORD, "000000")
    assert (found, answer["code"]) == (401, "sign_in_refused")
    found, answer = await home.browser().sign_in(LOGIN, "wrong", home.code(secret))
    assert (found, answer["code"]) == (401, "sign_in_refused")
    browser = await home.signed_in(home.code(secret))
    assert (await browser.call("GET", "/v1/session"))[1]["second_factor"] is True


async def test_a_code_counts_once(home: Home) -> None:
    _, secret, _ = await home.with_second_factor()
    code = home.code(secret)
    browsers = [home.browser() for _ in range(4)]
    found = [one for one, _ in await asyncio.gather(*(one.sign_in(LOGIN, PASSWORD, code) for one in browsers))]
    assert sorted(found) == [201, 401, 401, 401]
    home.later(timedelta(minutes=1))
    assert (await home.browser().sign_in(LOGIN, PASSWORD, home.code(secret)))[0] == 201


async def test_a_recovery_code_counts_once(home: Home) -> None:
    _, _, codes = await home.with_second_factor()
    assert (await home.browser().sign_in(LOGIN, PASSWORD, codes[0].lower()))[0] == 201
    assert (await home.browser().sign_in(LOGIN, PASSWORD, codes[0]))[0] == 401
    assert (await home.browser().sign_in(LOGIN, PASSWORD, codes[1]))[0] == 201


async def test_guesses_at_a_code_must_wait(home: Home) -> None:
    _, secret, _ = await home.with_second_factor()
    for number in range(6):
        assert (await home.browser().sign_in(LOGIN, PASSWORD, f"00000{number}"))[0] == 401
    assert (await home.browser().sign_in(LOGIN, PASSWORD, home.code(secret)))[0] == 401


async def test_setting_a_second_factor_ends_other_sessions_and_counts_only_when_confirmed(home: Home) -> None:
    other = await home.signed_in()
    browser = await home.signed_in()
    _, enrolled = await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD})
    assert pyotp.parse_uri(enrolled["uri"]).secret == enrolled["secret"]
    confirm = "/v1/session/second-factor/confirm"
    for form, field in (
        ({"enrolment": enrolled["enrolment"], "code": "000000"}, "code"),
        ({"enrolment": enrolled["secret"], "code": home.code(enrolled["secret"])}, "enrolment"),
    ):
        found, answer = await browser.call("POST", confirm, form)
        assert (found, answer["errors"][0]["field"]) == (422, field)
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201
    form = {"enrolment": enrolled["enrolment"], "code": home.code(enrolled["secret"])}
    assert (await browser.call("POST", confirm, form))[0] == 200
    assert [await status(browser), await status(other)] == [200, 401]
    # Once: now it belongs to an epoch that has passed.
    home.later(timedelta(minutes=1))
    form["code"] = home.code(enrolled["secret"])
    assert (await browser.call("POST", confirm, form))[0] == 422


async def test_an_enrolment_counts_for_ten_minutes_and_for_its_user(home: Home) -> None:
    browser = await home.signed_in()
    _, enrolled = await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD})
    home.later(timedelta(minutes=11))
    form = {"enrolment": enrolled["enrolment"], "code": home.code(enrolled["secret"])}
    assert (await browser.call("POST", "/v1/session/second-factor/confirm", form))[0] == 422


async def test_a_second_factor_is_removed_by_who_knows_the_password(home: Home) -> None:
    browser, _, _ = await home.with_second_factor()
    assert (await browser.call("POST", "/v1/session/second-factor/remove", {"password": "wrong"}))[0] == 422
    assert (await browser.call("POST", "/v1/session/second-factor/remove", {"password": PASSWORD}))[0] == 200
    assert await status(browser) == 200
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201


async def test_where_a_second_factor_is_required_nothing_else_is_allowed_before_it_is_set() -> None:
    async with open_home(require_second_factor=True) as home:
        browser = home.browser()
        status, answer = await browser.sign_in(LOGIN, PASSWORD)
        assert (status, answer["permissions"]) == (201, ["self"])
        status, answer = await browser.call("GET", "/v1/channels/desk")
        assert (status, "second factor" in answer["detail"]) == (403, True)
        _, enrolled = await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD})
        form = {"enrolment": enrolled["enrolment"], "code": home.code(enrolled["secret"])}
        assert (await browser.call("POST", "/v1/session/second-factor/confirm", form))[0] == 200
        assert (await browser.call("GET", "/v1/channels/desk"))[0] == 200
        assert (await browser.call("POST", "/v1/session/second-factor/remove", {"password": PASSWORD}))[0] == 200
        assert (await browser.call("GET", "/v1/channels/desk"))[0] == 403
        # A token is none of this.
        browser.headers["Authorization"] = f"Bearer {home.ingress.token(Role.READ)}"
        assert (await browser.call("GET", "/v1/channels/desk"))[0] == 200


async def test_what_is_allowed_and_refused_is_logged(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    browser, secret, codes = await home.with_second_factor()
    await home.browser().sign_in(LOGIN, PASSWORD, home.code(secret))
    await home.browser().sign_in(LOGIN, PASSWORD, codes[0])
    await browser.call("DELETE", "/v1/channels/desk")
    await browser.call("GET", "/v1/channels/nowhere")
    await home.browser().call("GET", "/v1/channels/desk")
    marta = f"user/{home.marta.id}"
    for line in (
        f"signed in: {marta}, with a password",
        f"signed in: {marta}, with a password and an authenticator",
        f"signed in: {marta}, with a password and a recovery code",
        f"refused to {marta}: DELETE /v1/channels/{{channel}} (403)",
        f"refused to {marta}: GET /v1/channels/{{channel}} (404)",
        "refused to nobody who is known: GET /v1/channels/{channel} (401)",
    ):
        assert line in caplog.messages


async def test_a_stale_hash_is_replaced_at_the_next_sign_in_and_no_session_ends(home: Home) -> None:
    browser = await home.signed_in()
    stale = PasswordHasher(time_cost=1, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = home.ingress.access.user(home.marta.id)
    assert user is not None
    await home.ingress.write(lambda change: change.save_user(user.model_copy(update={"password": stale})))
    assert (await home.browser().sign_in(LOGIN, PASSWORD))[0] == 201
    now = home.ingress.access.user(home.marta.id)
    assert now is not None
    assert now.password not in (None, stale)
    assert await status(browser) == 200


async def test_a_token_has_no_session_password_or_second_factor(home: Home) -> None:
    browser = home.browser()
    browser.headers["Authorization"] = f"Bearer {home.ingress.token(Role.ADMIN)}"
    assert (await browser.call("GET", "/v1/session"))[1]["permissions"] == ["read", "act", "direct", "administer"]
    refused: list[tuple[str, str, JsonValue]] = [
        ("DELETE", "/v1/session", None),
        ("DELETE", "/v1/sessions", None),
        ("PUT", "/v1/session/password", {"current": "a", "new": "b"}),
        ("POST", "/v1/session/second-factor", {"password": "a"}),
    ]
    for method, path, body in refused:
        assert (await browser.call(method, path, body))[0] == 403


async def test_what_one_changes_of_oneself_is_audited(home: Home) -> None:
    browser, _, codes = await home.with_second_factor()
    await home.browser().sign_in(LOGIN, PASSWORD, codes[0])
    await browser.call("PUT", "/v1/session/password", {"current": PASSWORD, "new": "another-planted-password"})
    await browser.call("DELETE", "/v1/sessions")
    done = [(one.actor, one.action) for one in home.audited() if one.actor != "test"]
    marta = f"user/{home.marta.id}"
    assert done == [
        (marta, "confirm_second_factor"),
        (marta, "use_recovery_code"),
        (marta, "change_password"),
        (marta, "sign_out_everywhere"),
    ]


async def test_nothing_secret_is_written_logged_or_shown(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser, secret, codes = await home.with_second_factor()
    new = "another-planted-password"
    answers = [
        await browser.call("PUT", "/v1/session/password", {"current": PASSWORD, "new": new}),
        await home.browser().sign_in(LOGIN, PASSWORD, home.code(secret)),
        await home.browser().sign_in(PASSWORD, PASSWORD),
        await browser.call("GET", "/v1/session"),
        await browser.call("PUT", "/v1/session/password", {"current": PASSWORD, "new": {"a": PASSWORD}}),
    ]
    admin = home.browser()
    admin.headers["Authorization"] = f"Bearer {home.ingress.token(Role.ADMIN)}"
    answers += [await admin.call("GET", path) for path in ("/v1/users", f"/v1/users/{home.marta.id}", "/v1/tokens")]
    home.ingress.access.apply(b"user/x", b'{"type": "user.saved", "data": {"password": "%s"}}' % new.encode())
    user = home.ingress.access.user(home.marta.id)
    assert user is not None
    assert user.second_factor is not None
    hidden = [PASSWORD, new, secret, *codes, str(browser.session)]
    kept = [str(user.password), user.second_factor.secret, *user.second_factor.recovery]
    log = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "sign-in refused" in log
    held = [user, UserFields(password=PASSWORD), Shown(PASSWORD, PASSWORD, secret), home.ingress.door.means]
    held += [RecoveryAnswer(recovery_codes=tuple(codes)), EnrolmentAnswer(secret=secret, uri=secret, enrolment=secret)]
    shown = {"log": log, "answers": str(answers), "repr": f"{held!r}{user}"}
    assert [(where, one) for where, text in shown.items() for one in hidden + kept if one in text] == []
    values = [value.decode() for _, _, value, _ in home.ingress.kafka.records]
    audited = [value for value, (topic, *_) in zip(values, home.ingress.kafka.records, strict=True) if "audit" in topic]
    assert audited
    assert [one for one in hidden for value in values if one in value] == []
    assert [one for one in kept for value in audited if one in value] == []
