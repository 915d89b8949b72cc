"""Waits between tries to sign in."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.access.lockout import LONGEST, Limit, Lockout, address_subject, login_subject
from desk.access.store import FORGOTTEN_AFTER, MemoryStore, Tries

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)
LIMIT = Limit(free=3)


@given(st.integers(min_value=1, max_value=10_000))
def test_waits_grow_to_a_longest(number: int) -> None:
    assert timedelta(0) <= LIMIT.wait(number) <= LIMIT.wait(number + 1) <= LONGEST


async def test_after_some_tries_each_must_wait_longer() -> None:
    lockout, now, waits = Lockout(MemoryStore()), NOW, []
    for _ in range(8):
        while (wait := await lockout.admit("a", LIMIT, now)) is not None:
            waits.append(wait.total_seconds())
            now += wait
    assert waits == [1, 2, 4, 8, 16]
    assert await lockout.admit("b", LIMIT, now) is None


async def test_of_many_at_once_no_more_are_admitted_than_are_free() -> None:
    lockout = Lockout(MemoryStore())
    admitted = await asyncio.gather(*(lockout.admit("a", LIMIT, NOW) for _ in range(100)))
    assert admitted.count(None) == 3


class FarStore(MemoryStore):
    """One in which others come between, as in a database."""

    async def tries(self, subject: str) -> Tries | None:
        found = await super().tries(subject)
        await asyncio.sleep(0)
        return found


async def test_of_many_processes_at_once_no_more_are_admitted_either() -> None:
    store = FarStore()
    lockouts = [Lockout(store) for _ in range(4)]
    tries = (lockouts[number % 4].admit("a", LIMIT, NOW) for number in range(100))
    assert (await asyncio.gather(*tries)).count(None) == 3


async def test_who_tries_for_days_is_admitted_about_a_hundred_times_a_day() -> None:
    lockout, now, admitted = Lockout(MemoryStore()), NOW, 0
    while now < NOW + timedelta(days=2):
        wait = await lockout.admit("a", LIMIT, now)
        admitted += wait is None
        now += wait or timedelta(0)
    assert 150 < admitted < 250


async def test_what_is_long_ago_and_what_succeeded_is_forgotten() -> None:
    lockout = Lockout(MemoryStore())
    for _ in range(3):
        await lockout.admit("a", LIMIT, NOW)
    assert await lockout.admit("a", LIMIT, NOW) is not None
    later = NOW + FORGOTTEN_AFTER + timedelta(seconds=1)
    for _ in range(3):
        assert await lockout.admit("a", LIMIT, later) is None
    await lockout.forget("a")
    assert await lockout.admit("a", LIMIT, later) is None


async def test_whoever_succeeds_uses_up_nothing() -> None:
    lockout = Lockout(MemoryStore())
    for _ in range(50):
        assert await lockout.admit("office", LIMIT, NOW) is None
        await lockout.take_back("office", NOW)
    await lockout.take_back("office", NOW)


async def test_what_is_forgotten_is_deleted() -> None:
    store = MemoryStore()
    lockout = Lockout(store)
    for number in range(100):
        await lockout.admit(f"address/{number}", LIMIT, NOW)
    await lockout.admit("a", LIMIT, NOW + FORGOTTEN_AFTER + timedelta(hours=1))
    assert await store.tries("address/7") is None


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "address/192.0.2.7"),
        ("::ffff:192.0.2.7", "address/192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address/2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "address/2001:db8:1:2::"),
        (None, "address/unknown"),
        ("nonsense\n", "address/unknown"),
    ],
)
def test_an_ipv6_network_is_one_address(address: str | None, subject: str) -> None:
    assert address_subject(address) == subject


def test_a_login_is_kept_as_a_hash() -> None:
    assert "secret" not in login_subject("my secret typed into the wrong field")
