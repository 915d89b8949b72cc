"""What people ask of a conversation beside replying and resolving."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import pytest

from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentRequested, ConversationChanged, ProposalAnswered
from schemas.events.content import (
    Attachment,
    Button,
    ContactCard,
    ListMenu,
    ListRow,
    Location,
    Outgoing,
    SentReaction,
)
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationLabelled,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationMuted,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
)
from schemas.events.inbox import MARKETING_RESUMED, MARKETING_STOPPED, NoticeReceived, Reply
from schemas.events.sending import SendMessage
from schemas.events.template import Template, TemplateHeader
from tests.support.conversation import (
    ANA,
    BEN,
    BOT,
    HELLO,
    KEY,
    NIGHT_BOT,
    SALES,
    START,
    ConversationBench,
    channel,
    minutes,
    refusals,
)
from tests.support.stage import Emitted, all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)


def bench_with(status: Status, holder: Assignee | None = ANA, *, single: bool = True) -> ConversationBench:
    """A conversation that has come to that status by the way of its holder."""
    bench = ConversationBench(channel(single=single))
    bench.message("m0")
    bench.propose(BOT if status is AI else holder)
    if status is SNOOZED:
        bench.snooze()
    if status in (RESOLVED, CLOSED):
        bench.resolve("c0")
    if status is CLOSED:
        bench.wait(DAY)
    assert bench.latest.status is status
    return bench


def the_request(emitted: list[Emitted]) -> tuple[str, Assignee | None]:
    request, reported = the(AssignmentRequested, emitted), all_of(ConversationChanged, emitted)
    assert request.revision == reported[-1].revision
    return request.reason, request.former


# --- the table of transitions --------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[ConversationBench], list[Emitted]]] = {
    "resolve": lambda bench: bench.resolve("c9"),
    "reopen": lambda bench: bench.reopen(),
    "snooze": lambda bench: bench.snooze(),
    "hand over": lambda bench: bench.hand_over(),
    "to the AI agent": lambda bench: bench.assign(NIGHT_BOT),
    "to a human": lambda bench: bench.assign(BEN),
    "to a team": lambda bench: bench.assign(SALES),
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
    bench = bench_with(status)
    before = bench.latest
    emitted = ACTS[act](bench)
    after = LEADS_TO[act].get(status)
    if after is None:
        assert refusals(emitted) == ["illegal_transition"]
        assert bench.latest == before
    else:
        assert bench.latest.status is after
        assert bench.latest.revision == before.revision + 1
        assert the(ConversationChanged, emitted).revision == before.revision + 1


@pytest.mark.parametrize("act", [*ACTS, "note", "label", "block", "unblock", "mute"])
def test_there_must_be_a_conversation(act: str) -> None:
    more: dict[str, Callable[[ConversationBench], list[Emitted]]] = {
        "note": lambda bench: bench.note(),
        "label": lambda bench: bench.label(("vip",)),
        "block": lambda bench: bench.block(),
        "unblock": lambda bench: bench.unblock(),
        "mute": lambda bench: bench.mute(),
    }
    bench = ConversationBench()
    assert refusals((ACTS | more)[act](bench)) == ["unknown_conversation"]
    assert len(bench.stage.state) == 0


# --- reopen --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [SNOOZED, RESOLVED, CLOSED])
def test_a_person_reopens_for_whoever_held_it(status: Status) -> None:
    bench = bench_with(status, BEN)
    emitted = bench.reopen()
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.reason, changed.by, changed.header.assignee) == ("reopened", "ana", BEN)
    assert the_request(emitted) == ("reopened_by_person", BEN)
    assert bench.stage.timers(KEY) == {"sweep"}
    emitted = bench.propose(BEN)
    assert types(emitted) == [ConversationRouted.type, ProposalAnswered.type]
    assert not the(ConversationRouted, emitted).first


def test_a_person_reopens_in_place_of_the_ai_agent() -> None:
    assert the_request(bench_with(AI).reopen()) == ("handed_over", BOT)
    bench = bench_with(RESOLVED, BOT)
    assert the_request(bench.reopen()) == ("reopened_by_person", BOT)
    assert bench.latest.assignee is None


def test_a_conversation_that_a_person_reopens_stays_with_its_team() -> None:
    bench = bench_with(RESOLVED)
    bench.assign(SALES)
    request = the(AssignmentRequested, bench.reopen())
    assert (request.reason, request.team) == ("team", "sales")


def test_reopening_unmutes() -> None:
    bench = bench_with(RESOLVED)
    bench.mute()
    assert not the(ConversationStatusChanged, bench.reopen()).header.muted


def test_a_reply_that_reopens_unmutes() -> None:
    bench = bench_with(RESOLVED)
    bench.mute()
    assert not the(ConversationStatusChanged, bench.reply("o1")).header.muted


# --- snooze --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [START, START - minutes(1), datetime(2030, 1, 1)])  # noqa: DTZ001 - that is the point
def test_a_snooze_until_the_past_is_refused(until: datetime) -> None:
    assert refusals(bench_with(OPEN).snooze(until)) == ["invalid_settings"]


def test_a_snoozed_conversation_opens_when_its_time_comes() -> None:
    bench = bench_with(OPEN)
    bench.snooze(START + minutes(30))
    assert bench.wait(minutes(30) - timedelta(seconds=1)) == []
    emitted = bench.wait(timedelta(seconds=1))
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.header.status, changed.reason, changed.by) == (OPEN, "woken", None)
    assert types(emitted) == [ConversationStatusChanged.type, ConversationChanged.type]
    assert bench.latest.assignee == ANA


def test_a_snoozed_conversation_without_an_assignee_is_queued_when_it_wakes() -> None:
    bench = bench_with(OPEN, None)
    bench.snooze(START + minutes(30))
    assert the_request(bench.wait(minutes(30))) == ("unassigned", None)


def test_a_snoozed_conversation_of_a_team_goes_to_a_member_when_it_wakes() -> None:
    bench = bench_with(SNOOZED)
    bench.assign(SALES)
    request = the(AssignmentRequested, bench.message("m1"))
    assert (request.reason, request.team) == ("team", "sales")


@pytest.mark.parametrize("wakes", ["time", "message"])
def test_a_routing_that_a_snooze_interrupted_is_made_up_for(wakes: str) -> None:
    bench = ConversationBench()
    bench.message("m1", text="Preis?")
    bench.snooze(START + minutes(30))
    assert not the(ProposalAnswered, bench.propose(ANA, revision=1)).accepted
    emitted = bench.wait(minutes(30)) if wakes == "time" else bench.message("m2", text="Hallo?")
    request = the(AssignmentRequested, emitted)
    assert (request.reason, request.text, request.at) == ("opened", "Preis?", START)
    assert the(ConversationRouted, bench.propose(ANA)).first


def test_a_message_wakes_and_the_timer_is_off() -> None:
    bench = bench_with(OPEN)
    bench.snooze(START + minutes(30))
    emitted = bench.message("m1")
    assert types(emitted) == [
        ConversationStatusChanged.type,
        ConversationChanged.type,
        ConversationMessageReceived.type,
    ]
    assert the(ConversationStatusChanged, emitted).reason == "customer_message"
    assert bench.stage.timers(KEY) == {"sweep"}


def test_a_reply_does_not_wake() -> None:
    bench = bench_with(SNOOZED)
    bench.reply("o1")
    assert bench.latest.status is SNOOZED


# --- assign --------------------------------------------------------------------------------------------------------


def test_a_person_s_choice_settles_the_routing() -> None:
    bench = ConversationBench()
    bench.message("m1")
    emitted = bench.assign(BEN)
    assert types(emitted) == [ConversationAssigned.type, ConversationChanged.type, ConversationRouted.type]
    assigned, routed = the(ConversationAssigned, emitted), the(ConversationRouted, emitted)
    assert (assigned.by, assigned.header.assignee, assigned.header.routed) == ("ana", BEN, True)
    assert (routed.first, routed.explanation) == (True, {"decision": "assign", "by": "ana"})
    assert the(ProposalAnswered, bench.propose(ANA, revision=1)).reason == "stale_revision"


def test_a_choice_of_whoever_had_it_stands_against_the_proposal_in_flight() -> None:
    bench = bench_with(RESOLVED, ANA)
    bench.message("m1")
    revision = bench.latest.revision
    emitted = bench.assign(ANA)
    assert types(emitted) == [ConversationChanged.type, ConversationRouted.type]
    assert the(ConversationChanged, emitted).routed
    assert the(ProposalAnswered, bench.propose(BEN, revision=revision)).reason == "already_routed"
    assert bench.latest.assignee == ANA


@pytest.mark.parametrize("stranger", [Assignee(kind="human", id="eve"), Assignee(kind="ai", id="eve")])
def test_only_who_belongs_to_the_channel_is_assigned(stranger: Assignee) -> None:
    assert refusals(bench_with(OPEN).assign(stranger)) == ["not_a_member"]


def test_of_a_team_a_member_is_found() -> None:
    bench = bench_with(OPEN)
    emitted = bench.assign(SALES)
    request = the(AssignmentRequested, emitted)
    assert (request.reason, request.team, request.former) == ("team", "sales", ANA)
    assert the(ConversationAssigned, emitted).header.assignee == SALES
    assert types(bench.propose(None)) == [ProposalAnswered.type]
    assert bench.latest.assignee == SALES
    assert the(ConversationAssigned, bench.propose(BEN)).previous == SALES


def test_a_team_for_what_has_ended_is_asked_for_nobody() -> None:
    assert not all_of(AssignmentRequested, bench_with(RESOLVED).assign(SALES))


def test_assigning_again_says_nothing_twice() -> None:
    bench = bench_with(OPEN)
    assert not the(ConversationChanged, bench.assign(ANA)).automatic  # proposed before, a person's choice now
    assert bench.assign(ANA) == []


def test_a_resolved_conversation_given_to_the_ai_agent_lives_again() -> None:
    bench = bench_with(RESOLVED)
    bench.mute()
    emitted = bench.assign(BOT)
    assert not the(ConversationStatusChanged, emitted).header.muted
    bench.wait(3 * DAY)
    assert bench.latest.status is AI


# --- notes, labels -------------------------------------------------------------------------------------------------


def test_a_note_is_kept_with_who_wrote_it() -> None:
    note = the(ConversationNoteAdded, bench_with(CLOSED).note("calls back"))
    assert (note.text, note.reason, note.by) == ("calls back", "note", "ana")
    assert refusals(bench_with(OPEN).note("  ")) == ["invalid_settings"]


def test_labels_are_added_and_removed() -> None:
    bench = bench_with(OPEN)
    labelled = the(ConversationLabelled, bench.label((" vip", "late", "vip")))
    assert (labelled.added, labelled.header.labels, labelled.by) == (("vip", "late"), ("vip", "late"), "ana")
    labelled = the(ConversationLabelled, bench.label(("new", "late"), ("late", "gone")))
    assert (labelled.added, labelled.removed, labelled.header.labels) == (("new",), ("late",), ("vip", "new"))
    assert bench.label(("vip",)) == []
    assert bench.latest.revision == labelled.header.revision


@pytest.mark.parametrize(
    "labels", [(), (" ",), ("x" * 65,), tuple(str(n) for n in range(21))], ids=["none", "blank", "too long", "too many"]
)
def test_nonsense_labels_are_refused(labels: tuple[str, ...]) -> None:
    assert refusals(bench_with(OPEN).label(labels)) == ["invalid_settings"]


# --- blocked, muted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("single", [True, False])
def test_a_blocked_contact_s_messages_are_kept_and_trigger_nothing(status: Status, single: bool) -> None:
    bench = bench_with(status, single=single)
    assert the(ConversationBlockChanged, bench.block()).header.blocked
    before = bench.latest
    emitted = bench.message("m1")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).treatment == "quiet"
    assert bench.latest == before.model_copy(update={"messages_in": 2})


def test_a_reply_that_is_too_long_for_one_message_goes_in_parts_and_is_one_message_of_the_thread() -> None:
    bench = ConversationBench(channel(provider="twilio"))
    bench.message("m1")
    link = "https://kiosk.example/" + "x" * 60
    text = "x" * 1_599 + "👩\u200d👧 " + "y" * 1_550 + f" {link} and so on"
    sent = all_of(SendMessage, bench.reply("o1", text=text))
    texts = [one.text or "" for one in sent]
    assert [one.message_id for one in sent] == ["o1~1", "o1~2", "o1"]
    assert max(map(len, texts)) <= 1_600
    assert "".join(texts).replace(" ", "") == text.replace(" ", "")
    assert any(link in part for part in texts)
    assert any("👩\u200d👧" in part for part in texts)
    assert bench.latest.messages_out == 1
    assert types([*bench.sent("o1~1"), *bench.sent("o1~2")]) == []
    assert the(ConversationMessageSent, bench.sent("o1")).text == text
    assert bench.stage.row_names(KEY, "whole/") == []


def test_a_file_that_the_provider_would_not_take_is_refused_before_it_is_sent() -> None:
    for provider in ("engagelab", "twilio", "whatsapp_cloud"):
        bench = ConversationBench(channel().model_copy(update={"provider": provider}))
        bench.message("m1")
        photo = Attachment(kind="image", file="out/kiosk/a.jpg", mime_type="image/jpeg", size=7 << 20)
        refused = bench.feed(Reply(command_id="o1", by="ana", content=Outgoing(media=photo)))
        assert refusals(refused) == ["media_not_supported"]
        assert "image: it has 7,340,032 bytes" in the(ConversationCommandRefused, refused).reason
        small = Outgoing(media=photo.model_copy(update={"size": 1 << 20}))
        sent = the(SendMessage, bench.feed(Reply(command_id="o1", by="ana", text="Look", content=small)))
        assert (sent.text, sent.content) == ("Look", small)


def test_a_blocked_contact_is_not_written_to_until_unblocked() -> None:
    bench = bench_with(OPEN)
    bench.block()
    assert bench.block() == []
    assert refusals(bench.reply("o1")) == ["blocked"]
    assert refusals(bench.reply("o1", text=None, template=HELLO)) == ["blocked"]
    assert not the(ConversationBlockChanged, bench.unblock()).header.blocked
    bench.reply("o1")
    assert the(ConversationMessageReceived, bench.message("m1")).treatment == "ordinary"


def test_the_ai_agent_does_not_answer_a_blocked_contact() -> None:
    bench = bench_with(AI)
    asked = the(AiRequested, bench.message("m1"))
    bench.block()
    assert bench.ai_answers(asked) == []
    assert not all_of(AiRequested, bench.message("m2"))


@pytest.mark.parametrize("status", [SNOOZED, RESOLVED, CLOSED])
@pytest.mark.parametrize("single", [True, False])
def test_a_muted_conversation_is_not_reopened_by_its_customer(status: Status, single: bool) -> None:
    bench = bench_with(status, single=single)
    assert the(ConversationMuted, bench.mute()).header.muted
    assert bench.mute() == []
    emitted = bench.message("m1")
    assert types(emitted) == [ConversationMessageReceived.type]
    assert the(ConversationMessageReceived, emitted).treatment == "quiet"
    assert bench.statuses == [status]


def test_a_live_muted_conversation_goes_on() -> None:
    bench = bench_with(AI)
    bench.mute()
    assert all_of(AiRequested, bench.message("m1"))


def test_a_blocked_or_muted_conversation_is_not_forgotten() -> None:
    bench = bench_with(CLOSED, single=False)
    bench.mute()
    bench.wait(100 * DAY)
    bench.message("m1")
    bench.block()
    bench.reopen()
    bench.resolve("c1")
    bench.wait(100 * DAY)
    assert bench.statuses == [CLOSED]
    bench.unblock()
    bench.wait(31 * DAY)
    assert bench.statuses == []
    assert not bench.stage.timers(KEY)


def test_a_blocked_contact_without_a_conversation_is_dropped_silently() -> None:
    bench = bench_with(CLOSED, single=False)
    bench.block()
    bench.stage.state.write(KEY, bench.stage.row_names(KEY, "conversation/")[0], None)
    assert bench.message("m1") == []
    assert bench.message("m1") == []


# --- other contents than texts -------------------------------------------------------------------------------------

MESSAGE = "wamid.1"
THUMB = Outgoing(reaction=SentReaction(message_id=MESSAGE, emoji="👍"))
CONTENTS = {
    "buttons": Outgoing(buttons=(Button(id="b", title="Yes"),)),
    "list": Outgoing(list=ListMenu(button="See", rows=(ListRow(id="r", title="Bills"),))),
    "location": Outgoing(location=Location(latitude=1, longitude=2)),
    "contacts": Outgoing(contacts=(ContactCard(name="Jo"),)),
    "reaction": THUMB,
    "contact_request": Outgoing(contact_request=True),
    "quotes": Outgoing(quotes=MESSAGE),
}
HEADED = Template(name="hello", language="de", header=TemplateHeader(text="Jo"))
OFFER = Template(name="offer", language="de", category="marketing")


def on(provider: Literal["engagelab", "whatsapp_cloud", "twilio"]) -> ConversationBench:
    bench = ConversationBench(channel(provider=provider))
    bench.message(MESSAGE)
    bench.propose(ANA)
    return bench


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_the_provider_can_not_send_is_refused_and_named(kind: str) -> None:
    assert the(SendMessage, on("whatsapp_cloud").reply("o1", content=CONTENTS[kind])).content == CONTENTS[kind]
    for provider in ("engagelab", "twilio"):
        (emitted,) = on(provider).reply("o1", content=CONTENTS[kind])
        assert isinstance(emitted.event, ConversationCommandRefused)
        assert (emitted.event.code, emitted.event.reason) == ("not_supported", f"{provider} can't send it: {kind}")


def test_a_template_s_header_and_buttons_are_variables_at_twilio() -> None:
    assert types(on("engagelab").reply("o1", text=None, template=HEADED)) == [SendMessage.type]
    assert refusals(on("twilio").reply("o1", text=None, template=HEADED)) == ["not_supported"]


def test_a_reaction_is_no_answer() -> None:
    bench = on("whatsapp_cloud")
    before = bench.latest
    (sent,) = bench.reply("o1", text=None, content=THUMB)
    assert isinstance(sent.event, SendMessage)
    assert (sent.event.kind, bench.latest) == ("reaction", before)
    published = the(ConversationMessageSent, bench.sent("o1", "reaction"))
    assert (published.kind, published.header.messages_out, published.header.messages_automatic) == ("reaction", 0, 0)
    assert (published.header.unread, published.header.waiting_since) == (1, START)
    assert bench.latest == before
    assert the(ConversationNoteAdded, bench.unsent("o2", "reaction", "refused")).text.startswith("The reaction")


@pytest.mark.parametrize("status", [AI, RESOLVED])
def test_a_reaction_takes_nothing_over_and_reopens_nothing(status: Status) -> None:
    bench = bench_with(status)
    bench.stage.settings = channel(provider="whatsapp_cloud", single=True)
    before = bench.latest
    assert types(bench.reply("o1", text=None, content=THUMB)) == [SendMessage.type]
    assert bench.latest == before


def test_marketing_that_the_customer_stopped_is_refused_until_they_resume_it() -> None:
    bench = on("whatsapp_cloud")
    assert types(bench.notice("n1", MARKETING_STOPPED)) == [ConversationNoticeReceived.type]
    assert refusals(bench.reply("o1", text=None, template=OFFER)) == ["marketing_stopped"]
    utility = OFFER.model_copy(update={"category": "utility"})
    assert types(bench.reply("o2", text=None, template=utility)) == [SendMessage.type]
    bench.wait(minutes(1))
    bench.notice("n2", MARKETING_RESUMED)
    assert types(bench.reply("o3", text=None, template=OFFER)) == [SendMessage.type]


def test_the_customer_s_latest_choice_counts_and_opens_no_window() -> None:
    bench = ConversationBench(channel(provider="whatsapp_cloud"))
    for kind, at in ((MARKETING_STOPPED, START), (MARKETING_RESUMED, START - minutes(1))):
        assert bench.feed(NoticeReceived(kind=kind, message_id=str(at), sent_at=at)) == []
    assert refusals(bench.reply("o1", text=None, template=OFFER)) == ["marketing_stopped"]
    assert refusals(bench.reply("o2")) == ["window_closed"]


# --- what the header says ------------------------------------------------------------------------------------------


def test_unread_counts_from_the_agent_s_last_message() -> None:
    bench = bench_with(OPEN)
    bench.reply("o1")
    bench.wait(minutes(5))
    bench.message("m1", sent_at=START + minutes(4))
    bench.message("m2", sent_at=START + minutes(3))
    header = the(ConversationMessageReceived, bench.message("m3")).header
    assert (header.unread, header.waiting_since) == (3, START + minutes(3))
    bench.reply("o2")
    header = the(ConversationNoteAdded, bench.note()).header
    assert (header.unread, header.waiting_since) == (0, None)


def test_a_customer_who_comes_back_is_returning() -> None:
    bench = ConversationBench()
    assert not the(ConversationOpened, bench.message("m1")).header.returning
    bench.resolve("c1")
    assert the(ConversationOpened, bench.message("m2")).header.returning


def test_the_revision_counts_changes_of_status_and_assignee_only() -> None:
    bench = bench_with(OPEN)
    before = bench.latest.revision
    emitted = [
        *bench.message("m1"),
        *bench.reply("o1"),
        *bench.note(),
        *bench.label(("vip",)),
        *bench.mute(),
        *bench.block(),
        *bench.unblock(),
        *bench.sent("o1"),
    ]
    assert {event.header.revision for event in all_of(ConversationEvent, emitted)} == {before}
    assert not all_of(ConversationChanged, emitted)
