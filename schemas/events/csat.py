"""What became of each survey: events of the csat topic, written by csat."""

from datetime import datetime
from typing import ClassVar

from schemas.event import Event


class CsatEvent(Event):
    """Base. resolution: which of the conversation's resolutions the survey asks about.

    agent: who is credited with it; None: nobody. asked_at: when it was requested or, once it is known
    to be sent, when it was sent: the day that it counts on.
    """

    survey_id: str
    conversation_id: str
    channel: str
    contact: str
    resolution: int
    agent: str | None = None
    asked_at: datetime


class SurveyRequested(CsatEvent):
    """Conversations accepted the proposal."""

    type: ClassVar[str] = "survey.requested"


class SurveySent(CsatEvent):
    """The provider accepted it, or its answer proves it. Once a survey."""

    type: ClassVar[str] = "survey.sent"


class SurveyAnswered(CsatEvent):
    """rating: 1 to 5; previous: the one that it replaces."""

    type: ClassVar[str] = "survey.answered"

    rating: int
    previous: int | None = None


class SurveyCommented(CsatEvent):
    """The customer said why they rated so. replaces: an earlier comment of theirs."""

    type: ClassVar[str] = "survey.commented"

    rating: int
    comment: str
    replaces: bool = False


class SurveyExpired(CsatEvent):
    """The answer window passed without an answer."""

    type: ClassVar[str] = "survey.expired"


class SurveyFailed(CsatEvent):
    """It did not reach the customer. reason: as delivery's. was_sent: survey.sent came before, and is taken back."""

    type: ClassVar[str] = "survey.failed"

    reason: str
    was_sent: bool = False


class SurveySkipped(Event):
    """A resolution that nobody is asked about. survey_id: where it was proposed, and refused.

    reason: blocked, auto_resolved, labels, asked_before, or why the proposal was refused.
    """

    type: ClassVar[str] = "survey.skipped"

    conversation_id: str
    channel: str
    contact: str
    resolution: int
    reason: str
    survey_id: str | None = None
