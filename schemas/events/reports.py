"""Figures: partial sums that the reports stages write, and that whoever reads them adds up."""

import math
from datetime import date, timedelta
from typing import ClassVar, Final, Literal

from schemas.event import Event

ReportKind = Literal[
    "satisfaction",
    "conversations",
    "messages",
    "first_response_open",
    "first_response_closed",
    "resolution_open",
    "resolution_closed",
    "ai",
    "ai_first_response",
    "ai_satisfaction",
    "ai_calls",
]
"""What is counted.

satisfaction: `sent`, `rating_1` to `rating_5`, `comments`. conversations: `opened`, `resolved` (by a person),
`resolved_automatically`, `resolved_by_ai`, `reopened`, `closed`. messages: those to customers by status, `delivered` …
Times: numbers of buckets; open, closed: what the channel was when the customer wrote first.

Of AI agents: ai: conversations that they `held`, their customer having written; of these, how those ended that they
held to the end: `resolved` (by the AI agent, nobody else having written), `resolved_with_people`,
`resolved_automatically`, `resolved_by_people`; how the others left them: `handed_over:{reason}`, `taken_over` (by a
person); `answers`. ai_first_response: where theirs was the first response. ai_satisfaction: of conversations that they
held, as satisfaction. ai_calls: `model_calls`, `tool_calls`, `tokens_in`, `tokens_out`, `cost_micros`.
"""
AI_KINDS: Final[frozenset[ReportKind]] = frozenset({"ai", "ai_first_response", "ai_satisfaction", "ai_calls"})
"""Those whose agent is an AI agent, and whose days are UTC's."""

_RATIO: Final = 1.1
"""From one bucket's value to the next: 155 buckets from 1 s to 30 days, of which the root is the greatest error."""


class ReportUpdated(Event):
    """What one partition of one stage counted on one UTC day under a report key: a sum to be added to the others.

    Each replaces the one before it of the same topic key. A correction of a figure of an earlier day is a sum of its
    own, which may be negative. day: in the channel's zone, of AI_KINDS in UTC. agent: a human agent's id, of AI_KINDS
    an AI agent's; None: nobody is credited. counts: measure -> number; an absent one is 0.
    """

    type: ClassVar[str] = "report.updated"

    kind: ReportKind
    channel: str
    day: date
    agent: str | None = None
    counts: dict[str, int] = {}


def bucket_of(duration: timedelta) -> int:
    """The bucket whose value is within 5% of a duration. Under a second: the first."""
    return max(0, round(math.log(max(1.0, duration.total_seconds()), _RATIO)))


def value_of(bucket: int) -> timedelta:
    """What the durations of a bucket are taken for."""
    return timedelta(seconds=_RATIO**bucket)
