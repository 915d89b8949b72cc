"""reports: what counts, where and once; corrections; how much is kept."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.reports.conversations import REPORTS_CONVERSATIONS
from agents.reports.csat import REPORTS_CSAT
from agents.reports.statuses import REPORTS_STATUSES
from agents.stage import SHARED_ROWS
from schemas.events.conversation import ConversationSurveyEnded, ConversationSurveyRequested, Status
from schemas.events.csat import SurveyAnswered, SurveyExpired, SurveySent
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import bucket_of, value_of
from tests.support.reports import DAY, MONDAY, Reports, Talk, channel, minutes

HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
TUESDAY = DAY + A_DAY


def talks(zone: str | None = None) -> tuple[Reports, Talk]:
    reports = Reports(REPORTS_CONVERSATIONS, channel(zone))
    return reports, Talk(reports)


def bucket(took: timedelta) -> str:
    return str(bucket_of(took))


# --- buckets -------------------------------------------------------------------------------------------------------


@given(st.integers(1000, 30 * 86_400_000))
def test_a_bucket_s_value_is_within_5_percent_from_a_second_to_30_days(milliseconds: int) -> None:
    took = timedelta(milliseconds=milliseconds)
    assert abs(value_of(bucket_of(took)) / took - 1) <= 0.05


def test_there_are_about_150_buckets_to_30_days() -> None:
    assert 140 <= bucket_of(timedelta(days=30)) <= 160


@given(st.integers(-1000, 10**9), st.integers(0, 10**9))
def test_a_longer_time_is_in_no_lower_bucket_and_none_is_below_the_first(seconds: int, more: int) -> None:
    lower, higher = (bucket_of(timedelta(seconds=number)) for number in (seconds, seconds + more))
    assert 0 <= lower <= higher


# --- conversations -------------------------------------------------------------------------------------------------


def test_a_conversation_counts_where_it_was_opened_resolved_and_closed() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).resolve(MONDAY + A_DAY).close(MONDAY + 2 * A_DAY)
    assert reports.of("conversations") == {
        (DAY, None, "opened"): 1,
        (TUESDAY, "nadia", "resolved"): 1,
        (DAY + 2 * A_DAY, "nadia", "closed"): 1,
    }
    assert reports.of("resolution_open") == {(TUESDAY, "nadia", bucket(A_DAY)): 1}


def test_an_automatic_resolution_credits_nobody() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).resolve(MONDAY + HOUR, by=None)
    assert (DAY, None, "resolved_automatically") in reports.of("conversations")
    assert reports.of("resolution_open") == {(DAY, None, bucket(HOUR)): 1}


def test_reopening_takes_the_resolution_and_the_closing_back_and_a_new_resolution_counts_instead() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).resolve(MONDAY + HOUR)
    talk.tell(survey_requested(talk), MONDAY + HOUR)
    talk.close(MONDAY + 2 * HOUR).reopen(MONDAY + A_DAY)
    assert reports.of("conversations") == {(DAY, None, "opened"): 1, (TUESDAY, "nadia", "reopened"): 1}
    assert reports.of("resolution_open") == {}
    talk.resolve(MONDAY + A_DAY + HOUR, by="olaf")
    assert reports.of("conversations") == {
        (DAY, None, "opened"): 1,
        (TUESDAY, "nadia", "reopened"): 1,
        (TUESDAY, "olaf", "resolved"): 1,
    }
    # From the opening: the customer waited for all of it.
    assert reports.of("resolution_open") == {(TUESDAY, "olaf", bucket(A_DAY + HOUR)): 1}


@pytest.mark.parametrize("status", [Status.OPEN, Status.AI_REPLYING, Status.SNOOZED])
def test_moves_between_live_statuses_count_nothing(status: Status) -> None:
    reports, talk = talks()
    talk.open(MONDAY).move(Status.SNOOZED, MONDAY + HOUR, "nadia", "snoozed").move(status, MONDAY + HOUR, None, "woken")
    assert reports.of("conversations") == {(DAY, None, "opened"): 1}


def survey_requested(talk: Talk) -> ConversationSurveyRequested:
    return ConversationSurveyRequested(header=talk.header(), survey_id="s", resolution=1, asked_at=MONDAY)


def survey_ended(talk: Talk) -> ConversationSurveyEnded:
    ended = {"header": talk.header(), "survey_id": "s", "resolution": 1, "asked_at": MONDAY, "outcome": "expired"}
    return ConversationSurveyEnded.model_validate(ended)


def kept(reports: Reports, prefix: str) -> list[str]:
    return reports.benches[0].row_names(SHARED_ROWS, prefix)


@pytest.mark.parametrize("closed_first", [True, False])
def test_a_round_is_final_when_closed_and_its_surveys_ended(closed_first: bool) -> None:
    reports, talk = talks()
    talk.open(MONDAY).resolve(MONDAY)
    talk.tell(survey_requested(talk), MONDAY)
    if closed_first:
        talk.close(MONDAY + HOUR)
        assert kept(reports, "round/")
        talk.tell(survey_ended(talk), MONDAY + 2 * HOUR)
    else:
        talk.tell(survey_ended(talk), MONDAY + HOUR)
        assert kept(reports, "round/")
        talk.close(MONDAY + 2 * HOUR)
    assert kept(reports, "round/") == []


def test_a_final_conversation_that_is_reopened_begins_another_round() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).send(MONDAY + minutes(1)).resolve(MONDAY + HOUR).close(MONDAY + 2 * HOUR)
    later = MONDAY + 30 * A_DAY
    talk.reopen(later).write(later).send(later + minutes(5), by="olaf").resolve(later + minutes(20), by="olaf")
    assert reports.of("conversations") == {
        (DAY, None, "opened"): 1,
        (DAY, "nadia", "resolved"): 1,
        (DAY, "nadia", "closed"): 1,
        (later.date(), None, "opened"): 1,
        (later.date(), "olaf", "resolved"): 1,
    }
    assert reports.of("first_response_open")[later.date(), "olaf", bucket(minutes(5))] == 1
    assert reports.of("resolution_open")[later.date(), "olaf", bucket(minutes(20))] == 1


def test_a_conversation_older_than_reports_is_counted_from_its_resolution_on() -> None:
    reports, talk = talks()
    talk.opened_at = MONDAY - HOUR
    talk.write(MONDAY).resolve(MONDAY)
    assert reports.of("conversations") == {(DAY, "nadia", "resolved"): 1}
    assert reports.of("resolution_open") == {(DAY, "nadia", bucket(HOUR)): 1}


# --- times ---------------------------------------------------------------------------------------------------------


def test_the_first_response_is_the_first_message_of_an_agent_and_only_that() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY)
    talk.send(MONDAY + minutes(1), by=None, kind="greeting").send(MONDAY + minutes(2), by=None, kind="unavailable")
    talk.write(MONDAY + minutes(3)).send(MONDAY + minutes(10), by="olaf").send(MONDAY + minutes(11), by="nadia")
    assert reports.of("first_response_open") == {(DAY, "olaf", bucket(minutes(10))): 1}


def test_the_ai_agent_s_answer_is_a_first_response_and_nobody_s() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).send(MONDAY + minutes(1), by="bot", kind="ai").send(MONDAY + HOUR)
    assert reports.of("first_response_open") == {(DAY, None, bucket(minutes(1))): 1}


def test_a_conversation_that_a_person_began_has_no_first_response() -> None:
    reports, talk = talks()
    talk.open(MONDAY, by="agent").write(MONDAY + minutes(1)).send(MONDAY + minutes(2))
    final = Talk(reports, "c2").open(MONDAY).resolve(MONDAY).close(MONDAY)
    final.reopen(MONDAY + HOUR, by="nadia").write(MONDAY + HOUR).send(MONDAY + HOUR)
    assert reports.of("first_response_open") == {}


def test_a_message_that_triggers_nothing_is_not_waited_for() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY, treatment="quiet").send(MONDAY + HOUR)
    assert reports.of("first_response_open") == {}


def test_a_response_after_a_reopening_is_counted_from_the_reopening() -> None:
    """X05."""
    reports = Reports(REPORTS_CONVERSATIONS, channel())
    later = MONDAY + timedelta(days=5)
    talk = Talk(reports).open(MONDAY).write(MONDAY).resolve(MONDAY + minutes(1), None)
    talk.move(Status.OPEN, later, reason="customer_message").write(later).send(later + minutes(10))
    day = later.date()
    assert reports.of("first_response_open") == {(day, "nadia", str(bucket_of(minutes(10)))): 1}


def test_reopening_takes_no_first_response_back() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).send(MONDAY + minutes(3)).resolve(MONDAY + HOUR).reopen(MONDAY + 2 * HOUR)
    talk.write(MONDAY + 2 * HOUR).send(MONDAY + 3 * HOUR)
    assert reports.of("first_response_open") == {(DAY, "nadia", bucket(minutes(3))): 1}


@pytest.mark.parametrize(
    ("sent", "group"),
    [
        (datetime.fromisoformat("2026-03-09T16:59:59+01:00"), "open"),
        (datetime.fromisoformat("2026-03-09T17:00:00+01:00"), "closed"),
        (datetime.fromisoformat("2026-03-08T12:00:00+01:00"), "closed"),
    ],
)
def test_times_are_grouped_by_whether_the_customer_s_first_message_came_in_hours(sent: datetime, group: str) -> None:
    reports, talk = talks("Europe/Madrid")
    # It reached us in hours all the same, and so did the second one.
    arrived = MONDAY + 6 * HOUR
    talk.open(arrived).write(arrived, sent=sent).write(arrived, sent=sent + 30 * HOUR)
    talk.send(arrived + HOUR).resolve(arrived + 2 * HOUR)
    assert {count.kind for count in reports.sums} == {"conversations", f"first_response_{group}", f"resolution_{group}"}


def test_the_first_message_is_the_earliest_where_they_come_out_of_order() -> None:
    reports, talk = talks()
    talk.open(MONDAY).write(MONDAY).write(MONDAY + minutes(1), sent=MONDAY - minutes(4)).send(MONDAY + minutes(6))
    assert reports.of("first_response_open") == {(DAY, "nadia", bucket(minutes(10))): 1}


def test_the_opening_decides_on_hours_where_the_customer_never_wrote() -> None:
    reports, talk = talks("Europe/Madrid")
    night = MONDAY + 12 * HOUR
    talk.open(night, by="agent").send(night).resolve(night + HOUR)
    assert [name.kind for name in reports.sums if "resolution" in name.kind] == ["resolution_closed"]


# --- satisfaction --------------------------------------------------------------------------------------------------


def sent(id: str = "s1", asked_at: datetime = MONDAY, agent: str | None = "nadia") -> SurveySent:
    return SurveySent(
        survey_id=id, conversation_id="c1", channel="shop", contact="1", resolution=1, agent=agent, asked_at=asked_at
    )


def answered(
    rating: int, previous: int | None = None, asked_at: datetime = MONDAY, agent: str | None = "nadia"
) -> SurveyAnswered:
    values = sent(asked_at=asked_at, agent=agent).model_dump()
    return SurveyAnswered.model_validate(values | {"rating": rating, "previous": previous})


def test_an_answer_counts_on_the_day_and_the_agent_of_its_survey() -> None:
    reports = Reports(REPORTS_CSAT, channel())
    reports.tell(sent(), MONDAY)
    reports.tell(sent("s2", agent=None), MONDAY)
    reports.tell(answered(5), MONDAY + 13 * A_DAY)
    assert reports.of("satisfaction") == {
        (DAY, "nadia", "sent"): 1,
        (DAY, None, "sent"): 1,
        (DAY, "nadia", "rating_5"): 1,
    }


def test_a_second_answer_replaces_the_first() -> None:
    reports = Reports(REPORTS_CSAT, channel())
    reports.tell(sent(), MONDAY)
    for event in (answered(2), answered(4, previous=2), answered(4, previous=4), answered(1, previous=4)):
        reports.tell(event, MONDAY + A_DAY)
    assert reports.of("satisfaction") == {(DAY, "nadia", "sent"): 1, (DAY, "nadia", "rating_1"): 1}


def test_a_survey_without_an_answer_counts_as_sent_alone() -> None:
    reports = Reports(REPORTS_CSAT, channel())
    reports.tell(sent(), MONDAY)
    reports.tell(SurveyExpired.model_validate(sent().model_dump()), MONDAY + 14 * A_DAY)
    assert reports.of("satisfaction") == {(DAY, "nadia", "sent"): 1}


@pytest.mark.parametrize(
    ("zone", "day"), [("Asia/Tokyo", TUESDAY), ("America/New_York", DAY), ("Europe/Madrid", TUESDAY), (None, DAY)]
)
def test_days_are_those_of_the_business_hours_zone_else_of_utc(zone: str | None, day: date) -> None:
    late = MONDAY + 11 * HOUR + minutes(30)
    reports = Reports(REPORTS_CSAT, channel(zone))
    reports.tell(sent(asked_at=late), late)
    assert set(reports.of("satisfaction")) == {(day, "nadia", "sent")}


def test_hours_that_are_switched_off_leave_their_zone() -> None:
    late = MONDAY + 11 * HOUR + minutes(30)
    reports = Reports(REPORTS_CSAT, channel("Asia/Tokyo", enabled=False))
    reports.tell(sent(asked_at=late), late)
    assert set(reports.of("satisfaction")) == {(TUESDAY, "nadia", "sent")}


def test_an_answer_counts_on_its_survey_s_day_though_the_zone_was_changed_in_between() -> None:
    late = MONDAY + 11 * HOUR + minutes(30)
    reports = Reports(REPORTS_CSAT, channel("Asia/Tokyo"))
    reports.tell(sent(asked_at=late), late)
    reports.settings = channel("America/New_York")
    reports.tell(answered(3, asked_at=late), late + HOUR)
    reports.settings = channel()
    reports.tell(answered(5, previous=3, asked_at=late), late + 2 * HOUR)
    assert reports.of("satisfaction") == {(TUESDAY, "nadia", "sent"): 1, (TUESDAY, "nadia", "rating_5"): 1}


# --- messages ------------------------------------------------------------------------------------------------------


def status_changed(
    status: str, previous: str | None, timestamps: dict[str, datetime], id: str = "o1"
) -> MessageStatusChanged:
    return MessageStatusChanged(message_id=id, reported=status, status=status, previous=previous, timestamps=timestamps)


def test_a_status_that_moves_on_is_counted_once_on_the_message_s_first_day() -> None:
    reports = Reports(REPORTS_STATUSES, channel())
    known = {"accepted": MONDAY}
    reports.tell(status_changed("accepted", None, known), MONDAY)
    known |= {"delivered": MONDAY + A_DAY}
    reports.tell(status_changed("delivered", "accepted", known), MONDAY + A_DAY)
    # A late receipt of an earlier time: it has a timestamp, and changes neither status nor day.
    known |= {"sent": MONDAY - A_DAY}
    reports.tell(status_changed("delivered", "delivered", known), MONDAY + A_DAY)
    known |= {"read": MONDAY + 9 * A_DAY}
    reports.tell(status_changed("read", "delivered", known), MONDAY + 9 * A_DAY)
    assert reports.of("messages") == {(DAY, None, "read"): 1}


def test_a_word_that_nobody_knows_is_no_status() -> None:
    reports = Reports(REPORTS_STATUSES, channel())
    reports.tell(status_changed("unknown", None, {}), MONDAY)
    reports.tell(status_changed("sent", None, {"sent": MONDAY}), MONDAY)
    assert reports.of("messages") == {(DAY, None, "sent"): 1}


# --- what is kept --------------------------------------------------------------------------------------------------


def test_partials_are_kept_until_midnight_and_a_late_correction_corrupts_nothing() -> None:
    reports = Reports(REPORTS_CSAT, channel())
    for number in range(3):
        reports.tell(sent(f"s{number}"), MONDAY)
    reports.benches[0].fire(MONDAY + 12 * HOUR - timedelta(milliseconds=1))
    assert len(kept(reports, "partial/")) == 1
    reports.benches[0].fire(MONDAY + 12 * HOUR)
    assert kept(reports, "partial/") == []
    reports.tell(answered(5), MONDAY + 360 * A_DAY)
    reports.tell(answered(2, previous=5), MONDAY + 364 * A_DAY)
    assert reports.of("satisfaction") == {(DAY, "nadia", "sent"): 3, (DAY, "nadia", "rating_2"): 1}
    assert len(kept(reports, "partial/")) == 1


def test_topic_keys_tell_partitions_and_days_of_counting_apart() -> None:
    reports = Reports(REPORTS_CSAT, channel())
    reports.tell(sent(), MONDAY)
    reports.tell(sent(agent=None), MONDAY, partition=3)
    reports.tell(answered(5), MONDAY + A_DAY)
    assert [key for key, _ in reports.partials] == [
        "shop/2026-03-09/nadia/satisfaction/0/2026-03-09",
        "shop/2026-03-09/-/satisfaction/3/2026-03-09",
        "shop/2026-03-09/nadia/satisfaction/0/2026-03-10",
    ]


def test_no_row_outgrows_8_kib_when_all_times_and_zones_are_there() -> None:
    reports = Reports(REPORTS_CONVERSATIONS, channel())
    for number in range(bucket_of(timedelta(days=3650)) + 1):
        talk = Talk(reports, f"c{number}")
        talk.open(MONDAY - value_of(number)).write(MONDAY, sent=MONDAY - value_of(number)).send(MONDAY).resolve(MONDAY)
    for number in range(60):
        reports.settings = channel(("Europe/Madrid", "America/Argentina/ComodRivadavia")[number % 2])
        Talk(reports, f"z{number}").open(MONDAY + minutes(number))
    assert max(reports.benches[0].row_sizes()) < 8 << 10
