"""What the demo shows while it runs: numbers, and the last messages. Fed by those who look, drawn by the view."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.conversation import (
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
    Status,
)
from schemas.messaging import MessageStatusChanged
from schemas.record import Record, UndecodableRecord, decode
from schemas.topics import Topic

SHOWN_LINES = 12


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

    def apply(self, topic: Topic, value: bytes | None) -> None:
        """Take in a record of the conversations or statuses topic."""
        try:
            record = decode(value or b"", topic.types)
        except UndecodableRecord:
            self.counts["unreadable records"] += 1
            return
        self._take(record)

    def _take(self, record: Record) -> None:
        match record.event:
            case ConversationOpened():
                self.counts["conversations"] += 1
            case ConversationRouted():
                self.counts["routed"] += 1
            case ConversationMessageReceived(header=header, text=text):
                self.counts["messages"] += 1
                self.chat.append(ChatLine(header.contact_name or header.contact, text or "", from_customer=True))
            case ConversationMessageSent(header=header, kind=kind, by=by, text=text):
                self.counts["greetings" if kind == "greeting" else "replies"] += 1
                to = header.contact_name or header.contact
                self.chat.append(ChatLine(f"{by or 'Shop'} to {to}", text or "", from_customer=False, kind=kind))
            case ConversationStatusChanged(header=header):
                self.counts["resolved"] += header.status is Status.RESOLVED
            case MessageStatusChanged(message_id=id, status=status):
                self.statuses[id] = status
