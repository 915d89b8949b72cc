"""conversations, its surveys: asked about a resolution, answered in the chat, over when their window is."""

from datetime import datetime, timedelta
from typing import Final, TypedDict

from agents.conversations.draft import Draft
from agents.conversations.moves import add_note
from agents.conversations.notes import comment_note
from agents.conversations.ratings import Answer, read_answer
from agents.conversations.rows import Conversation, Survey
from agents.templates import message_template, render
from schemas.events.conversation import (
    ConversationRated,
    ConversationRatingCommented,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Header,
    Status,
)
from schemas.events.inbox import DeliverySent, DeliveryUnsent, MessageReceived, ProposeSurvey
from schemas.events.sending import SendMessage
from schemas.ids import contact_of

_IN_WORDS: Final = frozenset({"text", "button", "interactive"})
"""Kinds of messages whose text is all that they say: a survey's template may have buttons. A caption does not count."""

# --- csat proposes -------------------------------------------------------------------------------------------------


def answer_survey_proposal(draft: Draft, event: ProposeSurvey) -> Draft:
    """Ask, if the resolution that it is about still stands; at most once about each."""
    row = draft.find(event.conversation_id)
    if row is None:
        gone = Header(
            conversation_id=event.conversation_id,
            channel=draft.channel,
            contact=contact_of(draft.ctx.key),
            opened_at=draft.now,
            revision=event.revision,
            status=Status.CLOSED,
        )
        return draft.publish(
            ConversationSurveyRefused(header=gone, survey_id=event.survey_id, reason="unknown_conversation")
        )
    draft = draft.about(row)
    if (row.status, row.revision) != (Status.RESOLVED, event.revision) or row.surveyed == row.resolution:
        refused = ConversationSurveyRefused(header=draft.header, survey_id=event.survey_id, reason="stale_revision")
        return draft.publish(refused)
    return _ask(draft, event.survey_id)


def _ask(draft: Draft, survey_id: str) -> Draft:
    settings, row, number = draft.settings, draft.current, draft.contact.surveys + 1
    survey = Survey(
        number=number,
        id=survey_id,
        conversation=row.number,
        resolution=row.resolution,
        agent=row.held_by if settings.csat.credit == "holder" else row.resolved_by,
        asked_at=draft.now,
        ends_at=_end_of_window(draft),
    )
    draft = draft.store_contact(draft.contact.model_copy(update={"surveys": number})).store_survey(survey)
    draft = draft.store(row.model_copy(update={"surveys": row.surveys + 1, "surveyed": row.resolution}))
    message = SendMessage(
        message_id=survey_id,
        conversation_id=row.id,
        kind="survey",
        text=render(settings.csat.text, draft.header, settings) or None,
        template=message_template(settings.csat.template),
        not_after=draft.contact.session_ends,
    )
    return draft.publish(ConversationSurveyRequested(**_about(draft, survey))).send(message)


def _end_of_window(draft: Draft) -> datetime:
    return draft.now + timedelta(days=draft.settings.csat.answer_window_days)


# --- delivery says what came of it ---------------------------------------------------------------------------------


def survey_sent(draft: Draft, event: DeliverySent) -> Draft:
    """It reached the provider: it counts, and its window begins. An answer may have proved that before."""
    survey = find_survey(draft, event.message_id)
    if survey is None:
        return draft
    known = survey.model_copy(update={"provider_message_id": event.provider_message_id})
    if survey.sent:
        return draft.store_survey(known)
    sent = known.model_copy(update={"sent": True, "asked_at": draft.now, "ends_at": _end_of_window(draft)})
    draft = draft.store_survey(sent).about(_surveyed(draft, sent))
    return draft.publish(ConversationSurveySent(**_about(draft, sent)))


def survey_unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    """It was not sent, so it was not asked. Where nobody knows, it may still be answered."""
    survey = find_survey(draft, event.message_id)
    if survey is None or event.reason == "unknown" or survey.rating is not None:
        return draft
    if survey.sent and event.message_id != survey.resent_as:
        return draft
    return fail_survey(draft, survey, event.reason)


def fail_survey(draft: Draft, survey: Survey, reason: str) -> Draft:
    """It did not reach the customer, so it was not asked: the conversation closes as without it."""
    row = _surveyed(draft, survey)
    draft = draft.drop_survey(survey).store(row.model_copy(update={"surveys": row.surveys - 1}))
    ended = ConversationSurveyEnded(**_about(draft, survey), outcome="failed", reason=reason, was_sent=survey.sent)
    return draft.publish(ended).drop_if_over(draft.current)


def find_survey(draft: Draft, message_id: str) -> Survey | None:
    """The survey whose message it is: its text, or the template that went in the text's place."""
    return next((survey for survey in draft.surveys() if message_id in (survey.id, survey.resent_as)), None)


# --- the customer answers ------------------------------------------------------------------------------------------


def survey_answered_by(draft: Draft, event: MessageReceived) -> tuple[Survey, Answer] | None:
    """The survey that a message answers, and the answer.

    A quoted survey gets its own answer, none where its window is over; else the newest does, while no conversation is
    live.
    """
    if event.kind not in _IN_WORDS or not event.text:
        return None
    quoted = {event.quotes, event.quotes_provider_message_id} - {None}
    if quoted:
        for survey in draft.surveys():
            if quoted & {survey.id, survey.resent_as, survey.provider_message_id}:
                answer = read_answer(event.text, quotes_survey=True)
                return None if answer is None else (survey, answer)
    if draft.is_live or quoted & set(draft.contact.ended_surveys):
        return None
    newest = next(draft.surveys(), None)
    # Last, as it looks at every character.
    answer = None if newest is None else read_answer(event.text)
    return None if newest is None or answer is None else (newest, answer)


def rate(draft: Draft, survey: Survey, answer: Answer, event: MessageReceived, at: datetime) -> Draft:
    """The answer, which replaces an earlier one. It reopens nothing; it closes the resolution that it is about."""
    draft = draft.about(_surveyed(draft, survey)).receive(event, at, "rating")
    if not survey.sent:
        draft = draft.publish(ConversationSurveySent(**_about(draft, survey)))
    rated = survey.model_copy(update={"sent": True, "rating": answer.rating})
    draft = draft.store_survey(rated).publish(
        ConversationRated(
            **_about(draft, survey), rating=answer.rating, previous=survey.rating, message_id=event.message_id
        )
    )
    draft = _ask_why(draft, rated) if answer.comment is None else _comment(draft, rated, answer.comment, event)
    return _close(draft, survey, "survey_answered")


# --- and says why --------------------------------------------------------------------------------------------------


def _ask_why(draft: Draft, survey: Survey) -> Draft:
    """Once a survey, after a low rating without a comment."""
    settings = draft.settings.csat.comment
    asked = survey.comment_until is not None or survey.commented
    if settings is None or asked or survey.rating is None or survey.rating > settings.up_to:
        return draft
    message = SendMessage(
        message_id=draft.ctx.new_id("comment"),
        conversation_id=draft.current.id,
        kind="comment",
        text=render(settings.ask, draft.header, draft.settings),
        not_after=draft.contact.session_ends,
    )
    until = {"comment_until": draft.now + settings.window}
    return draft.store_survey(survey.model_copy(update=until)).send(message)


def survey_commented_by(draft: Draft) -> Survey | None:
    """The survey that the customer's next message comments on: why was asked, and no conversation began since."""
    newest = next(draft.surveys(), None)
    if newest is None or newest.comment_until is None or newest.commented or draft.is_live:
        return None
    return newest if draft.now < newest.comment_until else None


def take_comment(draft: Draft, survey: Survey, event: MessageReceived, at: datetime) -> Draft:
    """The message is the comment, whatever its kind; it reopens nothing."""
    draft = draft.about(_surveyed(draft, survey)).receive(event, at, "comment")
    return _comment(draft, survey, event.text or f"({event.kind})", event)


def _comment(draft: Draft, survey: Survey, comment: str, event: MessageReceived) -> Draft:
    commented = ConversationRatingCommented(
        **_about(draft, survey),
        rating=survey.rating or 0,
        comment=comment,
        message_id=event.message_id,
        replaces=survey.commented,
    )
    draft = draft.store_survey(survey.model_copy(update={"commented": True})).publish(commented)
    return add_note(draft, comment_note(survey.rating or 0, comment), "rating_commented")


# --- its window is over --------------------------------------------------------------------------------------------


def end_survey(draft: Draft, survey: Survey) -> Draft:
    """The answer window is over: later answers do not count."""
    draft = draft.drop_survey(survey).about(_surveyed(draft, survey))
    outcome = "expired" if survey.rating is None else "answered"
    ended = ConversationSurveyEnded(**_about(draft, survey), outcome=outcome, rating=survey.rating)
    draft = draft.publish(ended)
    if survey.rating is None:
        draft = _close(draft, survey, "survey_expired")
    return draft.drop_if_over(draft.current)


def _close(draft: Draft, survey: Survey, reason: str) -> Draft:
    row = draft.current
    if row.status is not Status.RESOLVED or row.resolution != survey.resolution:
        return draft
    return draft.change(row.model_copy(update={"status": Status.CLOSED}), reason=reason)


class _AboutSurvey(TypedDict):
    header: Header
    survey_id: str
    resolution: int
    agent: str | None
    asked_at: datetime


def _about(draft: Draft, survey: Survey) -> _AboutSurvey:
    return {
        "header": draft.header,
        "survey_id": survey.id,
        "resolution": survey.resolution,
        "agent": survey.agent,
        "asked_at": survey.asked_at,
    }


def _surveyed(draft: Draft, survey: Survey) -> Conversation:
    row = draft.numbered(survey.conversation)
    if row is None:
        raise LookupError("a survey without its conversation")
    return row
