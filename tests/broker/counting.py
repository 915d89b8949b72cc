"""A stage to try the runtime with: it counts per key, and says each count once. `hold` keeps a transaction open."""

from datetime import timedelta
from typing import ClassVar

from agents.stage import NOTHING, Context, Decision, Emit, Row, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.topics import Topic


class Number(Event):
    """One numbered input; the stage fails on a negative one. remind: seconds until a timer says the count again."""

    type: ClassVar[str] = "test.number"

    n: int
    remind: int | None = None
    pad: str = ""


class Counted(Event):
    """The count of the key after input n (n -1: a reminder)."""

    type: ClassVar[str] = "test.counted"

    n: int
    count: int


class Count(Row):
    """Inputs seen of a key."""

    count: int


NUMBERS = Topic("numbers", key="any", writers={Number: "test"}, holds="inputs")
COUNTS = Topic("counts", key="any", writers={Counted: "count"}, holds="outputs")


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    row = rows.get("count", Count) or Count(count=0)
    match event:
        case Number() if event.n < 0:
            raise ValueError("no such number")
        case Number():
            new = Count(count=row.count + 1)
            timers = {"remind": ctx.now + timedelta(seconds=event.remind)} if event.remind else {}
            counted = Counted(n=event.n, count=new.count)
            return Decision({"count": new}, (Emit(COUNTS, ctx.key, counted),), timers)
        case TimerFired():
            return Decision(emit=(Emit(COUNTS, ctx.key, Counted(n=-1, count=row.count)),))
    return NOTHING


COUNT = Stage("count", input=NUMBERS, outputs=(COUNTS,), decide=decide, state=(Count,))
