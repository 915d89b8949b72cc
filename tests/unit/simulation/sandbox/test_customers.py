"""Customers who write from a script."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simulation.sandbox.customers import CustomerMessage, script, written
from simulation.sandbox.happenings import Quote
from simulation.sandbox.media import Files

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)


def test_a_script_repeats() -> None:
    assert script(3, 20) == script(3, 20)
    assert script(3, 20) != script(4, 20)


def test_every_customer_writes_and_time_goes_forward() -> None:
    steps = script(1, 30, rate=5)
    assert len({message.contact for step in steps for message in step.messages}) == 30
    assert [step.offset for step in steps] == sorted(step.offset for step in steps)


def test_some_callbacks_hold_several_messages_and_some_come_twice() -> None:
    steps = script(1, 50, batch=0.5, redeliver=0.5)
    assert any(len(step.messages) > 1 for step in steps)
    again = [step for step in steps if step.kind == "redeliver"]
    assert again
    assert all(step.of is not None and steps[step.of].kind == "write" for step in again)


def test_customers_messages_are_neither_batched_nor_repeated_unless_asked() -> None:
    steps = script(1, 30, batch=0, redeliver=0, follow_ups=0)
    assert [len(step.messages) for step in steps] == [1] * 30


@pytest.mark.parametrize(("customers", "rate"), [(0, 1.0), (1, 0.0)])
def test_a_script_of_nobody_is_refused(customers: int, rate: float) -> None:
    with pytest.raises(ValueError, match="customers and a rate"):
        script(1, customers, rate=rate)


def test_a_quote_names_the_message_of_that_id() -> None:
    said = written(CustomerMessage(contact="34611222333", text="5", quotes="o1"), "wamid.A", NOW, Files(), "")
    assert (said.id, said.quotes) == ("wamid.A", Quote("o1"))


def test_deleting_names_the_deleted_message() -> None:
    message = CustomerMessage(contact="34611222333", type="deleted", target="wamid.A")
    assert written(message, "wamid.B", NOW, Files(), "").target == "wamid.A"


def test_a_file_is_one_that_the_sandbox_keeps() -> None:
    files = Files()
    kept = files.put(b"%PDF", "application/pdf", "bill.pdf")
    message = CustomerMessage(contact="34611222333", type="document", file=kept.id)
    said = written(message, "wamid.A", NOW, files, "http://sandbox")
    assert (said.file, said.filename, said.base_url) == (kept, "bill.pdf", "http://sandbox")
    with pytest.raises(ValueError, match="file: the sandbox has no '1'"):
        written(message.model_copy(update={"file": "1"}), "wamid.A", NOW, files, "")
