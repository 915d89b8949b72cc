"""Assignment: who gets a conversation, and why, for one account on a bench."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.events.assignment import AssignmentDecided, AssignmentWaiting
from schemas.events.conversation import Status
from schemas.events.inbox import ProposeAssignee
from schemas.events.people import AgentDeleted
from tests.support.assignment import BOT, PREFIXES_OF_CONVERSATIONS, AssignmentBench, channel, human, team

SEQUENTIAL: dict[str, Any] = {"strategy": "sequential"}


def bench(*present: str, **settings: Any) -> AssignmentBench:
    """One channel, and who is online from the start."""
    made = AssignmentBench({"kiosk": channel(**settings)})
    made.present(*present)
    return made


def limits(bench: AssignmentBench, **workload: int) -> None:
    for agent, limit in workload.items():
        bench.save(agent, workload=limit)


# --- proposals -----------------------------------------------------------------------------------------------------


def test_somebody_is_proposed_and_said_why() -> None:
    account = bench("ana")
    account.open("c1")
    ((_, proposal),) = account.proposed
    (decided,) = account.reported
    assert isinstance(decided, AssignmentDecided)
    assert (proposal.assignee, proposal.revision) == (human("ana"), 1)
    assert (decided.assignee, decided.proposal_id) == (proposal.assignee, proposal.proposal_id)
    assert decided.explanation == proposal.explanation
    assert (decided.explanation["decision"], decided.explanation["because"]) == ("workload", "lowest_load")


def test_a_conversation_waits_by_a_proposal_without_an_assignee() -> None:
    account = bench()
    account.open("c1")
    ((_, proposal),) = account.proposed
    (waiting,) = account.reported
    assert isinstance(waiting, AssignmentWaiting)
    assert proposal.assignee is None
    assert (waiting.explanation["decision"], waiting.explanation["because"]) == ("nobody", "nobody_available")
    assert [entry["why"] for entry in account.explanation()["candidates"]] == ["not_online"] * 3


def test_a_newer_request_waits_for_the_answer_to_the_proposal_in_flight() -> None:
    account = bench("ana")
    account.open("c1")
    account.resolve("c1")
    account.reopen("c1")
    assert len(account.proposed) == 1
    assert not account.answer().accepted
    ((_, proposal),) = account.proposed
    assert proposal.revision == account.talks["c1"].revision
    assert account.answer().accepted
    assert account.holder("c1") == "ana"


def test_a_refused_proposal_of_what_is_over_is_not_repeated() -> None:
    account = bench("ana")
    account.open("c1")
    account.resolve("c1")
    account.answer_all()
    assert account.released() == [("c1", "ana", "refused")]
    assert not list(account.rows(*PREFIXES_OF_CONVERSATIONS))


def test_a_person_s_assignment_is_never_overwritten() -> None:
    account = bench("ana")
    account.open("c1")
    account.assign("c1", "bob")
    account.answer_all()
    account.present("cleo")
    assert account.holder("c1") == "bob"
    assert not account.proposed


def test_a_stale_answer_of_another_proposal_changes_nothing() -> None:
    account = bench("ana")
    account.open("c1")
    proposal = account.proposed[0]
    account.answer_all()
    rows = sorted(account.rows())
    account.proposed.append(proposal)
    account.answer()
    assert sorted(account.rows()) == rows


# --- priorities ----------------------------------------------------------------------------------------------------


def rule(to: str, *when: dict[str, object], name: str = "") -> dict[str, object]:
    kind, id = to.split(":")
    return {"name": name, "when": list(when), "to": {"kind": kind, "id": id}}


def about(value: str) -> dict[str, object]:
    return {"field": "text", "op": "contains", "value": value}


AI: dict[str, Any] = {"enabled": True, "agents": [{"id": "bot"}, {"id": "other"}]}


def test_the_first_rule_that_applies_wins_even_over_the_ai_agent() -> None:
    rules = [rule("human:cleo", about("refund")), rule("human:bob", about("invoice")), rule("human:ana")]
    account = bench("ana", "bob", "cleo", ai=AI, assignment={"rules": rules})
    assert account.route("c1", text="My INVOICE, please") == "bob"
    explanation = account.explanation()
    assert (explanation["decision"], explanation["because"]) == ("rule", "rule_matched")
    first, second = explanation["rules"]
    assert first["result"] == "no_match"
    assert first["condition"] == {"field": "text", "op": "contains", "value": "refund"}
    assert (second["result"], second["rule"]) == ("taken", 2)


def test_a_rule_whose_target_can_t_take_it_is_skipped_and_the_explanation_says_so() -> None:
    rules = [rule("human:cleo"), rule("human:zoe"), rule("team:night"), rule("team:empty"), rule("ai:bot")]
    account = bench("ana", ai={**AI, "enabled": False}, assignment={"rules": rules})
    account.save("bob", teams="night")
    assert account.route("c1") == "ana"
    reported = account.explanation()
    assert [entry["why"] for entry in reported["rules"]] == [
        "not_online",
        "not_member",
        "nobody_available",
        "no_members",
        "disabled",
    ]
    assert reported["decision"] == "workload"
    assert reported["ai"] == {"agent": "bot", "why": "disabled"}


@pytest.mark.parametrize("strategy", ["workload", "sequential"])
def test_a_rule_s_target_has_its_limit_by_workload_only(strategy: str) -> None:
    account = bench("ana", "bob", assignment={"strategy": strategy, "rules": [rule("human:ana")]})
    limits(account, ana=1)
    assert account.route("c1") == "ana"
    assert account.route("c2") == ("bob" if strategy == "workload" else "ana")


def test_a_rule_to_a_team_takes_the_member_whose_turn_it_is() -> None:
    account = bench("ana", "bob", "cleo", assignment={"strategy": "sequential", "rules": [rule("team:day")]})
    account.save("bob", teams="day")
    account.save("cleo", teams="night day")
    assert [account.route(f"c{n}") for n in range(4)] == ["bob", "cleo", "bob", "cleo"]
    assert account.explanation()["because"] == "team_rule_matched"


def test_a_rule_to_a_person_takes_no_turn() -> None:
    account = bench("ana", "bob", assignment={**SEQUENTIAL, "rules": [rule("human:ana", about("ana"))]})
    assert [account.route(f"c{n}", text=text) for n, text in enumerate(["", "ana", "", ""])] == [
        "ana",
        "ana",
        "bob",
        "ana",
    ]


def test_a_rule_may_name_an_ai_agent_that_is_not_the_first() -> None:
    account = bench("ana", ai=AI, assignment={"rules": [rule("ai:other", about("other"))]})
    assert account.route("c1", text="the other one") == "other"
    assert account.route("c2", text="hello") == "bot"
    assert account.explanation()["decision"] == "ai"
    assert account.talks["c2"].status is Status.AI_REPLYING


def test_the_first_ai_agent_that_is_switched_on_takes_new_conversations() -> None:
    first, other = AI["agents"]
    account = bench("ana", ai={**AI, "agents": [{**first, "enabled": False}, other]})
    assert account.route("c1") == other["id"]
    account = bench("ana", ai={**AI, "agents": [{**first, "enabled": False}, {**other, "enabled": False}]})
    assert account.route("c2") == "ana"
    assert account.explanation()["ai"] == {"agent": first["id"], "why": "disabled"}


@pytest.mark.parametrize("reason", ["handed_over", "ai_failed", "unassigned"])
def test_rules_and_ai_agents_are_for_new_and_reopened_conversations_only(reason: Any) -> None:
    account = bench("ana", "bob", ai=AI, assignment={**SEQUENTIAL, "rules": [rule("human:bob", about("bob"))]})
    assert account.route("c1", text="hello") == "bot"
    account.alter("c1", Status.OPEN, None)
    account.request("c1", reason, text="bob")
    account.answer_all()
    assert account.holder("c1") == "ana"
    assert account.explanation()["reason"] == reason


def test_a_waiting_conversation_goes_by_rules_but_to_no_ai_agent() -> None:
    account = bench(assignment={"rules": [rule("human:bob")]})
    assert account.route("c1") is None
    account.change("kiosk", ai=AI)
    assert not account.proposed
    account.present("bob")
    account.answer_all()
    assert account.holder("c1") == "bob"
    assert account.explanation()["decision"] == "rule"


# --- reopening -----------------------------------------------------------------------------------------------------


def reopened(account: AssignmentBench, *, by_person: bool = False) -> str | None:
    account.resolve("c1")
    account.reopen("c1", by_person=by_person)
    account.answer_all()
    return account.holder("c1")


def test_reopened_by_its_customer_it_goes_to_the_former_agent_before_other_humans() -> None:
    account = bench("ana", "bob")
    assert account.route("c1") == "ana"
    account.route("c2"), account.route("c3")
    assert reopened(account) == "ana"
    assert (account.explanation()["decision"], account.explanation()["reason"]) == ("former", "reopened")


def test_a_reopened_conversation_does_not_count_against_its_former_agent_s_limit() -> None:
    account = bench("ana", "bob")
    limits(account, ana=1)
    assert account.route("c1") == "ana"
    assert reopened(account) == "ana"
    account.route("c2")
    assert account.holder("c2") == "bob"


def test_a_former_agent_who_is_away_or_at_the_limit_is_passed_over() -> None:
    account = bench("ana", "bob")
    limits(account, ana=1)
    assert account.route("c1") == "ana"
    account.resolve("c1")
    assert account.route("c2") == "bob"
    account.assign("c2", "ana")
    account.reopen("c1")
    account.answer_all()
    assert account.holder("c1") == "bob"
    assert account.explanation()["former"] == {"agent": "ana", "why": "at_limit"}
    account.present("bob", state="busy")
    assert reopened(account) is None
    assert account.explanation()["former"] == {"agent": "bob", "why": "not_online"}


def test_reopened_by_its_customer_a_team_s_conversation_goes_to_the_team_before_others() -> None:
    account = bench("ana")
    account.route("c1")
    account.give_to_team("c1", "night")
    account.answer_all()
    account.resolve("c1")
    account.save("cleo", teams="night")
    account.present("bob", "cleo")
    account.reopen("c1")
    account.answer_all()
    assert account.holder("c1") == "cleo"
    assert account.explanation()["because"] == "former_team"


def test_rules_and_the_ai_agent_go_before_the_former_agent() -> None:
    account = bench("ana", "bob")
    assert account.route("c1") == "ana"
    account.change("kiosk", ai=AI)
    assert reopened(account) == "bot"


def test_reopened_by_a_person_it_is_kept_by_its_agent_who_is_online_whatever_the_limit() -> None:
    account = bench("ana", "bob")
    assert account.route("c1") == "ana"
    limits(account, ana=0)
    assert reopened(account, by_person=True) == "ana"
    assert account.explanation()["decision"] == "kept"


def test_reopened_by_a_person_it_goes_to_somebody_else_if_its_agent_is_away() -> None:
    account = bench("ana", "bob", ai=AI)
    account.open("c1")
    account.assign("c1", "ana")
    account.answer_all()
    account.present("ana", state="offline")
    assert reopened(account, by_person=True) == "bob"
    assert account.explanation()["former"] == {"agent": "ana", "why": "not_online"}
    assert ("c1", "ana", "moved") in account.released()


# --- who is available ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["busy", "idle", "offline"])
def test_only_who_is_online_is_available_and_open_conversations_stay(state: Any) -> None:
    account = bench("ana")
    assert account.route("c1") == "ana"
    account.present("ana", state=state)
    assert account.holder("c1") == "ana"
    assert not account.proposed
    assert account.route("c2") is None


def test_presence_by_heartbeat_holds_for_90_seconds() -> None:
    account = bench()
    account.present("ana", source="heartbeat")
    account.wait(timedelta(seconds=60))
    account.present("ana", source="heartbeat")
    account.wait(timedelta(seconds=89, milliseconds=999))
    assert account.route("c1") == "ana"
    account.wait(timedelta(milliseconds=1))
    assert account.route("c2") is None
    account.present("ana", source="heartbeat")
    account.answer_all()
    assert account.holder("c2") == "ana"


def test_each_agent_s_heartbeats_expire_on_their_own() -> None:
    account = bench()
    for agent in ("ana", "bob", "cleo"):
        account.present(agent, source="heartbeat")
        account.wait(timedelta(seconds=10))
    account.present("ana", source="heartbeat")
    account.wait(timedelta(seconds=75))  # bob's last was 95 seconds ago, cleo's 85
    candidates = (account.route("c1"), account.route("c2"), account.route("c3"))
    assert set(candidates) == {"ana", "cleo"}
    account.wait(timedelta(seconds=90))
    assert account.route("c4") is None
    assert "presence" not in account.timers()
    assert not list(account.rows("heartbeat/"))


def test_a_person_s_choice_stays_whatever_the_heartbeats_say() -> None:
    account = bench("ana")
    account.present("bob", state="busy")
    account.present("ana", "bob", source="heartbeat")
    account.wait(timedelta(hours=9))
    assert account.route("c1") == "ana"
    assert account.route("c2") == "ana"


def test_a_late_heartbeat_makes_nobody_of_a_deleted_agent() -> None:
    account = bench(members=("ana",))
    account.delete("ana")
    account.present("ana", source="heartbeat")
    account.change("kiosk", human_agents=["ana"])
    assert account.route("c1") is None
    account.save("ana")
    account.present("ana")
    account.answer_all()
    assert account.holder("c1") == "ana"


# --- by workload ---------------------------------------------------------------------------------------------------


def test_by_workload_the_lowest_load_comes_first_and_equals_rotate() -> None:
    account = bench("ana", "bob", "cleo")
    assert [account.route(f"c{n}") for n in range(4)] == ["ana", "bob", "cleo", "ana"]
    account.resolve("c1")
    assert account.route("c4") == "bob"
    for n in range(5):
        account.resolve(f"c{n}")
    # All are free again: not the first of the list, but who was not served for longest.
    assert account.route("c5") == "cleo"


def test_the_load_is_that_of_the_whole_account() -> None:
    account = AssignmentBench({"kiosk": channel(members=("ana", "bob")), "shop": channel("shop", members=("ana",))})
    account.present("ana", "bob")
    assert account.route("c1", "shop") == "ana"
    assert [account.route("c2"), account.route("c3"), account.route("c4")] == ["bob", "ana", "bob"]


def test_proposals_without_an_answer_take_places() -> None:
    account = bench("ana", "bob")
    limits(account, ana=1, bob=1)
    for id in ("c1", "c2", "c3"):
        account.open(id)
    assert [proposal.assignee for _, proposal in account.proposed] == [human("ana"), human("bob"), None]


@pytest.mark.parametrize(("limit", "taken"), [(0, 0), (2, 2), ("default", 1), (None, 4)])
def test_the_agent_s_limit_goes_before_the_channel_s_default(limit: Any, taken: int) -> None:
    account = bench("ana", members=("ana",), assignment={"workload_default": 1})
    account.save("ana", workload=limit)
    found = [account.route(f"c{n}") for n in range(4)]
    assert found == ["ana"] * taken + [None] * (4 - taken)


@pytest.mark.parametrize("status", [Status.SNOOZED, Status.AI_REPLYING, Status.RESOLVED, Status.CLOSED])
def test_only_open_conversations_use_a_slot(status: Status) -> None:
    account = bench("ana", assignment={"workload_default": 1})
    assert account.route("c1") == "ana"
    assert account.route("c2") is None
    account.alter("c1", status, human("ana"))
    account.answer_all()
    assert account.holder("c2") == "ana"
    assert account.released() == [("c1", "ana", "ended")]


def test_a_person_s_assignment_takes_a_slot() -> None:
    account = bench("ana", assignment={"workload_default": 1})
    account.open("c1")
    account.assign("c1", "ana")
    assert account.route("c2") is None


# --- sequential ----------------------------------------------------------------------------------------------------


def test_sequential_goes_round_and_ignores_limits() -> None:
    account = bench("ana", "bob", "cleo", assignment={**SEQUENTIAL, "workload_default": 1})
    assert [account.route(f"c{n}") for n in range(6)] == ["ana", "bob", "cleo", "ana", "bob", "cleo"]


def test_an_absent_agent_keeps_their_turn() -> None:
    account = bench("ana", "bob", "cleo", assignment=SEQUENTIAL)
    assert account.route("c1") == "ana"
    account.present("bob", state="offline")
    assert [account.route("c2"), account.route("c3")] == ["cleo", "ana"]
    account.present("bob")
    assert [account.route("c4"), account.route("c5"), account.route("c6")] == ["bob", "cleo", "ana"]


def test_a_newcomer_is_served_within_one_turn_and_not_flooded() -> None:
    account = bench("ana", "bob", "cleo", members=("ana", "bob"), assignment=SEQUENTIAL)
    assert [account.route("c1"), account.route("c2"), account.route("c3")] == ["ana", "bob", "ana"]
    account.change("kiosk", human_agents=["cleo", "ana", "bob"])
    assert [account.route(f"d{n}") for n in range(5)] == ["bob", "ana", "cleo", "bob", "ana"]


def test_an_agent_who_left_and_comes_back_is_a_newcomer() -> None:
    account = bench("ana", "bob", assignment=SEQUENTIAL, members=("ana", "bob"))
    assert account.route("c1") == "ana"
    account.change("kiosk", human_agents=["ana"])
    account.change("kiosk", human_agents=["bob", "ana"])
    assert [account.route("c2"), account.route("c3")] == ["ana", "bob"]


@pytest.mark.parametrize("order", [(0, 0), (1, 0)])
def test_refused_proposals_return_their_turns_in_whatever_order(order: tuple[int, int]) -> None:
    account = bench("ana", "bob", assignment=SEQUENTIAL, members=("ana", "bob"))
    assert account.route("c1") == "ana"
    account.present("bob", state="offline")
    for id in ("c2", "c3"):
        account.open(id)  # both ana's
    account.resolve("c2")
    account.resolve("c3")
    for index in order:
        account.answer(index)
    account.present("bob")
    assert [account.route("d1"), account.route("d2")] == ["bob", "ana"]


def test_a_turn_that_stands_is_not_returned_with_an_earlier_one() -> None:
    account = bench("ana", members=("ana", "bob"), assignment=SEQUENTIAL)
    account.open("c1")
    account.open("c2")
    account.resolve("c1")
    account.answer(1)
    account.answer(0)
    account.present("bob")
    assert [account.route("d1"), account.route("d2")] == ["bob", "ana"]


def test_a_person_s_assignment_takes_no_turn() -> None:
    account = bench("ana", "bob", assignment=SEQUENTIAL, members=("ana", "bob"))
    account.open("c1")
    account.assign("c1", "bob")
    account.answer_all()
    assert [account.route("c2"), account.route("c3")] == ["ana", "bob"]


# --- fair window -----------------------------------------------------------------------------------------------------

FAIR: dict[str, Any] = {"fair_window": {"limit": 2, "window": "10m"}}
MINUTE = timedelta(minutes=1)


def test_a_full_fair_window_passes_an_agent_over_until_a_slot_comes_back() -> None:
    account = bench("ana", assignment={**SEQUENTIAL, **FAIR})
    for n in range(2):
        assert account.route(f"c{n}") == "ana"
        account.resolve(f"c{n}")
        account.wait(MINUTE)
    assert account.route("c2") is None
    assert account.explanation()["candidates"][0]["why"] == "fair_window"
    account.wait(8 * MINUTE - timedelta(milliseconds=1))
    assert not account.proposed
    account.wait(timedelta(milliseconds=1))
    account.answer_all()
    assert account.holder("c2") == "ana"
    account.wait(timedelta(days=1))
    assert not list(account.rows("grant/", "fair/"))
    assert account.timers() == set()


def test_a_refused_assignment_does_not_count_in_the_window() -> None:
    account = bench("ana", assignment=FAIR)
    assert account.route("c1") == "ana"
    account.open("c2")
    account.open("c3")
    assert account.proposed[1][1].assignee is None
    account.resolve("c2")
    account.answer_all()
    assert account.holder("c3") == "ana"


def test_the_window_is_the_channel_s_own_and_holds_for_rules_too() -> None:
    settings = {**FAIR, "rules": [rule("human:ana")]}
    account = AssignmentBench({"kiosk": channel(assignment=settings), "shop": channel("shop", assignment=settings)})
    account.present("ana")
    assert [account.route(f"c{n}") for n in range(3)] == ["ana", "ana", None]
    assert account.explanation()["rules"][0]["why"] == "fair_window"
    assert account.route("c3", "shop") == "ana"


def test_a_wider_or_shorter_window_serves_who_waits() -> None:
    account = bench("ana", assignment=FAIR)
    assert [account.route(f"c{n}") for n in range(3)] == ["ana", "ana", None]
    account.wait(MINUTE)
    account.change("kiosk", assignment={"fair_window": {"limit": 2, "window": "1m"}})
    account.answer_all()
    assert account.holder("c2") == "ana"
    account.change("kiosk", assignment={"fair_window": None})
    account.wait(MINUTE)
    assert not list(account.rows("grant/", "fair/"))


# --- who waits -----------------------------------------------------------------------------------------------------


def test_waiting_conversations_are_served_oldest_first_over_all_channels() -> None:
    account = AssignmentBench({"kiosk": channel(), "shop": channel("shop")})
    for n, id in enumerate(("c1", "c2", "c3", "c4")):
        assert account.route(id, ("kiosk", "shop")[n % 2]) is None
    account.save("ana", workload=3)
    account.present("ana")
    account.answer_all()
    assert [account.holder(id) for id in ("c1", "c2", "c3", "c4")] == ["ana", "ana", "ana", None]
    account.resolve("c3")
    account.answer_all()
    assert account.holder("c4") == "ana"


def test_somebody_who_appears_while_the_answer_is_out_gets_it_then() -> None:
    account = bench()
    account.open("c1")
    account.present("ana")
    account.answer_all()
    assert account.holder("c1") == "ana"


@pytest.mark.parametrize("change", ["member", "limit", "default", "saved"])
def test_waiting_conversations_are_served_by_whatever_makes_room(change: str) -> None:
    account = bench("ana", "bob", members=("ana",), assignment={"workload_default": 0})
    if change == "limit":
        account.save("ana", workload=0)
    assert account.route("c1") is None
    match change:
        case "member":
            account.change("kiosk", human_agents=["ana", "bob"], assignment={"workload_default": 1})
        case "default":
            account.change("kiosk", assignment={"workload_default": 1})
        case _:
            account.save("ana", workload=1)
    account.answer_all()
    assert account.holder("c1") in ("ana", "bob")


def test_a_person_may_take_what_waits() -> None:
    account = bench()
    assert account.route("c1") is None
    account.assign("c1", "bob")
    account.present("ana")
    assert not account.proposed
    assert not list(account.rows("waiting/"))


def test_a_resolved_or_snoozed_conversation_does_not_wait() -> None:
    account = bench()
    account.route("c1"), account.route("c2")
    account.resolve("c1")
    account.snooze("c2")
    assert not list(account.rows(*PREFIXES_OF_CONVERSATIONS))
    account.present("ana")
    assert not account.proposed
    account.wake("c2")
    account.answer_all()
    assert account.holder("c2") == "ana"


def test_a_team_s_queue_goes_to_its_members_only() -> None:
    account = bench("ana")
    account.save("bob", teams="night")
    assert account.route("c1") == "ana"
    account.give_to_team("c1", "night")
    account.answer_all()
    assert account.talks["c1"].assignee == team("night")
    assert account.explanation()["team"] == "night"
    account.present("cleo")
    assert not account.proposed
    account.save("cleo", teams="night")
    account.answer_all()
    assert account.holder("c1") == "cleo"


def test_given_to_a_team_while_it_waits_for_anybody_it_is_only_the_team_s() -> None:
    account = bench()
    assert account.route("c1") is None
    account.alter("c1", Status.OPEN, team("night"))
    account.present("ana")
    assert not account.proposed
    account.request("c1", "team", team="night")
    account.answer_all()
    assert account.talks["c1"].assignee == team("night")


def test_a_team_s_conversation_that_a_person_reopens_is_still_the_team_s() -> None:
    account = bench("ana")
    account.save("bob", teams="night")
    account.route("c1")
    account.give_to_team("c1", "night")
    account.answer_all()
    assert reopened(account, by_person=True) == "night"
    account.present("bob")
    account.answer_all()
    assert account.holder("c1") == "bob"


def test_reopened_by_its_customer_a_team_s_conversation_is_anybody_s() -> None:
    account = bench()
    account.route("c1")
    account.give_to_team("c1", "night")
    account.answer_all()
    reopened(account)
    account.present("ana")
    account.answer_all()
    assert account.holder("c1") == "ana"


# --- agents leave --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manual", [True, False])
@pytest.mark.parametrize("deleted", [True, False])
def test_an_agent_who_leaves_gives_up_their_open_conversations(deleted: bool, manual: bool) -> None:
    account = bench("ana", "bob", members=("ana", "bob"))
    account.open("c1")
    if manual:
        account.assign("c1", "ana")
    account.answer_all()
    account.delete("ana") if deleted else account.change("kiosk", human_agents=["bob"])
    account.answer_all()
    assert account.holder("c1") == "bob"
    assert account.explanation()["reason"] == "removed"
    assert ("c1", "ana", "removed") in account.released()


def test_without_anybody_else_they_wait() -> None:
    account = bench("ana", members=("ana", "bob"))
    account.route("c1")
    account.delete("ana")
    account.answer_all()
    assert account.holder("c1") is None
    account.present("bob")
    account.answer_all()
    assert account.holder("c1") == "bob"


def test_accepted_for_an_agent_who_left_meanwhile_it_is_proposed_anew() -> None:
    account = bench("ana", "bob", members=("ana", "bob"))
    account.open("c1")
    account.change("kiosk", human_agents=["bob"])
    assert account.answer().accepted
    account.answer_all()
    assert account.holder("c1") == "bob"


@pytest.mark.parametrize("how", ["wake", "reopen"])
def test_a_conversation_that_returns_to_an_agent_who_left_goes_to_another(how: str) -> None:
    account = bench("ana", "bob", members=("ana", "bob"))
    assert account.route("c1") == "ana"
    account.snooze("c1") if how == "wake" else account.resolve("c1")
    account.delete("ana")
    account.wake("c1") if how == "wake" else account.reopen("c1", by_person=True)
    account.answer_all()
    assert account.holder("c1") == "bob"


def test_a_conversation_kept_by_who_leaves_before_the_answer_is_proposed_anew() -> None:
    account = bench("ana", "bob", members=("ana", "bob"))
    assert account.route("c1") == "ana"
    account.resolve("c1")
    account.reopen("c1", by_person=True)
    account.change("kiosk", human_agents=["bob"])
    account.answer_all()
    assert account.holder("c1") == "bob"


def test_an_agent_who_is_back_before_the_answer_keeps_a_person_s_assignment() -> None:
    account = bench("bob", members=("ana", "bob"))
    account.open("c1")
    account.assign("c1", "ana")
    account.change("kiosk", human_agents=["bob"])
    account.change("kiosk", human_agents=["bob", "ana"])
    account.answer_all()
    assert account.holder("c1") == "ana"
    account.resolve("c1")
    assert not list(account.rows(*PREFIXES_OF_CONVERSATIONS))


def test_a_proposal_that_is_refused_with_nothing_newer_is_not_repeated() -> None:
    account = bench("bob", members=("ana", "bob"))
    account.open("c1")
    account.assign("c1", "ana")
    account.answer_all()
    account.feed(AgentDeleted(agent="ana"))  # still a member, as far as the settings say
    account.answer_all()
    assert account.holder("c1") == "ana"
    account.delete("ana")
    account.answer_all()
    assert account.holder("c1") == "bob"


def test_an_agent_who_left_a_channel_keeps_conversations_of_others() -> None:
    account = AssignmentBench({"kiosk": channel(), "shop": channel("shop", members=("ana",))})
    account.present("ana")
    account.route("c1", "shop"), account.route("c2")
    account.change("kiosk", human_agents=["bob"])
    account.answer_all()
    assert (account.holder("c1"), account.holder("c2")) == ("ana", None)


# --- what is reported and kept ---------------------------------------------------------------------------------------


def test_the_ai_agent_uses_no_slot() -> None:
    account = bench("ana", ai=AI)
    assert account.route("c1") == BOT.id
    assert not list(account.rows(*PREFIXES_OF_CONVERSATIONS))
    account.hand_over("c1")
    account.answer_all()
    assert account.holder("c1") == "ana"


def test_an_explanation_is_short_and_holds_no_customer_s_words_or_number() -> None:
    members = tuple(f"a{n:03}" for n in range(200))
    rules = [
        rule("human:zoe", {"field": "contact.phone", "op": "equals", "value": "+4915199887766"}, name=f"rule {n}")
        for n in range(50)
    ]
    account = bench(members=members, assignment={"rules": [*rules, rule("human:zoe", about("x" * 900))]})
    account.open("c1", text="the secret of the customer", contact_name="Ms Customer")
    (event,) = account.reported
    assert isinstance(event, AssignmentWaiting)
    text = event.model_dump_json()
    assert len(text) < 8 << 10
    assert not any(word in text for word in ("secret", "Customer", "4915199887766"))
    assert (account.explanation()["more_rules"], account.explanation()["more_candidates"]) == (31, 180)


def test_when_all_is_over_no_place_and_no_row_is_left() -> None:
    account = bench("ana", "bob")
    for n in range(6):
        account.route(f"c{n}")
    for n in range(6):
        account.resolve(f"c{n}")
    assert not list(account.rows(*PREFIXES_OF_CONVERSATIONS))
    assert len(account.released()) == 6


def test_each_proposal_has_its_own_id() -> None:
    account = bench("ana")
    seen: set[str] = set()
    for n in range(20):
        account.open(f"c{n}")
        proposal: ProposeAssignee = account.proposed[-1][1]
        assert proposal.proposal_id not in seen
        seen.add(proposal.proposal_id)
