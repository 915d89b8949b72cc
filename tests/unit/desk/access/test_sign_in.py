"""Guessing at passwords and codes, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from statistics import median
from time import perf_counter

import pytest
from argon2 import PasswordHasher

from desk.access.passwords import Passwords
from desk.access.sign_in import AT_ONCE, Shown, SignInRefused, TooManyTries
from desk.access.writer import UserFields
from schemas.events.access import Grant, Role
from tests.support.home import LOGIN, PASSWORD, ROOT, Home, open_home


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with open_home() as home:
        yield home


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
        assert max(times) < 3 * min(times), spent


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
