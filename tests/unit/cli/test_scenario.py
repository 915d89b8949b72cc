"""`livedesk scenario run`: its output and exit codes."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli.main import app
from tests.support.scenario import data, inbound

AT = "2026-03-09T08:00:00Z"
GOOD = data(inbound(AT, "in-1"), name="good one", expect={"sent_count": {"greeting": 1}})
BAD = data(inbound(AT, "in-1"), name="bad one", expect={"sent_count": {"greeting": 3}})
TWILIO: JsonValue = {"id": "shop", "phone_number": "+34910222333", "provider": "twilio"}
NOT_DONE = data(inbound(AT, "in-1", type="reaction"), name="one that can't be", channels=[TWILIO])


def lines(path: Path, *scenarios: dict[str, JsonValue]) -> str:
    path.write_text("\n".join(map(json.dumps, scenarios)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("scenarios", "code", "last"),
    [
        ([GOOD], 0, "1 passed, 0 failed"),
        ([GOOD, BAD, NOT_DONE], 1, "1 passed, 1 failed, 1 could not be run"),
        ([GOOD, NOT_DONE], 2, "1 passed, 0 failed, 1 could not be run"),
    ],
)
def test_exit_code_and_summary(tmp_path: Path, scenarios: list[dict[str, JsonValue]], code: int, last: str) -> None:
    ran = CliRunner().invoke(app, ["scenario", "run", lines(tmp_path / "some.jsonl", *scenarios)])

    assert ran.exit_code == code
    assert ran.stdout.splitlines()[-1] == last


def test_each_difference_is_printed(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["scenario", "run", lines(tmp_path / "some.jsonl", GOOD, BAD)])

    assert "sent_count.greeting: expected 3, got 1" in ran.stdout


def test_json_gives_a_line_a_scenario_and_nothing_else_on_standard_output(tmp_path: Path) -> None:
    file = lines(tmp_path / "some.jsonl", GOOD, NOT_DONE, BAD)

    ran = CliRunner().invoke(app, ["scenario", "run", "--json", "--records", file])

    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [result["name"] for result in results] == ["good one", "one that can't be", "bad one"]
    assert results[0]["records"][0]["topic"] == "directory"
    assert "can not be run on twilio: steps[0].inbound.type: it reports no reaction" in results[1]["error"]
    assert "1 passed, 1 failed" in ran.stderr


def test_only_the_scenarios_whose_name_fits_are_run(tmp_path: Path) -> None:
    file = lines(tmp_path / "some.jsonl", GOOD, BAD)

    ran = CliRunner().invoke(app, ["scenario", "run", "-k", "^go+d", file])

    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[-1] == "1 passed, 0 failed"


def test_scenarios_are_played_at_another_provider(tmp_path: Path) -> None:
    file = lines(tmp_path / "some.jsonl", GOOD)

    ran = CliRunner().invoke(app, ["scenario", "run", "--json", "--records", "--provider", "whatsapp_cloud", file])

    records = json.loads(ran.stdout)["records"]
    assert ran.exit_code == 0
    assert (
        "whatsapp_business_account"
        in next(one["event"] for one in records if one["topic"] == "webhooks")["data"]["body"]
    )


def test_a_single_scenario_shows_its_timeline(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(json.dumps(GOOD), encoding="utf-8")

    ran = CliRunner().invoke(app, ["scenario", "run", str(file)])

    assert f"{AT}     to be sent: the greeting" in ran.stdout
    assert "Conversations" in ran.stdout
