"""What holds whatever happens: random stories of two conversations, against a reading of the rules with all memory."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.conversation import Status
from tests.support.hours import HoursBench, channel

BERLIN = timedelta(hours=1)
"""Ahead of UTC from November to March: no story is longer."""
NOVEMBER = datetime(2026, 11, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
AGES = (0, 1, 4, 6, 90, 600, 1440, 2 * 1440, 4 * 1440, 6 * 1440, 8 * 1440)
"""Minutes for which a message was on its way."""


@dataclass
class Conversation:
    """What the rules say of one: it forgets nothing."""

    status: Status = Status.OPEN
    routed: bool = False
    human_at: datetime | None = None
    waiting: list[datetime] = field(default_factory=list)
    notified: set[date] = field(default_factory=set)

    def is_due(self, at: datetime, now: datetime) -> bool:
        local = at + BERLIN
        is_open = local.weekday() < 5 and 9 <= local.hour < 17
        human = self.human_at is not None and at < self.human_at + timedelta(minutes=5)
        if is_open or human or self.status is Status.AI_REPLYING or now - at > WEEK or local.date() in self.notified:
            return False
        self.notified.add(local.date())
        return True


class Story:
    def __init__(self) -> None:
        self.bench = HoursBench(channel(), now=NOVEMBER)
        self.conversations = {"c1": Conversation(routed=True), "c2": Conversation()}

    def play(self, name: str, step: str, number: int) -> None:
        """One step, given to hours; what it sends is what is due."""
        row, bench = self.conversations[name], self.bench
        bench.wait(timedelta(minutes=number % 3))
        bench.set(conversation_id=name, status=row.status, routed=row.routed, last_human_at=row.human_at)
        sent, due = 0, 0
        match step:
            case "message" if row.status in (Status.OPEN, Status.AI_REPLYING):
                at = bench.now - timedelta(minutes=AGES[number])
                sent = len(bench.message(at=at))
                if row.routed:
                    due = row.is_due(at, bench.now)
                else:
                    row.waiting.append(at)
            case "route" | "route to the AI agent" if not row.routed:
                row.routed, row.status = True, Status.OPEN if step == "route" else Status.AI_REPLYING
                sent = len(bench.routed(row.status))
                due = sum(row.is_due(at, bench.now) for at in row.waiting)
                row.waiting.clear()
            case "hand over" if row.status is Status.AI_REPLYING:
                row.status = Status.OPEN
                sent, due = len(bench.status(Status.OPEN, "ai_failed")), row.is_due(bench.now, bench.now)
            case "human":
                row.human_at = bench.now - timedelta(minutes=number)
            case "resolve" if row.status is not Status.RESOLVED:
                row.status = Status.RESOLVED
                sent = len(bench.status(Status.RESOLVED, "resolved"))
                row.waiting.clear()
            case "reopen" if row.status is Status.RESOLVED:
                row.status, row.routed = Status.OPEN, False
                bench.set(routed=False)
                sent = len(bench.status(Status.OPEN, "customer_message"))
            case "wait":
                bench.wait(timedelta(hours=(1, 7, 24, 48, 96)[number % 5]))
        assert sent == due


STEPS = (
    "message",
    "message",
    "message",
    "route",
    "route to the AI agent",
    "hand over",
    "human",
    "human",
    "resolve",
    "reopen",
    "wait",
    "wait",
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(("c1", "c1", "c2")), st.sampled_from(STEPS), st.integers(0, len(AGES) - 1)),
        min_size=8,
        max_size=30,
    )
)
def test_once_a_day_and_never_while_open_whatever_the_order(steps: list[tuple[str, str, int]]) -> None:
    story = Story()
    for step in steps:
        story.play(*step)
