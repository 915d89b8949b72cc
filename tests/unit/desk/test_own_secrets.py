"""People's own password and second factor, over real HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pyotp
import pytest
from argon2 import PasswordHasher

from schemas.events.access import Role
from tests.support.access import Browser
from tests.support.home import LOGIN, PASSWORD, Home, open_home


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with open_home() as home:
        yield home


async def status(browser: Browser, method: str = "GET", path: str = "/v1/session", **headers: str) -> int:
    return (await browser.call(method, path, **headers))[0]


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
