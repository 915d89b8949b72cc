"""Delivery: one message at a time per conversation key, windows, retries and doubts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.delivery import DELIVERY
from agents.queue import KEEP
from providers.meta import WINDOW_CLOSED
from schemas.effects import SendRequest, SendResult, SettleRequest, SettleResult
from schemas.event import Event
from schemas.events.inbox import DeliverySent, DeliveryUnsent
from schemas.events.receipts import SendAccepted, SendQueued, SendRefused, SendUnknown
from schemas.events.sending import EffectEnded, SendCommand, SendConfirmed, SendGreeting, SendMessage, SendUnavailable
from schemas.events.template import Template
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.settings.credentials import ProviderName
from streams.state import Changes, TaskState
from streams.step import Due, Step, step

KEY = "shop:4915200000042"
NOON = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
A_DAY = 24 * 3600
TEMPLATE = Template(name="come_back", language="de", parameters=("Eva",))
SHUT = NOON - timedelta(hours=1)
Answer: TypeAlias = SendResult | SettleResult | Literal["unknown", "postponed"]
AUTOMATIC: tuple[Literal["greeting", "unavailable", "survey", "goodbye", "ai"], ...] = (
    "greeting",
    "unavailable",
    "survey",
    "goodbye",
    "ai",
)


class Bench:
    """The stage on one key. Seconds count from noon and only grow. asked: what the provider was asked about sends."""

    def __init__(self, provider: ProviderName = "engagelab") -> None:
        self.settings = ChannelSettings(id="shop", phone_number="+49301234567", provider=provider)
        self.asked: list[SettleRequest] = []
        self.state = TaskState()
        self.records = 0
        self.now = NOON
        self.in_flight: str | None = None
        self.attempts: list[SendRequest] = []
        self.reported: list[Event] = []

    def take(self, event: Event, second: float | None = None) -> list[Event]:
        """What the stage wrote about the event."""
        self._at(second)
        self.records += 1
        record = Record(f"r{self.records}", "/test", self.now, KEY, event)
        return self._commit(step(DELIVERY, self.state, record, self._lookup))

    def _lookup(self, channel: str, revision: int) -> ChannelSettings:
        assert (channel, revision) == ("shop", 0)
        return self.settings

    def end(self, answer: Answer, second: float | None = None) -> list[Event]:
        """End the attempt in flight."""
        assert self.in_flight is not None
        effect, self.in_flight = self.in_flight, None
        if not isinstance(answer, str):
            result = answer.model_dump(mode="json", exclude_defaults=True)
            return self.take(EffectEnded(effect_id=effect, outcome="done", result=result), second)
        return self.take(EffectEnded(effect_id=effect, outcome=answer), second)

    def until(self, second: float) -> list[Event]:
        """Let time pass: due timers fire."""
        self._at(second)
        return self._commit(step(DELIVERY, self.state, Due(KEY, self.now), self._lookup))

    def _at(self, second: float | None) -> None:
        if second is not None:
            self.now = NOON + timedelta(seconds=second)

    def _commit(self, made: Step) -> list[Event]:
        assert made.failure is None
        changes = Changes(self.state)
        for name, value in made.rows.items():
            changes.write(KEY, name, value)
        changes.commit(self.state)
        for effect in (requested.effect for requested in made.effects):
            assert effect.id == effect.request.effect_id
            self.in_flight = effect.id
            if isinstance(effect.request, SettleRequest):
                self.asked.append(effect.request)
                continue
            assert isinstance(effect.request, SendRequest)
            self.attempts.append(effect.request)
        reported = [outgoing.record.event for outgoing in made.outgoing]
        self.reported += reported
        return reported

    def names(self) -> list[str]:
        return [name for name in self.state.names(KEY, "") if name]


def reply(id: str = "r1", *, not_after: datetime | None = NOON + timedelta(hours=20)) -> SendMessage:
    return SendMessage(
        message_id=id, conversation_id="c1", kind="reply", text="Guten Tag", by="eva", not_after=not_after
    )


def template_reply(id: str = "r1") -> SendMessage:
    return SendMessage(
        message_id=id,
        conversation_id="c1",
        kind="reply",
        text="Guten Tag",
        template=TEMPLATE,
        by="eva",
        not_after=NOON + timedelta(hours=20),
    )


def survey(id: str = "s1", *, not_after: datetime | None, template: Template | None = None) -> SendMessage:
    return SendMessage(
        message_id=id, conversation_id="c1", kind="survey", text="1 to 5?", template=template, not_after=not_after
    )


def greeting(id: str = "g1") -> SendGreeting:
    return SendGreeting(
        message_id=id, conversation_id="c1", kind="greeting", text="Willkommen", not_after=NOON + timedelta(hours=24)
    )


def accepted(provider_id: str = "p1") -> SendResult:
    return SendResult(answer="accepted", provider_message_id=provider_id)


def unsent(command: SendCommand, reason: str, code: int | None = None) -> DeliveryUnsent:
    return DeliveryUnsent(
        message_id=command.message_id, conversation_id="c1", kind=command.kind, reason=reason, code=code
    )


def confirmed(id: str, provider_id: str = "p7") -> SendConfirmed:
    return SendConfirmed(message_id=id, provider_message_id=provider_id)


REFUSED = SendResult(answer="refused", code=3003, message="business validation", http_status=400)
RETRY = SendResult(answer="retry", code=1000, message="internal", http_status=500)
CROWDED = SendResult(answer="retry", throttled="recipient", code=131056, http_status=400)
BROKEN = SendResult(answer="credentials", code=2002, message="expired", http_status=401)


def test_an_accepted_message_is_reported_to_status_and_to_conversations() -> None:
    bench = Bench()
    assert bench.take(reply()) == []
    (request,) = bench.attempts
    assert request == SendRequest(
        effect_id=request.effect_id,
        message_id="r1",
        conversation=KEY,
        channel="shop",
        contact="4915200000042",
        kind="reply",
        via="session",
        text="Guten Tag",
        not_after=NOON + timedelta(hours=20),
    )
    assert bench.end(accepted(), 1) == [
        SendAccepted(message_id="r1", provider_message_id="p1", conversation_id="c1", kind="reply", via="session"),
        DeliverySent(
            message_id="r1",
            provider_message_id="p1",
            conversation_id="c1",
            kind="reply",
            by="eva",
            text="Guten Tag",
            via="session",
        ),
    ]
    assert bench.names() == ["seen/r1"]


TOO_LATE = SendResult(answer="window_closed")


def test_a_text_whose_call_came_too_late_for_the_window_goes_as_template() -> None:
    # Behind a backlog the decision's clock is behind the call's.
    bench = Bench()
    bench.take(survey(not_after=NOON + timedelta(seconds=30), template=TEMPLATE))
    assert bench.end(TOO_LATE, 31) == []
    assert [(attempt.via, attempt.template) for attempt in bench.attempts[1:]] == [("template", TEMPLATE)]


def test_a_text_without_a_template_whose_call_came_too_late_is_reported_as_not_sent() -> None:
    bench = Bench()
    late, next_one = reply("r1", not_after=NOON + timedelta(seconds=30)), reply("r2")
    bench.take(late)
    bench.take(next_one)
    assert unsent(late, "window_closed", WINDOW_CLOSED) in bench.end(TOO_LATE, 31)
    assert [attempt.message_id for attempt in bench.attempts] == ["r1", "r2"]


def test_the_provider_s_word_that_the_window_is_closed_counts_more_than_our_clock() -> None:
    bench = Bench()
    bench.take(survey(not_after=NOON + timedelta(hours=20), template=TEMPLATE))
    assert bench.end(TOO_LATE, 1) == []
    assert [attempt.via for attempt in bench.attempts] == ["session", "template"]
    # A template that is too late as well is not tried for ever.
    reported = bench.end(TOO_LATE, 2)
    assert [event.reason for event in reported if isinstance(event, DeliveryUnsent)] == ["window_closed"]
    assert len(bench.attempts) == 2
    bare = Bench()
    command = reply(not_after=NOON + timedelta(hours=20))
    bare.take(command)
    assert unsent(command, "window_closed", WINDOW_CLOSED) in bare.end(TOO_LATE, 1)
    assert len(bare.attempts) == 1


def test_messages_are_sent_one_at_a_time_in_the_order_of_the_commands() -> None:
    bench = Bench()
    for number in range(12):
        bench.take(reply(f"r{number}"))
    assert len(bench.attempts) == 1
    for number in range(12):
        assert len(bench.attempts) == number + 1
        bench.end(accepted(f"p{number}"))
    assert [request.message_id for request in bench.attempts] == [f"r{number}" for number in range(12)]
    assert bench.names() == sorted(f"seen/r{number}" for number in range(12))


def test_a_message_commanded_twice_is_sent_once() -> None:
    bench = Bench()
    bench.take(greeting())
    bench.take(greeting())
    bench.end(accepted())
    assert bench.take(greeting(), 60) == []
    assert len(bench.attempts) == 1


@pytest.mark.parametrize(
    ("command", "via"),
    [
        (reply(not_after=NOON + timedelta(milliseconds=1)), "session"),
        (reply(not_after=NOON), None),
        (reply(not_after=None), None),
        (template_reply(), "template"),
        (survey(not_after=NOON + timedelta(hours=1), template=TEMPLATE), "session"),
        (survey(not_after=NOON, template=TEMPLATE), "template"),
        (survey(not_after=None, template=TEMPLATE), "template"),
        (survey(not_after=SHUT), None),
        (SendUnavailable(message_id="u1", conversation_id="c1", kind="unavailable", text="Zu", not_after=SHUT), None),
        (SendMessage(message_id="t1", conversation_id="c1", kind="survey", text="", not_after=NOON + KEEP), None),
    ],
)
def test_text_goes_inside_the_window_a_template_outside_it_and_nothing_without_one(
    command: SendCommand, via: str | None
) -> None:
    bench = Bench()
    reported = bench.take(command)
    if via is None:
        assert bench.attempts == []
        refused, not_sent = reported
        assert isinstance(refused, SendRefused)
        assert (refused.message_id, refused.code) == (command.message_id, 131047)
        assert not_sent == unsent(command, "window_closed", 131047)
        return
    (request,) = bench.attempts
    assert (request.via, request.text is None, request.template is None) == (via, via != "session", via != "template")


def test_only_the_automat_has_its_template_looked_up() -> None:
    for command, looked_up in ((survey(not_after=None, template=TEMPLATE), True), (template_reply(), False)):
        bench = Bench()
        bench.take(command)
        assert bench.attempts[0].check_template is looked_up


def test_the_window_is_judged_at_each_attempt() -> None:
    bench = Bench()
    bench.take(survey(not_after=NOON + timedelta(seconds=2), template=TEMPLATE))
    bench.end(RETRY, 1)
    bench.until(2)
    assert [request.via for request in bench.attempts] == ["session", "template"]


def test_a_message_that_can_no_longer_be_sent_makes_way_for_the_next() -> None:
    bench = Bench()
    bench.take(greeting("g1"))
    bench.take(survey("s1", not_after=NOON + timedelta(seconds=3)))
    bench.take(survey("s2", not_after=NOON + timedelta(seconds=3)))
    bench.take(reply("r1"))
    reported = bench.end(accepted(), 3)
    assert [event.message_id for event in reported if isinstance(event, DeliveryUnsent)] == ["s1", "s2"]
    assert bench.attempts[-1].message_id == "r1"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (REFUSED, "refused"),
        (SendResult(answer="template_unavailable", code=4001, message="not approved"), "template_unavailable"),
    ],
)
def test_a_final_no_is_reported_and_the_next_one_goes(result: SendResult, reason: str) -> None:
    bench = Bench()
    command = survey(not_after=None, template=TEMPLATE)
    bench.take(command)
    bench.take(reply())
    assert bench.end(result, 1) == [
        SendRefused(message_id="s1", code=result.code, message=result.message),
        unsent(command, reason, result.code),
    ]
    assert bench.attempts[-1].message_id == "r1"


def test_retries_come_after_one_second_doubling_to_sixty_and_say_once_that_the_message_waits() -> None:
    bench = Bench()
    bench.take(reply())
    second = 0.0
    assert bench.end(RETRY) == [SendQueued(message_id="r1")]
    for attempt, delay in enumerate((1, 2, 4, 8, 16, 32, 60, 60, 60), start=1):
        bench.until(second + delay - 0.001)
        assert len(bench.attempts) == attempt
        second += delay
        bench.until(second)
        assert len(bench.attempts) == attempt + 1
        assert bench.end(RETRY) == []
    bench.until(second + 60)
    bench.end(accepted())
    assert {request.message_id for request in bench.attempts} == {"r1"}
    assert len({request.effect_id for request in bench.attempts}) == len(bench.attempts)
    assert [type(event) for event in bench.reported] == [SendQueued, SendAccepted, DeliverySent]


def test_the_provider_says_when_to_come_back() -> None:
    bench = Bench()
    bench.take(reply())
    bench.end(SendResult(answer="retry", http_status=429, retry_after_s=17))
    bench.until(16.9)
    assert len(bench.attempts) == 1
    bench.until(17)
    assert len(bench.attempts) == 2


def test_a_recipient_who_is_sent_too_much_is_tried_again_after_powers_of_four_seconds() -> None:
    bench = Bench()
    bench.take(reply())
    bench.end(RETRY)
    second = 1.0
    bench.until(second)
    for attempt, delay in enumerate((1, 4, 16, 64, 256, 256), start=2):
        bench.end(CROWDED, second)
        bench.until(second + delay - 0.001)
        assert len(bench.attempts) == attempt
        second += delay
        bench.until(second)
        assert len(bench.attempts) == attempt + 1
    reported = bench.end(CROWDED, A_DAY)
    assert [event.reason for event in reported if isinstance(event, DeliveryUnsent)] == ["throttled"]


def test_a_postponed_send_may_say_when_to_try_it() -> None:
    bench = Bench()
    bench.take(reply())
    effect = bench.attempts[0].effect_id
    bench.take(EffectEnded(effect_id=effect, outcome="postponed", result={"retry_after_s": 7.5}))
    bench.until(7.4)
    assert len(bench.attempts) == 1
    bench.until(7.5)
    assert len(bench.attempts) == 2


def test_a_command_that_comes_while_one_waits_is_queued() -> None:
    bench = Bench()
    bench.take(reply("r1"))
    bench.end(RETRY)
    bench.take(reply("r2"), 0.5)
    bench.until(1)
    assert [request.message_id for request in bench.attempts] == ["r1", "r1"]
    bench.end(accepted())
    assert bench.attempts[-1].message_id == "r2"


def test_after_a_day_without_a_provider_a_message_is_given_up_and_so_are_those_that_waited_with_it() -> None:
    bench = Bench()
    day = timedelta(hours=24).total_seconds()
    bench.take(template_reply("r1"))
    bench.take(template_reply("r2"))
    bench.end(RETRY)
    bench.take(template_reply("r3"), 0.5)
    bench.until(1)
    bench.end(RETRY, day - 2)
    reported = bench.until(day)
    assert reported == []
    reported = bench.end(RETRY, day)
    assert reported == [
        SendRefused(message_id="r1", code=1000, message="internal"),
        unsent(template_reply("r1"), "provider_unavailable", 1000),
    ]
    assert [type(event) for event in bench.end(RETRY, day)] == [SendRefused, DeliveryUnsent]
    assert bench.end(RETRY, day) == [SendQueued(message_id="r3")], "it has waited for half a second less"


def test_broken_credentials_pause_and_lose_nothing() -> None:
    bench = Bench()
    bench.take(template_reply())
    assert bench.end(BROKEN) == [SendQueued(message_id="r1")]
    for minute in range(1, 3 * 24 * 60):
        bench.until(minute * 60)
        assert bench.end(BROKEN) == []
    bench.until(3 * 24 * 3600)
    assert bench.end(RETRY) == [], "the pause is no outage"
    bench.until(3 * 24 * 3600 + 60)
    assert [type(event) for event in bench.end(accepted())] == [SendAccepted, DeliverySent]


def test_an_automatic_text_that_waits_ends_with_its_window() -> None:
    bench = Bench()
    bench.take(greeting())
    second = 0.0
    while bench.in_flight is not None and second < 2 * 24 * 3600:
        bench.end("postponed", second)
        second += 60
        bench.until(second)
    assert bench.reported[-1] == unsent(greeting(), "window_closed", 131047)
    assert second == 24 * 3600


def test_a_postponed_send_is_tried_again() -> None:
    bench = Bench()
    bench.take(greeting())
    assert bench.end("postponed") == [SendQueued(message_id="g1")]
    bench.until(60)
    assert len(bench.attempts) == 2
    bench.end(accepted())
    assert isinstance(bench.reported[-1], DeliverySent)


@pytest.mark.parametrize("kind", AUTOMATIC)
def test_an_automatic_message_in_doubt_is_not_sent_again(
    kind: Literal["greeting", "unavailable", "survey", "goodbye", "ai"],
) -> None:
    bench = Bench()
    command = SendMessage(message_id="a1", conversation_id="c1", kind=kind, text="Hallo", not_after=NOON + KEEP)
    bench.take(command)
    assert bench.end("unknown") == [SendUnknown(message_id="a1")]
    bench.take(reply(), 1)
    assert bench.until(59) == []
    assert bench.until(60) == [unsent(command, "unknown")]
    assert [request.message_id for request in bench.attempts] == ["a1", "r1"]


def test_an_acceptance_without_an_id_leaves_the_message_in_doubt() -> None:
    bench = Bench()
    bench.take(greeting())
    assert bench.end(SendResult(answer="accepted")) == [SendUnknown(message_id="g1")]


def test_the_key_waits_for_the_proof_and_goes_on_with_it() -> None:
    bench = Bench()
    bench.take(greeting())
    bench.end("unknown")
    bench.take(reply(), 1)
    assert len(bench.attempts) == 1
    reported = bench.take(confirmed("g1"), 5)
    assert reported == [
        SendAccepted(message_id="g1", provider_message_id="p7", conversation_id="c1", kind="greeting", via="session"),
        DeliverySent(
            message_id="g1",
            provider_message_id="p7",
            conversation_id="c1",
            kind="greeting",
            text="Willkommen",
            via="session",
        ),
    ]
    assert bench.attempts[-1].message_id == "r1"
    bench.until(70)
    assert len(bench.attempts) == 2
    assert bench.take(confirmed("g1"), 71) == []


def test_a_reply_in_doubt_is_sent_again_once_and_marked() -> None:
    bench = Bench()
    bench.take(reply())
    bench.end("unknown")
    bench.until(60)
    assert [request.repeat for request in bench.attempts] == [False, True]
    reported = bench.end(accepted("p2"), 61)
    assert [event.repeat for event in reported if isinstance(event, DeliverySent)] == [True]


def test_a_reply_that_is_in_doubt_twice_ends_so() -> None:
    bench = Bench()
    bench.take(reply())
    assert bench.end("unknown") == [SendUnknown(message_id="r1")]
    bench.until(60)
    assert bench.end("unknown", 61) == []
    assert bench.until(121) == [unsent(reply(), "unknown")]
    assert len(bench.attempts) == 2


@pytest.mark.parametrize("end", [REFUSED, SendResult(answer="template_unavailable", code=4001)])
def test_a_repeat_that_is_refused_leaves_the_message_in_doubt(end: SendResult) -> None:
    bench = Bench()
    bench.take(reply())
    bench.end("unknown")
    bench.until(60)
    assert bench.end(end, 61) == [unsent(reply(), "unknown")]
    assert [type(event) for event in bench.take(confirmed("r1"), 90)] == [SendAccepted, DeliverySent]


def test_a_repeat_does_not_go_once_the_window_is_closed() -> None:
    bench = Bench()
    bench.take(reply(not_after=NOON + timedelta(seconds=30)))
    bench.end("unknown")
    assert bench.until(60) == [unsent(reply(), "unknown")]
    assert len(bench.attempts) == 1


@pytest.mark.parametrize("end", ["unknown", "postponed", REFUSED, RETRY, BROKEN])
def test_a_proof_that_comes_while_the_repeat_is_under_way_settles_it_however_it_ends(
    end: Answer,
) -> None:
    bench = Bench()
    bench.take(reply())
    bench.end("unknown")
    bench.until(60)
    assert bench.take(confirmed("r1"), 61) == []
    reported = bench.end(end, 62)
    accepted_id = SendAccepted(
        message_id="r1", provider_message_id="p7", conversation_id="c1", kind="reply", via="session"
    )
    assert reported[0] == accepted_id
    assert [type(event) for event in reported] == [SendAccepted, DeliverySent]
    assert bench.in_flight is None


def test_a_proof_that_comes_while_the_repeat_waits_ends_the_waiting() -> None:
    bench = Bench()
    bench.take(reply())
    bench.end("unknown")
    bench.until(60)
    bench.end(RETRY)
    assert [type(event) for event in bench.take(confirmed("r1"), 60.5)] == [SendAccepted, DeliverySent]
    bench.until(600)
    assert len(bench.attempts) == 2


def test_a_late_proof_is_reported_once() -> None:
    bench = Bench()
    bench.take(greeting())
    bench.end("unknown")
    bench.until(60)
    assert bench.names() == ["seen/g1", "unsettled/g1"]
    assert [type(event) for event in bench.take(confirmed("g1"), 3600)] == [SendAccepted, DeliverySent]
    assert bench.take(confirmed("g1"), 3601) == []
    assert bench.names() == ["seen/g1"]


def test_a_proof_of_a_message_nobody_knows_is_ignored() -> None:
    assert Bench().take(confirmed("x1")) == []


TAKEN = SettleResult(answer="taken", provider_message_id="p9")
ABSENT = SettleResult(answer="absent")
UNCLEAR: list[Answer] = [SettleResult(answer="unclear"), "unknown", "postponed"]


def in_doubt(command: SendCommand) -> Bench:
    """A bench whose provider was just asked whether it took the message."""
    bench = Bench("twilio")
    bench.take(command)
    bench.end("unknown")
    assert bench.asked == []
    bench.until(60)
    assert len(bench.asked) == len(bench.attempts) == 1
    return bench


@pytest.mark.parametrize("command", [reply(), greeting()])
def test_a_message_that_the_provider_says_it_took_is_not_sent_again(command: SendCommand) -> None:
    bench = in_doubt(command)
    reported = bench.end(TAKEN, 61)
    assert [type(event) for event in reported] == [SendAccepted, DeliverySent]
    bench.until(A_DAY)
    assert len(bench.attempts) == 1


@pytest.mark.parametrize("command", [reply(), greeting()])
def test_a_message_that_the_provider_surely_did_not_take_is_tried_again_whatever_it_is(command: SendCommand) -> None:
    bench = in_doubt(command)
    assert bench.end(ABSENT, 61) == [SendQueued(message_id=command.message_id)]
    bench.until(62)
    assert [attempt.repeat for attempt in bench.attempts] == [False, False]
    assert [type(event) for event in bench.end(accepted(), 63)] == [SendAccepted, DeliverySent]


def test_a_repeat_that_the_provider_did_not_take_either_leaves_no_doubt() -> None:
    bench = in_doubt(reply())
    bench.end(SettleResult(answer="unclear"), 61)
    bench.end("unknown", 62)
    bench.until(122)
    assert len(bench.asked) == 2
    bench.end(ABSENT, 122)
    bench.until(200)
    assert [attempt.repeat for attempt in bench.attempts] == [False, True, False]
    assert [type(event) for event in bench.end(REFUSED, 201)] == [SendRefused, DeliveryUnsent]


def test_a_provider_that_never_takes_a_message_is_not_asked_for_ever() -> None:
    bench = Bench("twilio")
    bench.take(template_reply())
    second = 0.0
    while bench.in_flight is not None:
        bench.end("unknown", second)
        second += 60
        bench.until(second)
        bench.end(ABSENT, second)
        second += 60
        bench.until(second)
    assert second == pytest.approx(A_DAY, rel=0.01)
    assert isinstance(bench.reported[-1], DeliveryUnsent)


@pytest.mark.parametrize("answer", UNCLEAR)
def test_where_the_provider_can_not_say_a_reply_is_repeated_and_an_automatic_message_left(answer: Answer) -> None:
    bench = in_doubt(reply())
    bench.end(answer, 61)
    assert [attempt.repeat for attempt in bench.attempts] == [False, True]
    assert in_doubt(greeting()).end(answer, 61) == [unsent(greeting(), "unknown")]


@pytest.mark.parametrize("answer", [ABSENT, *UNCLEAR])
def test_a_proof_that_comes_while_the_provider_is_asked_settles_it(answer: Answer) -> None:
    bench = in_doubt(reply())
    assert bench.take(confirmed("r1"), 60.5) == []
    assert [type(event) for event in bench.end(answer, 61)] == [SendAccepted, DeliverySent]
    assert bench.in_flight is None


def test_the_provider_is_told_what_else_it_took_of_late() -> None:
    bench = Bench("twilio")
    for number in range(3):
        bench.take(reply(f"r{number}"), number * 1800)
        bench.end(accepted(f"p{number}"))
    bench.take(reply("r9"), 5400)
    bench.end("unknown")
    bench.until(5460)
    (request,) = bench.asked
    assert (request.text, request.since, request.known) == (
        "Guten Tag",
        bench.now - timedelta(seconds=60),
        ("p1", "p2"),
    )
    template = in_doubt(template_reply())
    assert template.asked[0].text is None


def test_the_end_of_another_attempt_is_ignored() -> None:
    bench = Bench()
    bench.take(reply())
    stale = EffectEnded(effect_id="of-another-time", outcome="done", result={"answer": "refused"})
    assert bench.take(stale) == []
    assert [type(event) for event in bench.end(accepted())] == [SendAccepted, DeliverySent]


def test_everything_is_gone_after_a_week() -> None:
    bench = Bench()
    bench.take(greeting())
    bench.end("unknown")
    bench.take(reply(), 10)
    bench.until(60)
    bench.end(accepted())
    bench.until((KEEP - timedelta(minutes=1)).total_seconds())
    assert bench.names() == ["seen/g1", "seen/r1", "unsettled/g1"]
    bench.until((KEEP + timedelta(days=1)).total_seconds())
    assert len(bench.state) == 0


ENDS: list[Answer] = [
    accepted(),
    accepted(),
    REFUSED,
    RETRY,
    BROKEN,
    "unknown",
    "unknown",
    "postponed",
]
Action = tuple[str, int]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("reply", "greeting", "end", "confirm", "wait")), st.integers(0, 7))))
def test_whatever_happens_an_automatic_message_reaches_the_provider_once_at_most(actions: list[Action]) -> None:
    bench = Bench()
    reached: Counter[str] = Counter()
    second = 0.0
    for action, number in actions:
        second += 0.25
        match action:
            case "reply":
                bench.take(reply(f"r{number}"), second)
            case "greeting":
                bench.take(greeting(f"g{number}"), second)
            case "end" if bench.in_flight is not None:
                end = ENDS[number]
                if end == "unknown" or end == accepted():
                    reached[bench.attempts[-1].message_id] += 1
                bench.end(end, second)
            case "confirm":
                in_doubt = [event.message_id for event in bench.reported if isinstance(event, SendUnknown)]
                if in_doubt:
                    bench.take(confirmed(in_doubt[number % len(in_doubt)]), second)
            case "wait":
                second += 2**number
                bench.until(second)
    assert all(times <= (1 if id.startswith("g") else 2) for id, times in reached.items())
    sent = Counter(event.message_id for event in bench.reported if isinstance(event, DeliverySent))
    assert all(times == 1 for times in sent.values())
    assert set(sent) <= set(reached)
    unsent_ids = Counter(event.message_id for event in bench.reported if isinstance(event, DeliveryUnsent))
    assert all(times == 1 for times in unsent_ids.values())
    first_attempts = list(dict.fromkeys(request.message_id for request in bench.attempts))
    while bench.in_flight is not None:
        bench.end(accepted())
    last_attempts = list(dict.fromkeys(request.message_id for request in bench.attempts))
    assert last_attempts[: len(first_attempts)] == first_attempts
    waiting = {name for name in bench.names() if name.startswith(("queue/", "head", "tail"))}
    assert not waiting or "head" in waiting
