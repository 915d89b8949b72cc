"""Assignment's decisions about a conversation, and the words that explain them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import orjson
from pydantic import JsonValue

from deploy.kafka.committed import CommittedReader
from schemas.events.assignment import AssignmentDecided, AssignmentReleased, AssignmentWaiting
from schemas.events.conversation import Assignee
from schemas.ids import channel_of
from schemas.record import Record, decode, format_time
from schemas.topics import ASSIGNMENTS

Explanation = Mapping[str, JsonValue]
_BECAUSE: Final[Mapping[str, str]] = {
    "rule_matched": "a routing rule names them",
    "team_rule_matched": "a routing rule names their team, and it was their turn in it",
    "first_ai_agent": "it is the channel's first AI agent",
    "former_agent": "they had the conversation before",
    "former_team": "their team had the conversation before",
    "still_available": "they have it and are available, so they keep it",
    "former_not_available": "they replied to it, and whoever had it is not available",
    "lowest_load": "of those who can take it they have the fewest open conversations; equals take turns",
    "longest_not_served": "of those who can take it they were not served for longest",
    "nobody_available": "no agent can take it now",
    "others_wait_longer": "others have waited longer",
    "nobody_else_available": "nobody else can take it, so they keep it",
}
_REASON: Final[Mapping[str, str]] = {
    "opened": "the conversation is new",
    "reopened": "its customer reopened it",
    "reopened_by_person": "a person reopened it",
    "handed_over": "the AI agent, or a person for it, handed it over",
    "ai_failed": "the AI agent failed",
    "unassigned": "it became open without an assignee",
    "team": "a person gave it to a team",
    "unanswered": "its customer waits for an answer",
    "removed": "its agent left",
    "offline": "its agent is offline",
}
_WHY: Final[Mapping[str, str]] = {
    "not_member": "no member of the channel",
    "deleted": "deleted",
    "not_online": "not online",
    "at_limit": "at the limit",
    "fair_window": "had enough within the fair window",
    "passed": "had it while its customer waited",
    "no_members": "has no members in the channel",
    "nobody_available": "nobody of it can take it",
    "disabled": "not enabled",
    "unknown": "none of the channel's",
    "no_agents": "there is none",
    "routed": "the conversation waits for people",
}
_KIND: Final[Mapping[str, str]] = {"human": "agent", "team": "team", "ai": "AI agent"}


class Decided(NamedTuple):
    """One decision about a conversation. assignee: None: it waits. refused: something newer came before it."""

    time: str
    conversation: str
    channel: str
    revision: int
    assignee: Assignee | None
    refused: bool
    explanation: Explanation


async def read_assignments(reader: CommittedReader, prefix: str) -> list[Record]:
    """Everything that assignment published; of each conversation in order. Raises LiveDeskError."""
    messages = await reader.read(await reader.partitions(ASSIGNMENTS.full_name(prefix)))
    return [decode(message.value, ASSIGNMENTS.types) for message in messages]


def decisions(records: Iterable[Record], wanted: str) -> list[Decided]:
    """The decisions about a conversation, in order. wanted: its id, or the key whose latest conversation is meant."""
    of_it = [record for record in records if wanted in (record.subject, _conversation(record))]
    if not of_it:
        return []
    latest = _conversation(of_it[-1])
    found: list[Decided] = []
    for record in of_it:
        match record.event:
            case AssignmentDecided(conversation_id=id) | AssignmentWaiting(conversation_id=id) if id == latest:
                found.append(_decided(record, record.event))
            case AssignmentReleased(conversation_id=id, agent=agent, reason="refused") if id == latest:
                _mark_refused(found, agent)
    return found


def _conversation(record: Record) -> str:
    match record.event:
        case AssignmentDecided(conversation_id=id) | AssignmentWaiting(conversation_id=id):
            return id
        case AssignmentReleased(conversation_id=id):
            return id
    return ""


def _decided(record: Record, event: AssignmentDecided | AssignmentWaiting) -> Decided:
    return Decided(
        time=format_time(record.time),
        conversation=event.conversation_id,
        channel=channel_of(record.subject),
        revision=event.revision,
        assignee=event.assignee if isinstance(event, AssignmentDecided) else None,
        refused=False,
        explanation=event.explanation,
    )


def _mark_refused(found: list[Decided], agent: str) -> None:
    # One proposal is in flight at a time: it is about the newest.
    if found and found[-1].assignee is not None and found[-1].assignee.id == agent:
        found[-1] = found[-1]._replace(refused=True)


# --- in words ----------------------------------------------------------------------------------------------------


def headline(decided: Decided) -> str:
    """Who was chosen, and why, in a sentence."""
    because = _words(_BECAUSE, decided.explanation.get("because"))
    if decided.assignee is None:
        return f"It waits: {because}."
    late = " It came too late: something had changed meanwhile." if decided.refused else ""
    return f"To {_KIND[decided.assignee.kind]} {decided.assignee.id}: {because}.{late}"


def reasons(explanation: Explanation) -> Iterator[str]:
    """An explanation as a person would give it: a line for what was asked, each rule and each agent."""
    team = f" ({explanation['team']})" if "team" in explanation else ""
    yield f"An assignee is needed, as {_words(_REASON, explanation.get('reason'))}{team}."
    for rule in _entries(explanation.get("rules")):
        yield f"Rule {rule.get('rule')}{_name(rule)}, to {_target(rule)}: {_verdict(rule)}."
    if "more_rules" in explanation:
        yield f"… and {explanation['more_rules']} other rules that did not lead to anybody."
    ai, former = _entry(explanation.get("ai")), _entry(explanation.get("former"))
    if ai:
        yield f"AI agent{' ' + str(ai['agent']) if 'agent' in ai else ''}: {_words(_WHY, ai.get('why'))}."
    if former:
        who = f"Former agent {former['agent']}" if "agent" in former else f"Former team {former.get('team')}"
        yield f"{who}: {_words(_WHY, former.get('why'))}."
    for candidate in _entries(explanation.get("candidates")):
        yield _candidate(candidate)
    if "more_candidates" in explanation:
        yield f"… and {explanation['more_candidates']} other agents."


def _name(rule: Explanation) -> str:
    return f" “{rule['name']}”" if rule.get("name") else ""


def _target(rule: Explanation) -> str:
    to = _entry(rule.get("to"))
    return f"{_KIND.get(str(to.get('kind')), 'somebody')} {to.get('id')}"


def _verdict(rule: Explanation) -> str:
    match rule.get("result"):
        case "taken":
            return "applies"
        case "skipped":
            return f"applies, but is skipped: {_words(_WHY, rule.get('why'))}"
    condition = _entry(rule.get("condition"))
    value = f" {orjson.dumps(condition['value']).decode()}" if "value" in condition else ""
    op = str(condition.get("op")).replace("_", " ")
    return f"does not apply, as this does not hold: {condition.get('field')} {op}{value}"


def _candidate(candidate: Explanation) -> str:
    limit = "" if candidate.get("limit") is None else f" of {candidate['limit']}"
    verdict = "can take it" if candidate.get("eligible") else _words(_WHY, candidate.get("why"))
    return f"Agent {candidate.get('agent')}, {candidate.get('load')}{limit} open: {verdict}."


def _words(words: Mapping[str, str], code: JsonValue) -> str:
    # A newer version may know more reasons.
    return words.get(str(code), str(code))


def _entry(value: JsonValue) -> Explanation:
    return value if isinstance(value, dict) else {}


def _entries(value: JsonValue) -> list[Explanation]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
