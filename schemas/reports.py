"""Figures: partial sums that the reports stages write, and that whoever reads them adds up."""

from datetime import date
from typing import ClassVar

from schemas.event import Event


class ReportUpdated(Event):
    """What one partition of one stage has counted so far under a report key. Each replaces the one before it.

    day: in the channel's zone. agent: a human agent's id; None: nobody is credited. counts: measure -> number; an
    absent one is 0.
    """

    type: ClassVar[str] = "report.updated"

    channel: str
    day: date
    agent: str | None = None
    counts: dict[str, int] = {}
