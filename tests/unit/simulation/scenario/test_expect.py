"""What `expect` may say, and when the result is as expected."""

import pytest
from pydantic import JsonValue

from simulation.scenario.expect import check

RESULT: dict[str, JsonValue] = {
    "sent": [
        {"kind": "greeting", "contact": "341", "text": "Welcome"},
        {"kind": "reply", "contact": "341", "text": "Sure"},
    ],
    "conversations": [
        {"contact": "341", "status": "Open", "assignee": {"kind": "human", "id": "nadia"}, "messages": ["b", "a"]},
        {"contact": "342", "status": "Closed", "assignee": None, "messages": []},
    ],
    "messages": [
        {"id": "a", "channel": "shop", "status": None, "anomalies": []},
        {"id": "a", "channel": "help", "status": "read", "anomalies": [{}]},
    ],
    "report": {"shop": {"response_rate_pct": 40.0}},
    "open": [{"open": True}],
    "refused": [],
    "dead_letters": [{"stage": "intake", "reason": "foreign_number"}],
}


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"sent": [{"kind": "greeting"}]},
        {"sent": [{"kind": "greeting"}, {"kind": "reply", "text": {"not": "No"}}]},
        {"sent": {"any_order": [{"kind": "reply"}, {"kind": "greeting"}]}},
        {"sent_count": {"greeting": 1, "survey": 0, "reply": {"min": 1, "max": 1}}},
        {"conversations": [{"status": {"in": ["Open", "Snoozed"]}}, {"assignee": None}]},
        {"conversations": [{"assignee": {"id": {"regex": "^nad"}}}, {"assignee": {"absent": True}}]},
        {"conversations": [{"messages": ["b", "a"]}, {"messages": []}]},
        {"conversations": [{"messages": {"any_order": ["a", "b"]}}, {"messages": {"max": 0}}]},
        {"conversations": {"any_order": [{"contact": {"in": ["341", "342"]}}, {"contact": "341"}]}},
        {"messages": {"a": {"channel": "shop"}}},
        {"messages": {"a": {"channel": "help", "anomalies": 1}, "z": {"absent": True}}},
        {"assigned": {"nadia": 1, "nobody": 1, "olaf": 0}},
        {"report": {"shop": {"response_rate_pct": 40}}},
        {"open": [{"open": True, "next_opening": {"absent": True}}]},
        {"open": [{"open": {"present": True}}]},
        {"refused": [], "dead_letters": [{"stage": "intake"}]},
    ],
)
def test_as_expected(expected: dict[str, JsonValue]) -> None:
    assert check(expected, RESULT) == ()


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        ({"sent": []}, 'sent: expected [], got [{"kind": "greeting", "contact": "341", "text": "Welcome"}]'),
        (
            {"sent": [{"kind": "reply"}]},
            'sent: expected [{"kind": "reply"}], got [{"kind": "greeting"}, {"kind": "reply"}]',
        ),
        ({"sent_count": {"greeting": 2}}, "sent_count.greeting: expected 2, got 1"),
        (
            {"conversations": [{"status": "Resolved"}, {}]},
            'conversations[0].status: expected "Resolved", got "Open"',
        ),
        ({"conversations": [{"messages": ["a", "b"]}, {}]}, 'conversations[0].messages[0]: expected "a", got "b"'),
        ({"messages": {"z": {"status": "read"}}}, 'messages.z: expected {"status": "read"}, got null'),
        ({"messages": {"a": {"status": "sent"}}}, 'messages.a.status: expected "sent", got "read"'),
        ({"assigned": {"nobody": 0}}, "assigned.nobody: expected 0, got 1"),
        ({"open": [{"open": 1}]}, "open[0].open: expected 1, got true"),
        ({"open": [{"open": {"absent": True}}]}, 'open[0].open: expected {"absent": true}, got true'),
        ({"refused": [{"step": 1}]}, 'refused: expected [{"step": 1}], got []'),
    ],
)
def test_a_difference_says_where_what_was_expected_and_what_was_got(
    expected: dict[str, JsonValue], difference: str
) -> None:
    assert str(check(expected, RESULT)[0]) == difference


def test_in_any_order_each_item_needs_a_value_of_its_own() -> None:
    expected: JsonValue = {"conversations": {"any_order": [{"contact": "341"}, {"contact": "341"}]}}

    assert isinstance(expected, dict)
    assert len(check(expected, RESULT)) == 1
