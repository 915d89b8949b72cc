"""reports-statuses: messages to customers."""

from agents.reports.books import Books, Figure, Partial, Zones, drop_yesterdays
from agents.stage import NOTHING, Context, Decision, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.receipts import MessageStatusChanged
from schemas.ids import channel_of
from schemas.topics import REPORTS, STATUSES


def decide_statuses(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Each message once, under the status that stands, on the day of what was first known of it. Key: the partition.

    The event itself has that day: its timestamps are in the order in which they became known.
    """
    match event:
        case TimerFired():
            return drop_yesterdays(rows, ctx)
        case MessageStatusChanged(status=status, previous=previous, timestamps=known) if known and status != previous:
            books = Books(rows, ctx, channel_of(ctx.key))
            day = books.day(next(iter(known.values())))
            books.count(Figure(kind="messages", day=day, measure=status))
            if previous is not None:
                books.count(Figure(kind="messages", day=day, measure=previous), by=-1)
            return books.decision()
    return NOTHING


REPORTS_STATUSES = Stage(
    "reports-statuses",
    input=STATUSES,
    outputs=(REPORTS,),
    decide=decide_statuses,
    state=(Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
