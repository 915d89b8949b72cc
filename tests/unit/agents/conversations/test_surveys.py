"""Surveys: asked about a resolution, answered in the chat, over when their window is."""

from datetime import timedelta

import pytest

from agents.conversations.ratings import Answer, read_answer
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationRated,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Status,
)
from schemas.events.sending import SendMessage
from schemas.settings.channel import Csat
from schemas.settings.types import Template as ChannelTemplate
from tests.support.conversation import ANA, BOT, HELLO, KEY, START, ConversationBench, channel, minutes
from tests.support.stage import Emitted, all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)
ANSWERED = [
    ConversationMessageReceived.type,
    ConversationRated.type,
    ConversationStatusChanged.type,
    "conversation.changed",
]


def asked(bench: ConversationBench | None = None, *, sent: bool = True) -> ConversationBench:
    """Resolved by Ana a minute ago, and asked about."""
    bench = bench or ConversationBench()
    bench.message("m0")
    bench.propose(ANA)
    bench.resolve("c0")
    bench.ask_survey("s1")
    if sent:
        bench.sent("s1", "survey", provider_id="el-1")
    bench.wait(minutes(1))
    return bench


def ratings(emitted: list[Emitted]) -> list[tuple[str, int]]:
    return [(event.survey_id, event.rating) for event in all_of(ConversationRated, emitted)]


# --- asked ---------------------------------------------------------------------------------------------------------


def test_an_accepted_proposal_is_sent_and_counted() -> None:
    csat = Csat(enabled=True, text="{contact.name}, 1 to 5?", template=ChannelTemplate(name="hello", language="de"))
    bench = ConversationBench(channel(csat=csat))
    bench.message("m1", name="Jo")
    bench.resolve("c1", by="ben")
    emitted = bench.ask_survey("s1")
    requested, message = the(ConversationSurveyRequested, emitted), the(SendMessage, emitted)
    assert (requested.survey_id, requested.resolution, requested.agent, requested.asked_at) == ("s1", 1, "ben", START)
    assert (requested.header.surveys, requested.header.resolution, requested.header.status) == (1, 1, RESOLVED)
    assert (message.message_id, message.kind, message.text, message.template) == ("s1", "survey", "Jo, 1 to 5?", HELLO)
    assert message.not_after == START + DAY


@pytest.mark.parametrize("meanwhile", ["reopened", "closed", "asked", "earlier", "gone"])
def test_a_proposal_too_late_is_refused(meanwhile: str) -> None:
    bench = ConversationBench()
    bench.message("m1")
    bench.resolve("c1")
    revision, conversation, reason = bench.latest.revision, bench.latest.id, "stale_revision"
    match meanwhile:
        case "reopened":
            bench.reopen()
        case "closed":
            bench.wait(DAY)
        case "asked":
            bench.ask_survey("s0")
        case "earlier":
            revision -= 1
        case "gone":
            conversation, reason = "gone", "unknown_conversation"
    emitted = bench.ask_survey("s1", revision=revision, conversation=conversation)
    assert types(emitted) == [ConversationSurveyRefused.type]
    refused = the(ConversationSurveyRefused, emitted)
    assert (refused.survey_id, refused.reason, refused.header.conversation_id) == ("s1", reason, conversation)


def test_a_survey_is_sent_when_the_provider_says_so() -> None:
    bench = asked(sent=False)
    emitted = bench.sent("s1", "survey", provider_id="el-1")
    assert types(emitted) == [ConversationMessageSent.type, ConversationSurveySent.type]
    assert the(ConversationSurveySent, emitted).asked_at == START + minutes(1)
    assert types(bench.sent("s1", "survey", provider_id="el-1")) == [ConversationMessageSent.type]
    bench.wait(14 * DAY - minutes(2))
    assert len(ratings(bench.message("m1", text="3"))) == 1


def test_a_survey_that_was_not_sent_was_not_asked() -> None:
    bench = asked(sent=False)
    emitted = bench.unsent("s1", "survey", "window_closed")
    assert types(emitted) == [ConversationNoteAdded.type, ConversationSurveyEnded.type]
    ended = the(ConversationSurveyEnded, emitted)
    assert (ended.outcome, ended.reason, ended.header.surveys) == ("failed", "window_closed", 0)
    assert ratings(bench.message("m1", text="5")) == []
    bench.resolve("c1")
    bench.ask_survey("s2")
    assert types(bench.unsent("s2", "survey", "refused")) == [ConversationNoteAdded.type, ConversationSurveyEnded.type]


def test_the_note_of_a_second_one_is_left_out_but_it_ended_all_the_same() -> None:
    bench = asked(sent=False)
    bench.unsent("s1", "survey", "window_closed")
    bench.reopen()
    bench.resolve("c1")
    bench.ask_survey("s2")
    assert types(bench.unsent("s2", "survey", "window_closed")) == [ConversationSurveyEnded.type]


def test_an_unknown_one_stays_requested_and_its_answer_proves_it_sent() -> None:
    bench = asked(sent=False)
    assert bench.unsent("s1", "survey", "unknown") == []
    emitted = bench.message("m1", text="4")
    assert types(emitted) == [ANSWERED[0], ConversationSurveySent.type, *ANSWERED[1:]]
    assert types(bench.sent("s1", "survey")) == [ConversationMessageSent.type]
    assert bench.unsent("s1", "survey", "refused") != []
    assert ratings(bench.message("m2", text="5")) == [("s1", 5)]


# --- answered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("1", 1),
        ("5", 5),
        (" 4\n", 4),
        ("\u3000３\u00a0", 3),
        ("٢", 2),
        ("४", 4),
        ("4/5", 4),
        ("４／５", 4),
        ("⭐", 1),
        ("⭐⭐⭐⭐⭐", 5),
        ("⭐️⭐️", 2),
        ("", None),
        ("0", None),
        ("6", None),
        ("10", None),
        ("-1", None),
        ("4.5", None),
        ("4,5", None),
        ("4/10", None),
        ("6/5", None),
        ("0/5", None),
        ("/5", None),
        ("4/", None),
        ("5!", 5),
        ("5 5", None),
        ("five", 5),
        ("I'd say 5", None),
        ("⭐" * 6, None),
        ("⭐ super", None),
        ("5⭐", 5),
        ("½", None),
        ("⁴", None),
    ],
)
def test_a_rating_is_unmistakable(text: str, rating: int | None) -> None:
    assert read_answer(text) == (None if rating is None else Answer(rating))


def test_an_answer_is_credited_and_closes() -> None:
    bench = asked()
    emitted = bench.message("m1", text="4")
    assert types(emitted) == ANSWERED
    received, rated = the(ConversationMessageReceived, emitted), the(ConversationRated, emitted)
    assert (received.treatment, received.header.status, received.header.unread) == ("rating", RESOLVED, 1)
    assert (rated.survey_id, rated.rating, rated.previous, rated.agent) == ("s1", 4, None, "ana")
    assert (rated.resolution, rated.asked_at, rated.message_id) == (1, START, "m1")
    changed = the(ConversationStatusChanged, emitted)
    assert (changed.previous, changed.header.status, changed.reason, changed.by) == (
        RESOLVED,
        CLOSED,
        "survey_answered",
        None,
    )
    assert bench.stage.row_names(KEY, "conversation/") == ["conversation/00000001"]


def test_a_second_answer_replaces_the_first() -> None:
    bench = asked()
    bench.message("m1", text="4")
    emitted = bench.message("m2", text="2")
    assert types(emitted) == ANSWERED[:2]
    assert (the(ConversationRated, emitted).rating, the(ConversationRated, emitted).previous) == (2, 4)


@pytest.mark.parametrize("text", ["4.5", "thanks, 5"])
def test_anything_else_is_an_ordinary_message(text: str) -> None:
    bench = asked()
    received = the(ConversationMessageReceived, bench.message("m1", text=text))
    assert received.treatment == "ordinary"
    assert bench.statuses == [RESOLVED, OPEN]


@pytest.mark.parametrize(("kind", "rated"), [("button", True), ("interactive", True), ("image", False)])
def test_a_tap_on_a_button_is_an_answer_and_a_caption_is_none(kind: str, rated: bool) -> None:
    assert ratings(asked().message("m1", text="5", kind=kind)) == ([("s1", 5)] if rated else [])


def test_an_automatic_resolution_credits_nobody() -> None:
    bench = ConversationBench(channel(auto_resolve_after=minutes(10)))
    bench.message("m1")
    bench.wait(minutes(10))
    bench.ask_survey("s1")
    assert the(ConversationRated, bench.message("m2", text="5")).agent is None


def test_a_bare_digit_is_for_the_newest_while_no_conversation_is_live() -> None:
    bench = asked()
    bench.message("m1")
    assert ratings(bench.message("m2", text="1")) == []
    bench.resolve("c2", by="ben")
    bench.ask_survey("s2")
    assert ratings(bench.message("m3", text="2")) == [("s2", 2)]
    assert ratings(bench.message("m4", text="3")) == [("s2", 3)]
    assert bench.statuses == [RESOLVED, CLOSED]


@pytest.mark.parametrize("live", [False, True])
def test_a_quoted_survey_gets_its_own_answer(live: bool) -> None:
    bench = asked()
    first = bench.latest.id
    bench.message("m1")
    bench.resolve("c2")
    bench.ask_survey("s2")
    bench.sent("s2", "survey", provider_id="el-2")
    if live:
        bench.message("m2")
    emitted = bench.message("m3", text="5", quotes="el-1")
    assert ratings(emitted) == [("s1", 5)]
    assert the(ConversationMessageReceived, emitted).header.conversation_id == first
    assert bench.statuses == [CLOSED, RESOLVED, OPEN] if live else [CLOSED, RESOLVED]


def test_an_unknown_quote_counts_as_none() -> None:
    assert ratings(asked().message("m1", text="5", quotes="el-9")) == [("s1", 5)]
    bench = asked()
    bench.message("m1")
    assert ratings(bench.message("m2", text="5", quotes="el-9")) == []


def test_a_survey_of_ours_may_be_quoted_by_our_id() -> None:
    assert ratings(asked().message("m1", text="5", quotes="s1")) == [("s1", 5)]


def test_an_answer_reopens_nothing_in_single_mode() -> None:
    bench = asked(ConversationBench(channel(single=True)))
    assert types(bench.message("m1", text="5")) == ANSWERED


def test_an_answer_about_an_earlier_resolution_closes_nothing() -> None:
    bench = asked(ConversationBench(channel(single=True)))
    bench.message("m1")
    bench.resolve("c2")
    assert ratings(bench.message("m2", text="5")) == [("s1", 5)]
    assert bench.statuses == [RESOLVED]


def test_a_blocked_contact_rates_nothing_and_a_muted_conversation_is_rated() -> None:
    bench = asked()
    bench.mute()
    assert ratings(bench.message("m1", text="5")) == [("s1", 5)]
    bench.block()
    assert the(ConversationMessageReceived, bench.message("m2", text="4")).treatment == "quiet"


def test_a_quoted_answer_while_the_ai_agent_replies_is_no_question() -> None:
    bench = asked(ConversationBench(channel(single=True)))
    bench.message("m1")
    bench.propose(BOT)
    assert types(bench.message("m2", text="5", quotes="el-1")) == ANSWERED[:2]
    assert bench.statuses == [AI]


# --- over ----------------------------------------------------------------------------------------------------------


def test_a_survey_nobody_answers_expires_and_closes() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=2)
    bench = asked(ConversationBench(channel(close_after=10 * DAY, csat=csat)))
    assert bench.wait(2 * DAY - minutes(2)) == []
    emitted = bench.wait(minutes(1))
    assert types(emitted) == [
        ConversationSurveyEnded.type,
        ConversationStatusChanged.type,
        "conversation.changed",
    ]
    ended = the(ConversationSurveyEnded, emitted)
    assert (ended.outcome, ended.rating, ended.survey_id) == ("expired", None, "s1")
    assert the(ConversationStatusChanged, emitted).reason == "survey_expired"
    assert the(ConversationMessageReceived, bench.message("m1", text="5")).treatment == "ordinary"


def test_closing_does_not_end_a_survey() -> None:
    bench = asked()
    bench.wait(13 * DAY)
    assert bench.statuses == [CLOSED]
    assert types(bench.message("m1", text="5")) == ANSWERED[:2]
    emitted = bench.wait(DAY)
    assert types(emitted) == [ConversationSurveyEnded.type]
    assert (the(ConversationSurveyEnded, emitted).outcome, the(ConversationSurveyEnded, emitted).rating) == (
        "answered",
        5,
    )


def test_a_conversation_stays_while_its_survey_is_open_and_then_goes() -> None:
    bench = asked()
    bench.wait(2 * DAY)
    bench.message("m1")
    assert bench.statuses == [CLOSED, OPEN]
    bench.wait(12 * DAY)
    assert bench.statuses == [OPEN]
    assert bench.stage.row_names(KEY, "survey/") == bench.stage.row_names(KEY, "due/") == []


def test_a_survey_that_failed_keeps_no_conversation() -> None:
    bench = asked(sent=False)
    first = bench.latest.id
    bench.wait(2 * DAY)
    bench.message("m1")
    bench.unsent("s1", "survey", "refused", conversation=first)
    assert bench.statuses == [OPEN]


def test_a_late_answer_that_quotes_its_survey_is_not_the_next_one_s() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=2)
    bench = asked(ConversationBench(channel(csat=csat)))
    bench.wait(DAY)
    bench.message("m1")
    bench.resolve("c2")
    bench.ask_survey("s2")
    bench.wait(DAY)
    received = the(ConversationMessageReceived, bench.message("m2", text="5", quotes="el-1"))
    assert received.treatment == "ordinary"


def test_a_survey_outlives_the_memory_of_its_conversation_s_end() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=60)
    bench = asked(ConversationBench(channel(csat=csat)))
    bench.wait(59 * DAY)
    assert ratings(bench.message("m1", text="5")) == [("s1", 5)]
    bench.wait(60 * DAY)
    assert bench.stage.row_names(KEY) == ["contact"]
