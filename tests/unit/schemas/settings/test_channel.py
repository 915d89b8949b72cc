"""A channel's settings: what is accepted, what is refused and by which field, changes, and the stored form."""

import json
import time
from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.settings.business_hours import Interval
from schemas.settings.channel import (
    ChannelSettings,
    Directory,
    apply_change,
    check_channel,
    from_stored,
    parse_channel,
    to_stored,
)
from schemas.settings.duration import MAX_DURATION, format_duration, parse_duration
from schemas.settings.errors import InvalidSettings
from schemas.settings.patterns import MATCHED_TEXT, MAX_PATTERN, check_pattern, pattern_matches

SECRET = "q7-very-secret"


def channel(**settings: object) -> ChannelSettings:
    return parse_channel({"id": "shop", "phone_number": "+49 30 1234567", **settings})


def refused(**settings: object) -> dict[str, str]:
    with pytest.raises(InvalidSettings) as info:
        channel(**settings)
    return {error.field: error.message for error in info.value.errors}


def rule(*when: Mapping[str, object], kind: str = "human", to: str = "eva") -> dict[str, object]:
    return {"assignment": {"rules": [{"name": "r", "when": list(when), "to": {"kind": kind, "id": to}}]}}


FULL = channel(
    name="Shop",
    account="acme",
    business_account_id="77",
    dev_key="key-1",
    dev_secret=SECRET,
    human_agents=["eva", "tom"],
    greeting={"enabled": True, "text": "Hallo {contact.name}"},
    csat={
        "enabled": True,
        "text": "1-5?",
        "template": {"name": "csat", "language": "de"},
        "labels": {"mode": "except", "labels": ["spam"]},
    },
    assignment={
        "rules": [
            {
                "name": "vip",
                "when": [
                    {"field": "contact.phone", "op": "in", "value": ["+49 151 1", "0049 151 2"]},
                    {"field": "hour", "op": "in", "value": [8, 9]},
                    {"field": "label", "op": "exists"},
                    {"field": "contact.returning", "op": "equals", "value": False},
                ],
                "to": {"kind": "ai", "id": "bot"},
            }
        ],
        "workload_default": 4,
        "fair_window": {"limit": 3, "window": "1h"},
    },
    ai={"enabled": True, "agents": [{"id": "bot"}]},
    business_hours={
        "enabled": True,
        "timezone": "Europe/Berlin",
        "week": {"mon": [["08:00", "12:00"], ["20:00", "03:00"]], "sun": [["00:00", "24:00"]]},
        "holidays": ["2026-10-03"],
        "unavailable_message": "zu",
    },
    conversation={"single_conversation": True, "auto_resolve_after": "36h", "goodbye_message": "tschau"},
)


def test_only_id_and_number_are_required_and_everything_else_has_its_default() -> None:
    settings = channel()
    assert (settings.name, settings.account, settings.provider, settings.revision) == ("shop", "main", "engagelab", 1)
    assert (settings.greeting.enabled, settings.csat.enabled, settings.ai.enabled) == (False, False, False)
    assert settings.csat.repeat == "per_resolution"
    assert settings.csat.on_auto_resolve
    assert settings.csat.answer_window_days == 14
    assert settings.assignment.strategy == "workload"
    assert settings.assignment.workload_default is None
    assert settings.assignment.fair_window is None
    assert settings.business_hours.timezone == "UTC"
    assert not settings.conversation.single_conversation
    assert settings.conversation.auto_resolve_after is None
    assert settings.conversation.close_after == timedelta(hours=24)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        FULL.greeting.text = "x"  # type: ignore[misc]


@pytest.mark.parametrize("written", ["+49301234567", "0049 30 1234567", "49-30-1234567"])
def test_a_phone_number_is_kept_in_one_spelling(written: str) -> None:
    assert channel(phone_number=written).phone_number == "+49301234567"


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"id": ""}, "id", "1 to 64 letters"),
        ({"id": "-x"}, "id", "1 to 64 letters"),
        ({"id": "a" * 65}, "id", "1 to 64 letters"),
        ({"id": "shop:1"}, "id", "1 to 64 letters"),
        ({"account": "a b"}, "account", "1 to 64 letters"),
        ({"revision": 0}, "revision", "at least 1"),
        ({"provider": "telegram"}, "provider", "must be 'engagelab'"),
        ({"phone_number": "call me"}, "phone_number", "country code"),
        ({"phone_number": 49301234567}, "phone_number", "must be text"),
        ({"colour": "red"}, "colour", "not a known setting"),
        ({"token": "x"}, "token", "not a known setting"),
        ({"human_agents": "eva"}, "human_agents", "must be a list"),
        ({"human_agents": ["eva", ""]}, "human_agents[1]", "1 to 64 letters"),
        ({"human_agents": ["eva", "tom", "eva"]}, "human_agents[2]", "twice"),
        ({"greeting": "hi"}, "greeting", "must be an object"),
        ({"greeting": {"enabled": "yes"}}, "greeting.enabled", "true or false"),
        ({"greeting": {"text": "x" * 4097}}, "greeting.text", "at most 4096"),
        ({"csat": {"text": "x" * 4097}}, "csat.text", "at most 4096"),
        ({"business_hours": {"unavailable_message": "x" * 4097}}, "business_hours.unavailable_message", "at most 4096"),
        ({"conversation": {"goodbye_message": "x" * 4097}}, "conversation.goodbye_message", "at most 4096"),
        ({"csat": {"enabled": True}}, "csat.text", "neither a text nor a template"),
        ({"csat": {"answer_window_days": 0}}, "csat.answer_window_days", "at least 1"),
        ({"csat": {"template": {"name": "x"}}}, "csat.template.language", "is required"),
        ({"csat": {"labels": {"mode": "none"}}}, "csat.labels.mode", "'only' or 'except'"),
        ({"assignment": {"strategy": "random"}}, "assignment.strategy", "'workload' or 'sequential'"),
        ({"assignment": {"workload_default": -1}}, "assignment.workload_default", "at least 0"),
        ({"assignment": {"workload_default": True}}, "assignment.workload_default", "whole number"),
        ({"assignment": {"fair_window": {"limit": 0, "window": "1h"}}}, "assignment.fair_window.limit", "at least 1"),
        ({"assignment": {"fair_window": {"limit": 1, "window": "0s"}}}, "assignment.fair_window.window", "longer"),
        ({"ai": {"agents": [{"id": "b"}, {"id": "b"}]}}, "ai.agents[1].id", "twice"),
        ({"conversation": {"auto_resolve_after": "0h"}}, "conversation.auto_resolve_after", "longer than 0"),
        ({"conversation": {"close_after": "2 weeks"}}, "conversation.close_after", "s, m, h or d"),
        ({"conversation": {"close_after": 3600}}, "conversation.close_after", "s, m, h or d"),
        ({"dev_key": "k"}, "dev_secret", "go together"),
        ({"dev_secret": "s"}, "dev_key", "go together"),
        ({"dev_key": "k", "dev_secret": ""}, "dev_secret", "must not be empty"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_field(settings: dict[str, object], field: str, says: str) -> None:
    errors = refused(**settings)
    assert list(errors) == [field]
    assert says in errors[field]


def test_every_wrong_field_is_named_and_the_text_of_the_exception_can_be_read() -> None:
    with pytest.raises(InvalidSettings) as info:
        channel(greeting={"enabled": 1}, business_hours={"week": {"mon": [["08:00", "8"]]}})
    assert str(info.value) == (
        "greeting.enabled: must be true or false; "
        'business_hours.week.mon[0]: a time must be text from "00:00" to "24:00"'
    )


@pytest.mark.parametrize("data", [None, 5, "shop", ["shop"]])
def test_settings_that_are_no_object_are_refused(data: object) -> None:
    with pytest.raises(InvalidSettings, match=r"^must be an object$"):
        parse_channel(data)


@pytest.mark.parametrize(
    "settings",
    [
        {"greeting": {"enabled": True, "text": ""}},
        {"ai": {"enabled": True}},
        {"business_hours": {"enabled": True, "week": {}}},
        {"csat": {"enabled": True, "template": {"name": "x", "language": "es"}}},
        {"conversation": {"goodbye_message": "bye"}},
        {"business_hours": {"week": {"mon": [["08:00", "12:00"], ["09:00", "13:00"]]}}},
    ],
)
def test_settings_without_an_effect_are_accepted(settings: dict[str, object]) -> None:
    channel(**settings)


@pytest.mark.parametrize(
    ("written", "interval", "shown"),
    [
        (["09:00", "17:30"], Interval(540, 1050), ["09:00", "17:30"]),
        (["9:00", "9:01"], Interval(540, 541), ["09:00", "09:01"]),
        (["00:00", "24:00"], Interval(0, 1440), ["00:00", "24:00"]),
        (["22:00", "02:00"], Interval(1320, 1560), ["22:00", "02:00"]),
        (["18:00", "00:00"], Interval(1080, 1440), ["18:00", "24:00"]),
        (["23:59", "23:58"], Interval(1439, 2878), ["23:59", "23:58"]),
    ],
)
def test_opening_hours_are_minutes_of_their_day(written: list[str], interval: Interval, shown: list[str]) -> None:
    week = channel(business_hours={"week": {"wed": [written]}}).business_hours.week
    assert week.of(2) == (interval,)
    assert week.of(3) == ()
    assert week.model_dump(mode="json")["wed"] == [shown]


@pytest.mark.parametrize(
    ("hours", "field", "says"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone", "unknown time zone 'Mars/Olympus'"),
        ({"timezone": "Europe"}, "timezone", "unknown time zone"),
        ({"timezone": ""}, "timezone", "unknown time zone"),
        ({"timezone": "../zoneinfo/UTC"}, "timezone", "unknown time zone"),
        ({"timezone": "/etc/localtime"}, "timezone", "unknown time zone"),
        ({"week": {"monday": []}}, "week.monday", "not a known setting"),
        ({"week": {"tue": [["10:00", "10:00"]]}}, "week.tue[0]", "at the same time"),
        ({"week": {"tue": [["10:00", "11:00"], ["24:00", "02:00"]]}}, "week.tue[1]", "can't open at 24:00"),
        ({"week": {"tue": [["10:00", "24:01"]]}}, "week.tue[0]", "24:00"),
        ({"week": {"tue": [["10:00", "10:60"]]}}, "week.tue[0]", "24:00"),
        ({"week": {"tue": [[600, 660]]}}, "week.tue[0]", "must be text"),
        ({"week": {"tue": [["10:00"]]}}, "week.tue[0]", "pair"),
        ({"week": {"tue": ["10:00", "11:00"]}}, "week.tue[0]", "pair"),
        ({"holidays": ["2026-02-30"]}, "holidays[0]", "day is out of range"),
        ({"holidays": ["2026-01-01", "2026-W01-1"]}, "holidays[1]", "must be a date"),
        ({"holidays": [20260101]}, "holidays[0]", "must be a date"),
    ],
)
def test_wrong_business_hours_are_refused_by_their_field(hours: dict[str, object], field: str, says: str) -> None:
    errors = refused(business_hours=hours)
    (path, message), *others = errors.items()
    assert path == f"business_hours.{field}"
    assert says in message
    assert all(other.startswith(path.rpartition("[")[0]) for other, _ in others)


def test_holidays_are_dates() -> None:
    assert FULL.business_hours.holidays == (date(2026, 10, 3),)


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ({"field": "text", "op": "contains", "value": "Rechnung"}, "Rechnung"),
        ({"field": "text", "op": "matches", "value": r"^order #\d+$"}, r"^order #\d+$"),
        ({"field": "text", "op": "exists", "value": False}, False),
        ({"field": "label", "op": "exists"}, True),
        ({"field": "message.type", "op": "in", "value": ["image", "video"]}, ("image", "video")),
        ({"field": "contact.phone", "op": "equals", "value": "+49 151 123"}, "49151123"),
        ({"field": "contact.phone", "op": "starts_with", "value": "0049"}, "49"),
        ({"field": "contact.phone", "op": "contains", "value": "0151"}, "0151"),
        ({"field": "contact.phone", "op": "in", "value": ["+49 1", "+49 2"]}, ("491", "492")),
        ({"field": "contact.returning", "op": "not_equals", "value": True}, True),
        ({"field": "hour", "op": "equals", "value": 0}, 0),
        ({"field": "hour", "op": "in", "value": [22, 23]}, (22, 23)),
        ({"field": "business_hours", "op": "in", "value": ["open", "closed"]}, ("open", "closed")),
        ({"field": "channel", "op": "starts_with", "value": "sh"}, "sh"),
    ],
)
def test_a_condition_is_accepted(condition: dict[str, object], value: object) -> None:
    (saved,) = channel(**rule(condition)).assignment.rules
    assert saved.when[0].value == value
    assert type(saved.when[0].value) is type(value)


@pytest.mark.parametrize(
    ("condition", "key", "says"),
    [
        ({"field": "mood", "op": "equals", "value": "x"}, "field", "must be 'text'"),
        ({"field": "text", "op": "like", "value": "x"}, "op", "must be 'equals'"),
        ({"field": "hour", "op": "matches", "value": "1"}, "op", "matches makes no sense for hour"),
        ({"field": "hour", "op": "equals", "value": 24}, "value", "0 to 23"),
        ({"field": "hour", "op": "equals", "value": "9"}, "value", "0 to 23"),
        ({"field": "hour", "op": "equals", "value": True}, "value", "0 to 23"),
        ({"field": "hour", "op": "in", "value": [1, -1]}, "value", "0 to 23"),
        ({"field": "business_hours", "op": "contains", "value": "open"}, "op", "makes no sense"),
        ({"field": "business_hours", "op": "equals", "value": "shut"}, "value", "open or closed"),
        ({"field": "contact.returning", "op": "equals", "value": "yes"}, "value", "true or false"),
        ({"field": "contact.returning", "op": "exists"}, "op", "makes no sense"),
        ({"field": "message.type", "op": "exists"}, "op", "makes no sense"),
        ({"field": "contact.phone", "op": "equals", "value": "Eva"}, "value", "phone number"),
        ({"field": "text", "op": "contains"}, "value", "must not be empty"),
        ({"field": "text", "op": "contains", "value": ""}, "value", "must not be empty"),
        ({"field": "text", "op": "contains", "value": ["a"]}, "value", "must be text"),
        ({"field": "text", "op": "equals", "value": "x" * 1001}, "value", "at most 1000"),
        ({"field": "text", "op": "in", "value": []}, "value", "at least one"),
        ({"field": "text", "op": "in", "value": "a"}, "value", "list"),
        ({"field": "text", "op": "exists", "value": "no"}, "value", "true or false"),
        ({"field": "text", "op": "matches", "value": "("}, "value", "not a regular expression"),
        ({"field": "text", "op": "matches", "value": "[[a]"}, "value", "not a regular expression"),
        ({"field": "text", "op": "matches", "value": "x" * (MAX_PATTERN + 1)}, "value", "at most 200"),
        ({"field": "text", "op": "matches", "value": "(a+)+$"}, "value", "very long"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(condition: dict[str, object], key: str, says: str) -> None:
    errors = refused(**rule(condition))
    assert list(errors) == [f"assignment.rules[0].when[0].{key}"]
    assert says in errors[f"assignment.rules[0].when[0].{key}"]


@pytest.mark.parametrize(
    "pattern", ["(a|aa)+$", "(a*)*b", "(?:a?){40}a{40}", ".*a.*a.*b", "(x+x+)+y", "((a{1,9}){1,9}){1,9}b"]
)
def test_a_pattern_that_could_hold_up_a_partition_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="very long"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"order\s*#?\s*\d+", "my order # 1234"),
        (r"(?i)\b(refund|return)s?\b", "REFUND, please"),
        (r"\w+@\w+\.com", "I am eva@shop.com"),
        (r"^.*urgent.*$", "this is urgent!"),
        (r"(?=.*now)help", "help me now"),
    ],
)
def test_an_everyday_pattern_is_accepted_and_found(pattern: str, text: str) -> None:
    check_pattern(pattern)
    assert pattern_matches(pattern, text)


def test_the_slowest_accepted_patterns_end_soon() -> None:
    for pattern in (".*a.*b", "a*a*b", r"\s*x?\s*y"):
        check_pattern(pattern)
        started = time.perf_counter()
        assert not pattern_matches(pattern, "a" * 4096)
        assert not pattern_matches(pattern, " " * 4096)
        assert time.perf_counter() - started < 10


def test_a_pattern_sees_the_beginning_of_a_text() -> None:
    assert pattern_matches("b", "a" * (MATCHED_TEXT - 1) + "b")
    assert not pattern_matches("b", "a" * MATCHED_TEXT + "b")


@pytest.mark.parametrize(
    ("target", "says"),
    [({"kind": "human", "id": ""}, "id"), ({"kind": "robot", "id": "x"}, "kind"), ({"kind": "team"}, "id")],
)
def test_a_rule_without_a_target_is_refused(target: dict[str, object], says: str) -> None:
    errors = refused(assignment={"rules": [{"name": "r", "to": target}]})
    assert list(errors) == [f"assignment.rules[0].to.{says}"]


def test_a_rule_for_an_ai_agent_that_the_channel_lacks_is_refused() -> None:
    errors = refused(ai={"agents": [{"id": "bot"}]}, **rule(kind="ai", to="bob"))
    assert errors == {"assignment.rules[0].to.id": "points at nobody: there is no AI agent 'bob'"}


@pytest.mark.parametrize(
    ("settings", "field", "who"),
    [
        (rule(to="zoe"), "assignment.rules[0].to.id", "human agent 'zoe'"),
        (rule(kind="team", to="eva"), "assignment.rules[0].to.id", "team 'eva'"),
        ({"human_agents": ["eva", "zoe"]}, "human_agents[1]", "human agent 'zoe'"),
    ],
)
def test_whom_the_account_does_not_have_is_refused(settings: dict[str, object], field: str, who: str) -> None:
    directory = Directory(human_agents=frozenset({"eva"}), teams=frozenset({"t1"}))
    accepted = channel(**settings)  # without a directory nobody is known to be missing
    with pytest.raises(InvalidSettings) as info:
        check_channel(accepted, directory)
    assert [str(error) for error in info.value.errors] == [f"{field}: points at nobody: there is no {who}"]


def test_a_rule_may_name_an_agent_who_is_not_a_member_of_the_channel() -> None:
    directory = Directory(human_agents=frozenset({"eva", "tom"}), teams=frozenset())
    check_channel(channel(human_agents=["tom"], **rule(to="eva")), directory)


def test_an_agent_deleted_since_does_not_stand_in_the_way_of_another_change() -> None:
    before = channel(human_agents=["eva"], **rule(to="eva"))
    directory = Directory(human_agents=frozenset({"tom"}), teams=frozenset())
    check_channel(apply_change(before, {"greeting": {"text": "x"}}), directory, before)
    with pytest.raises(InvalidSettings):
        check_channel(apply_change(before, {"human_agents": ["eva", "zoe"]}), directory, before)


def test_a_change_merges_objects_and_replaces_lists_and_single_values() -> None:
    changed = apply_change(
        FULL,
        {
            "name": "Laden",
            "human_agents": ["zoe"],
            "csat": {"template": {"language": "en"}, "text": "?"},
            "business_hours": {"week": {"mon": [["10:00", "11:00"]]}},
            "assignment": {"fair_window": None},
        },
    )
    assert changed.revision == FULL.revision + 1
    assert (changed.name, changed.human_agents) == ("Laden", ("zoe",))
    assert changed.csat.template is not None
    assert (changed.csat.template.name, changed.csat.template.language) == ("csat", "en")
    assert (changed.csat.enabled, changed.csat.text) == (True, "?")
    assert changed.business_hours.week.mon == (Interval(600, 660),)
    assert changed.business_hours.week.sun == FULL.business_hours.week.sun
    assert changed.assignment.fair_window is None
    assert changed.assignment.rules == FULL.assignment.rules
    assert changed.dev_secret == FULL.dev_secret


def test_an_object_that_was_null_can_be_set() -> None:
    changed = apply_change(channel(), {"assignment": {"fair_window": {"limit": 2, "window": "90s"}}})
    assert changed.assignment.fair_window is not None
    assert changed.assignment.fair_window.window == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "other"}, "id"),
        ({"account": "other"}, "account"),
        ({"provider": "twilio"}, "provider"),
        ({"revision": 7}, "revision"),
        ({"colour": "red"}, "colour"),
        ({"greeting": {"colour": "red"}}, "greeting.colour"),
        ({"greeting": None}, "greeting"),
        ({"csat": {"text": "", "template": None}}, "csat.text"),
        ({"ai": {"agents": []}}, "assignment.rules[0].to.id"),
        ({"dev_key": None}, "dev_key"),
    ],
)
def test_a_wrong_change_is_refused_by_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidSettings) as info:
        apply_change(FULL, change)
    assert [error.field for error in info.value.errors] == [field]


settings_made = st.builds(
    lambda greeting, limit, seconds, agents, hours: channel(
        greeting={"enabled": True, "text": greeting},
        assignment={"workload_default": limit},
        conversation={"auto_resolve_after": timedelta(seconds=seconds)},
        human_agents=agents,
        business_hours={"week": {"sat": hours}},
        dev_key="k",
        dev_secret=SECRET,
    ),
    st.text(max_size=20),
    st.none() | st.integers(0, 50),
    st.integers(1, 10**7),
    st.lists(st.sampled_from(["eva", "tom", "zoe"]), unique=True),
    st.lists(
        st.tuples(st.integers(0, 1439), st.integers(1, 1440))
        .filter(lambda pair: pair[0] != pair[1])
        .map(lambda pair: [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in pair]),
        max_size=3,
    ),
)


@given(settings_made)
def test_an_empty_change_only_counts_the_revision(settings: ChannelSettings) -> None:
    assert apply_change(settings, {}) == settings.model_copy(update={"revision": settings.revision + 1})


@given(settings_made)
def test_a_dump_applied_to_its_own_settings_only_counts_the_revision(settings: ChannelSettings) -> None:
    expected = apply_change(settings, {})
    assert apply_change(settings, settings.model_dump()) == expected
    assert apply_change(settings, json.loads(settings.model_dump_json())) == expected


@given(settings_made)
def test_the_later_of_two_changes_wins_as_if_it_had_come_with_the_first(settings: ChannelSettings) -> None:
    apart = apply_change(apply_change(settings, {"greeting": {"text": "a"}}), {"greeting": {"enabled": False}})
    together = apply_change(settings, {"greeting": {"text": "a", "enabled": False}})
    assert apart == together.model_copy(update={"revision": together.revision + 1})


@given(settings_made)
def test_stored_settings_come_back_as_they_were(settings: ChannelSettings) -> None:
    stored = json.loads(json.dumps(to_stored(settings, lambda text: text[::-1])))
    assert from_stored(stored, lambda text: text[::-1]) == settings


def test_full_settings_survive_storage_and_their_own_dump() -> None:
    assert from_stored(to_stored(FULL, str.upper), str.lower) == FULL
    assert apply_change(FULL, FULL.model_dump(mode="json")) == apply_change(FULL, {})


def test_credentials_are_stored_encrypted() -> None:
    stored = to_stored(FULL, lambda text: f"<{len(text)}>")
    assert (stored["dev_key"], stored["dev_secret"]) == ("<5>", f"<{len(SECRET)}>")
    assert SECRET not in json.dumps(stored)


def test_a_channel_without_credentials_is_stored_without() -> None:
    stored = to_stored(channel(), lambda text: "never")
    assert (stored["dev_key"], stored["dev_secret"]) == (None, None)
    assert from_stored(stored, lambda text: "never") == channel()


def test_stored_data_that_is_broken_is_refused() -> None:
    with pytest.raises(InvalidSettings):
        from_stored({"id": "shop"}, str)


def test_the_secret_shows_in_no_dump_and_no_text() -> None:
    for shown in (str(FULL), repr(FULL), FULL.model_dump_json(), str(FULL.model_dump()), str(FULL.dev_secret)):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"dev_secret": [SECRET]},
        {"dev_secret": SECRET, "dev_key": None},
        {"dev_secret": SECRET, "dev_key": "k", "phone_number": "x"},
        {"dev_secret": {"value": SECRET}},
    ],
)
def test_no_error_shows_the_secret(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidSettings) as info:
        channel(**wrong)
    assert SECRET not in str(info.value) + repr(info.value)
    assert info.value.__suppress_context__ or info.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86_400), ("3d", 259_200), ("0s", 0), (" 1h ", 3600)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1.5h", "1w", "1h30m", "1 h", "٣h", "99999d", "1H"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


@given(st.integers(0, int(MAX_DURATION.total_seconds())).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_duration_written_and_read_is_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(0, 3650), st.sampled_from("smhd"))
def test_a_duration_read_and_written_is_as_short_as_it_was(number: int, unit: str) -> None:
    text = f"{number}{unit}"
    assert len(format_duration(parse_duration(text))) <= len(text)
