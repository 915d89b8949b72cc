"""reports-csat: satisfaction."""

from collections.abc import Mapping

from agents.reports.books import Books, Figure, Partial, Zones, drop_yesterdays
from agents.stage import NOTHING, Context, Decision, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.csat import CsatEvent, SurveyAnswered, SurveyCommented, SurveyFailed, SurveySent
from schemas.topics import CSAT, REPORTS


def decide_csat(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """Surveys sent and their answers, both under the survey's day and agent. Key: the partition."""
    match event:
        case TimerFired():
            return drop_yesterdays(rows, ctx)
        case SurveySent():
            return _rate(rows, event, ctx, {"sent": 1})
        case SurveyFailed(was_sent=True):
            return _rate(rows, event, ctx, {"sent": -1})
        case SurveyCommented(replaces=False):
            return _rate(rows, event, ctx, {"comments": 1})
        case SurveyAnswered(rating=rating, previous=None):
            return _rate(rows, event, ctx, {f"rating_{rating}": 1})
        case SurveyAnswered(rating=rating, previous=previous) if rating != previous:
            return _rate(rows, event, ctx, {f"rating_{rating}": 1, f"rating_{previous}": -1})
    return NOTHING


def _rate(rows: Rows, event: CsatEvent, ctx: Context, changes: Mapping[str, int]) -> Decision:
    books = Books(rows, ctx, event.channel)
    day = books.day(event.asked_at)
    for measure, by in changes.items():
        books.count(Figure(kind="satisfaction", day=day, agent=event.agent, measure=measure), by=by)
    return books.decision()


REPORTS_CSAT = Stage(
    "reports-csat",
    input=CSAT,
    outputs=(REPORTS,),
    decide=decide_csat,
    state=(Partial, Zones),
    parks=False,
    shared=True,
    unhurried=True,
)
