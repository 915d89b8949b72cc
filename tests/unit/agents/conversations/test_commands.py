"""What people ask of a conversation beside replying and resolving."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentRequested, ConversationChanged, ProposalAnswered
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationEvent,
    ConversationLabelled,
    ConversationMessageReceived,
    ConversationMuted,
    ConversationNoteAdded,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
)
from tests.support.conversation import (
    ANA,
    BEN,
    BOT,
    HELLO,
    KEY,
    NIGHT_BOT,
    SALES,
    START,
    Desk,
    channel,
    minutes,
    refusals,
)
from tests.support.stage import Emitted, all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)


def desk_with(status: Status, holder: Assignee | None = ANA, *, single: bool = True) -> Desk:
    """A conversation that has come to that status by the way of its holder."""
    desk = Desk(channel(single=single))
    desk.message("m0")
    desk.propose(BOT if status is AI else holder)
    if status is SNOOZED:
        desk.snooze()
    if status in (RESOLVED, CLOSED):
        desk.resolve("c0")
    if status is CLOSED:
        desk.wait(DAY)
    assert desk.latest.status is status
    return desk


def the_request(emitted: list[Emitted]) -> tuple[str, Assignee | None]:
    request, told = the(AssignmentRequested, emitted), all_of(ConversationChanged, emitted)
    assert request.revision == told[-1].revision
    return request.reason, request.former


# --- the table of transitions --------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[Desk], list[Emitted]]] = {
    "resolve": lambda desk: desk.resolve("c9"),
    "reopen": lambda desk: desk.reopen(),
    "snooze": lambda desk: desk.snooze(),
    "hand over": lambda desk: desk.hand_over(),
    "to the AI agent": lambda desk: desk.assign(NIGHT_BOT),
    "to a human": lambda desk: desk.assign(BEN),
    "to a team": lambda desk: desk.assign(SALES),
}
LEADS_TO = {
    "resolve": {OPEN: RESOLVED, AI: RESOLVED, SNOOZED: RESOLVED},
    "reopen": {AI: OPEN, SNOOZED: OPEN, RESOLVED: OPEN, CLOSED: OPEN},
    "snooze": {OPEN: SNOOZED, AI: SNOOZED},
    "hand over": {AI: OPEN},
    "to the AI agent": {OPEN: AI, AI: AI, SNOOZED: AI, RESOLVED: AI},
    "to a human": {OPEN: OPEN, AI: OPEN, SNOOZED: SNOOZED, RESOLVED: RESOLVED, CLOSED: CLOSED},
    "to a team": {OPEN: OPEN, AI: OPEN, SNOOZED: SNOOZED, RESOLVED: RESOLVED, CLOSED: CLOSED},
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("status", Status)
def test_a_command_leads_where_the_table_says_or_is_refused(act: str, status: Status) -> None:
    desk = desk_with(status)
    before = desk.latest
    emitted = ACTS[act](desk)
    after = LEADS_TO[act].get(status)
    if after is None:
        assert refusals(emitted) == ["illegal_transition"]
        assert desk.latest == before
    else:
        assert desk.latest.status is after
        assert desk.latest.revision == before.revision + 1
        assert the(ConversationChanged, emitted).revision == before.revision + 1


@pytest.mark.parametrize("act", [*ACTS, "note", "label", "block", "unblock", "mute"])
def test_there_must_be_a_conversation(act: str) -> None:
    more: dict[str, Callable[[Desk], list[Emitted]]] = {
        "note": lambda desk: desk.note(),
        "label": lambda desk: desk.label(("vip",)),
        "block": lambda desk: desk.block(),
        "unblock": lambda desk: desk.unblock(),
        "mute": lambda desk: desk.mute(),
    }
    desk = Desk()
    assert refusals((ACTS | more)[act](desk)) == ["unknown_conversation"]
    assert len(desk.bench.state) == 0


# --- reopen --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [SNOOZED, RESOLVED, CLOSED])
def test_a_person_reopens_for_whoever_held_it(status: Status) -> None:
    desk = desk_with(status, BEN)
    emitted = desk.reopen()
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.reason, changed.by, changed.header.assignee) == ("reopened", "ana", BEN)
    assert the_request(emitted) == ("reopened_by_person", BEN)
    assert desk.bench.timers(KEY) == {"sweep"}
    emitted = desk.propose(BEN)
    assert types(emitted) == [ConversationRouted.type, ProposalAnswered.type]
    assert not the(ConversationRouted, emitted).first


def test_a_person_reopens_in_place_of_the_ai_agent() -> None:
    assert the_request(desk_with(AI).reopen()) == ("handed_over", BOT)
    desk = desk_with(RESOLVED, BOT)
    assert the_request(desk.reopen()) == ("reopened_by_person", BOT)
    assert desk.latest.assignee is None


def test_a_conversation_that_a_person_reopens_stays_with_its_team() -> None:
    desk = desk_with(RESOLVED)
    desk.assign(SALES)
    request = the(AssignmentRequested, desk.reopen())
    assert (request.reason, request.team) == ("team", "sales")


def test_reopening_unmutes() -> None:
    desk = desk_with(RESOLVED)
    desk.mute()
    assert not the(ConversationStatusChanged, desk.reopen()).header.muted


def test_a_reply_that_reopens_unmutes() -> None:
    desk = desk_with(RESOLVED)
    desk.mute()
    assert not the(ConversationStatusChanged, desk.reply("o1")).header.muted


# --- snooze --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [START, START - minutes(1), datetime(2030, 1, 1)])  # noqa: DTZ001 - that is the point
def test_a_snooze_until_the_past_is_refused(until: datetime) -> None:
    assert refusals(desk_with(OPEN).snooze(until)) == ["invalid_settings"]


def test_a_snoozed_conversation_opens_when_its_time_comes() -> None:
    desk = desk_with(OPEN)
    desk.snooze(START + minutes(30))
    assert desk.wait(minutes(30) - timedelta(seconds=1)) == []
    emitted = desk.wait(timedelta(seconds=1))
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.header.status, changed.reason, changed.by) == (OPEN, "woken", None)
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type]
    assert desk.latest.assignee == ANA


def test_a_snoozed_conversation_without_an_assignee_is_queued_when_it_wakes() -> None:
    desk = desk_with(OPEN, None)
    desk.snooze(START + minutes(30))
    assert the_request(desk.wait(minutes(30))) == ("unassigned", None)


def test_a_snoozed_conversation_of_a_team_goes_to_a_member_when_it_wakes() -> None:
    desk = desk_with(SNOOZED)
    desk.assign(SALES)
    request = the(AssignmentRequested, desk.message("m1"))
    assert (request.reason, request.team) == ("team", "sales")


@pytest.mark.parametrize("wakes", ["time", "message"])
def test_a_routing_that_a_snooze_interrupted_is_made_up_for(wakes: str) -> None:
    desk = Desk()
    desk.message("m1", text="Preis?")
    desk.snooze(START + minutes(30))
    assert not the(ProposalAnswered, desk.propose(ANA, revision=1)).accepted
    emitted = desk.wait(minutes(30)) if wakes == "time" else desk.message("m2", text="Hallo?")
    request = the(AssignmentRequested, emitted)
    assert (request.reason, request.text, request.at) == ("opened", "Preis?", START)
    assert the(ConversationRouted, desk.propose(ANA)).first


def test_a_message_wakes_and_the_timer_is_off() -> None:
    desk = desk_with(OPEN)
    desk.snooze(START + minutes(30))
    emitted = desk.message("m1")
    assert types(emitted) == [
        ConversationStatusChanged.type,
        ConversationChanged.type,
        ConversationMessageReceived.type,
    ]
    assert the(ConversationStatusChanged, emitted).reason == "customer_message"
    assert desk.bench.timers(KEY) == {"sweep"}


def test_a_reply_does_not_wake() -> None:
    desk = desk_with(SNOOZED)
    desk.reply("o1")
    assert desk.latest.status is SNOOZED


# --- assign --------------------------------------------------------------------------------------------------------


def test_a_person_s_choice_settles_the_routing() -> None:
    desk = Desk()
    desk.message("m1")
    emitted = desk.assign(BEN)
    assert types(emitted) == [ConversationAssigned.type, ConversationChanged.type, ConversationRouted.type]
    assigned, routed = the(ConversationAssigned, emitted), the(ConversationRouted, emitted)
    assert (assigned.by, assigned.header.assignee, assigned.header.routed) == ("ana", BEN, True)
    assert (routed.first, routed.explanation) == (True, {"decision": "assign", "by": "ana"})
    assert the(ProposalAnswered, desk.propose(ANA, revision=1)).reason == "stale_revision"


def test_a_choice_of_whoever_had_it_stands_against_the_proposal_in_flight() -> None:
    desk = desk_with(RESOLVED, ANA)
    desk.message("m1")
    revision = desk.latest.revision
    emitted = desk.assign(ANA)
    assert types(emitted) == [ConversationChanged.type, ConversationRouted.type]
    assert the(ConversationChanged, emitted).routed
    assert the(ProposalAnswered, desk.propose(BEN, revision=revision)).reason == "already_routed"
    assert desk.latest.assignee == ANA


@pytest.mark.parametrize("stranger", [Assignee(kind="human", id="eve"), Assignee(kind="ai", id="eve")])
def test_only_who_belongs_to_the_channel_is_assigned(stranger: Assignee) -> None:
    assert refusals(desk_with(OPEN).assign(stranger)) == ["not_a_member"]


def test_of_a_team_a_member_is_found() -> None:
    desk = desk_with(OPEN)
    emitted = desk.assign(SALES)
    request = the(AssignmentRequested, emitted)
    assert (request.reason, request.team, request.former) == ("team", "sales", ANA)
    assert the(ConversationAssigned, emitted).header.assignee == SALES
    assert types(desk.propose(None)) == [ProposalAnswered.type]
    assert desk.latest.assignee == SALES
    assert the(ConversationAssigned, desk.propose(BEN)).previous == SALES


def test_a_team_for_what_has_ended_is_asked_for_nobody() -> None:
    assert not all_of(AssignmentRequested, desk_with(RESOLVED).assign(SALES))


def test_assigning_again_says_nothing_twice() -> None:
    desk = desk_with(OPEN)
    assert not the(ConversationChanged, desk.assign(ANA)).automatic  # proposed before, a person's choice now
    assert desk.assign(ANA) == []


def test_a_resolved_conversation_given_to_the_ai_agent_lives_again() -> None:
    desk = desk_with(RESOLVED)
    desk.mute()
    emitted = desk.assign(BOT)
    assert not the(ConversationStatusChanged, emitted).header.muted
    desk.wait(3 * DAY)
    assert desk.latest.status is AI


# --- notes, labels -------------------------------------------------------------------------------------------------


def test_a_note_is_kept_with_who_wrote_it() -> None:
    note = the(ConversationNoteAdded, desk_with(CLOSED).note("calls back"))
    assert (note.text, note.reason, note.by) == ("calls back", "note", "ana")
    assert refusals(desk_with(OPEN).note("  ")) == ["invalid_settings"]


def test_labels_are_added_and_removed() -> None:
    desk = desk_with(OPEN)
    labelled = the(ConversationLabelled, desk.label((" vip", "late", "vip")))
    assert (labelled.added, labelled.header.labels, labelled.by) == (("vip", "late"), ("vip", "late"), "ana")
    labelled = the(ConversationLabelled, desk.label(("new", "late"), ("late", "gone")))
    assert (labelled.added, labelled.removed, labelled.header.labels) == (("new",), ("late",), ("vip", "new"))
    assert desk.label(("vip",)) == []
    assert desk.latest.revision == labelled.header.revision


@pytest.mark.parametrize(
    "labels", [(), (" ",), ("x" * 65,), tuple(str(n) for n in range(21))], ids=["none", "blank", "too long", "too many"]
)
def test_nonsense_labels_are_refused(labels: tuple[str, ...]) -> None:
    assert refusals(desk_with(OPEN).label(labels)) == ["invalid_settings"]


# --- blocked, muted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("single", [True, False])
def test_a_blocked_contact_s_messages_are_kept_and_trigger_nothing(status: Status, single: bool) -> None:
    desk = desk_with(status, single=single)
    assert the(ConversationBlockChanged, desk.block()).header.blocked
    before = desk.latest
    emitted = desk.message("m1")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).treatment == "quiet"
    assert desk.latest == before.model_copy(update={"messages_in": 2})


def test_a_blocked_contact_is_not_written_to_until_unblocked() -> None:
    desk = desk_with(OPEN)
    desk.block()
    assert desk.block() == []
    assert refusals(desk.reply("o1")) == ["blocked"]
    assert refusals(desk.reply("o1", text=None, template=HELLO)) == ["blocked"]
    assert not the(ConversationBlockChanged, desk.unblock()).header.blocked
    desk.reply("o1")
    assert the(ConversationMessageReceived, desk.message("m1")).treatment == "ordinary"


def test_the_ai_agent_does_not_answer_a_blocked_contact() -> None:
    desk = desk_with(AI)
    asked = the(AiRequested, desk.message("m1"))
    desk.block()
    assert desk.ai_answers(asked) == []
    assert not all_of(AiRequested, desk.message("m2"))


@pytest.mark.parametrize("status", [SNOOZED, RESOLVED, CLOSED])
@pytest.mark.parametrize("single", [True, False])
def test_a_muted_conversation_is_not_reopened_by_its_customer(status: Status, single: bool) -> None:
    desk = desk_with(status, single=single)
    assert the(ConversationMuted, desk.mute()).header.muted
    assert desk.mute() == []
    emitted = desk.message("m1")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).treatment == "quiet"
    assert desk.statuses == [status]


def test_a_live_muted_conversation_goes_on() -> None:
    desk = desk_with(AI)
    desk.mute()
    assert all_of(AiRequested, desk.message("m1"))


def test_a_blocked_or_muted_conversation_is_not_forgotten() -> None:
    desk = desk_with(CLOSED, single=False)
    desk.mute()
    desk.wait(100 * DAY)
    desk.message("m1")
    desk.block()
    desk.reopen()
    desk.resolve("c1")
    desk.wait(100 * DAY)
    assert desk.statuses == [CLOSED]
    desk.unblock()
    desk.wait(31 * DAY)
    assert desk.statuses == []
    assert not desk.bench.timers(KEY)


def test_a_blocked_contact_without_a_conversation_is_dropped_silently() -> None:
    desk = desk_with(CLOSED, single=False)
    desk.block()
    desk.bench.state.write(KEY, desk.bench.row_names(KEY, "conversation/")[0], None)
    assert desk.message("m1") == []
    assert desk.message("m1") == []


# --- what the header says ------------------------------------------------------------------------------------------


def test_unread_counts_from_the_agent_s_last_message() -> None:
    desk = desk_with(OPEN)
    desk.reply("o1")
    desk.wait(minutes(5))
    desk.message("m1", sent_at=START + minutes(4))
    desk.message("m2", sent_at=START + minutes(3))
    header = the(ConversationMessageReceived, desk.message("m3")).header
    assert (header.unread, header.waiting_since) == (3, START + minutes(3))
    desk.reply("o2")
    header = the(ConversationNoteAdded, desk.note()).header
    assert (header.unread, header.waiting_since) == (0, None)


def test_a_customer_who_comes_back_is_returning() -> None:
    desk = Desk()
    assert not the(ConversationOpened, desk.message("m1")).header.returning
    desk.resolve("c1")
    assert the(ConversationOpened, desk.message("m2")).header.returning


def test_the_revision_counts_changes_of_status_and_assignee_only() -> None:
    desk = desk_with(OPEN)
    before = desk.latest.revision
    emitted = [
        *desk.message("m1"),
        *desk.reply("o1"),
        *desk.note(),
        *desk.label(("vip",)),
        *desk.mute(),
        *desk.block(),
        *desk.unblock(),
        *desk.sent("o1"),
    ]
    assert {event.header.revision for event in all_of(ConversationEvent, emitted)} == {before}
    assert not all_of(ConversationChanged, emitted)
