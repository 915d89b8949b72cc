"""Figures of a run, from its history: how long callbacks took, and the worst after each kind of fault. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from schemas.codec import from_kafka
from schemas.events.ai import AiRequested
from schemas.events.conversation import ConversationMessageReceived
from schemas.events.csat import SurveyAnswered
from schemas.events.inbox import AiEnd
from schemas.events.sending import SendCommand
from schemas.topics import AI_REQUESTS, CONVERSATIONS, CSAT, INBOX, OUTBOUND
from tests.chaos.history import History, InboundRow

AFTER_MS = 5_000
"""A fault is blamed for callbacks that came during it, and so long after it."""


@dataclass(frozen=True)
class FaultSpan:
    """A fault that was done. began, ended: unix milliseconds."""

    name: str
    began: int
    ended: int


@dataclass(frozen=True)
class Figures:
    """Seconds from a callback's acknowledgement to its message in the conversation; counts by topic.

    worst_after: by name of the fault. sent: commands to send, by kind. questions, ends: the AI agent's. rated: surveys.
    """

    median_s: float
    p99_s: float
    longest_s: float
    worst_after: Mapping[str, float]
    records: Mapping[str, int]
    sent: Counter[str]
    questions: int
    ends: Counter[str]
    rated: int


def figures(history: History, faults: Sequence[FaultSpan]) -> Figures:
    """What the history tells."""
    delays = _delays(history)
    seconds = sorted(delay / 1000 for _, delay in delays)
    cuts = quantiles(seconds, n=100) if len(seconds) > 1 else [0.0] * 99
    worst: dict[str, float] = defaultdict(float)
    for fault in faults:
        hit = [delay / 1000 for at, delay in delays if fault.began <= at <= fault.ended + AFTER_MS]
        worst[fault.name] = max(worst[fault.name], *hit, 0.0)
    records = {topic.name: len(messages) for topic, messages in history.messages.items()}
    ends = Counter(record.event.type for record in history.records(INBOX, AiEnd) if isinstance(record.event, AiEnd))
    return Figures(
        cuts[49],
        cuts[98],
        max(seconds, default=0.0),
        dict(worst),
        records,
        sent=Counter(
            record.event.kind
            for record in history.records(OUTBOUND, SendCommand)
            if isinstance(record.event, SendCommand)
        ),
        questions=sum(isinstance(record.event, AiRequested) for record in history.records(AI_REQUESTS, AiRequested)),
        ends=ends,
        rated=sum(isinstance(record.event, SurveyAnswered) for record in history.records(CSAT, SurveyAnswered)),
    )


def _delays(history: History) -> list[tuple[int, int]]:
    """(when a callback was written to webhooks, how long until it was in its conversation), in milliseconds."""
    posted: dict[str, int] = {}
    for message, rows in history.callbacks:
        for row in rows:
            if isinstance(row, InboundRow):
                posted.setdefault(row.id, message.timestamp)
    delays = []
    for message in history.messages.get(CONVERSATIONS, ()):
        event = from_kafka(CONVERSATIONS, message.value, message.headers).event
        if isinstance(event, ConversationMessageReceived) and event.message_id in posted:
            delays.append((posted[event.message_id], message.timestamp - posted[event.message_id]))
    return delays
