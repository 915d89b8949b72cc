"""Surveys: asked at most once a resolution, what the customer answered, and what csat's books say of it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from schemas.event import Event
from schemas.events.conversation import (
    ConversationMessageReceived,
    ConversationRated,
    ConversationRatingCommented,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Status,
    SurveyEvent,
)
from schemas.events.csat import (
    CsatEvent,
    SurveyAnswered,
    SurveyCommented,
    SurveyExpired,
    SurveyFailed,
    SurveyRequested,
    SurveySent,
    SurveySkipped,
)
from schemas.events.inbox import ProposeSurvey
from schemas.events.sending import SendCommand
from schemas.topics import CONVERSATIONS, CSAT, INBOX, OUTBOUND
from tests.chaos.history import History, InboundRow
from tests.chaos.violation import Violation


def check_surveys(history: History) -> Iterator[Violation]:
    """Each resolution is asked about or left out where csat is on, and at most one survey goes out for it."""
    causes = Counter[str]()
    proposed, answered = dict[str, str](), Counter[str]()
    for topic, kind in ((INBOX, ProposeSurvey), (CSAT, SurveySkipped)):
        for record in history.records(topic, kind):
            if isinstance(record.event, kind):
                causes[record.causation_id or ""] += 1
            if isinstance(record.event, ProposeSurvey):
                proposed[record.event.survey_id] = record.subject
    asked = Counter[tuple[str, str, int]]()
    requested = dict[str, str]()
    for record in history.records(CONVERSATIONS, ConversationStatusChanged, SurveyEvent, ConversationSurveyRefused):
        match record.event:
            case ConversationStatusChanged(header=header) if header.status is Status.RESOLVED:
                enabled = history.settings(header.channel, record.settings_revision).csat.enabled
                if causes[record.id] != enabled:
                    yield Violation("resolution not judged once", record.subject, f"{record.id}: {causes[record.id]}")
            case ConversationSurveyRequested(survey_id=id, header=header, resolution=resolution):
                answered[id] += 1
                requested[id] = record.subject
                asked[record.subject, header.conversation_id, resolution] += 1
            case ConversationSurveyRefused(survey_id=id):
                answered[id] += 1
    for id in proposed.keys() | answered.keys():
        if answered[id] != 1 or id not in proposed:
            yield Violation("survey proposal not answered once", proposed.get(id, ""), f"{id}: {answered[id]} answers")
    for (key, conversation, resolution), count in asked.items():
        if count > 1:
            yield Violation("survey asked twice", key, f"{conversation}: {count} about resolution {resolution}")
    sent = Counter(
        record.event.message_id
        for record in history.records(OUTBOUND, SendCommand)
        if isinstance(record.event, SendCommand) and record.event.kind == "survey"
    )
    for id in requested.keys() | sent.keys():
        if sent[id] != 1 or id not in requested:
            yield Violation("survey not commanded once", requested.get(id, ""), f"{id}: {sent[id]} times")


def check_ratings(history: History) -> Iterator[Violation]:
    """What counts as an answer is one, gives the rating that the customer wrote, and does so once."""
    wrote = {row.id: row.text for _, rows in history.callbacks for row in rows if isinstance(row, InboundRow)}
    answers, ratings = dict[str, str](), defaultdict[str, list[int]](list)
    for record in history.records(CONVERSATIONS, ConversationMessageReceived, ConversationRated):
        match record.event:
            case ConversationMessageReceived(message_id=id, treatment="rating"):
                answers[id] = record.subject
            case ConversationRated(message_id=id, rating=rating):
                ratings[id].append(rating)
                answers.setdefault(id, record.subject)
    for id, key in answers.items():
        if [str(rating) for rating in ratings[id]] != [wrote.get(id)]:
            yield Violation("rating differs from the answer", key, f"{id}: {ratings[id]}")


def check_books(history: History) -> Iterator[Violation]:
    """The csat topic says of each survey what conversations said of it, in the same order."""
    wanted, found = defaultdict[str, list[object]](list), defaultdict[str, list[object]](list)
    for record in history.records(CONVERSATIONS, SurveyEvent, ConversationSurveyRefused):
        if (said := _said(record.event)) is not None:
            wanted[record.subject].append(said)
    for record in history.records(CSAT):
        if (kept := _kept(record.event)) is not None:
            found[record.subject].append(kept)
    for key in wanted.keys() | found.keys():
        if wanted[key] != found[key]:
            detail = f"{len(wanted[key])} said, {len(found[key])} kept"
            yield Violation("csat differs from conversations", key, detail)


def _said(event: Event) -> object:
    match event:
        case ConversationSurveyRequested(survey_id=id, resolution=resolution, agent=agent):
            return SurveyRequested.type, id, resolution, agent
        case ConversationSurveySent(survey_id=id, asked_at=at):
            return SurveySent.type, id, at
        case ConversationRated(survey_id=id, rating=rating, previous=previous):
            return SurveyAnswered.type, id, rating, previous
        case ConversationSurveyEnded(survey_id=id, outcome="expired"):
            return SurveyExpired.type, id
        case ConversationRatingCommented(survey_id=id, comment=comment):
            return SurveyCommented.type, id, comment
        case ConversationSurveyEnded(survey_id=id, outcome="failed", reason=reason, was_sent=was_sent):
            return SurveyFailed.type, id, reason, was_sent
        case ConversationSurveyRefused(survey_id=id, reason=reason):
            return SurveySkipped.type, id, reason
    return None


def _kept(event: Event) -> object:
    match event:
        case SurveyRequested(survey_id=id, resolution=resolution, agent=agent):
            return event.type, id, resolution, agent
        case SurveySent(survey_id=id, asked_at=at):
            return event.type, id, at
        case SurveyAnswered(survey_id=id, rating=rating, previous=previous):
            return event.type, id, rating, previous
        case SurveyExpired(survey_id=id):
            return event.type, id
        case SurveyCommented(survey_id=id, comment=comment):
            return event.type, id, comment
        case SurveyFailed(survey_id=id, reason=reason, was_sent=was_sent):
            return event.type, id, reason, was_sent
        case SurveySkipped(survey_id=str(id), reason=reason):
            return event.type, id, reason
        case CsatEvent(survey_id=id):
            return event.type, id
    return None
