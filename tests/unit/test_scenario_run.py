"""The runner: what becomes of steps, and what its result says."""

from pydantic import JsonValue

from deploy.scenario.timeline import timeline
from tests.unit.scenario_files import CONTACT, inbound, outcome, reply, result

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


async def test_what_this_version_can_not_do_names_the_step() -> None:
    played = await outcome(inbound(AT, "in-1"), {"at": AT, "presence": {"agent": "nadia", "state": "idle"}})

    assert played.verdict == "unusable"
    assert played.problems == ("a.yaml: steps[1]: presence is not supported by this version",)


async def test_another_provider_is_not_supported_yet() -> None:
    channel: JsonValue = {"id": "shop", "phone_number": "+34910222333", "provider": "twilio"}

    played = await outcome({"at": AT}, channels=[channel])

    assert played.problems == ("a.yaml: channels[0].provider: twilio is not supported by this version",)


async def test_a_message_that_was_not_sent_can_not_be_meant() -> None:
    sent: JsonValue = {"contact": CONTACT, "kind": "greeting", "nth": 2}
    played = await outcome(inbound(AT, "in-1"), {"at": AT, "status": {"message": sent, "status": "read"}})

    assert played.problems == (f"a.yaml: steps[1]: only 1 greeting messages were sent to {CONTACT} so far",)


async def test_nothing_is_processed_between_steps_handed_in_together() -> None:
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

    assert of(found, "records", 1, "event", "data") == {"provider": "engagelab", "body": "/wB7", "encoding": "base64"}


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
        f"{AT}     routed to nobody yet: nobody_available",
        f'{AT}     to be sent: the greeting "Welcome"',
        f"{AT}     the greeting: accepted",
        f"{AT}     sent: the greeting (as session)",
        f"{AT}  1: the provider answers timeout, the next time",
        f'{LATER}  2: nemo: reply {CONTACT} out-1: "Sure"',
        f"{LATER}     refused: unknown_agent: there is no such human agent",
        f"{LATER}  3: a raw callback",
        f"{LATER}     dead letter of intake: invalid_json body",
        f"{LATER}  4: time passes",
    ]


def _list(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)
    return value


def _records(found: dict[str, JsonValue]) -> list[JsonValue]:
    return _list(found["records"])
