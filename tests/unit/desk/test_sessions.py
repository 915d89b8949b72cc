"""Sessions over real HTTP: how they begin and end, and who can't use them."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import JsonValue

from desk.access.sessions import ABSOLUTE, COOKIE, IDLE
from desk.access.sign_in import Shown
from desk.access.writer import UserFields
from desk.api.sessions import EnrolmentAnswer, RecoveryAnswer
from schemas.events.access import Grant, Role
from tests.support.access import Browser
from tests.support.home import LOGIN, PASSWORD, ROOT, Home, open_home

Json = dict[str, JsonValue]


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
