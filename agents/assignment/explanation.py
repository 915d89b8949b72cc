"""The explanation of a choice, as it travels with a proposal.

Every proposal says why, in an explanation that is kept with assignment.decided (or assignment.waiting) and travels on
to conversation.routed and conversation.assigned. Its keys never change their meaning; those without a use are left out:
    decision            rule, ai, former (who held it before), kept (reopened by a person, or unanswered), replied
                        (reopened by a person's reply: the sender), workload, sequential, nobody
    because             rule_matched, team_rule_matched, first_ai_agent, former_agent, former_team, still_available,
                        former_not_available, lowest_load, longest_not_served, nobody_available, others_wait_longer,
                        nobody_else_available
    reason              why an assignee is needed: as in assignment.requested, or removed (its agent left the channel),
                        offline (its agent has been for too long)
    team                the team that a person gave it to
    rules               those tried, in order: {rule: its number from 1, name, to, result: taken|no_match|skipped, and
                        condition: {field, op, value} that does not hold, or why its target can't take it}
    ai                  {agent, why: disabled|no_agents|routed}: why no AI agent takes it
    former              {agent or team, why}: why who held it before does not
    candidates          the agents looked at: {agent, eligible, load, limit, why}, the best first
    more_rules, more_candidates     how many others there are, where the list is cut
`why` of an agent: not_member, deleted, not_online, at_limit, fair_window, passed (they had it while its customer
waited); of a team: no_members, nobody_available; of an AI agent: disabled, unknown, routed (it waits for people by
now). No customer's words, names or numbers are in it.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from schemas.settings.routing import Condition

MAX_LISTED: Final = 20
"""Rules, and candidates, that an explanation lists."""
MAX_SHOWN: Final = 60
"""Characters of a rule's name or value in an explanation."""
Why = Literal["not_member", "deleted", "not_online", "at_limit", "fair_window", "passed"]


class Candidate(NamedTuple):
    """An agent of the channel. why: of who can't take it. load: without the conversation itself."""

    agent: str
    why: Why | None
    load: int
    limit: int | None
    turn: int


def candidate_entries(candidates: Sequence[Candidate]) -> dict[str, JsonValue]:
    """The candidates, the best first, and how many are left out."""
    entries: dict[str, JsonValue] = {"candidates": [_candidate_entry(one) for one in candidates[:MAX_LISTED]]}
    if len(candidates) > MAX_LISTED:
        entries["more_candidates"] = len(candidates) - MAX_LISTED
    return entries


def _candidate_entry(candidate: Candidate) -> dict[str, JsonValue]:
    entry: dict[str, JsonValue] = {
        "agent": candidate.agent,
        "eligible": candidate.why is None,
        "load": candidate.load,
        "limit": candidate.limit,
    }
    return entry if candidate.why is None else {**entry, "why": candidate.why}


def condition_entry(condition: Condition) -> dict[str, JsonValue]:
    """The condition as in the settings; a customer's name or number that stands there is left out."""
    shown: dict[str, JsonValue] = {"field": condition.field, "op": condition.op}
    if condition.field in ("contact.phone", "contact.name") and condition.op != "exists":
        return shown
    value = condition.value
    if isinstance(value, tuple):
        value = ", ".join(map(str, value[:MAX_LISTED]))
    return {**shown, "value": value[:MAX_SHOWN] if isinstance(value, str) else value}
