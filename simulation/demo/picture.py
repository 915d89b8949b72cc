"""What the demo shows while it runs: numbers, and the last messages. Fed by those who look, drawn by the view."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from deploy.explanations import Decided, decisions
from schemas.events.assignment import AssignmentDecided, AssignmentWaiting
from schemas.events.conversation import (
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationRated,
    ConversationStatusChanged,
    Status,
)
from schemas.events.receipts import MessageStatusChanged
from schemas.record import Record

SHOWN_LINES = 7

KINDS: Final[Mapping[str, str]] = {
    "greeting": "greetings",
    "unavailable": "told it is closed",
    "ai": "AI answers",
    "reply": "replies",
    "survey": "surveys",
}
"""What the messages to customers are counted as, by kind."""


@dataclass(frozen=True)
class ChatLine:
    """A message in the list. who: the customer's name or the number; from_customer: whose side wrote it."""

    who: str
    text: str
    from_customer: bool
    kind: str = ""


@dataclass(frozen=True)
class StageNumbers:
    """records: decided about so far; rate: a second, of late; lag: records between its commit and its input's end."""

    records: int = 0
    rate: float = 0.0
    lag: int = 0


@dataclass
class Picture:
    """The present state of the demo."""

    clock: Callable[[], float] = time.monotonic
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each phase took, the running one so far."""
    phase: str = ""
    stages: dict[str, StageNumbers] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, str] = field(default_factory=dict)
    """Of messages."""
    conversations: dict[str, Status] = field(default_factory=dict)
    decided: Decided | None = None
    """Assignment's last decision."""
    chat: deque[ChatLine] = field(default_factory=lambda: deque(maxlen=SHOWN_LINES))

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return self.clock() - self._began

    @property
    def lag(self) -> int:
        """Of all stages together."""
        return sum(stage.lag for stage in self.stages.values())

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """The block is that phase."""
        began, self.phase = self.clock(), phase
        try:
            yield
        finally:
            self.phases[phase] = self.clock() - began

    def take(self, record: Record) -> None:
        """Take in a record of the conversations, assignments or statuses topic."""
        match record.event:
            case MessageStatusChanged(message_id=id, status=status):
                self.statuses[id] = status
            case AssignmentDecided(conversation_id=id) | AssignmentWaiting(conversation_id=id):
                self.decided = decisions([record], id)[-1]
            case ConversationEvent():
                self._take(record.event)

    def _take(self, event: ConversationEvent) -> None:
        header = event.header
        self.conversations[header.conversation_id] = header.status
        who = header.contact_name or header.contact
        match event:
            case ConversationMessageReceived(text=text):
                self.counts["messages"] += 1
                self.chat.append(ChatLine(who, text or "", from_customer=True))
            case ConversationMessageSent(kind=kind, by=by, text=text):
                self.counts[KINDS.get(kind, kind)] += 1
                sender = "AI agent" if kind == "ai" else by or header.channel
                self.chat.append(ChatLine(f"{sender} to {who}", text or "", from_customer=False, kind=kind))
            case ConversationStatusChanged(reason="ai_handed_over"):
                self.counts["handed over"] += 1
            case ConversationRated(previous=None):
                self.counts["ratings"] += 1
