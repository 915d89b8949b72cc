"""csat: which resolutions are asked about, and what the books say of a survey."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.csat import CSAT
from schemas.event import Event
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRated,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Header,
    Status,
)
from schemas.events.csat import (
    CsatEvent,
    SurveyAnswered,
    SurveyExpired,
    SurveyFailed,
    SurveyRequested,
    SurveySent,
    SurveySkipped,
)
from schemas.events.inbox import ProposeSurvey
from schemas.settings.channel import ChannelSettings, parse_channel
from schemas.topics import CSAT as CSAT_TOPIC
from schemas.topics import INBOX
from tests.support.stage import Emitted, StageBench, all_of, the

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
KEY = "shop:34655010400"
ASKED_AT = NOON + timedelta(seconds=3)


def channel(**csat: object) -> ChannelSettings:
    enabled: dict[str, object] = {"enabled": True, "text": "How was it, 1 to 5?"}
    return parse_channel({"id": "shop", "phone_number": "+34910222333", "csat": enabled | csat})


def header(**values: object) -> Header:
    defaults: dict[str, object] = {
        "conversation_id": "c1",
        "channel": "shop",
        "contact": "34655010400",
        "opened_at": NOON,
        "revision": 7,
        "status": Status.RESOLVED,
        "resolution": 1,
    }
    return Header.model_validate(defaults | values)


def resolved(reason: str = "resolved", by: str | None = "nadia", **values: object) -> ConversationStatusChanged:
    return ConversationStatusChanged(header=header(**values), previous=Status.OPEN, by=by, reason=reason)


def reported(event: Event, **csat: object) -> list[Emitted]:
    return StageBench(CSAT, channel(**csat)).feed(event, at=NOON, key=KEY)


def reason_of(emitted: list[Emitted]) -> str:
    assert [entry.topic for entry in emitted] == [CSAT_TOPIC]
    return the(SurveySkipped, emitted).reason


# --- a resolution: is it asked about? ------------------------------------------------------------------------------


@pytest.mark.parametrize("previous", [Status.OPEN, Status.AI_REPLYING, Status.SNOOZED])
def test_a_resolution_is_asked_about_with_the_revision_it_was_seen_at(previous: Status) -> None:
    event = ConversationStatusChanged(header=header(), previous=previous, by="nadia", reason="resolved")
    emitted = reported(event)
    assert [(entry.topic, entry.key) for entry in emitted] == [(INBOX, KEY)]
    survey = the(ProposeSurvey, emitted)
    assert (survey.conversation_id, survey.revision) == ("c1", 7)
    assert survey.survey_id


def test_two_resolutions_have_surveys_of_their_own_and_a_repeated_decision_the_same() -> None:
    bench = StageBench(CSAT, channel())
    first = the(ProposeSurvey, bench.feed(resolved(), at=NOON, key=KEY))
    second = the(ProposeSurvey, bench.feed(resolved(resolution=2, surveys=1), at=NOON, key=KEY))
    again = the(ProposeSurvey, StageBench(CSAT, channel()).feed(resolved(), at=NOON, key=KEY))
    assert first.survey_id != second.survey_id
    assert first.survey_id == again.survey_id


def test_disabled_csat_asks_and_writes_nothing() -> None:
    assert reported(resolved(), enabled=False) == []


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.RESOLVED}))
def test_no_other_change_asks(status: Status) -> None:
    event = ConversationStatusChanged(header=header(status=status), previous=Status.RESOLVED, reason="reopened")
    assert reported(event) == []


def test_events_of_a_resolved_conversation_ask_for_no_rating() -> None:
    assert reported(ConversationOpened(header=header())) == []
    assert reported(ConversationMessageReceived(header=header(), message_id="m1", at=NOON, kind="text")) == []


def test_a_blocked_contact_is_not_asked() -> None:
    assert reason_of(reported(resolved(blocked=True))) == "blocked"


def test_an_automatic_resolution_is_asked_about_unless_the_channel_does_not_want_it() -> None:
    event = resolved("auto_resolved", by=None)
    assert all_of(ProposeSurvey, reported(event))
    assert reason_of(reported(event, on_auto_resolve=False)) == "auto_resolved"
    assert all_of(ProposeSurvey, reported(resolved(), on_auto_resolve=False))


@pytest.mark.parametrize(
    ("mode", "listed", "labels", "asked"),
    [
        ("only", ["vip", "returns"], ("vip",), True),
        ("only", ["vip"], ("returns",), False),
        ("only", ["vip"], (), False),
        ("only", [], ("vip",), True),
        ("only", [], (), True),
        ("except", ["vip", "returns"], ("other", "returns"), False),
        ("except", ["vip"], ("returns",), True),
        ("except", ["vip"], (), True),
        ("except", [], ("vip",), True),
    ],
)
def test_labels_choose_whom_to_ask_and_none_listed_is_no_rule(
    mode: str, listed: list[str], labels: tuple[str, ...], asked: bool
) -> None:
    emitted = reported(resolved(labels=labels), labels={"mode": mode, "labels": listed})
    assert bool(all_of(ProposeSurvey, emitted)) == asked
    if not asked:
        assert reason_of(emitted) == "labels"


def test_per_conversation_asks_once_whoever_resolves_again() -> None:
    assert all_of(ProposeSurvey, reported(resolved(), repeat="per_conversation"))
    assert reason_of(reported(resolved(surveys=1, resolution=2), repeat="per_conversation")) == "asked_before"
    # One that failed, or was skipped, is not counted by the header: it was not asked.
    assert all_of(ProposeSurvey, reported(resolved(surveys=0, resolution=2), repeat="per_conversation"))
    assert all_of(ProposeSurvey, reported(resolved(surveys=4, resolution=5)))


@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from(["resolved", "auto_resolved"]),
    st.sets(st.sampled_from(["vip", "returns"])),
    st.sampled_from(["only", "except"]),
    st.integers(0, 2),
    st.sampled_from(["per_resolution", "per_conversation"]),
)
def test_a_resolution_leads_to_one_proposal_or_one_reason(
    enabled: bool, blocked: bool, reason: str, labels: set[str], mode: str, surveys: int, repeat: str
) -> None:
    csat = {"enabled": enabled, "repeat": repeat, "labels": {"mode": mode, "labels": ["vip"]}, "on_auto_resolve": False}
    emitted = reported(resolved(reason, blocked=blocked, labels=tuple(sorted(labels)), surveys=surveys), **csat)
    assert len(emitted) == enabled


# --- what became of a survey ---------------------------------------------------------------------------------------

SURVEY = {"survey_id": "s1", "resolution": 2, "agent": "nadia", "asked_at": ASKED_AT}
BOOKED = {**SURVEY, "conversation_id": "c1", "channel": "shop", "contact": "34655010400"}


@pytest.mark.parametrize(
    ("event", "booked"),
    [
        (ConversationSurveyRequested(header=header(), **SURVEY), SurveyRequested(**BOOKED)),
        (ConversationSurveySent(header=header(), **SURVEY), SurveySent(**BOOKED)),
        (
            ConversationRated(header=header(), **SURVEY, rating=2, message_id="m1"),
            SurveyAnswered(**BOOKED, rating=2),
        ),
        (
            ConversationRated(header=header(), **SURVEY, rating=5, previous=2, message_id="m2"),
            SurveyAnswered(**BOOKED, rating=5, previous=2),
        ),
        (ConversationSurveyEnded(header=header(), **SURVEY, outcome="expired"), SurveyExpired(**BOOKED)),
        (
            ConversationSurveyEnded(header=header(), **SURVEY, outcome="failed", reason="window_closed"),
            SurveyFailed(**BOOKED, reason="window_closed"),
        ),
    ],
)
def test_the_books_say_what_became_of_a_survey(event: Event, booked: CsatEvent) -> None:
    emitted = reported(event)
    assert emitted == [Emitted(CSAT_TOPIC, KEY, booked)]


def test_the_end_of_an_answered_survey_is_nothing_new() -> None:
    assert reported(ConversationSurveyEnded(header=header(), **SURVEY, outcome="answered", rating=4)) == []


def test_the_books_are_kept_where_csat_was_disabled_meanwhile() -> None:
    emitted = reported(ConversationRated(header=header(), **SURVEY, rating=3, message_id="m1"), enabled=False)
    assert the(SurveyAnswered, emitted).rating == 3


def test_a_proposal_that_came_too_late_was_skipped() -> None:
    refused = ConversationSurveyRefused(header=header(resolution=3), survey_id="s9", reason="stale_revision")
    skipped = the(SurveySkipped, reported(refused))
    assert (skipped.survey_id, skipped.resolution, skipped.reason) == ("s9", 3, "stale_revision")


def test_csat_keeps_no_rows() -> None:
    bench = StageBench(CSAT, channel())
    for _ in range(3):
        bench.feed(resolved(), at=NOON, key=KEY)
    assert list(bench.row_sizes()) == []
