"""The demo's own count, with faults planted in what it counts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentDecided, ProposalAnswered
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
)
from schemas.events.csat import SurveyAnswered, SurveySent, SurveySkipped
from schemas.events.inbox import AiHandedOver
from schemas.events.operations import DeadLettered
from schemas.events.people import PresenceChanged
from schemas.events.reports import ReportUpdated
from schemas.topics import (
    ACCOUNT_INBOX,
    AI_REQUESTS,
    ASSIGNMENTS,
    CONVERSATIONS,
    CSAT,
    DEAD_LETTERS,
    INBOX,
    REPORTS,
    STATUSES,
)
from simulation.demo.count import Summary
from simulation.demo.plan import make_plan
from simulation.demo.story import pick, tell
from tests.support.demo import AT, PARCEL, SHEILA, STEPS, Run, inbound, posted, receipt, status

Planted = Callable[[Run], object]


@pytest.fixture
def run() -> Run:
    return Run()


def wrong(summary: Summary) -> dict[str, str]:
    return {check.name: check.wrong for check in summary.checks if not check.ok}


def test_a_good_run_passes_every_check(run: Run) -> None:
    summary = run.summary()
    assert wrong(summary) == {}
    assert summary.ok
    assert summary.counts["callbacks"] == "21 posted, 21 acknowledged"
    assert summary.counts["callbacks in webhooks"] == "21, 1 delivered twice, 0 of several rows"
    assert summary.counts["rows"] == "21: 7 messages, 14 receipts (0 out of order)"
    assert summary.counts["customers' messages"] == "6 different ones, 1 came again"
    assert summary.counts["conversations"] == "3: Closed 2, Open 1"
    assert summary.counts["assigned"] == "marek 2, robbie 1, sheila 1; 0 had to wait"
    assert summary.counts["the AI agent"] == "1 answers, 1 handed over to people"
    assert summary.counts["cited by the GPT agent"] == "faq/where/1 1; 2 calls of its model, 0.0002"
    assert summary.counts["surveys"] == "1 sent, 1 answered, 1 satisfied (100%), median 4"
    assert summary.counts["messages now"] == "delivered 7"
    assert (summary.counts["lost"], summary.counts["twice"]) == ("0", "0")


REPORTS_SAY = "the reports say what was counted"

GREETED = "whoever began while it was open, and with people, was greeted once"
UNAVAILABLE = "whoever wrote while it was closed got one notice a day"
CHOSEN = "every conversation is with whom assignment chose"
SURVEYED = "every resolution was followed by one survey, where it may"
SENT_ONCE = "every message was sent once"
CITED = "the GPT agent cited once what answers each customer's question"

PLANTED: Sequence[tuple[Planted, set[str]]] = (
    (
        lambda run: run.drop(CONVERSATIONS, ConversationMessageReceived),
        {"no customer's message is lost"},
    ),
    (
        lambda run: run.repeat(CONVERSATIONS, ConversationMessageReceived),
        {"no customer's message is in a conversation twice"},
    ),
    (
        lambda run: run.written.remove("in-1"),
        {"no conversation holds a message that nobody wrote"},
    ),
    (lambda run: run.bodies.remove(inbound("in-number-2")), {"every acknowledged callback is in webhooks"}),
    (
        lambda run: run.repeat(CONVERSATIONS, ConversationOpened),
        {"every customer has one conversation", REPORTS_SAY},
    ),
    (lambda run: run.lose_sent("greeting-352621000111"), {GREETED, SENT_ONCE}),
    (lambda run: run.send_again("greeting-352621000111"), {GREETED, SENT_ONCE}),
    (lambda run: run.lose_sent("unavailable-352621000333"), {UNAVAILABLE, SENT_ONCE}),
    (lambda run: run.send_again("unavailable-352621000333"), {UNAVAILABLE, SENT_ONCE}),
    (lambda run: run.drop(ACCOUNT_INBOX, ProposalAnswered), {"every proposal was answered once"}),
    (lambda run: run.repeat(ACCOUNT_INBOX, ProposalAnswered), {"every proposal was answered once"}),
    (lambda run: run.repeat(CONVERSATIONS, ConversationRouted), {"every conversation was routed once"}),
    (
        lambda run: run.change(ASSIGNMENTS, AssignmentDecided, explanation={"decision": "ai"}),
        {"rules, the AI agent and people came in their order", "only whom the rules and the channel name were chosen"},
    ),
    (
        lambda run: run.change(ASSIGNMENTS, AssignmentDecided, assignee=SHEILA),
        {"only whom the rules and the channel name were chosen", CHOSEN},
    ),
    (
        lambda run: run.drop(ACCOUNT_INBOX, PresenceChanged),
        {"nobody was chosen before they were online"},
    ),
    (
        lambda run: run.workload.update(sheila=0),
        {"nobody had more open conversations than their limit"},
    ),
    (
        lambda run: run.drop(AI_REQUESTS, AiRequested),
        {"the AI agent was asked about every message to it", "every question to the AI agent had one end"},
    ),
    (lambda run: run.repeat(INBOX, AiHandedOver), {"every question to the AI agent had one end"}),
    (
        lambda run: run.change(INBOX, AiHandedOver, also=("ai-1",)),
        {"every question to the AI agent had one end"},
    ),
    (
        lambda run: run.change(INBOX, AiHandedOver, text="One moment"),
        {"every answer of the AI agent was sent once"},
    ),
    (lambda run: run.cite(), {CITED}),
    (lambda run: run.cite(PARCEL, PARCEL), {CITED}),
    (lambda run: run.asked.pop(), {REPORTS_SAY}),
    (lambda run: run.send_again("ai-352621000222"), {"every answer of the AI agent was sent once", SENT_ONCE}),
    (
        lambda run: run.change(CONVERSATIONS, ConversationStatusChanged, reason="ai_handed_over"),
        {"the AI agent handed over whoever asked for a person, once"},
    ),
    (lambda run: run.lose_sent("reply-352621000111"), {"every reply reached the provider once", SENT_ONCE}),
    (lambda run: run.send_again("reply-352621000333"), {"every reply reached the provider once", SENT_ONCE}),
    (
        lambda run: run.events[CONVERSATIONS].remove(
            next(record for record in run.events[CONVERSATIONS] if getattr(record.event, "kind", "") == "reply")
        ),
        {"every reply is in its conversation, of the agent who holds it", REPORTS_SAY},
    ),
    (lambda run: run.repeat(CONVERSATIONS, ConversationNoteAdded), {"every note and label is there once"}),
    (lambda run: run.resolved.pop("352621000222"), {"every resolution was carried out once", REPORTS_SAY}),
    (
        lambda run: run.lose_sent("survey-352621000111"),
        {SURVEYED, "csat knows every survey that the provider took", SENT_ONCE, REPORTS_SAY},
    ),
    (
        lambda run: run.drop(CSAT, SurveySent),
        {"csat knows every survey that the provider took"},
    ),
    (lambda run: run.drop(CSAT, SurveySkipped), {"nobody else's survey was skipped than those labelled so"}),
    (
        lambda run: run.change(CSAT, SurveyAnswered, rating=5),
        {"every answer to a survey counts once, for whoever resolved"},
    ),
    (
        lambda run: run.repeat(CSAT, SurveyAnswered),
        {"every answer to a survey counts once, for whoever resolved"},
    ),
    (lambda run: run.change(REPORTS, ReportUpdated, counts={"opened": 1}), {REPORTS_SAY}),
)


@pytest.mark.parametrize(("plant", "found"), PLANTED, ids=[str(number) for number in range(len(PLANTED))])
def test_a_planted_fault_is_found(run: Run, plant: Planted, found: set[str]) -> None:
    plant(run)
    assert wrong(run.summary()).keys() == found


def test_a_failed_check_names_what_is_wrong(run: Run) -> None:
    run.drop(CONVERSATIONS, ConversationMessageReceived)
    run.lose_sent("greeting-352621000111")
    summary = run.summary()
    assert wrong(summary)["no customer's message is lost"] == "in-1"
    assert wrong(summary)[GREETED] == "352621000111: None, not 1"
    assert summary.counts["lost"] == "1"


def test_a_conversation_that_stays_open_is_named(run: Run) -> None:
    run.events[CONVERSATIONS] = [
        record
        for record in run.events[CONVERSATIONS]
        if not (isinstance(record.event, ConversationStatusChanged) and record.event.reason == "close_after")
    ]
    found = wrong(run.summary())
    assert found.keys() == {"every resolved conversation is closed, every other one open", REPORTS_SAY}
    assert found[REPORTS_SAY] == "shop closed: 2, not 1"


def test_a_callback_that_was_not_acknowledged_is_reported_and_not_missed(run: Run) -> None:
    run.bodies.append(b'{"rows": []}')
    run.attempts.append(posted(run.bodies.pop(), 503))
    assert wrong(run.summary()) == {"every callback was acknowledged": "503 1"}


def test_a_send_that_nobody_commanded_is_named(run: Run) -> None:
    run.accept("stray", "352621000111")
    for step in STEPS:
        run.put(STATUSES, status("stray", step), "shop:352621000111")
    found = wrong(run.summary())
    assert found.pop("nothing was sent that nobody commanded") == "stray"
    assert found.keys() == {SENT_ONCE, REPORTS_SAY}


def test_a_missing_status_is_named(run: Run) -> None:
    of_the_reply = [r for r in run.events[STATUSES] if r.event == status("reply-352621000111", "sent")]
    run.events[STATUSES].remove(of_the_reply[0])
    assert wrong(run.summary()) == {"every accepted message has all its statuses": "reply-352621000111 lacks sent"}


def test_a_status_reported_twice_is_named(run: Run) -> None:
    run.put(STATUSES, status("greeting-352621000111", "delivered"), "shop:352621000111")
    assert wrong(run.summary()) == {"no status is reported twice": "greeting-352621000111 delivered"}


def test_a_failure_by_receipt_without_its_note_is_named(run: Run) -> None:
    run.put(STATUSES, status("greeting-352621000111", "delivered_failed"), "shop:352621000111")
    assert wrong(run.summary())["every failure by receipt is noted"] == "352621000111 0"


def test_a_survey_that_failed_and_is_still_counted_as_sent_is_named(run: Run) -> None:
    run.put(STATUSES, status("survey-352621000111", "sent_failed"), "shop:352621000111")
    assert "shop surveys sent: 1, not None" in wrong(run.summary())[REPORTS_SAY]


def test_a_dead_letter_is_reported_with_its_reason(run: Run) -> None:
    run.put(DEAD_LETTERS, DeadLettered(reason="missing_contact", stage="intake", topic="webhooks", body="{}"))
    summary = run.summary()
    assert wrong(summary) == {"there are no dead letters": "missing_contact 1"}
    assert summary.counts["dead letters"] == "1"


def test_work_under_way_at_the_end_is_named(run: Run) -> None:
    summary = run.summary(unfinished=["3 callbacks are not delivered"])
    assert wrong(summary) == {"everything came to an end": "3 callbacks are not delivered"}


def test_receipts_behind_a_later_one_are_out_of_order(run: Run) -> None:
    first = run.bodies.index(receipt("el-0", "sent"))
    run.bodies[first], run.bodies[first + 1] = run.bodies[first + 1], run.bodies[first]
    assert run.summary().counts["rows"] == "21: 7 messages, 14 receipts (1 out of order)"


def test_the_story_is_of_the_richest_conversation(run: Run) -> None:
    records = [replace(r, time=AT + timedelta(seconds=n)) for n, r in enumerate(run.events[CONVERSATIONS])]
    moments = tell(pick(records))
    assert [moment.text for moment in moments if not moment.text.startswith("Gast: ")] == [
        "Gast begins a conversation with shop",
        "given to robbie (AI)",
        "robbie (AI): so (cites: Where is my parcel?)",
        "Open: the AI agent hands it over",
        "note: take over",
        "given to marek",
        "marek: so",
        "note of marek: called",
        "marek labels it: no-survey",
        "Resolved: resolved by marek",
        "Closed: its time has passed",
    ]
    assert moments[0].after == timedelta(0)
    assert sorted(moments, key=lambda moment: moment.after) == moments


AGENTS = {"shop": ("ana", "ben"), "orders": ("ana",), "support": ("caro",)}


def test_the_seed_decides_the_plan() -> None:
    plan = make_plan(5, 20, AGENTS, 10)
    assert plan == make_plan(5, 20, AGENTS, 10)
    assert plan != make_plan(6, 20, AGENTS, 10)
    assert len(plan.customers) == 20
    assert max(callback.at for act in plan.acts for callback in act) <= 10


def test_the_plan_has_every_kind_of_customer_and_trouble() -> None:
    plan = make_plan(7, 36, AGENTS, 10)
    callbacks = [callback for act in plan.acts for callback in act]
    ids = [message.id or "" for callback in callbacks for message in callback.messages]
    planned = [id for customer in plan.customers.values() for written in customer.written for id in written]
    assert any(callback.copies == 2 for callback in callbacks)
    assert any(len(callback.messages) > 1 for callback in callbacks)
    assert sorted(set(ids)) == sorted(planned)
    assert len(ids) > len(planned) > 36
    assert {customer.kind for customer in plan.customers.values()} == {
        *("refund", "invoice", "parcel", "person", "early", "late")
    }
    assert sum(not customer.is_resolved for customer in plan.customers.values()) == 2
    assert {customer.rating is None for customer in plan.customers.values()} == {True, False}
    assert any(customer.is_resolved and not customer.is_asked for customer in plan.customers.values())
