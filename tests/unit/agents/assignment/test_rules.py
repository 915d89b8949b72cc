"""Routing rules: which conditions hold of which message."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agents.assignment.rules import Message, failing, holds
from schemas.events.assignment import AssignmentNeed
from schemas.settings.business_hours import BusinessHours, Week, parse_interval
from schemas.settings.routing import Condition, RoutingRule, Target

# Tuesday, 9:30 in Madrid.
AT = datetime(2026, 3, 10, 8, 30, tzinfo=UTC)
HOURS = BusinessHours(enabled=True, timezone="Europe/Madrid", week=Week(tue=(parse_interval(["09:00", "17:00"]),)))
NEED = AssignmentNeed(
    reason="opened",
    at=AT,
    text="Meine Straße 12, Rechnung bitte",
    message_kind="text",
    contact_name="Ana López",
    returning=True,
    labels=("VIP", "madrid"),
)
MESSAGE = Message("kiosk", "34600000201", HOURS, NEED)
BARE = MESSAGE._replace(need=AssignmentNeed(reason="opened", at=datetime(2026, 3, 10, 16, 0, tzinfo=UTC)))


def condition(field: str, op: str, value: object = "") -> Condition:
    return Condition.model_validate({"field": field, "op": op, "value": value})


@pytest.mark.parametrize(
    ("field", "op", "value", "of_message", "of_bare"),
    [
        ("text", "contains", "rechnung", True, False),
        ("text", "contains", "STRASSE", True, False),
        ("text", "starts_with", "meine", True, False),
        ("text", "starts_with", "rechnung", False, False),
        ("text", "equals", "meine straße 12, rechnung BITTE", True, False),
        ("text", "not_equals", "hola", True, True),
        ("text", "in", ["hola", "MEINE STRASSE 12, RECHNUNG BITTE"], True, False),
        ("text", "matches", r"\d{2}, R", True, False),
        ("text", "matches", "rechnung", False, False),
        ("text", "matches", "(?i)rechnung", True, False),
        ("text", "exists", True, True, False),
        ("text", "exists", False, False, True),
        ("message.type", "equals", "Text", True, False),
        ("message.type", "not_equals", "image", True, True),
        ("message.type", "in", ["image", "text"], True, False),
        ("contact.phone", "starts_with", "+34", True, True),
        ("contact.phone", "equals", "+34 600 000 201", True, True),
        ("contact.phone", "matches", "201$", True, True),
        ("contact.phone", "in", ["+34600000202"], False, False),
        ("contact.phone", "exists", True, True, True),
        ("contact.name", "contains", "LÓPEZ", True, False),
        ("contact.name", "exists", False, False, True),
        ("contact.returning", "equals", True, True, False),
        ("contact.returning", "not_equals", True, False, True),
        ("channel", "equals", "kiosk", True, True),
        ("channel", "in", ["shop"], False, False),
        ("label", "equals", "vip", True, False),
        ("label", "not_equals", "vip", False, True),
        ("label", "contains", "drid", True, False),
        ("label", "in", ["gold", "Madrid"], True, False),
        ("label", "exists", False, False, True),
        ("hour", "equals", 9, True, False),
        ("hour", "not_equals", 9, False, True),
        ("hour", "in", [16, 17], False, True),
        ("business_hours", "equals", "open", True, False),
        ("business_hours", "not_equals", "open", False, True),
        ("business_hours", "in", ["open", "closed"], True, True),
    ],
)
def test_conditions(field: str, op: str, value: object, of_message: bool, of_bare: bool) -> None:
    judged = condition(field, op, value)
    assert (holds(judged, MESSAGE), holds(judged, BARE)) == (of_message, of_bare)


def test_a_text_of_blanks_is_none() -> None:
    assert holds(condition("text", "exists", False), MESSAGE._replace(need=NEED.model_copy(update={"text": " \n"})))


def test_without_hours_a_channel_is_always_open_and_the_hour_is_its_zone_s() -> None:
    message = BARE._replace(hours=BusinessHours(timezone="Asia/Kolkata"))
    assert holds(condition("business_hours", "equals", "open"), message)
    assert holds(condition("hour", "equals", 21), message)


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ([], None),
        ([("hour", "equals", 9), ("label", "equals", "vip")], None),
        ([("hour", "equals", 9), ("label", "equals", "gold"), ("text", "exists", False)], "label"),
    ],
)
def test_a_rule_applies_when_all_its_conditions_hold(when: list[Any], field: str | None) -> None:
    rule = RoutingRule(when=tuple(condition(*one) for one in when), to=Target(kind="human", id="ana"))
    found = failing(rule, MESSAGE)
    assert (None if found is None else found.field) == field
