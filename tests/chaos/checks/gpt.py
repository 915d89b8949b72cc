"""GPT agents: what calls of their models cost is what the service says, and no tool does the same twice. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import orjson

from schemas.events.ai import AiCallEnded, AiRequested
from schemas.ids import derived_id
from schemas.topics import AI_CALLS, AI_REQUESTS
from tests.chaos.history import History
from tests.chaos.violation import Violation

_MOST_CALLS: Final = 8
"""Of the model, for one question (docs/design.md, 6: GPT agents)."""
_IN_DOUBT: Final = frozenset({"later", "unknown"})
"""How an attempt ends whose answer did not come; the service may have given one."""

Cost = tuple[int, int, int]
"""Tokens in, tokens out, millionths."""


def check_cost(history: History) -> Iterator[Violation]:
    """Each call is recorded. Each answer is recorded once, at its cost; at most those are not that got lost."""
    asked = [
        (record.subject, record.event.request_id)
        for record in history.records(AI_REQUESTS, AiRequested)
        if isinstance(record.event, AiRequested)
    ]
    keys = {derived_id("ai", id, "model", n): (key, id) for key, id in asked for n in range(1, _MOST_CALLS + 1)}
    tried, given = Counter[tuple[str, str]](), defaultdict[tuple[str, str], Counter[Cost]](Counter)
    for call in history.gpt.calls:
        question = keys.get(call.key or "")
        if question is None:
            yield Violation("a model was called for nobody", "", str(call.key))
            continue
        tried[question] += 1
        if call.status == 200 and not call.repeat:
            given[question][call.tokens_in, call.tokens_out, call.cost_micros] += 1
    ended, doubts = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    recorded = defaultdict[tuple[str, str], Counter[Cost]](Counter)
    for record in history.records(AI_CALLS, AiCallEnded):
        ended_call = record.event
        if not isinstance(ended_call, AiCallEnded) or ended_call.call != "model":
            continue
        question = record.subject, ended_call.request_id
        ended[question] += 1
        doubts[question] += ended_call.outcome in _IN_DOUBT
        if ended_call.outcome == "answered":
            recorded[question][ended_call.tokens_in, ended_call.tokens_out, ended_call.cost_micros] += 1
    for question in tried.keys() | ended.keys():
        key, id = question
        if tried[question] > ended[question]:
            yield Violation("model's call not recorded", key, f"{id}: called {tried[question]} times")
        if recorded[question] - given[question]:
            yield Violation("cost is not the service's", key, f"{id}: {recorded[question]}, given {given[question]}")
        lost = given[question] - recorded[question]
        if lost.total() > doubts[question]:
            yield Violation("cost not recorded", key, f"{id}: {lost}, {doubts[question]} calls in doubt")


def check_tools(history: History) -> Iterator[Violation]:
    """What a tool changes it changes once for a call id, and never the same again under another; all is recorded.

    What is only looked up (GET) the HTTP client may ask again by itself, over a connection that broke.
    """
    done, ids = Counter[str](), defaultdict[str, set[str | None]](set)
    meant, called = defaultdict[str | None, set[str]](set), Counter[str]()
    for call in history.gpt.tools:
        if call.method == "POST":
            what = orjson.dumps([call.tool, call.arguments], option=orjson.OPT_SORT_KEYS).decode()
            called[call.tool] += 1
            done[what] += call.carried_out
            ids[what].add(call.key)
            meant[call.key].add(what)
    for what, count in done.items():
        if count > 1 or len(ids[what]) > 1:
            yield Violation("tool carried out twice", "", f"{what}: {count} times under {len(ids[what])} ids")
    for id, whats in meant.items():
        if id is None or len(whats) > 1:
            yield Violation("call id of several calls", "", f"{id}: {len(whats)}")
    ended = Counter(
        record.event.name
        for record in history.records(AI_CALLS, AiCallEnded)
        if isinstance(record.event, AiCallEnded) and record.event.call == "tool"
    )
    for tool, count in called.items():
        if count > ended[tool]:
            yield Violation("tool's call not recorded", "", f"{tool}: {count} calls, {ended[tool]} recorded")
