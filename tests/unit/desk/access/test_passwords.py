"""Passwords: which may be chosen, and how they are kept."""

import asyncio
from time import perf_counter

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import CHEAPEST, RFC_9106_LOW_MEMORY
from hypothesis import given
from hypothesis import strategies as st

from desk.access.passwords import MAX_CHARACTERS, MIN_CHARACTERS, Passwords, why_not
from tests.support.access import cheap_passwords


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short12", "8 to 128"),
        ("x" * 129, "8 to 128"),
        ("password1", "common"),
        ("PassWord1", "common"),
        ("12345678", "common"),
        ("livedesk", "others know"),
        ("LiveDesk2026!", "others know"),
        ("marta.gil@example.com", "others know"),
        ("marta.gil99", "others know"),
        ("Marta Gil 1", "others know"),
        ("correct horse battery staple", None),
        ("þröstur og köttur", None),
        ("x9" * 64, None),
        ("        ", None),
    ],
)
def test_which_passwords_may_be_chosen(password: str, reason: str | None) -> None:
    found = why_not(password, ("marta.gil@example.com", "Marta Gil"))
    assert found is None if reason is None else reason in str(found)


@given(st.text(st.characters(min_codepoint=0x100), min_size=MIN_CHARACTERS, max_size=MAX_CHARACTERS))
def test_any_characters_may_be_used(password: str) -> None:
    assert why_not(password) is None


async def test_a_password_is_kept_as_an_argon2id_hash_that_only_it_fits() -> None:
    passwords = cheap_passwords()
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert "correct horse" not in kept
    assert await passwords.check(kept, "correct horse") == (True, False)
    for wrong in ("correct horse ", "Correct horse", "", "x" * 128):
        assert not (await passwords.check(kept, wrong)).right
    assert kept != await passwords.hash("correct horse")


async def test_nobody_s_password_is_wrong_even_the_one_that_time_is_spent_on() -> None:
    passwords = cheap_passwords()
    for hash in (None, "", "no hash", "$argon2id$"):
        assert not (await passwords.check(hash, "nobody's")).right


async def test_a_hash_of_other_parameters_is_stale() -> None:
    kept = PasswordHasher.from_parameters(CHEAPEST).hash("correct horse")
    assert await Passwords().check(kept, "correct horse") == (True, True)
    assert extract_parameters(await Passwords().hash("x")) == RFC_9106_LOW_MEMORY


async def test_two_are_checked_at_once_and_the_loop_goes_on() -> None:
    passwords = Passwords()
    kept = await passwords.hash("correct horse")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    began = perf_counter()
    assert all(one.right for one in await asyncio.gather(*(passwords.check(kept, "correct horse") for _ in range(4))))
    took = perf_counter() - began
    ticking.cancel()
    assert ticks > 5, took
