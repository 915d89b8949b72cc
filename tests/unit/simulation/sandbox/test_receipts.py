"""The automatic life of an accepted message."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pydantic import ValidationError

from simulation.sandbox.accounts import Account
from simulation.sandbox.calls import ScheduledCallback
from simulation.sandbox.happenings import Customer, SentMessage
from simulation.sandbox.receipts import Faults, plan_life
from simulation.sandbox.stand_in import STAND_INS

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
WHOLE = ["plan", "target_valid", "sent", "delivered", "read"]


def plan(faults: Faults, number: int = 0, seed: int = 1) -> tuple[ScheduledCallback, ...]:
    message = SentMessage(f"o{number}", Customer("34611222333"), echo={"id": f"o{number}"})
    account = Account.model_validate({"dev_key": "k1", "dev_secret": "s1", "phone_number": "+34600700001"})
    return plan_life(STAND_INS["engagelab"], account, message, NOW, faults, seed).callbacks


def statuses(callbacks: tuple[ScheduledCallback, ...]) -> list[str]:
    rows = [row for callback in callbacks for row in orjson.loads(callback.body)["rows"]]
    return [row["status"]["message_status"] for row in rows]


def test_without_faults_a_message_is_read_in_the_end() -> None:
    callbacks = plan(Faults())
    assert statuses(callbacks) == WHOLE
    assert all(callback.at > NOW for callback in callbacks)
    assert len(callbacks) == len(WHOLE)


def test_a_plan_depends_on_seed_and_message_alone() -> None:
    faults = Faults(duplicate=0.5, reorder=0.5, batch=0.5, delay=0.5)
    assert [plan(faults, n) for n in range(20)] == [plan(faults, n) for n in reversed(range(20))][::-1]
    assert plan(faults, 1, seed=1) != plan(faults, 1, seed=2)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(sent_failed=1), ["plan", "target_valid", "sent_failed"]),
        (Faults(delivered_failed=1), ["plan", "target_valid", "sent", "delivered_failed"]),
        (Faults(silence=1), ["plan", "target_valid", "sent"]),
        (Faults(delivered_timeout=1), ["plan", "target_valid", "sent", "delivered_timeout", "delivered", "read"]),
        (Faults(read=0), WHOLE[:-1]),
    ],
)
def test_endings(faults: Faults, expected: list[str]) -> None:
    assert statuses(plan(faults)) == expected


def test_a_timeout_comes_after_five_minutes() -> None:
    last = plan(Faults(delivered_timeout=1, read=0))[-1]
    assert last.at - NOW > timedelta(minutes=5)


def test_failures_carry_an_error_code() -> None:
    (row,) = orjson.loads(plan(Faults(sent_failed=1))[-1].body)["rows"]
    assert row["status"]["error_code"] == 131026


def test_duplicates_are_the_same_bytes() -> None:
    assert set(Counter(callback.body for callback in plan(Faults(duplicate=1))).values()) == {2}


def test_reordered_receipts_keep_their_own_times() -> None:
    plans = [statuses(plan(Faults(reorder=0.5), number)) for number in range(20)]
    assert any(order != WHOLE for order in plans)
    assert all(sorted(order) == sorted(WHOLE) for order in plans)


def test_a_batch_holds_several_rows() -> None:
    (callback,) = plan(Faults(batch=1))
    assert orjson.loads(callback.body)["total"] == len(WHOLE)


def test_a_delay_moves_delivery_and_not_the_time_of_the_status() -> None:
    prompt, late = plan(Faults(pace=0)), plan(Faults(pace=0, delay=1, delay_seconds=60))
    assert [b.at - a.at for a, b in zip(prompt, late, strict=True)] == [timedelta(seconds=60)] * len(WHOLE)
    assert [callback.body for callback in prompt] == [callback.body for callback in late]


@pytest.mark.parametrize("bad", [{"silence": 1.5}, {"sent_failed": 0.6, "silence": 0.6}, {"silense": 0.1}])
def test_senseless_faults_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate(bad)
