"""The stage that finds the messages whose callback never came, against the list of Twilio's stand-in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl

from agents.intake import INTAKE
from agents.reconciliation import MAX_TRIES, REACH, RECONCILIATION
from providers.provider import Answer, Call
from providers.registry import PROVIDERS
from providers.rows import Callback, InboundMessage, Media
from schemas.effects import ListRequest
from schemas.event import Event
from schemas.events.callbacks import CallbackTaken, WebhookReceived
from schemas.events.channels import ReconciliationSet
from schemas.events.sending import EffectEnded
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import WEBHOOKS
from simulation.sandbox.customers import CustomerMessage
from streams.state import Changes, TaskState
from streams.step import Due, Step, step
from tests.support.sandbox import NOW, Played
from tests.support.stage import StageBench

ANA = "34655000001"
MINUTE = timedelta(minutes=1)
Fault = Literal["unknown", "postponed"] | Answer | None


class Bench:
    """The stage for one channel of Twilio's, whose calls the stand-in answers. faults: of the next calls, if any."""

    def __init__(self, *, reconcile: bool = True) -> None:
        self.played = Played.at("twilio")
        self.state = TaskState()
        self.now = NOW
        self.records = 0
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.found: list[str] = []
        self.set(reconcile=reconcile)

    def set(self, **change: object) -> None:
        """The channel's settings change."""
        self.played.channel = self.played.channel.model_copy(update=change)
        self.take(ReconciliationSet())

    def lose(self, id: str, text: str = "hi", file: bytes | None = None) -> None:
        """A customer writes, and the callback does not come."""
        providers = self.played.providers
        kept = None if file is None else providers.state.files.put(file, "image/jpeg").id
        message = CustomerMessage(contact=ANA, id=id, text=text, file=kept, type="text" if file is None else "image")
        providers.customers_write([message], self.now)

    def take(self, event: Event) -> None:
        self.records += 1
        record = Record(f"r{self.records}", "/test", self.now, "wa1", event, channel="wa1", settings_revision=1)
        self._commit(step(RECONCILIATION, self.state, record, self._settings))

    def wait(self, minutes: int = 1) -> list[str]:
        """Let time pass, a minute at a time; what was found."""
        before = len(self.found)
        for _ in range(minutes):
            self.now += MINUTE
            self._commit(step(RECONCILIATION, self.state, Due("wa1", self.now), self._settings))
        return self.found[before:]

    def _settings(self, _channel: str, _revision: int) -> ChannelSettings:
        return self.played.channel

    def _commit(self, made: Step) -> None:
        assert made.failure is None
        changes = Changes(self.state)
        for name, value in made.rows.items():
            changes.write(made.key, name, value)
        changes.commit(self.state)
        for out in made.outgoing:
            assert (out.topic, out.key) == (WEBHOOKS, "wa1")
            assert isinstance(out.record.event, WebhookReceived)
            self.found.append(dict(parse_qsl(out.record.event.body.decode()))["MessageSid"])
            self.last = out.record.event
        for requested in made.effects:
            assert isinstance(requested.effect.request, ListRequest)
            self.take(self._perform(requested.effect.request))

    def _perform(self, request: ListRequest) -> EffectEnded:
        listing = PROVIDERS["twilio"].listing
        assert listing is not None
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, str):
            return EffectEnded(effect_id=request.effect_id, outcome=fault)
        call = listing.plan(request, self.played.channel)
        assert call is not None
        self.calls.append(call)
        if fault is None:
            reply = self.played.call(call)
            fault = Answer(reply.status or 0, reply.body)
        result = listing.read(request, fault).model_dump(mode="json")
        return EffectEnded(effect_id=request.effect_id, outcome="done", result=result)

    def read(self) -> InboundMessage:
        """What intake reads of the message found last."""
        (row,) = PROVIDERS["twilio"].parse(Callback(self.last.body), self.played.channel).rows
        assert isinstance(row, InboundMessage)
        return row


def test_a_message_whose_callback_never_came_is_found_once() -> None:
    bench = Bench()
    bench.wait()
    bench.lose("SM1", "Is anybody there?")
    sent_at = bench.now
    assert bench.wait(10) == ["SM1"]
    row = bench.read()
    assert (row.message_id, row.contact, row.text, row.sent_at) == (
        "SM1",
        ANA,
        "Is anybody there?",
        int(sent_at.timestamp()),
    )


def test_what_came_by_its_callback_is_not_found() -> None:
    bench = Bench()
    for number in range(3):
        bench.lose(f"SM{number}")
    bench.take(CallbackTaken(message_id="SM1"))
    assert sorted(bench.wait(10)) == ["SM0", "SM2"]


def test_a_message_is_given_a_minute_for_its_callback() -> None:
    bench = Bench()
    bench.now += MINUTE / 2
    bench.lose("SM1")
    bench.now -= MINUTE / 2
    assert bench.wait() == []
    assert bench.wait() == ["SM1"]


def test_a_list_of_many_pages_is_read_whole() -> None:
    bench = Bench()
    for number in range(250):
        bench.lose(f"SM{number}")
    assert sorted(bench.wait()) == sorted(f"SM{number}" for number in range(250))
    assert [call.params.get("Page") for call in bench.calls] == [None, "1", "2"]


def test_a_found_message_comes_with_its_files() -> None:
    bench = Bench()
    bench.lose("SM1", "Look", b"jpeg")
    assert bench.wait(3) == ["SM1"]
    row = bench.read()
    assert (row.type, row.text) == ("image", "Look")
    assert row.media is not None
    fetching = PROVIDERS["twilio"].fetching
    assert fetching is not None
    link = f"https://api.twilio.com/2010-04-01/Accounts/{bench.played.channel.account_sid}/Messages/SM1/Media/"
    assert row.media == Media(row.media.link, None, "image/jpeg", None)
    assert (row.media.link or "").startswith(link)


def test_a_message_whose_files_can_not_be_named_comes_without_them_in_the_end() -> None:
    bench = Bench()
    bench.lose("SM1", "Look", b"jpeg")
    bench.faults = [None, *[Answer(500)] * MAX_TRIES]
    assert bench.wait(MAX_TRIES - 1) == []
    assert bench.wait() == ["SM1"]
    assert (bench.read().media, bench.read().text) == (None, "Look")
    assert bench.wait(5) == []


def test_a_look_that_fails_or_whose_outcome_is_unknown_is_made_again() -> None:
    bench = Bench()
    bench.lose("SM1")
    bench.faults = ["unknown", "postponed", Answer(401, b"{}"), Answer(200, b"[]")]
    assert bench.wait(4) == []
    assert bench.wait() == ["SM1"]


def test_a_look_goes_back_six_hours_at_most() -> None:
    bench = Bench()
    bench.lose("SM1")
    hours = int(REACH / MINUTE) + 2
    bench.faults = ["unknown"] * hours
    bench.wait(hours - 30)
    bench.lose("SM2")
    assert bench.wait(31) == ["SM2"]


def test_what_no_look_shows_any_more_is_forgotten() -> None:
    bench = Bench()
    for number in range(50):
        bench.take(CallbackTaken(message_id=f"SM{number}"))
        bench.wait()
    assert len(list(bench.state.names("wa1", "taken/"))) < 15


def test_a_channel_that_does_not_ask_for_it_is_not_looked_at() -> None:
    bench = Bench(reconcile=False)
    bench.lose("SM1")
    bench.take(CallbackTaken(message_id="SM2"))
    assert (bench.wait(10), bench.calls, list(bench.state.names("wa1", ""))) == ([], [], [])


def test_it_stops_with_the_setting_and_with_the_channel() -> None:
    for change in ({"reconcile": False}, {"state": "disabled"}):
        bench = Bench()
        bench.take(CallbackTaken(message_id="SM9"))
        bench.wait()
        bench.set(**change)
        bench.lose("SM1")
        calls = len(bench.calls)
        assert (bench.wait(10), len(bench.calls), list(bench.state.names("wa1", ""))) == ([], calls, [])


def _taken(settings: ChannelSettings, at: datetime = NOW) -> Sequence[str]:
    bench = StageBench(INTAKE, settings)
    body = f"MessageSid=SM1&From=whatsapp%3A%2B{ANA}&To=whatsapp%3A%2B{settings.phone_number[1:]}&Body=hi"
    emitted = bench.feed(WebhookReceived(provider="twilio", body=body.encode()), at=at, key="wa1")
    return [one.event.message_id for one in emitted if isinstance(one.event, CallbackTaken)]


def test_intake_tells_what_came_where_the_channel_asks_for_it() -> None:
    settings = Played.at("twilio").channel
    assert _taken(settings) == []
    assert _taken(settings.model_copy(update={"reconcile": True})) == ["SM1"]
