"""Dead letters are given back in order, to the stage that could not process them, and to it alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from agents.intake import INTAKE
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from deploy.dead_letters import REPLAYED_HEADER, Letter, Letters, Return, Selection, plan
from deploy.errors import LiveDeskError
from schemas.codec import from_kafka
from schemas.event import Event
from schemas.events.callbacks import WebhookReceived
from schemas.events.inbox import MessageReceived
from schemas.events.operations import DeadLettered, DeadLetterReplayed
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import DEAD_LETTERS, WEBHOOKS
from streams.driver import Driver
from streams.effects.contract import Outcome, Unknown
from streams.runtime.settings_store import SettingsStore
from streams.state import TaskState
from streams.step import Step, step, undecodable
from tests.broker.counting import COUNT, NUMBERS, Counted, Number

AT = datetime(2026, 4, 7, 9, 30, tzinfo=UTC)


def patient(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """The counting stage, its bug put right."""
    return COUNT.decide(rows, event.model_copy(update={"n": abs(event.n)}) if isinstance(event, Number) else event, ctx)


def hasty(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """The counting stage with another bug: in its timers."""
    if isinstance(event, TimerFired):
        raise ValueError("no time")
    return COUNT.decide(rows, event, ctx)


MENDED = replace(COUNT, decide=patient)
HASTY = replace(COUNT, decide=hasty)
OTHER = replace(MENDED, name="other")


class Operator:
    """Stages in memory, and an operator who looks after their dead letters."""

    def __init__(self, *stages: Stage) -> None:
        self._driver = Driver(SettingsStore(str), self._perform, AT, stages)

    def _perform(self, request: BaseModel, now: datetime) -> Outcome:
        return Unknown()

    def mend(self, *stages: Stage) -> None:
        """Go on with another version of the stages, on the same rows."""
        before, self._driver = self._driver, Driver(SettingsStore(str), self._perform, AT, stages)
        self._driver.states = before.states
        self._driver.records = before.records

    def feed(self, *numbers: int, key: str = "k", remind: int | None = None) -> None:
        for n in numbers:
            at = AT + timedelta(minutes=abs(n))
            self._driver.write(NUMBERS, Record(f"{key}{n}", "/test", at, key, Number(n=n, remind=remind)))
        self._driver.run()

    def pass_time(self, to: datetime) -> None:
        self._driver.advance(to)

    def next_deadline(self) -> datetime | None:
        return self._driver.next_deadline()

    @property
    def letters(self) -> Letters:
        letters = Letters()
        for topic, record in self._driver.records:
            if topic is DEAD_LETTERS:
                letters.add(record)
        return letters

    def waiting(self) -> list[str]:
        """Dead letters that are not replayed."""
        return [one.record.causation_id or "" for one in self.letters.by_id.values() if not one.replayed]

    def counted(self, stage: str = "count", key: str = "k") -> list[tuple[int, int]]:
        return [
            (record.event.n, record.event.count)
            for _, record in self._driver.records
            if isinstance(record.event, Counted) and record.source.endswith(stage) and record.subject == key
        ]

    def plan(self, letters: Letters, *, force: bool = False, reason: str | None = None) -> list[Return]:
        chosen = letters.chosen(Selection(reason=reason))
        return plan(letters, chosen, revisions={}, force=force, stages=(MENDED, OTHER))

    def write(self, returns: Sequence[Return]) -> None:
        for one in returns:
            assert one.unpark is not None
            self._driver.write(one.stage.input, one.unpark)
            for letter, message in one.records:
                if message is not None:
                    self._driver.write(one.stage.input, from_kafka(one.stage.input, message[1], message[2]))
                mark = Record("mark", "/livedesk/operator", AT, one.key, DeadLetterReplayed(letter_id=letter.id))
                self._driver.write(DEAD_LETTERS, mark)
        self._driver.run()

    def replay(self, *, force: bool = False, reason: str | None = None) -> None:
        self.write(self.plan(self.letters, force=force, reason=reason))


def test_a_parked_key_is_given_back_in_order_and_goes_on() -> None:
    operator = Operator(COUNT)
    operator.feed(1, -2, 3, 4)
    operator.feed(5, key="good")
    assert operator.counted() == [(1, 1)]
    assert operator.counted(key="good") == [(5, 1)]
    assert [letter.event.reason for letter in operator.letters.by_id.values()] == ["failed", "parked", "parked"]
    operator.mend(MENDED)
    operator.replay()
    operator.feed(6)
    assert operator.counted() == [(1, 1), (2, 2), (3, 3), (4, 4), (6, 5)]
    assert operator.waiting() == []


def test_a_replayed_record_is_processed_at_its_own_time() -> None:
    operator = Operator(COUNT)
    operator.feed(-2)
    operator.mend(MENDED)
    operator.replay()
    [record] = [r for _, r in operator._driver.records if isinstance(r.event, Counted)]
    assert record.time == AT + timedelta(minutes=2)


def test_a_record_that_is_parked_meanwhile_is_not_overtaken() -> None:
    operator = Operator(COUNT)
    operator.feed(-1, 2)
    operator.mend(MENDED)
    returns = operator.plan(operator.letters)
    operator.feed(3)
    operator.write(returns)
    assert operator.counted() == []
    assert operator.waiting() == ["k-1", "k2", "k3"]
    operator.replay()
    assert operator.counted() == [(1, 1), (2, 2), (3, 3)]
    assert operator.waiting() == []


def test_by_force_a_busy_key_is_unparked_all_the_same() -> None:
    operator = Operator(COUNT)
    operator.feed(-1, 2)
    operator.mend(MENDED)
    returns = operator.plan(operator.letters, force=True)
    operator.feed(3)
    operator.write(returns)
    operator.feed(4)
    assert operator.counted() == [(1, 1), (2, 2), (4, 3)]
    assert operator.waiting() == ["k3"]
    operator.replay()
    assert operator.counted()[-1] == (3, 4)


def test_a_letter_that_fails_again_is_a_letter_again_and_so_is_what_is_behind_it() -> None:
    operator = Operator(COUNT)
    operator.feed(-1, -2, 3)
    operator.replay()
    assert operator.counted() == []
    assert operator.waiting() == ["k-1", "k-2", "k3"]
    operator.feed(4)
    operator.mend(MENDED)
    operator.replay()
    assert operator.counted() == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_the_poison_alone_can_be_left_behind() -> None:
    operator = Operator(COUNT)
    operator.feed(-1, 2, 3)
    [planned] = operator.plan(operator.letters, reason="parked")
    assert planned.left == 1
    operator.write([planned])
    operator.feed(4)
    assert operator.counted() == [(2, 1), (3, 2), (4, 3)]
    assert operator.waiting() == ["k-1"]


def test_the_topic_s_other_readers_leave_it_out() -> None:
    operator = Operator(COUNT, OTHER)
    operator.feed(-1, 2)
    operator.mend(MENDED, OTHER)
    operator.replay()
    assert operator.counted("other") == operator.counted("count") == [(1, 1), (2, 2)]


def test_an_order_for_a_key_that_is_not_parked_changes_nothing() -> None:
    operator = Operator(COUNT)
    operator.feed(-1)
    returns = operator.plan(operator.letters)
    operator.mend(MENDED)
    operator.replay()
    operator.feed(2)
    operator.write([replace_records(returns[0])])
    operator.feed(3)
    assert operator.counted() == [(1, 1), (2, 2), (3, 3)]


def replace_records(one: Return) -> Return:
    return one._replace(records=())


def test_a_parked_key_s_timers_wait_and_fire_in_their_place() -> None:
    operator = Operator(COUNT)
    operator.feed(1, remind=600)
    assert operator.next_deadline() == AT + timedelta(minutes=11)
    operator.feed(-2, 30)
    assert operator.next_deadline() is None
    operator.pass_time(AT + timedelta(hours=1))
    operator.mend(MENDED)
    operator.replay()
    assert operator.counted() == [(1, 1), (2, 2), (-1, 2), (30, 3)]


def test_a_timer_that_fails_parks_its_key_and_shows() -> None:
    operator = Operator(HASTY)
    operator.feed(1, remind=60)
    operator.pass_time(AT + timedelta(hours=1))
    operator.feed(90)
    assert [letter.event.reason for letter in operator.letters.by_id.values()] == ["timer_failed", "parked"]
    assert operator.next_deadline() is None
    operator.replay()
    assert operator.waiting() == ["k90"], "the record behind it fails with the timer"
    operator.mend(MENDED)
    operator.replay()
    assert operator.counted() == [(1, 1), (-1, 1), (90, 2)]
    assert operator.waiting() == []


def letter_of(outcome: Step) -> Letter:
    [record] = [out.record for out in outcome.outgoing if out.topic is DEAD_LETTERS]
    assert isinstance(record.event, DeadLettered)
    return Letter(record, record.event)


def box(*found: Letter) -> Letters:
    letters = Letters()
    for letter in found:
        letters.add(letter.record)
    return letters


def test_a_letter_that_can_not_be_decoded_is_left() -> None:
    outcome = undecodable(COUNT, TaskState(), "k", b"nonsense", (), AT, "not a CloudEvent in JSON")
    letters = box(letter_of(outcome))
    [planned] = plan(letters, letters.chosen(Selection()), revisions={}, stages=(COUNT,))
    assert (planned.records, len(planned.unreadable)) == ([], 1)


def settings(revision: int, phone_number: str) -> ChannelSettings:
    return ChannelSettings(id="kiosk", phone_number=phone_number, revision=revision)


def row(own: str) -> dict[str, object]:
    contact, message = {"wa_id": "4915190000001"}, {"type": "text", "text": {"body": "Moin"}}
    content = {"channel_message_id": "wamid.B7", "contact": contact, "message": message}
    return {
        "server": "whatsapp",
        "itime": 1_773_144_000,
        "message_id": "31",
        "from": "4915190000001",
        "to": own,
        "response": {"event": "received", "response_data": content},
    }


def intake(callback: Record, store: SettingsStore) -> Step:
    return step(INTAKE, TaskState(), callback, store.lookup)


def test_a_row_that_intake_refused_goes_back_as_a_callback_under_the_newest_settings() -> None:
    store = SettingsStore(str)
    store.add(settings(1, "+4930000001"))
    store.add(settings(2, "+4930000002"))
    body = json.dumps({"total": 2, "rows": [row("4930000001"), row("4930000002")]}).encode()
    event = WebhookReceived(provider="engagelab", body=body)
    first = intake(Record("d1", "/livedesk/ingress", AT, "kiosk", event, "kiosk", 1), store)
    letters = box(letter_of(first))
    [planned] = plan(letters, letters.chosen(Selection(reason="foreign_number")), revisions={"kiosk": 2})
    assert planned.unpark is None
    [(letter, message)] = planned.records
    assert message is not None
    key, value, headers = message
    assert (key, dict(headers)[REPLAYED_HEADER]) == (b"kiosk", letter.id.encode())
    again = from_kafka(WEBHOOKS, value, headers)
    assert (again.time, again.settings_revision) == (AT, 2)
    [out] = intake(again, store).outgoing
    assert isinstance(out.record.event, MessageReceived)
    assert out.record.event.text == "Moin"
    assert out.record.id not in {other.record.id for other in first.outgoing}


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1]", b'{"total": 1}'])
def test_a_callback_that_intake_refused_goes_back_byte_for_byte(body: bytes) -> None:
    store = SettingsStore(str)
    store.add(settings(1, "+4930000001"))
    event = WebhookReceived(provider="engagelab", body=body)
    letters = box(letter_of(intake(Record("d2", "/livedesk/ingress", AT, "kiosk", event, "kiosk", 1), store)))
    [planned] = plan(letters, letters.chosen(Selection(stage="intake")), revisions={})
    [(_, message)] = planned.records
    assert message is not None
    assert message[1] == body


def test_a_letter_goes_by_how_its_id_begins() -> None:
    operator = Operator(COUNT)
    operator.feed(-1, 2)
    letters = operator.letters
    first, second = letters.by_id
    assert letters.get(first[:9]).id == first
    with pytest.raises(LiveDeskError, match="No dead letters"):
        letters.get("zz")
    with pytest.raises(LiveDeskError, match="2 dead letters"):
        letters.get("")
    assert [letter.id for letter in letters.chosen(Selection((second[:9],)))] == [second]


def test_a_replayed_letter_is_not_replayed_again() -> None:
    operator = Operator(COUNT)
    operator.feed(-1)
    operator.mend(MENDED)
    operator.replay()
    [id] = operator.letters.by_id
    assert operator.letters.chosen(Selection()) == []
    with pytest.raises(LiveDeskError, match="Replayed already"):
        operator.letters.chosen(Selection((id,)))


def test_a_stage_that_is_gone_is_named() -> None:
    operator = Operator(COUNT)
    operator.feed(-1)
    with pytest.raises(LiveDeskError, match="no stage count"):
        plan(operator.letters, operator.letters.chosen(Selection()), revisions={})
