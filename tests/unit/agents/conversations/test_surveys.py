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
from schemas.settings.channel import Template as ChannelTemplate
from tests.support.conversation import ANA, BOT, HELLO, KEY, START, Desk, channel, minutes
from tests.support.stage import Emitted, all_of, the, types

OPEN, AI, SNOOZED, RESOLVED, CLOSED = Status
DAY = timedelta(days=1)
ANSWERED = [
    ConversationMessageReceived.type,
    ConversationRated.type,
    ConversationStatusChanged.type,
    "conversation.changed",
]


def asked(desk: Desk | None = None, *, sent: bool = True) -> Desk:
    """Resolved by Ana a minute ago, and asked about."""
    desk = desk or Desk()
    desk.message("m0")
    desk.propose(ANA)
    desk.resolve("c0")
    desk.ask_survey("s1")
    if sent:
        desk.sent("s1", "survey", provider_id="el-1")
    desk.wait(minutes(1))
    return desk


def ratings(emitted: list[Emitted]) -> list[tuple[str, int]]:
    return [(event.survey_id, event.rating) for event in all_of(ConversationRated, emitted)]


# --- asked ---------------------------------------------------------------------------------------------------------


def test_an_accepted_proposal_is_sent_and_counted() -> None:
    csat = Csat(enabled=True, text="{contact.name}, 1 to 5?", template=ChannelTemplate(name="hello", language="de"))
    desk = Desk(channel(csat=csat))
    desk.message("m1", name="Jo")
    desk.resolve("c1", by="ben")
    emitted = desk.ask_survey("s1")
    requested, message = the(ConversationSurveyRequested, emitted), the(SendMessage, emitted)
    assert (requested.survey_id, requested.resolution, requested.agent, requested.asked_at) == ("s1", 1, "ben", START)
    assert (requested.header.surveys, requested.header.resolution, requested.header.status) == (1, 1, RESOLVED)
    assert (message.message_id, message.kind, message.text, message.template) == ("s1", "survey", "Jo, 1 to 5?", HELLO)
    assert message.not_after == START + DAY


@pytest.mark.parametrize("meanwhile", ["reopened", "closed", "asked", "earlier", "gone"])
def test_a_proposal_too_late_is_refused(meanwhile: str) -> None:
    desk = Desk()
    desk.message("m1")
    desk.resolve("c1")
    revision, conversation, reason = desk.latest.revision, desk.latest.id, "stale_revision"
    match meanwhile:
        case "reopened":
            desk.reopen()
        case "closed":
            desk.wait(DAY)
        case "asked":
            desk.ask_survey("s0")
        case "earlier":
            revision -= 1
        case "gone":
            conversation, reason = "gone", "unknown_conversation"
    emitted = desk.ask_survey("s1", revision=revision, conversation=conversation)
    assert types(emitted) == [ConversationSurveyRefused.type]
    refused = the(ConversationSurveyRefused, emitted)
    assert (refused.survey_id, refused.reason, refused.header.conversation_id) == ("s1", reason, conversation)


def test_a_survey_is_sent_when_the_provider_says_so() -> None:
    desk = asked(sent=False)
    emitted = desk.sent("s1", "survey", provider_id="el-1")
    assert types(emitted) == [ConversationMessageSent.type, ConversationSurveySent.type]
    assert the(ConversationSurveySent, emitted).asked_at == START + minutes(1)
    assert types(desk.sent("s1", "survey", provider_id="el-1")) == [ConversationMessageSent.type]
    desk.wait(14 * DAY - minutes(2))
    assert len(ratings(desk.message("m1", text="3"))) == 1


def test_a_survey_that_was_not_sent_was_not_asked() -> None:
    desk = asked(sent=False)
    emitted = desk.unsent("s1", "survey", "window_closed")
    assert types(emitted) == [ConversationNoteAdded.type, ConversationSurveyEnded.type]
    ended = the(ConversationSurveyEnded, emitted)
    assert (ended.outcome, ended.reason, ended.header.surveys) == ("failed", "window_closed", 0)
    assert ratings(desk.message("m1", text="5")) == []
    desk.resolve("c1")
    desk.ask_survey("s2")
    assert types(desk.unsent("s2", "survey", "refused")) == [ConversationNoteAdded.type, ConversationSurveyEnded.type]


def test_the_note_of_a_second_one_is_left_out_but_it_ended_all_the_same() -> None:
    desk = asked(sent=False)
    desk.unsent("s1", "survey", "window_closed")
    desk.reopen()
    desk.resolve("c1")
    desk.ask_survey("s2")
    assert types(desk.unsent("s2", "survey", "window_closed")) == [ConversationSurveyEnded.type]


def test_an_unknown_one_stays_requested_and_its_answer_proves_it_sent() -> None:
    desk = asked(sent=False)
    assert desk.unsent("s1", "survey", "unknown") == []
    emitted = desk.message("m1", text="4")
    assert types(emitted) == [ANSWERED[0], ConversationSurveySent.type, *ANSWERED[1:]]
    assert types(desk.sent("s1", "survey")) == [ConversationMessageSent.type]
    assert desk.unsent("s1", "survey", "refused") != []
    assert ratings(desk.message("m2", text="5")) == [("s1", 5)]


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
    desk = asked()
    emitted = desk.message("m1", text="4")
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
    assert desk.bench.row_names(KEY, "conversation/") == ["conversation/00000001"]


def test_a_second_answer_replaces_the_first() -> None:
    desk = asked()
    desk.message("m1", text="4")
    emitted = desk.message("m2", text="2")
    assert types(emitted) == ANSWERED[:2]
    assert (the(ConversationRated, emitted).rating, the(ConversationRated, emitted).previous) == (2, 4)


@pytest.mark.parametrize("text", ["4.5", "thanks, 5"])
def test_anything_else_is_an_ordinary_message(text: str) -> None:
    desk = asked()
    received = the(ConversationMessageReceived, desk.message("m1", text=text))
    assert received.treatment == "ordinary"
    assert desk.statuses == [RESOLVED, OPEN]


@pytest.mark.parametrize(("kind", "rated"), [("button", True), ("interactive", True), ("image", False)])
def test_a_tap_on_a_button_is_an_answer_and_a_caption_is_none(kind: str, rated: bool) -> None:
    assert ratings(asked().message("m1", text="5", kind=kind)) == ([("s1", 5)] if rated else [])


def test_an_automatic_resolution_credits_nobody() -> None:
    desk = Desk(channel(auto_resolve_after=minutes(10)))
    desk.message("m1")
    desk.wait(minutes(10))
    desk.ask_survey("s1")
    assert the(ConversationRated, desk.message("m2", text="5")).agent is None


def test_a_bare_digit_is_for_the_newest_while_no_conversation_is_live() -> None:
    desk = asked()
    desk.message("m1")
    assert ratings(desk.message("m2", text="1")) == []
    desk.resolve("c2", by="ben")
    desk.ask_survey("s2")
    assert ratings(desk.message("m3", text="2")) == [("s2", 2)]
    assert ratings(desk.message("m4", text="3")) == [("s2", 3)]
    assert desk.statuses == [RESOLVED, CLOSED]


@pytest.mark.parametrize("live", [False, True])
def test_a_quoted_survey_gets_its_own_answer(live: bool) -> None:
    desk = asked()
    first = desk.latest.id
    desk.message("m1")
    desk.resolve("c2")
    desk.ask_survey("s2")
    desk.sent("s2", "survey", provider_id="el-2")
    if live:
        desk.message("m2")
    emitted = desk.message("m3", text="5", quotes="el-1")
    assert ratings(emitted) == [("s1", 5)]
    assert the(ConversationMessageReceived, emitted).header.conversation_id == first
    assert desk.statuses == [CLOSED, RESOLVED, OPEN] if live else [CLOSED, RESOLVED]


def test_an_unknown_quote_counts_as_none() -> None:
    assert ratings(asked().message("m1", text="5", quotes="el-9")) == [("s1", 5)]
    desk = asked()
    desk.message("m1")
    assert ratings(desk.message("m2", text="5", quotes="el-9")) == []


def test_a_survey_of_ours_may_be_quoted_by_our_id() -> None:
    assert ratings(asked().message("m1", text="5", quotes="s1")) == [("s1", 5)]


def test_an_answer_reopens_nothing_in_single_mode() -> None:
    desk = asked(Desk(channel(single=True)))
    assert types(desk.message("m1", text="5")) == ANSWERED


def test_an_answer_about_an_earlier_resolution_closes_nothing() -> None:
    desk = asked(Desk(channel(single=True)))
    desk.message("m1")
    desk.resolve("c2")
    assert ratings(desk.message("m2", text="5")) == [("s1", 5)]
    assert desk.statuses == [RESOLVED]


def test_a_blocked_contact_rates_nothing_and_a_muted_conversation_is_rated() -> None:
    desk = asked()
    desk.mute()
    assert ratings(desk.message("m1", text="5")) == [("s1", 5)]
    desk.block()
    assert the(ConversationMessageReceived, desk.message("m2", text="4")).treatment == "quiet"


def test_a_quoted_answer_while_the_ai_agent_replies_is_no_question() -> None:
    desk = asked(Desk(channel(single=True)))
    desk.message("m1")
    desk.propose(BOT)
    assert types(desk.message("m2", text="5", quotes="el-1")) == ANSWERED[:2]
    assert desk.statuses == [AI]


# --- over ----------------------------------------------------------------------------------------------------------


def test_a_survey_nobody_answers_expires_and_closes() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=2)
    desk = asked(Desk(channel(close_after=10 * DAY, csat=csat)))
    assert desk.wait(2 * DAY - minutes(2)) == []
    emitted = desk.wait(minutes(1))
    assert types(emitted) == [
        ConversationSurveyEnded.type,
        ConversationStatusChanged.type,
        "conversation.changed",
    ]
    ended = the(ConversationSurveyEnded, emitted)
    assert (ended.outcome, ended.rating, ended.survey_id) == ("expired", None, "s1")
    assert the(ConversationStatusChanged, emitted).reason == "survey_expired"
    assert the(ConversationMessageReceived, desk.message("m1", text="5")).treatment == "ordinary"


def test_closing_does_not_end_a_survey() -> None:
    desk = asked()
    desk.wait(13 * DAY)
    assert desk.statuses == [CLOSED]
    assert types(desk.message("m1", text="5")) == ANSWERED[:2]
    emitted = desk.wait(DAY)
    assert types(emitted) == [ConversationSurveyEnded.type]
    assert (the(ConversationSurveyEnded, emitted).outcome, the(ConversationSurveyEnded, emitted).rating) == (
        "answered",
        5,
    )


def test_a_conversation_stays_while_its_survey_is_open_and_then_goes() -> None:
    desk = asked()
    desk.wait(2 * DAY)
    desk.message("m1")
    assert desk.statuses == [CLOSED, OPEN]
    desk.wait(12 * DAY)
    assert desk.statuses == [OPEN]
    assert desk.bench.row_names(KEY, "survey/") == desk.bench.row_names(KEY, "due/") == []


def test_a_survey_that_failed_keeps_no_conversation() -> None:
    desk = asked(sent=False)
    first = desk.latest.id
    desk.wait(2 * DAY)
    desk.message("m1")
    desk.unsent("s1", "survey", "refused", conversation=first)
    assert desk.statuses == [OPEN]


def test_a_late_answer_that_quotes_its_survey_is_not_the_next_one_s() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=2)
    desk = asked(Desk(channel(csat=csat)))
    desk.wait(DAY)
    desk.message("m1")
    desk.resolve("c2")
    desk.ask_survey("s2")
    desk.wait(DAY)
    received = the(ConversationMessageReceived, desk.message("m2", text="5", quotes="el-1"))
    assert received.treatment == "ordinary"


def test_a_survey_outlives_the_memory_of_its_conversation_s_end() -> None:
    csat = Csat(enabled=True, text="1 to 5?", answer_window_days=60)
    desk = asked(Desk(channel(csat=csat)))
    desk.wait(59 * DAY)
    assert ratings(desk.message("m1", text="5")) == [("s1", 5)]
    desk.wait(60 * DAY)
    assert desk.bench.row_names(KEY) == ["contact"]
