"""The runner: what becomes of steps, and what its result says."""

import pytest
from pydantic import JsonValue

from simulation.scenario.timeline import timeline
from tests.support.scenario import CONTACT, inbound, outcome, reply, result

AT = "2026-03-09T08:00:00Z"
LATER = "2026-03-09T08:05:00Z"


def of(value: JsonValue, *path: str | int) -> JsonValue:
    """A part of JSON."""
    for key in path:
        if isinstance(key, int):
            assert isinstance(value, list)
            value = value[key]
        else:
            assert isinstance(value, dict)
            value = value[key]
    return value


async def test_a_message_that_was_not_sent_can_not_be_meant() -> None:
    sent: JsonValue = {"contact": CONTACT, "kind": "greeting", "nth": 2}
    played = await outcome(inbound(AT, "in-1"), {"at": AT, "status": {"message": sent, "status": "read"}})

    assert played.problems == (f"a.yaml: steps[1]: only 1 greeting messages were sent to {CONTACT} so far",)


async def test_steps_handed_in_together_have_nothing_processed_between() -> None:
    together = await result(inbound(AT, "in-1"), inbound(LATER, "in-2") | {"concurrent": True})

    topics = [of(record, "topic") for record in _records(together)]
    assert topics.index("webhooks") + 1 == len(topics) - topics[::-1].index("webhooks") - 1
    assert of(together, "sent", 0, "at") == LATER


async def test_a_timer_fires_on_the_way_but_not_after_the_last_step() -> None:
    resolve: dict[str, JsonValue] = {"at": AT, "command": {"type": "resolve", "contact": CONTACT, "by": "nadia"}}

    until_the_end = await result(inbound(AT, "in-1"), resolve)
    a_day_on = await result(inbound(AT, "in-1"), resolve, {"at": "2026-03-10T08:00:00Z"})

    assert of(until_the_end, "conversations", 0, "status") == "Resolved"
    assert of(a_day_on, "conversations", 0, "status") == "Closed"


async def test_refusals_name_their_steps_also_of_commands_alike() -> None:
    found = await result(
        inbound(AT, "in-1"),
        reply(AT, "out-1"),
        reply(AT, "out-1", by="nemo"),
        reply(AT, "out-1"),
        {"at": AT, "settings": {"greeting": {"text": 5}}},
    )

    assert [(of(one, "step"), of(one, "code")) for one in _list(found["refused"])] == [
        (2, "unknown_agent"),
        (3, "duplicate_command"),
        (4, "invalid_settings"),
    ]


async def test_a_refused_message_that_is_taken_later_is_sent_once() -> None:
    found = await result(
        {"at": AT, "provider": {"answer": "refuse", "code": 1000, "times": 2}}, inbound(AT, "in-1"), {"at": LATER}
    )

    assert [(of(one, "at"), of(one, "repeat")) for one in _list(found["sent"])] == [(AT, False)]


async def test_no_secret_is_in_the_records() -> None:
    channel: JsonValue = {"id": "shop", "phone_number": "+34910222333", "dev_key": "open", "dev_secret": "sesame"}

    assert "sesame" not in str(await result(inbound(AT, "in-1"), channels=[channel]))


async def test_a_binary_callback_is_among_the_records() -> None:
    found = await result({"at": AT, "callback": {"body_base64": "/wB7"}})

    [callback] = [record for record in _records(found) if of(record, "topic") == "webhooks"]
    assert of(callback, "event", "data") == {"provider": "engagelab", "body": "/wB7", "encoding": "base64"}


async def test_the_timeline_tells_each_step_and_what_followed() -> None:
    played = await outcome(
        inbound(AT, "in-1"),
        {"at": AT, "provider": {"answer": "timeout", "times": 1}},
        reply(LATER, "out-1", by="nemo"),
        {"at": LATER, "callback": {"body_text": "?"}},
        {"at": LATER},
    )
    assert played.finished is not None

    lines = [line.plain for line in timeline(played.finished)]

    assert lines == [
        f'{AT}  0: {CONTACT} writes in-1: "Hello there"',
        f"{AT}     a conversation of {CONTACT} begins",
        f"{AT}     in-1 joins it",
        f"{AT}     assigned to human nadia: lowest load",
        f"{AT}     routed to human nadia",
        f'{AT}     to be sent: the greeting "Welcome"',
        f"{AT}     the greeting: accepted",
        f"{AT}     sent: the greeting (as session)",
        f"{AT}  1: the provider answers timeout, the next time",
        f'{LATER}  2: nemo: reply {CONTACT} out-1: "Sure"',
        f"{LATER}     refused: unknown_agent: by: is not a human agent of the account",
        f"{LATER}  3: a raw callback",
        f"{LATER}     dead letter of intake: invalid_json body",
        f"{LATER}  4: time passes",
    ]


async def test_agents_are_there_before_the_first_step() -> None:
    agents: JsonValue = [{"id": "nadia", "state": "busy"}, {"id": "olaf", "state": "online", "teams": ["night"]}]
    channel: JsonValue = {"id": "shop", "phone_number": "+34910222333", "human_agents": ["nadia", "olaf"]}

    found = await result(inbound(AT, "in-1"), agents=agents, channels=[channel])

    assert of(found, "conversations", 0, "assignee") == {"kind": "human", "id": "olaf"}
    assert of(found, "conversations", 0, "assigned_because", "because") == "lowest_load"


async def test_agents_come_and_go_and_whom_nobody_knows_is_refused() -> None:
    found = await result(
        {"at": AT, "presence": {"agent": "nadia", "state": "idle"}},
        inbound(AT, "in-1"),
        {"at": AT, "presence": {"agent": "zoe", "state": "online"}},
        {"at": LATER, "presence": {"agent": "nadia", "state": "online", "source": "heartbeat"}},
        {"at": LATER, "presence": {"agent": "nadia", "state": "online"}},
        {"at": LATER, "presence": {"agent": "zoe", "member": False}},
        {"at": LATER, "presence": {"agent": "zoe", "deleted": True}},
    )

    assert of(found, "conversations", 0, "assignee", "id") == "nadia"
    assert [(of(one, "step"), of(one, "code")) for one in _list(found["refused"])] == [
        (2, "unknown_agent"),
        (5, "unknown_agent"),
        (6, "unknown_agent"),
    ]


@pytest.mark.parametrize("leaves", [{"member": False}, {"member": False, "channel": "shop"}, {"deleted": True}])
async def test_an_agent_who_leaves_gives_up_their_conversations(leaves: dict[str, JsonValue]) -> None:
    leave: JsonValue = {"agent": "nadia", **leaves}

    found = await result(inbound(AT, "in-1"), {"at": LATER, "presence": leave})

    assert of(found, "conversations", 0, "assignee") is None


async def test_an_agent_who_left_may_come_back() -> None:
    found = await result(
        {"at": AT, "presence": {"agent": "nadia", "member": False}},
        inbound(AT, "in-1"),
        {"at": LATER, "presence": {"agent": "nadia", "member": True, "channel": "shop"}},
    )

    assert of(found, "conversations", 0, "assignee", "id") == "nadia"


async def test_a_probe_tells_whether_the_channel_is_open_by_its_newest_settings() -> None:
    hours: JsonValue = {"enabled": True, "timezone": "Europe/Lisbon", "week": {"mon": [["10:00", "12:00"]]}}

    found = await result(
        {"at": AT, "probe": {}},
        {"at": AT, "settings": {"business_hours": hours}},
        {"at": AT, "probe": {"channel": "shop"}},
    )

    assert found["open"] == [
        {"at": AT, "channel": "shop", "open": True, "next_opening": None},
        {"at": AT, "channel": "shop", "open": False, "next_opening": "2026-03-09T10:00:00Z"},
    ]


async def test_the_ai_agent_answers_by_its_script() -> None:
    ai: JsonValue = {"enabled": True, "agents": [{"id": "bot"}]}
    channel: JsonValue = {"id": "shop", "phone_number": "+34910222333", "human_agents": ["nadia"], "ai": ai}

    found = await result(
        {"at": AT, "ai": {"answer": "At once"}},
        inbound(AT, "in-1"),
        {"at": LATER, "ai": {"answer": "handoff"}},
        inbound(LATER, "in-2"),
        channels=[channel],
    )

    assert [(of(one, "kind"), of(one, "text")) for one in _list(found["sent"])] == [("ai", "At once")]
    assert of(found, "conversations", 0, "assignee", "id") == "nadia"
    assert len(_list(of(found, "conversations", 0, "messages"))) == 3


async def test_labels_notes_and_who_assigned_it_are_the_conversations() -> None:
    by_nadia: dict[str, JsonValue] = {"contact": CONTACT, "by": "nadia"}
    found = await result(
        inbound(AT, "in-1"),
        {"at": AT, "command": {"type": "label", "add": ["vip", "new"], **by_nadia}},
        {"at": AT, "command": {"type": "label", "remove": ["new"], **by_nadia}},
        {"at": AT, "command": {"type": "note", "text": "call back", **by_nadia}},
        {"at": AT, "command": {"type": "assign", "to": {"kind": "human", "id": "nadia"}, **by_nadia}},
        {"at": AT, "command": {"type": "assign", "to": {"kind": "human", "id": "olaf"}, **by_nadia}},
        agents=[{"id": "nadia", "state": "online"}, {"id": "olaf"}],
        channels=[{"id": "shop", "phone_number": "+34910222333", "human_agents": ["nadia", "olaf"]}],
    )

    assert of(found, "conversations", 0, "labels") == ["vip"]
    assert of(found, "conversations", 0, "notes") == 1
    assert of(found, "conversations", 0, "assigned_because") == {"by": "nadia"}


async def test_surveys_and_what_the_reports_make_of_them() -> None:
    channel: JsonValue = {
        "id": "shop",
        "phone_number": "+34910222333",
        "human_agents": ["nadia"],
        "csat": {"enabled": True, "text": "Well?"},
    }
    found = await result(
        inbound(AT, "in-1"),
        inbound(AT, "in-2", contact="34655010288"),
        {"at": AT, "command": {"type": "resolve", "contact": CONTACT, "by": "nadia"}},
        {"at": AT, "provider": {"answer": "timeout", "times": 1}},
        {"at": AT, "command": {"type": "resolve", "contact": "34655010288", "by": "nadia"}},
        inbound(LATER, "in-3", text="2"),
        channels=[channel],
    )

    reported = [
        tuple(of(one, name) for name in ("contact", "state", "rating", "agent")) for one in _list(found["surveys"])
    ]
    assert reported == [(CONTACT, "answered", 2, "nadia"), ("34655010288", "requested", None, "nadia")]
    assert found["report"] == {
        "shop": {"surveys_sent": 1, "answers": 1, "satisfaction_pct": 0.0, "response_rate_pct": 100.0}
    }


async def test_conversations_of_one_instant_stand_in_the_order_they_were_handed_in() -> None:
    first: JsonValue = {"id": "in-1", "contact": "34655010299", "text": "a"}
    second: JsonValue = {"id": "in-2", "contact": "34655010211", "text": "b"}
    third = inbound(AT, "in-3", contact="34655010200") | {"concurrent": True}

    found = await result({"at": AT, "batch": [{"inbound": first}, {"inbound": second}]}, third)

    assert [of(one, "messages", 0) for one in _list(found["conversations"])] == ["in-1", "in-2", "in-3"]
    assert [of(one, "id") for one in _list(found["messages"]) if of(one, "direction") == "inbound"] == [
        "in-1",
        "in-2",
        "in-3",
    ]


async def test_the_timeline_tells_what_became_of_a_conversation() -> None:
    by_nadia: dict[str, JsonValue] = {"contact": CONTACT, "by": "nadia"}
    played = await outcome(
        {"at": AT, "probe": {}},
        {"at": AT, "presence": {"agent": "nadia", "state": "online", "source": "heartbeat"}},
        inbound(AT, "in-1"),
        {"at": AT, "command": {"type": "label", "add": ["vip"], **by_nadia}},
        {"at": AT, "command": {"type": "snooze", "until": LATER, **by_nadia}},
        {"at": LATER, "command": {"type": "mute", **by_nadia}},
        {"at": LATER, "command": {"type": "block", **by_nadia}},
        {"at": LATER, "command": {"type": "assign", "to": {"kind": "team", "id": "night"}, **by_nadia}},
        {"at": LATER, "presence": {"agent": "nadia", "member": False}},
    )
    assert played.finished is not None

    lines = [line.plain.partition("  ")[2] for line in timeline(played.finished)]

    assert [line for line in lines if "greeting" not in line] == [
        "0: is the channel open?",
        "   open",
        "1: nadia is online by heartbeat",
        f'2: {CONTACT} writes in-1: "Hello there"',
        f"   a conversation of {CONTACT} begins",
        "   in-1 joins it",
        "   assigned to human nadia: lowest load",
        "   routed to human nadia",
        f"3: nadia: label {CONTACT}: +vip",
        "   labels: +vip",
        f"4: nadia: snooze {CONTACT} until {LATER}",
        "   Open -> Snoozed (snoozed)",
        "   Snoozed -> Open (woken)",
        f"5: nadia: mute {CONTACT}",
        "   muted",
        f"6: nadia: block {CONTACT}",
        f"   {CONTACT} is blocked",
        f"7: nadia: assign {CONTACT} to team night",
        "   refused: unknown_agent: to.id: is not a team of the account: no agent is in it",
        "8: nadia leaves every channel",
        "   assigned to nobody: nobody available",
    ]


def _list(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)
    return value


def _records(found: dict[str, JsonValue]) -> list[JsonValue]:
    return _list(found["records"])
