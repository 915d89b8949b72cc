"""Scenario files: what they may say, and how a mistake is named."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from deploy.errors import LiveDeskError
from simulation.scenario.format import load_file
from tests.support.scenario import CONTACT, data, inbound, problems, reply, scenario

AT = "2026-03-09T08:00:00Z"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({}, "steps[0].at: is required"),
        ({"at": "2026-03-09 08:00"}, "steps[0].at: must be an instant with its zone, such as 2026-06-01T10:00:00Z"),
        ({"at": AT, "inbund": {}}, "steps[0].inbund: is not a known setting"),
        ({"at": AT, "inbound": {"id": "in-1"}}, "steps[0].inbound.contact: is required"),
        (
            {"at": AT, "inbound": {"id": "in-1", "contact": "none"}},
            "steps[0].inbound.contact: is neither a phone number with its country code nor a user id: not digits only",
        ),
        (inbound(AT, "in-1", channel="other"), "steps[0].inbound.channel: there is no channel 'other'"),
        (
            {"at": AT, "redeliver": "m1", "probe": {}},
            "steps[0]: must be one thing, not probe and redeliver",
        ),
        ({"at": AT, "redeliver": "in-9"}, "steps[0].redeliver: no earlier step has a callback of 'in-9'"),
        ({"at": AT, "concurrent": True}, "steps[0].concurrent: there is no step before it"),
        (
            {"at": AT, "status": {"message": "out-9", "status": "read"}},
            "steps[0].status.message: no reply has the id 'out-9': give the contact that it went to",
        ),
        (
            {"at": AT, "command": {"type": "resolve", "contact": CONTACT, "by": "nadia", "text": "x"}},
            "steps[0].command: resolve has no text",
        ),
        ({"at": AT, "batch": []}, "steps[0].batch: must not be empty"),
        ({"at": AT, "batch": [{}]}, "steps[0].batch[0]: must be one of inbound and status"),
        ({"at": AT, "callback": {}}, "steps[0].callback: must have one of body, body_text and body_base64"),
        ({"at": AT, "callback": {"body_base64": "%"}}, "steps[0].callback: body_base64 is not base64"),
        (
            {"at": AT, "presence": {"agent": "nadia"}},
            "steps[0].presence: must have one of state, member and deleted",
        ),
        (
            {"at": AT, "presence": {"agent": "nadia", "channel": "shop", "state": "idle"}},
            "steps[0].presence: presence and deletion are the account's: leave the channel out",
        ),
        ({"at": AT, "probe": {"channel": "other"}}, "steps[0].probe.channel: there is no channel 'other'"),
        ({"at": AT, "ai": {"answer": " "}}, "steps[0].ai.answer: must not be blank"),
        (
            {"at": AT, "provider": {"answer": "timeout", "code": 2002}},
            "steps[0].provider: only a refusal has a code",
        ),
    ],
)
def test_a_mistake_is_named_by_file_step_and_field(step: dict[str, JsonValue], expected: str) -> None:
    assert problems(step) == (f"a.yaml: {expected}",)


def test_time_never_goes_back() -> None:
    assert problems(inbound(AT, "in-1"), inbound("2026-03-09T07:59:59Z", "in-2")) == (
        "a.yaml: steps[1].at: goes back: steps stand in the order of their time",
    )


def test_settings_are_checked_as_when_they_are_saved() -> None:
    found = problems({"at": AT}, agents=[])

    assert found == ("a.yaml: channels[0].human_agents[0]: points at nobody: there is no human agent 'nadia'",)


def test_an_expectation_that_makes_no_sense_is_named() -> None:
    expected: JsonValue = {"sends": [], "messages": {"out-1": {"error": {"message": {"regex": "("}}}}}

    assert [problem.partition(": ")[2].partition(": ")[0] for problem in problems({"at": AT}, expect=expected)] == [
        "expect.sends",
        "expect.messages.out-1.error.message",
    ]


def test_every_kind_of_step_of_the_format_is_read() -> None:
    command: dict[str, JsonValue] = {"contact": CONTACT, "by": "nadia"}
    steps: list[dict[str, JsonValue]] = [
        {"at": AT, "ai": {"answer": "handoff"}},
        {"at": AT, "presence": {"agent": "nadia", "state": "offline", "source": "heartbeat"}},
        {"at": AT, "presence": {"agent": "nadia", "member": False}},
        {"at": AT, "presence": {"agent": "nadia", "member": True, "channel": "shop"}},
        {"at": AT, "presence": {"agent": "nadia", "deleted": True}},
        {"at": AT, "probe": {"channel": "shop"}},
        {"at": AT, "command": {"type": "note", "text": "call back", **command}},
        {"at": AT, "command": {"type": "snooze", "until": "2026-03-10T08:00:00+01:00", **command}},
        {"at": AT, "command": {"type": "assign", "to": {"kind": "team", "id": "t1"}, **command}},
        {"at": AT, "command": {"type": "label", "add": ["vip"], "remove": ["new"], **command}},
        inbound(AT, "in-1", quotes={"contact": CONTACT, "kind": "survey", "nth": 1}),
        {"at": AT, "settings": {"channel": "shop", "greeting": {"enabled": False}}},
    ]
    for bare in ("reopen", "hand_over", "block", "unblock", "mute"):
        steps.append({"at": AT, "command": {"type": bare, **command}})

    assert [step.kind for step in scenario(*steps).steps][-1] == "command"


def test_a_file_of_lines_holds_a_scenario_a_line_and_a_bad_line_spoils_nothing(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    good = json.dumps(data({"at": AT}, name="a\u2028b"), ensure_ascii=False)
    file.write_text(f"{good}\n\n{{broken\n{good}\n", encoding="utf-8")

    first, second, third = load_file(file)

    assert first.scenario is not None
    assert second.problems[0].startswith(f"{file}, line 3: not valid JSON")
    assert third.where == f"{file}, line 4"


def test_yaml_is_read_with_times_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "channels: [{id: c, phone_number: '+34910222333'}]\nsteps:\n  - {at: 2026-03-09T08:00:00Z}\n", encoding="utf-8"
    )

    [loaded] = load_file(file)

    assert loaded.scenario is not None
    assert loaded.name == str(file)


def test_a_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LiveDeskError, match=r"can't be read"):
        list(load_file(tmp_path / "none.jsonl"))


def test_a_reply_may_come_after_its_receipt() -> None:
    assert problems({"at": AT, "status": {"message": "out-1", "status": "read"}}, reply(AT, "out-1")) == ()


def test_several_channels_must_be_told_apart() -> None:
    base = data()["channels"]
    assert isinstance(base, list)
    other: JsonValue = {"id": "help", "phone_number": "+34910222444"}

    assert problems(inbound(AT, "in-1"), channels=[*base, other]) == (
        "a.yaml: steps[0].inbound.channel: is required: there are several channels",
    )


def test_an_account_that_the_sandbox_can_not_have_is_named() -> None:
    base: dict[str, JsonValue] = {"id": "shop", "phone_number": "+34910222333", "dev_key": "k", "dev_secret": "s"}

    assert problems({"at": AT}, channels=[base, base | {"id": "help", "phone_number": "+34910222334"}]) == (
        "a.yaml: channels[1].dev_key: is another channel's: the sandbox has one number for each",
    )
    assert problems({"at": AT}, channels=[base, base | {"id": "help", "dev_key": "k2"}]) == (
        "a.yaml: channels[1].phone_number: channel 'shop' has it already: a number belongs to one channel",
    )
    assert problems({"at": AT}, channels=[base | {"dev_secret": None}]) == (
        "a.yaml: channels[0].dev_secret: dev_key and dev_secret go together: give both or neither",
    )
