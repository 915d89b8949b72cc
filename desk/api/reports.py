"""The route of the figures: what the reports stages counted, summed by channel, agent or day."""

from datetime import date, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from desk.access.permissions import Permission
from desk.api.problems import Problem
from desk.api.reading import AsOfAnswer, as_of_answer, queries_of, viewer_of
from desk.api.route import Answer, Call, Route
from desk.figures import NOBODY, By, Filter, as_data, summed
from desk.office import Office
from schemas.events.reports import ReportUpdated
from schemas.settings.errors import FieldError
from schemas.settings.types import Id, SettingsModel

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30


class ReportsQuery(SettingsModel):
    """from, to: days, both included: of the business hours' zone; left out: the last 30 days. agent: `-` is nobody."""

    by: By = "channel"
    channel: Id | None = None
    agent: Annotated[str, Field(pattern=rf"^({NOBODY}|[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}})$")] | None = None
    first: date | None = Field(default=None, alias="from")
    last: date | None = Field(default=None, alias="to")


class TimesAnswer(BaseModel):
    """Durations in seconds, to 5%; null: nothing was timed."""

    count: int
    median_s: int | None
    p90_s: int | None


class SatisfactionAnswer(BaseModel):
    """Ratings of 4 and 5 are satisfied. satisfaction_pct: of answers; response_rate_pct: answers of surveys sent."""

    surveys_sent: int
    answers: int
    satisfied: int
    satisfaction_pct: float | None
    response_rate_pct: float
    ratings: dict[str, int]


class FiguresAnswer(BaseModel):
    """Of one group: a channel, an agent (`-`: nobody) or a day. Times by what the channel was: all, open, closed."""

    group: str
    conversations: dict[str, int]
    first_response: dict[str, TimesAnswer]
    resolution: dict[str, TimesAnswer]
    satisfaction: SatisfactionAnswer
    messages: dict[str, int]


class ReportsAnswer(BaseModel):
    """Groups for which something was counted, in the order of their names. first, last: days."""

    first: date
    last: date
    groups: tuple[FiguresAnswer, ...]
    as_of: AsOfAnswer


class ReportRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        return (
            Route(
                "GET",
                "/v1/accounts/{account}/reports",
                Permission.READ,
                "Figures: conversations, times, satisfaction, messages.",
                self.show_reports,
                ReportsAnswer,
                query=ReportsQuery,
            ),
        )

    async def show_reports(self, call: Call[None]) -> Answer:
        """As `livedesk reports show`, of what the caller may see: an agent's are what they are credited with."""
        asked: ReportsQuery = call.query
        last = asked.last or self._office.clock().date()
        first = asked.first or last - timedelta(days=min(DEFAULT_DAYS - 1, last.toordinal() - 1))
        if not timedelta(0) <= last - first < timedelta(days=MAX_DAYS):
            wrong = FieldError("from", f"must be no later than `to`, and at most {MAX_DAYS} days with it")
            raise Problem(422, "not_valid", "the request can't be used", (wrong,))
        viewer = viewer_of(self._office, call.actor, call.path["account"])
        found = await queries_of(self._office).reports(viewer, asked.channel, first, last)
        partials = ((str(item["key"]), ReportUpdated.model_validate({**item, "key": None})) for item in found.items)
        groups = summed(partials, asked.by, Filter(agent=asked.agent))
        figures = tuple(FiguresAnswer.model_validate({"group": group, **as_data(one)}) for group, one in groups.items())
        return Answer(ReportsAnswer(first=first, last=last, groups=figures, as_of=as_of_answer(found.as_of)))
