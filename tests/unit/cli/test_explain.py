"""What `livedesk explain assignment` makes of assignment's own records."""

import io
from datetime import timedelta

from rich.console import Console

from cli.explain import _as_data, _print
from deploy.explanations import Decided, decisions
from schemas.events.assignment import AssignmentDecided, AssignmentReleased, AssignmentWaiting
from schemas.record import Record
from tests.support.assignment import START, AssignmentBench, channel

RULES = [
    {
        "name": "refunds",
        "when": [{"field": "text", "op": "starts_with", "value": "refund"}],
        "to": {"kind": "human", "id": "ana"},
    },
    {"name": "nights", "when": [], "to": {"kind": "team", "id": "night"}},
]


def reported(bench: AssignmentBench) -> list[Record]:
    """What assignment reported of the bench's conversations, as it stands on the topic."""
    found = []
    for n, event in enumerate(bench.reported):
        assert isinstance(event, AssignmentDecided | AssignmentWaiting | AssignmentReleased)
        key = bench.talks[event.conversation_id].key
        found.append(Record(f"r{n}", "/livedesk/assignment", START + timedelta(minutes=n), key, event))
    return found


def words(found: list[Decided]) -> str:
    out = io.StringIO()
    _print(Console(file=out, soft_wrap=True), found)
    return out.getvalue()


def bench() -> AssignmentBench:
    made = AssignmentBench({"kiosk": channel(assignment={"rules": RULES, "workload_default": 1})})
    made.save("bob", teams="night", workload=0)
    return made


def test_explain_says_what_was_tried_and_why_it_went_where_it_did() -> None:
    account = bench()
    account.present("ana", "bob")
    account.route("c1", text="my secret")
    (decided,) = decisions(reported(account), "c1")
    assert words([decided]).splitlines() == [
        "Conversation c1 of channel kiosk",
        "",
        "2026-03-10T12:00:00Z  To agent ana: of those who can take it they have the fewest open conversations; "
        "equals take turns.",
        "  An assignee is needed, as the conversation is new.",
        '  Rule 1 “refunds”, to agent ana: does not apply, as this does not hold: text starts with "refund".',
        "  Rule 2 “nights”, to team night: applies, but is skipped: nobody of it can take it.",
        "  AI agent: there is none.",
        "  Agent ana, 0 of 1 open: can take it.",
        "  Agent bob, 0 of 0 open: at the limit.",
        "  Agent cleo, 0 of 1 open: not online.",
    ]


def test_explain_gives_the_whole_story_of_a_conversation_that_waited() -> None:
    account = bench()
    account.route("c1")
    account.present("ana")
    account.answer_all()
    waited, served = decisions(reported(account), "c1")
    assert (waited.assignee, served.assignee and served.assignee.id) == (None, "ana")
    assert "It waits: no agent can take it now." in words([waited, served])


def test_a_proposal_that_came_too_late_is_marked() -> None:
    account = bench()
    account.present("ana")
    account.open("c1")
    account.assign("c1", "cleo")
    account.answer_all()
    (decided,) = decisions(reported(account), "c1")
    assert decided.refused
    assert "It came too late" in words([decided])


def test_a_contact_stands_for_their_latest_conversation() -> None:
    account = bench()
    account.route("old")
    account.resolve("old")
    account.route("new")
    account.talks["new"].key = account.talks["old"].key
    found = decisions(reported(account), account.talks["new"].key)
    assert [decided.conversation for decided in found] == ["new"]
    assert decisions(reported(account), "kiosk:49160") == []


def test_as_data_it_has_the_explanation_whole() -> None:
    account = bench()
    account.present("ana")
    account.route("c1")
    (decided,) = decisions(reported(account), "c1")
    data = _as_data(decided)
    assert data["assignee"] == {"kind": "human", "id": "ana"}
    assert data["explanation"] == account.explanation()
    assert (data["refused"], data["time"]) == (False, "2026-03-10T12:00:00Z")


def test_codes_of_a_newer_version_are_shown_as_they_are() -> None:
    account = bench()
    account.route("c1")
    (decided,) = decisions(reported(account), "c1")
    newer = decided._replace(explanation={"because": "full_moon", "reason": "howling", "candidates": "many"})
    assert "full_moon" in words([newer])
