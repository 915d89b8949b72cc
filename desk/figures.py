"""The figures: partial sums of the reports topic, added up, and what follows from them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from schemas.events.reports import AI_KINDS, ReportKind, ReportUpdated, value_of

By = Literal["channel", "agent", "ai-agent", "day"]
"""What the figures are grouped by. Those of people and of AI agents are apart, whose ids may be the same."""

NOBODY: Final = "-"
"""In place of an agent's id: nobody is credited."""

OUTCOMES: Final = ("opened", "resolved", "resolved_by_ai", "resolved_automatically", "reopened", "closed")
AI_OUTCOMES: Final = (
    "held",
    "resolved",
    "resolved_with_people",
    "resolved_automatically",
    "resolved_by_people",
    "handed_over",
    "taken_over",
)
CALLS: Final = ("model_calls", "tool_calls", "tokens_in", "tokens_out", "cost_micros")
_HANDED_OVER: Final = "handed_over:"
RATINGS: Final = (1, 2, 3, 4, 5)
SATISFIED: Final = frozenset({4, 5})


@dataclass(frozen=True)
class Filter:
    """Which partials count. first, last: days, both included. agent: NOBODY: what nobody is credited with.

    agent leaves out what AI agents did, ai_agent all else.
    """

    channel: str | None = None
    agent: str | None = None
    ai_agent: str | None = None
    first: date | None = None
    last: date | None = None

    def takes(self, partial: ReportUpdated) -> bool:
        return (
            self.channel in (None, partial.channel)
            and (self.agent is None or (self.agent == (partial.agent or NOBODY) and partial.kind not in AI_KINDS))
            and (self.ai_agent is None or (self.ai_agent == partial.agent and partial.kind in AI_KINDS))
            and (self.first is None or self.first <= partial.day)
            and (self.last is None or partial.day <= self.last)
        )


@dataclass(frozen=True)
class Times:
    """Durations, as numbers by bucket."""

    buckets: Mapping[int, int]

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile(self, percent: int) -> timedelta | None:
        """The least duration that so many percent do not exceed, within 5%; None where there are none."""
        wanted, seen = math.ceil(self.count * percent / 100), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted > 0:
                return value_of(bucket)
        return None

    def __add__(self, other: "Times") -> "Times":
        return Times(Counter(self.buckets) + Counter(other.buckets))


@dataclass(frozen=True)
class Figures:
    """The sums of one group, and what follows from them."""

    counts: Mapping[ReportKind, Mapping[str, int]]

    def outcome(self, measure: str) -> int:
        """Of OUTCOMES."""
        return self._of("conversations").get(measure, 0)

    def ai(self, measure: str) -> int:
        """Of AI_OUTCOMES, and `answers`."""
        return sum(self.handed_over.values()) if measure == "handed_over" else self._of("ai").get(measure, 0)

    @property
    def resolved_by_ai_alone_pct(self) -> float | None:
        """Resolved by AI agents alone among the conversations that they held; None where they held none."""
        return _percent(self.ai("resolved"), self.ai("held")) if self.ai("held") else None

    @property
    def handed_over(self) -> Mapping[str, int]:
        """Why AI agents handed over, and how often."""
        counts = self._of("ai").items()
        return {name.removeprefix(_HANDED_OVER): number for name, number in counts if name.startswith(_HANDED_OVER)}

    @property
    def of_ai(self) -> "Figures":
        """Satisfaction alone, of the conversations that AI agents held."""
        return Figures({"satisfaction": self._of("ai_satisfaction")})

    def calls(self, measure: str) -> int:
        """Of CALLS."""
        return self._of("ai_calls").get(measure, 0)

    @property
    def has_ai(self) -> bool:
        """Whether anything is counted that AI agents did."""
        return any(kind in AI_KINDS and counts for kind, counts in self.counts.items())

    @property
    def has_more(self) -> bool:
        """Whether anything else is counted."""
        return any(kind not in AI_KINDS and counts for kind, counts in self.counts.items())

    @property
    def surveys_sent(self) -> int:
        return self._of("satisfaction").get("sent", 0)

    @property
    def ratings(self) -> Mapping[int, int]:
        """Answers by rating."""
        return {rating: self._of("satisfaction").get(f"rating_{rating}", 0) for rating in RATINGS}

    @property
    def answers(self) -> int:
        return sum(self.ratings.values())

    @property
    def satisfied(self) -> int:
        return sum(number for rating, number in self.ratings.items() if rating in SATISFIED)

    @property
    def satisfaction_pct(self) -> float | None:
        """Satisfied answers among the answers, to two decimals; None where nobody answered."""
        return _percent(self.satisfied, self.answers) if self.answers else None

    @property
    def response_rate_pct(self) -> float:
        """Answers among the surveys sent, to two decimals; 0 without any."""
        return _percent(self.answers, self.surveys_sent)

    @property
    def messages(self) -> Mapping[str, int]:
        """Messages to customers, by the status that stands."""
        return self._of("messages")

    def times(self, kind: ReportKind) -> Times:
        """Of the kinds that are times."""
        return Times({int(bucket): number for bucket, number in self._of(kind).items()})

    def _of(self, kind: ReportKind) -> Mapping[str, int]:
        return self.counts.get(kind, {})


def in_percent(share: float | None) -> str:
    """A percentage as people read it; a dash where there is none."""
    return "–" if share is None else f"{share:g}%"


def _percent(part: int, whole: int) -> float:
    return round(part / whole * 100, 2) if whole else 0.0


def summed(
    partials: Iterable[tuple[str, ReportUpdated]], by: By = "channel", only: Filter | None = None
) -> dict[str, Figures]:
    """The figures of each group, in the order of the groups' names.

    partials: topic key and record, in the order written; of one key the last one counts.
    """
    sums: defaultdict[str, defaultdict[ReportKind, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for partial in dict(partials).values():
        apart = (by == "agent" and partial.kind in AI_KINDS) or (by == "ai-agent" and partial.kind not in AI_KINDS)
        if not apart and (only is None or only.takes(partial)):
            sums[_group(partial, by)][partial.kind].update(partial.counts)
    return {
        group: Figures({kind: {m: n for m, n in counts.items() if n} for kind, counts in sums[group].items()})
        for group in sorted(sums)
    }


def _group(partial: ReportUpdated, by: By) -> str:
    match by:
        case "channel":
            return partial.channel
        case "agent" | "ai-agent":
            return partial.agent or NOBODY
        case "day":
            return partial.day.isoformat()


def as_data(figures: Figures) -> dict[str, Mapping[str, object]]:
    """All figures of a group; times in seconds, null where nothing was timed; no satisfaction where nobody answered."""
    return {
        "conversations": {measure: figures.outcome(measure) for measure in OUTCOMES},
        "first_response": _times_data(first_responses(figures)),
        "resolution": _times_data(resolutions(figures)),
        "satisfaction": _satisfaction_data(figures),
        "messages": dict(sorted(figures.messages.items())),
        "ai": {
            **{measure: figures.ai(measure) for measure in AI_OUTCOMES},
            "handed_over_for": dict(sorted(figures.handed_over.items())),
            "resolved_pct": figures.resolved_by_ai_alone_pct,
            "answers": figures.ai("answers"),
            "first_response": _times_data({"all": figures.times("ai_first_response")})["all"],
            "satisfaction": _satisfaction_data(figures.of_ai),
            **{measure: figures.calls(measure) for measure in CALLS},
        },
    }


def _satisfaction_data(figures: Figures) -> dict[str, object]:
    return {
        "surveys_sent": figures.surveys_sent,
        "answers": figures.answers,
        "satisfied": figures.satisfied,
        "satisfaction_pct": figures.satisfaction_pct,
        "response_rate_pct": figures.response_rate_pct,
        "ratings": {str(rating): number for rating, number in figures.ratings.items()},
    }


def first_responses(figures: Figures) -> dict[str, Times]:
    """By what the channel was."""
    opened, closed = figures.times("first_response_open"), figures.times("first_response_closed")
    return {"all": opened + closed, "open": opened, "closed": closed}


def resolutions(figures: Figures) -> dict[str, Times]:
    """By what the channel was."""
    opened, closed = figures.times("resolution_open"), figures.times("resolution_closed")
    return {"all": opened + closed, "open": opened, "closed": closed}


def _times_data(times: Mapping[str, Times]) -> dict[str, object]:
    return {
        name: {"count": one.count, "median_s": seconds(one.percentile(50)), "p90_s": seconds(one.percentile(90))}
        for name, one in times.items()
    }


def seconds(duration: timedelta | None) -> int | None:
    """To the nearest one."""
    return None if duration is None else round(duration.total_seconds())
