"""The status of a message, in whatever order its receipts come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.status import DELIVERIES, FAILURES, KEEP, RANKS, STATUS, Message
from schemas.event import Event
from schemas.events.inbox import DeliveryFailed
from schemas.events.receipts import (
    DeliveryError,
    MessageAnomaly,
    MessageStatusChanged,
    ReceiptReceived,
    SendAccepted,
    SendQueued,
    SendRefused,
    SendUnknown,
)
from schemas.events.sending import SendConfirmed
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from streams.state import Changes, KeyRows, TaskState
from streams.step import Due, Step, step

KEY = "shop:4915200000042"
NOON = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
RECEIPTS_IN_RANK = ("plan", "target_valid", "sent", "delivered_timeout", "delivered", "read")


def no_settings(channel: str, revision: int) -> ChannelSettings:
    raise LookupError(channel)


class Bench:
    """The stage on one key. Seconds count from noon."""

    def __init__(self) -> None:
        self.state = TaskState()
        self.records = 0
        self.reported: list[Event] = []

    def take(self, event: Event, second: float = 0) -> list[Event]:
        """What the stage wrote about the event."""
        self.records += 1
        record = Record(f"r{self.records}", "/test", NOON + timedelta(seconds=second), KEY, event)
        return self._commit(step(STATUS, self.state, record, no_settings))

    def until(self, time: datetime) -> None:
        self._commit(step(STATUS, self.state, Due(KEY, time), no_settings))

    def _commit(self, made: Step) -> list[Event]:
        assert made.failure is None
        changes = Changes(self.state)
        for name, value in made.rows.items():
            changes.write(KEY, name, value)
        changes.commit(self.state)
        reported = [outgoing.record.event for outgoing in made.outgoing]
        self.reported += reported
        return reported

    def message(self, id: str = "o1") -> Message:
        row = KeyRows(self.state, KEY).get(f"message/{id}", Message)
        assert row is not None
        return row

    def names(self) -> list[str]:
        return [name for name in self.state.names(KEY, "") if name]

    def confirmations(self) -> list[SendConfirmed]:
        return [event for event in self.reported if isinstance(event, SendConfirmed)]


def receipt(
    status: str, second: float | None = None, *, id: str | None = "o1", provider_id: str = "p1", code: int = 0
) -> ReceiptReceived:
    at = None if second is None else NOON + timedelta(seconds=second)
    return ReceiptReceived(provider_message_id=provider_id, message_id=id, status=status, at=at, error_code=code)


def accepted(id: str = "o1", provider_id: str = "p1") -> SendAccepted:
    return SendAccepted(message_id=id, provider_message_id=provider_id)


@pytest.mark.parametrize(
    ("reported", "stands"),
    [
        (("sent", "delivered", "read"), "read"),
        (("delivered", "sent"), "delivered"),
        (("read", "delivered", "sent"), "read"),
        (("sent", "delivered_timeout"), "delivered_timeout"),
        (("sent", "delivered_timeout", "delivered"), "delivered"),
        (("delivered", "delivered_timeout"), "delivered"),
        (("target_valid", "plan"), "target_valid"),
        (("sent", "sent_failed"), "sent_failed"),
        (("sent_failed", "sent"), "sent_failed"),
        (("target_invalid", "plan"), "target_invalid"),
        (("delivered_timeout", "delivered_failed"), "delivered_failed"),
        (("delivered_failed", "delivered_timeout"), "delivered_failed"),
        (("sent_failed", "delivered_failed"), "sent_failed"),
        (("sent", "banana"), "sent"),
    ],
)
def test_the_rank_decides_what_stands_and_not_the_order_of_arrival(reported: Sequence[str], stands: str) -> None:
    bench = Bench()
    for second, status in enumerate(reported):
        bench.take(receipt(status, second), second)
    assert bench.message().status == stands
    assert not [event for event in bench.reported if isinstance(event, MessageAnomaly)]


def test_the_whole_life_of_a_message_is_reported_step_by_step() -> None:
    bench = Bench()
    lived = [
        bench.take(event, second)
        for second, event in enumerate(
            (SendQueued(message_id="o1"), accepted(), *(receipt(status, None) for status in RECEIPTS_IN_RANK))
        )
    ]
    statuses = ["queued", "accepted", *RECEIPTS_IN_RANK]
    changed = [event for (event,) in lived if isinstance(event, MessageStatusChanged)]
    assert [event.status for event in changed] == statuses
    assert [event.previous for event in changed] == [None, *statuses[:-1]]
    assert changed[-1].timestamps == {status: NOON + timedelta(seconds=n) for n, status in enumerate(statuses)}
    assert changed[-1].provider_message_id == "p1"


def test_each_status_keeps_its_first_timestamp() -> None:
    bench = Bench()
    bench.take(receipt("sent", 1), 5)
    assert bench.take(receipt("sent", 3), 6) == []
    assert bench.message().timestamps == {"sent": NOON + timedelta(seconds=1)}


def test_a_late_lower_ranked_status_gets_its_timestamp_and_is_reported() -> None:
    bench = Bench()
    bench.take(receipt("delivered", 1), 1)
    (changed,) = bench.take(receipt("sent", 2), 2)
    assert isinstance(changed, MessageStatusChanged)
    assert (changed.reported, changed.status, changed.previous) == ("sent", "delivered", "delivered")
    assert changed.timestamps == {"delivered": NOON + timedelta(seconds=1), "sent": NOON + timedelta(seconds=2)}


def test_a_provider_clock_ahead_of_ours_is_clamped_and_a_missing_one_replaced() -> None:
    bench = Bench()
    bench.take(receipt("sent", 3600), 2)
    bench.take(receipt("delivered", None), 4)
    assert bench.message().timestamps == {"sent": NOON + timedelta(seconds=2), "delivered": NOON + timedelta(seconds=4)}


@pytest.mark.parametrize("failure", sorted(FAILURES - {"refused"}))
@pytest.mark.parametrize("delivery", sorted(DELIVERIES))
def test_of_failure_and_delivery_the_first_known_stands_and_the_other_is_an_anomaly(
    failure: str, delivery: str
) -> None:
    for first, second in permutations((failure, delivery)):
        bench = Bench()
        bench.take(receipt(first, 1), 1)
        assert bench.take(receipt(second, 2), 2) == [
            MessageAnomaly(message_id="o1", standing=first, reported=second, at=NOON + timedelta(seconds=2))
        ]
        assert bench.take(receipt(second, 2), 3) == []
        assert (bench.message().status, list(bench.message().timestamps)) == (first, [first])


def test_the_reason_of_the_first_failure_is_kept() -> None:
    bench = Bench()
    first = ReceiptReceived(
        provider_message_id="p1", message_id="o1", status="sent_failed", error_code=131049, error_message="Not now"
    )
    bench.take(first)
    bench.take(receipt("sent", 1), 1)
    (changed,) = bench.take(receipt("delivered_failed", 2, code=131000), 2)
    assert isinstance(changed, MessageStatusChanged)
    assert (changed.status, changed.error) == ("sent_failed", DeliveryError(code=131049, message="Not now"))


def test_a_refusal_is_a_failure_with_its_reason() -> None:
    bench = Bench()
    bench.take(SendQueued(message_id="o1"))
    (changed,) = bench.take(SendRefused(message_id="o1", code=3003, message="business validation"), 1)
    assert isinstance(changed, MessageStatusChanged)
    assert (changed.status, changed.error) == ("refused", DeliveryError(code=3003, message="business validation"))


def test_a_failure_is_told_once_as_soon_as_both_it_and_the_acceptance_are_known() -> None:
    told = DeliveryFailed(
        message_id="o1", status="delivered_failed", code=131047, conversation_id="c1", kind="greeting", via="session"
    )
    accepted = SendAccepted(
        message_id="o1", provider_message_id="p1", conversation_id="c1", kind="greeting", via="session"
    )
    failed = receipt("delivered_failed", code=131047)
    for first, second in ((accepted, failed), (failed, accepted)):
        bench = Bench()
        assert told not in bench.take(first)
        assert told in bench.take(second, 1)
        bench.take(receipt("sent_failed", code=1), 2)
        bench.take(accepted, 3)
        assert bench.reported.count(told) == 1
        assert [type(event) for event in bench.reported].count(DeliveryFailed) == 1


def test_an_unknown_word_changes_nothing_and_is_reported_once() -> None:
    bench = Bench()
    bench.take(receipt("sent", 1), 1)
    (changed,) = bench.take(receipt("banana", 2), 2)
    assert isinstance(changed, MessageStatusChanged)
    assert (changed.reported, changed.status, list(changed.timestamps)) == ("banana", "sent", ["sent"])
    assert bench.take(receipt("banana", 3), 3) == []


def test_unknown_words_without_end_do_not_grow_the_row_without_end() -> None:
    bench = Bench()
    for number in range(100):
        bench.take(receipt(f"{number}" * 1000), number)
        bench.take(receipt(f"{number}" * 1000, id=None, provider_id="p2"), number)
    assert all(len(bench.state.read(KEY, name) or b"") < 8192 for name in bench.names())


def test_a_receipt_before_its_message_is_known_is_kept_in_order_and_applied() -> None:
    bench = Bench()
    assert bench.take(receipt("sent", 1, id=None), 1) == []
    assert bench.take(receipt("read", 2, id=None), 2) == []
    assert bench.take(receipt("read", 2, id=None), 3) == []
    changed = bench.take(accepted(), 4)
    assert [event.reported for event in changed if isinstance(event, MessageStatusChanged)] == [
        "accepted",
        "sent",
        "read",
    ]
    assert bench.message().status == "read"
    assert bench.names() == ["message/o1", "provider/p1"]


def test_a_receipt_with_our_id_tells_whose_the_earlier_ones_were() -> None:
    bench = Bench()
    bench.take(receipt("sent", 1, id=None), 1)
    changed = bench.take(receipt("delivered", 2), 2)
    assert [event.reported for event in changed if isinstance(event, MessageStatusChanged)] == ["sent", "delivered"]
    (last,) = bench.take(receipt("read", 3, id=None), 3)
    assert isinstance(last, MessageStatusChanged)
    assert (last.message_id, last.status) == ("o1", "read")


def test_a_receipt_leaves_other_messages_alone() -> None:
    bench = Bench()
    bench.take(accepted("o1", "p1"))
    bench.take(accepted("o2", "p2"))
    bench.take(receipt("delivered", 1, id=None, provider_id="p2"), 1)
    assert (bench.message("o1").status, bench.message("o2").status) == ("accepted", "delivered")


@pytest.mark.parametrize("proof", ["sent", "read", "sent_failed", "banana"])
def test_any_receipt_of_a_send_in_doubt_confirms_it_once(proof: str) -> None:
    confirmed = SendConfirmed(message_id="o1", provider_message_id="p1")
    for events in permutations((SendUnknown(message_id="o1"), receipt(proof))):
        bench = Bench()
        assert confirmed not in bench.take(events[0])
        assert confirmed in bench.take(events[1], 1)
        bench.take(receipt("delivered", 2), 2)
        bench.take(accepted(), 3)
        bench.take(receipt("read", 4, provider_id="p1b"), 4)
        assert bench.confirmations() == [confirmed]


def test_a_message_that_was_accepted_is_not_confirmed() -> None:
    bench = Bench()
    bench.take(SendUnknown(message_id="o1"))
    bench.take(accepted(), 1)
    bench.take(receipt("delivered", 2), 2)
    assert bench.confirmations() == []


def test_a_send_in_doubt_stays_so_until_more_is_known() -> None:
    bench = Bench()
    bench.take(SendUnknown(message_id="o1"))
    assert bench.message().status == "unknown"
    bench.take(SendQueued(message_id="o1"), 1)
    assert bench.message().status == "unknown"
    bench.take(receipt("plan", 2), 2)
    assert bench.message().status == "plan"


def test_everything_is_dropped_after_thirty_days() -> None:
    bench = Bench()
    bench.take(accepted())
    bench.take(receipt("sent", 1, id=None, provider_id="p9"), 1)
    bench.until(NOON + KEEP - timedelta(seconds=1))
    assert bench.names() == ["early/p9", "message/o1", "provider/p1"]
    bench.until(NOON + KEEP + timedelta(days=1))
    assert len(bench.state) == 0


def test_the_sweep_leaves_what_is_younger() -> None:
    bench = Bench()
    ten_days = timedelta(days=10)
    bench.take(accepted("o1", "p1"))
    bench.take(accepted("o2", "p2"), ten_days.total_seconds())
    bench.until(NOON + KEEP)
    assert bench.names() == ["message/o2", "provider/p2"]
    bench.until(NOON + KEEP + ten_days)
    assert len(bench.state) == 0


@given(st.permutations(RECEIPTS_IN_RANK), st.integers(0, 3), st.booleans(), st.booleans())
def test_without_a_contradiction_every_order_of_arrival_ends_the_same(
    statuses: list[str], until: int, failed: bool, own_ids: bool
) -> None:
    """until: how many of the last statuses are left out; a failure goes with no delivery."""
    late = {"delivered", "read"} if failed else set(RECEIPTS_IN_RANK[len(RECEIPTS_IN_RANK) - until :])
    reported = [status for status in statuses if status not in late] + (["delivered_failed"] if failed else [])
    bench = Bench()
    for order, status in enumerate(reported):
        second = RECEIPTS_IN_RANK.index(status) if status in RECEIPTS_IN_RANK else 9
        for _ in range(2):
            bench.take(receipt(status, second, id="o1" if own_ids else None), 20 + order)
    bench.take(accepted(), 40)
    expected = {status: NOON + timedelta(seconds=n) for n, status in enumerate(RECEIPTS_IN_RANK) if status not in late}
    expected["accepted"] = NOON + timedelta(seconds=40)
    if failed:
        expected["delivered_failed"] = NOON + timedelta(seconds=9)
    assert bench.message().timestamps == expected
    highest = max((status for status in expected if status in RANKS), key=RANKS.__getitem__)
    assert bench.message().status == ("delivered_failed" if failed else highest)


EVENTS: st.SearchStrategy[Event] = st.sampled_from(
    [
        SendUnknown(message_id="o1"),
        accepted(),
        SendQueued(message_id="o1"),
        SendRefused(message_id="o1", code=1, message=""),
        *(receipt(status, id=id) for id in ("o1", None) for status in (*RECEIPTS_IN_RANK, *sorted(FAILURES), "banana")),
    ]
)


@given(st.lists(EVENTS, max_size=30))
def test_whatever_comes_the_first_of_failure_and_delivery_stands_and_one_confirmation_goes(
    events: list[Event],
) -> None:
    bench = Bench()
    for second, event in enumerate(events):
        bench.take(event, second)
    assert len(bench.confirmations()) <= 1
    changed = [event for event in bench.reported if isinstance(event, MessageStatusChanged)]
    final = [event.status for event in changed if event.status in FAILURES | DELIVERIES]
    assert not final or len({status in FAILURES for status in final}) == 1
    assert [event.timestamps for event in changed] == sorted((event.timestamps for event in changed), key=len), (
        "timestamps are never taken away"
    )
    if changed:
        assert changed[-1].timestamps == bench.message().timestamps
