"""csat: asks for a rating of each resolution, and keeps the books of what became of it."""

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from schemas.event import Event
from schemas.events.conversation import (
    ConversationRated,
    ConversationRatingCommented,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Header,
    Status,
    SurveyEvent,
)
from schemas.events.csat import (
    SurveyAnswered,
    SurveyCommented,
    SurveyExpired,
    SurveyFailed,
    SurveyRequested,
    SurveySent,
    SurveySkipped,
)
from schemas.events.inbox import ProposeSurvey
from schemas.settings.channel import Csat, LabelFilter
from schemas.topics import CONVERSATIONS, INBOX
from schemas.topics import CSAT as CSAT_TOPIC


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - it keeps no state
    """A proposal or a skipped survey at each resolution; then what conversations says of the survey. Key: the same.

    At most one survey a resolution without a row to remember it: conversations publishes each resolution once, and the
    survey's id derives from that event.
    """
    match event:
        case ConversationStatusChanged(header=Header(status=Status.RESOLVED)):
            return _ask(event, ctx)
        case ConversationSurveyRefused(header=header, reason=reason, survey_id=survey):
            return _skip(header, reason, ctx, survey)
        case SurveyEvent():
            return _keep(event, ctx)
    return NOTHING


# --- a resolution: is it asked about? ------------------------------------------------------------------------------


def _ask(resolved: ConversationStatusChanged, ctx: Context) -> Decision:
    header, csat = resolved.header, ctx.settings(resolved.header.channel).csat
    if not csat.enabled:
        # Nothing was to be asked: a record for each resolution would only say so again.
        return NOTHING
    reason = _reason_to_skip(resolved, csat)
    if reason is not None:
        return _skip(header, reason, ctx)
    survey = ProposeSurvey(
        survey_id=ctx.new_id("survey"), conversation_id=header.conversation_id, revision=header.revision
    )
    return Decision(emit=(Emit(INBOX, ctx.key, survey),))


def _reason_to_skip(resolved: ConversationStatusChanged, csat: Csat) -> str | None:
    header = resolved.header
    if header.blocked:
        return "blocked"
    if resolved.reason == "auto_resolved" and not csat.on_auto_resolve:
        return "auto_resolved"
    if not _labels_pass(header.labels, csat.labels):
        return "labels"
    if csat.repeat == "per_conversation" and header.surveys > 0:
        return "asked_before"
    return None


def _labels_pass(labels: tuple[str, ...], rule: LabelFilter) -> bool:
    if not rule.labels:
        return True
    listed = not set(rule.labels).isdisjoint(labels)
    return listed if rule.mode == "only" else not listed


def _skip(header: Header, reason: str, ctx: Context, survey_id: str | None = None) -> Decision:
    skipped = SurveySkipped(
        conversation_id=header.conversation_id,
        channel=header.channel,
        contact=header.contact,
        resolution=header.resolution,
        reason=reason,
        survey_id=survey_id,
    )
    return Decision(emit=(Emit(CSAT_TOPIC, ctx.key, skipped),))


# --- what became of a survey ---------------------------------------------------------------------------------------


def _keep(event: SurveyEvent, ctx: Context) -> Decision:
    survey = _survey_event(event)
    return NOTHING if survey is None else Decision(emit=(Emit(CSAT_TOPIC, ctx.key, survey),))


def _survey_event(event: SurveyEvent) -> Event | None:
    header = event.header
    survey = {
        "survey_id": event.survey_id,
        "conversation_id": header.conversation_id,
        "channel": header.channel,
        "contact": header.contact,
        "resolution": event.resolution,
        "agent": event.agent,
        "asked_at": event.asked_at,
    }
    match event:
        case ConversationSurveyRequested():
            return SurveyRequested.model_validate(survey)
        case ConversationSurveySent():
            return SurveySent.model_validate(survey)
        case ConversationRated(rating=rating, previous=previous):
            return SurveyAnswered.model_validate(survey | {"rating": rating, "previous": previous})
        case ConversationRatingCommented(rating=rating, comment=comment, replaces=replaces):
            return SurveyCommented.model_validate(survey | {"rating": rating, "comment": comment, "replaces": replaces})
        case ConversationSurveyEnded(outcome="expired"):
            return SurveyExpired.model_validate(survey)
        case ConversationSurveyEnded(outcome="failed", reason=reason, was_sent=was_sent):
            return SurveyFailed.model_validate(survey | {"reason": reason or "", "was_sent": was_sent})
    return None  # one that was answered: its last answer stands


CSAT = Stage("csat", input=CONVERSATIONS, outputs=(CSAT_TOPIC, INBOX), decide=decide, unhurried=True)
