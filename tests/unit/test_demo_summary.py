"""The demo's own count, with faults planted in what it counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
import pytest

from deploy.demo.count import COUNTED, Evidence, Summary, summarize
from deploy.demo.plan import make_plan
from deploy.sandbox.provider import LogEntry
from deploy.sandbox.sender import CallbackAttempt
from schemas.conversation import ConversationMessageReceived, ConversationOpened, Header, Status
from schemas.event import Event
from schemas.messaging import MessageStatusChanged, SendGreeting, SendMessage
from schemas.record import Record
from schemas.system import DeadLettered, WebhookReceived
from schemas.topics import CONVERSATIONS, DEAD_LETTERS, OUTBOUND, STATUSES, WEBHOOKS, Topic

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
HEADER = Header(
    conversation_id="talk-1", channel="kiosk", contact="352621000111", opened_at=AT, revision=1, status=Status.OPEN
)
STEPS = ("accepted", "sent", "delivered")


def inbound(id: str) -> bytes:
    row = {"response": {"event": "received", "response_data": {"channel_message_id": id}}}
    return orjson.dumps({"total": 1, "rows": [row]})


def receipt(provider_id: str, status: str) -> bytes:
    row = {"message_id": provider_id, "status": {"message_status": status}}
    return orjson.dumps({"total": 1, "rows": [row]})


def joined(id: str) -> ConversationMessageReceived:
    return ConversationMessageReceived(header=HEADER, message_id=id, at=AT, kind="text", text="moien")


def greeting(id: str) -> SendGreeting:
    return SendGreeting(message_id=id, conversation_id="talk-1", kind="greeting", text="welcome")


def status(id: str, reported: str) -> MessageStatusChanged:
    return MessageStatusChanged(message_id=id, reported=reported, status=reported, timestamps={reported: AT})


def sent(seq: int, id: str, provider_id: str) -> LogEntry:
    return LogEntry(
        seq=seq,
        at=AT,
        account="+35220000001",
        id=id,
        contact="352621000111",
        type="text",
        text="welcome",
        template=None,
        custom_args={"id": id},
        outcome="accepted",
        code=None,
        message_id=provider_id,
        repeat=0,
    )


def posted(body: bytes, answer: int = 200) -> CallbackAttempt:
    return CallbackAttempt(AT, "+35220000001", len(body), 1, answer, None)


@dataclass
class Run:
    """A run in which all is well: two messages, one of them delivered twice, a greeting and a reply."""

    bodies: list[bytes] = field(
        default_factory=lambda: [
            inbound("in-1"),
            inbound("in-1"),
            inbound("in-number-2"),
            *(receipt(provider_id, status) for provider_id in ("el-1", "el-2") for status in STEPS[1:]),
        ]
    )
    conversations: list[Event] = field(
        default_factory=lambda: [ConversationOpened(header=HEADER), joined("in-1"), joined("in-number-2")]
    )
    outbound: list[Event] = field(
        default_factory=lambda: [
            greeting("greeting-1"),
            SendMessage(message_id="reply-1", conversation_id="talk-1", kind="reply", text="yes"),
        ]
    )
    statuses: list[Event] = field(
        default_factory=lambda: [status(id, step) for id in ("greeting-1", "reply-1") for step in STEPS]
    )
    dead_letters: list[Event] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=lambda: [sent(0, "greeting-1", "el-1"), sent(1, "reply-1", "el-2")])
    attempts: list[CallbackAttempt] = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = [posted(body) for body in self.bodies]

    def summary(self, unfinished: Sequence[str] = ()) -> Summary:
        webhooks = [WebhookReceived(provider="engagelab", body=body) for body in self.bodies]
        events: dict[Topic, Iterable[Event]] = {
            WEBHOOKS: webhooks,
            CONVERSATIONS: self.conversations,
            OUTBOUND: self.outbound,
            STATUSES: self.statuses,
            DEAD_LETTERS: self.dead_letters,
        }
        assert events.keys() == set(COUNTED)
        records = {
            topic: [Record(f"{topic.name}-{n}", "/test", AT, "kiosk:352621000111", event) for n, event in enumerate(of)]
            for topic, of in events.items()
        }
        evidence = Evidence(records, self.attempts, self.log, {"in-1", "in-number-2"}, {"reply-1"}, unfinished)
        return summarize(evidence)


@pytest.fixture
def run() -> Run:
    return Run()


def wrong(summary: Summary) -> dict[str, str]:
    return {check.name: check.wrong for check in summary.checks if not check.ok}


def test_a_good_run_passes_every_check(run: Run) -> None:
    summary = run.summary()
    assert wrong(summary) == {}
    assert summary.ok
    assert summary.counts["callbacks posted"] == "7"
    assert summary.counts["callbacks in webhooks"] == "7, 1 delivered twice, 0 of several rows"
    assert summary.counts["rows"] == "7: 3 customers' messages, 4 receipts (0 out of order)"
    assert summary.counts["customers' messages"] == "2 different ones, 1 came again"
    assert summary.counts["greetings sent"] == "1 accepted by the provider"
    assert summary.counts["messages now"] == "delivered 2"
    assert (summary.counts["lost"], summary.counts["twice"]) == ("0", "0")


def test_a_lost_message_is_named(run: Run) -> None:
    run.conversations.pop()
    summary = run.summary()
    assert wrong(summary) == {"no customer's message is lost": "in-number-2"}
    assert summary.counts["lost"] == "1"


def test_a_message_that_joined_twice_is_named(run: Run) -> None:
    run.conversations.append(joined("in-1"))
    summary = run.summary()
    assert wrong(summary) == {"no customer's message is in a conversation twice": "in-1"}
    assert summary.counts["twice"] == "1"


def test_a_message_that_nobody_wrote_is_named(run: Run) -> None:
    run.conversations.append(joined("in-3"))
    assert wrong(run.summary()) == {"no conversation holds a message that nobody wrote": "in-3"}


def test_a_lost_callback_is_missed(run: Run) -> None:
    run.bodies.remove(inbound("in-number-2"))
    assert wrong(run.summary()) == {"every acknowledged callback is in webhooks": "1 of 7 are missing"}


def test_a_callback_that_was_not_acknowledged_is_told_and_not_missed(run: Run) -> None:
    run.bodies.pop()
    run.statuses.pop()
    run.statuses.append(status("reply-1", "read"))
    run.attempts[-1] = replace(run.attempts[-1], status=503)
    assert wrong(run.summary()) == {"every callback was acknowledged": "503 1"}


def test_the_same_greeting_twice_is_wrong(run: Run) -> None:
    run.log.append(sent(2, "greeting-1", "el-1"))
    assert wrong(run.summary()) == {"every conversation begun by a customer was greeted once": "more than once: talk-1"}


def test_two_greetings_of_one_conversation_are_wrong(run: Run) -> None:
    run.outbound.append(greeting("greeting-2"))
    run.log.append(sent(2, "greeting-2", "el-3"))
    run.statuses += [status("greeting-2", step) for step in STEPS]
    assert wrong(run.summary()) == {"every conversation begun by a customer was greeted once": "more than once: talk-1"}


def test_a_conversation_without_a_greeting_is_wrong(run: Run) -> None:
    run.log.pop(0)
    assert wrong(run.summary()) == {"every conversation begun by a customer was greeted once": "never: talk-1"}


def test_a_greeting_that_was_refused_does_not_count(run: Run) -> None:
    run.log[0] = replace(run.log[0], outcome="refused", message_id=None)
    assert wrong(run.summary()) == {"every conversation begun by a customer was greeted once": "never: talk-1"}


def test_an_agent_s_conversation_needs_no_greeting(run: Run) -> None:
    begun = HEADER.model_copy(update={"conversation_id": "talk-2", "opened_by": "agent"})
    run.conversations.append(ConversationOpened(header=begun))
    assert run.summary().ok


def test_a_reply_that_reached_nobody_or_came_twice_is_wrong(run: Run) -> None:
    reply = run.log.pop()
    assert wrong(run.summary()) == {"every reply reached the provider once": "reply-1 (0 times)"}
    run.log += [reply, reply]
    assert wrong(run.summary()) == {"every reply reached the provider once": "reply-1 (2 times)"}


def test_a_send_that_nobody_commanded_is_named(run: Run) -> None:
    run.log.append(sent(2, "stray", "el-9"))
    run.statuses += [status("stray", step) for step in STEPS]
    assert wrong(run.summary()) == {"nothing was sent that nobody commanded": "stray"}


def test_a_missing_status_is_named(run: Run) -> None:
    run.statuses.remove(status("reply-1", "sent"))
    assert wrong(run.summary()) == {"every accepted message has all its statuses": "reply-1 lacks sent"}


def test_a_message_whose_receipts_never_end_is_named(run: Run) -> None:
    run.bodies.remove(receipt("el-2", "delivered"))
    run.attempts.pop()
    run.statuses.remove(status("reply-1", "delivered"))
    assert wrong(run.summary()) == {"every accepted message has all its statuses": "reply-1 is still sent"}


def test_a_status_told_twice_is_named(run: Run) -> None:
    run.statuses.append(status("greeting-1", "delivered"))
    assert wrong(run.summary()) == {"no status is told twice": "greeting-1 delivered"}


def test_a_dead_letter_is_told_with_its_reason(run: Run) -> None:
    letter = DeadLettered(reason="missing_contact", stage="intake", topic="webhooks", body="{}")
    run.dead_letters.append(letter)
    summary = run.summary()
    assert wrong(summary) == {"there are no dead letters": "missing_contact 1"}
    assert summary.counts["dead letters"] == "1"


def test_what_was_still_under_way_is_told(run: Run) -> None:
    summary = run.summary(unfinished=["3 callbacks are not delivered"])
    assert wrong(summary) == {"everything came to an end": "3 callbacks are not delivered"}


def test_receipts_behind_a_later_one_are_out_of_order(run: Run) -> None:
    run.bodies = [inbound("in-1"), inbound("in-number-2"), receipt("el-1", "delivered"), receipt("el-1", "sent")]
    run.attempts = [posted(body) for body in run.bodies]
    assert run.summary().counts["rows"] == "4: 2 customers' messages, 2 receipts (1 out of order)"


def test_the_seed_decides_the_plan() -> None:
    plan = make_plan(5, 20, ("ana", "ben"), 10)
    assert plan == make_plan(5, 20, ("ana", "ben"), 10)
    assert plan != make_plan(6, 20, ("ana", "ben"), 10)
    assert len(plan.contacts) == 20
    assert max(callback.at for callback in plan.callbacks) <= 10


def test_the_plan_has_every_kind_of_trouble() -> None:
    plan = make_plan(7, 36, ("ana",), 10)
    ids = [message.id for callback in plan.callbacks for message in callback.messages]
    assert any(callback.copies == 2 for callback in plan.callbacks)
    assert any(len(callback.messages) > 1 for callback in plan.callbacks)
    assert len(ids) > len(plan.messages) > 36
    assert {answer.resolve_after is None for answer in plan.answers.values()} == {True, False}
