"""Conversations do not disturb one another: whatever the order, each has the same story."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.record import format_time
from schemas.topics import CONVERSATIONS, CSAT, GATED, STATUSES
from simulation.scenario.format import parse_scenario
from simulation.scenario.play import play

REPORTED = frozenset(topic.name for topic in (CONVERSATIONS, GATED, CSAT, STATUSES))
START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
AGENTS = [{"id": "nora", "state": "online"}, {"id": "otto", "state": "online"}]
CHANNEL = {
    "id": "desk",
    "phone_number": "+34600000009",
    "human_agents": ["nora", "otto"],
    "greeting": {"enabled": True, "text": "Hi"},
    "csat": {"enabled": True, "text": "1 to 5?", "answer_window_days": 1},
    "conversation": {"auto_resolve_after": "6h", "goodbye_message": "Bye", "close_after": "3h"},
    "business_hours": {
        "enabled": True,
        "timezone": "Europe/Madrid",
        "week": {"mon": [["09:00", "18:00"]], "tue": [["09:00", "18:00"]]},
        "unavailable_message": "Closed",
    },
}

texts = st.sampled_from(["hello", "5", "2", "and?"])
acts = st.one_of(
    st.builds(lambda text: {"inbound": {"text": text}}, texts),
    st.sampled_from(
        [
            {"command": {"type": "reply", "text": "Yes"}},
            {"command": {"type": "resolve"}},
            {"command": {"type": "reopen"}},
            {"command": {"type": "snooze", "until": format_time(START + timedelta(hours=9))}},
            {"command": {"type": "mute"}},
            {"command": {"type": "label", "add": ["vip"]}},
        ]
    ),
)
histories = st.lists(st.dictionaries(st.integers(0, 24), acts, max_size=6), min_size=2, max_size=3)
"""For each customer: what happens in the hours after the start."""


def steps(histories: Sequence[Mapping[int, dict[str, Any]]], order: Sequence[int]) -> list[dict[str, Any]]:
    """All of it, hour by hour; within an hour in the order given."""
    found = []
    for hour in range(25):
        for number in order:
            if hour in histories[number]:
                ((kind, what),) = histories[number][hour].items()
                who = {"contact": f"3460000020{number}", "id": f"c{number}h{hour}"}
                by = {"by": "nora"} if kind == "command" else {}
                found.append({"at": format_time(START + timedelta(hours=hour)), kind: {**what, **who, **by}})
    return [*found, {"at": format_time(START + timedelta(days=4))}]


async def stories(histories: Sequence[Mapping[int, dict[str, Any]]], order: Sequence[int]) -> Mapping[str, object]:
    """What is written about each customer, in order, apart from ids and who holds the conversation."""
    data = {"agents": AGENTS, "channels": [CHANNEL], "steps": steps(histories, order)}
    reported: dict[str, list[object]] = defaultdict(list)
    async for outcome in play([parse_scenario(data, "interleaved")], with_records=True):
        assert outcome.problems == ()
        assert outcome.finished is not None
        result = outcome.finished.result.as_json()
        records: Any = result["records"]
        for record in records:
            if record["topic"] in REPORTED:
                event = record["event"]
                header = event["data"].get("header", event["data"].get("data", {}).get("header", {}))
                shown = {name: header.get(name) for name in ("status", "resolution", "messages_in", "unread", "labels")}
                reported[record["key"]].append((record["topic"], event["type"], event["time"], shown))
        sent: Any = result["sent"]
        for message in sent:
            reported[message["contact"]].append((message["at"], message["kind"], message["text"], message["via"]))
    return reported


@given(histories, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_each_conversation_has_the_same_story_in_any_interleaving(
    histories: list[dict[int, dict[str, Any]]], random: Any
) -> None:
    order = list(range(len(histories)))
    shuffled = random.sample(order, len(order))

    assert asyncio.run(stories(histories, shuffled)) == asyncio.run(stories(histories, order))
