"""What became of a message: delivery's reports, and echoes of what the business wrote in WhatsApp's own app."""

from datetime import timedelta
from typing import Final, Literal

from agents.conversations.asking import tell
from agents.conversations.customer import know_names
from agents.conversations.draft import Draft, was_seen
from agents.conversations.moves import (
    add_note,
    hand_over,
    mark_answered,
    new_conversation,
    open_conversation,
    request_assignee,
)
from agents.conversations.notes import failed_note, unsent_note
from agents.conversations.rows import WHOLE, Conversation, Survey, Whole
from agents.conversations.surveys import (
    fail_survey,
    find_survey,
    survey_sent,
    survey_unsent,
)
from agents.parts import is_earlier_part
from agents.templates import message_template
from providers.provider import ErrorClass
from providers.registry import PROVIDERS
from schemas.events.content import Outgoing
from schemas.events.conversation import LIVE, ConversationMessageSent, Status
from schemas.events.inbox import DeliveryFailed, DeliverySent, DeliveryUnsent, MessageEchoed
from schemas.events.sending import SendMessage
from schemas.events.template import Template
from schemas.ids import derived_id


def record_sent(draft: Draft, event: DeliverySent) -> Draft:
    """The provider has a message. Of one in parts that is said once, when it has the last one."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None:
        return draft
    update: dict[str, object]
    match event.kind:
        case "reply":
            update = {"last_human_at": draft.now, "active_at": max(row.active_at, draft.now)}
        case "ai":
            update = {"active_at": max(row.active_at, draft.now)}
        case "reaction":
            update = {}
        case _:
            update = {"messages_automatic": row.messages_automatic + 1}
    draft = draft.about(row).store(row.model_copy(update=update))
    if event.kind not in ("reply", "reaction"):
        by: Literal["ai", "business"] = "ai" if event.kind == "ai" else "business"
        draft = tell(draft, by, event.message_id, draft.now, text=event.text)
    if is_earlier_part(event.message_id):
        return draft
    whole = draft.get(f"{WHOLE}{event.message_id}", Whole)
    if whole is not None:
        draft = draft.write(f"{WHOLE}{event.message_id}", None)
    sent = ConversationMessageSent(
        header=draft.header,
        message_id=event.message_id,
        at=draft.now,
        kind=event.kind,
        by=event.by,
        text=event.text if whole is None else whole.text,
        via=event.via,
        repeat=event.repeat,
        content=event.content,
        citations=event.citations,
    )
    draft = draft.publish(sent)
    return survey_sent(draft, event) if event.kind == "survey" else draft


def record_echo(draft: Draft, event: MessageEchoed) -> Draft:
    """A person wrote in WhatsApp's own app: the AI agent gives way. It joins the latest conversation as it is.

    Without one it starts one, which a human agent gets.
    """
    name = f"seen/{event.message_id}"
    if was_seen(draft, name):
        return draft
    draft = know_names(draft.remember(name), event)
    if draft.conversation is None:
        draft = open_conversation(draft, new_conversation(draft, "agent"))
        draft = request_assignee(draft, "handed_over")
    elif draft.current.status is Status.AI_REPLYING:
        draft = hand_over(draft, "taken_over", "handed_over")
    draft = mark_answered(draft)
    at = draft.now if event.sent_at is None else min(event.sent_at, draft.now)
    draft = tell(draft, "human", event.message_id, at, text=event.text, kind=event.kind)
    draft = draft.store(draft.current.model_copy(update={"last_human_at": at}))
    sent = ConversationMessageSent(
        header=draft.header,
        message_id=event.message_id,
        at=at,
        kind="reply",
        text=event.text,
        content=None if event.quotes is None else Outgoing(quotes=event.quotes),
        in_app=True,
        media=event.media,
    )
    draft = draft.publish(sent)
    return draft if event.media is None else draft.request_media(event.message_id, event.media, *event.more_media)


MARKETING_PAUSE: Final = timedelta(hours=24)
"""For how long WhatsApp wants no other marketing message after one that it did not deliver (131049; Meta docs)."""


def record_failed(draft: Draft, event: DeliveryFailed) -> Draft:
    """What was accepted did not reach the customer: its template goes instead, or a note is left."""
    survey = find_survey(draft, event.message_id)
    row = (draft.find(event.conversation_id) if event.conversation_id else None) or draft.conversation
    if row is None or (survey is not None and survey.rating is not None):
        return draft
    meaning = _meaning(draft, event.code)
    if meaning == "marketing":
        limited = {"no_marketing_until": draft.now + MARKETING_PAUSE}
        draft = draft.store_contact(draft.contact.model_copy(update=limited))
    template = _template_instead(draft, row, event, survey) if meaning == "window_closed" else None
    draft = draft.about(row)
    if template is not None:
        return _send_instead(draft, event, template, survey)
    draft = _note(draft, event.kind, failed_note(event, meaning), event.status)
    return draft if survey is None else fail_survey(draft, survey, event.status)


def _meaning(draft: Draft, code: int | None) -> ErrorClass | None:
    return PROVIDERS[draft.settings.provider].classify(code) if code else None


def _template_instead(draft: Draft, row: Conversation, event: DeliveryFailed, survey: Survey | None) -> Template | None:
    """The template of an automatic message whose text came too late, while it still makes sense."""
    settings = draft.settings
    if event.via != "session" or draft.contact.blocked:
        return None
    is_awaited = row.status in LIVE and row.waiting_since is not None
    match event.kind:
        case "greeting" if is_awaited:
            return message_template(settings.greeting.template)
        case "unavailable" if is_awaited:
            return message_template(settings.business_hours.unavailable_template)
        case "survey" if survey is not None and not draft.is_live:
            return message_template(settings.csat.template)
    return None


def _send_instead(draft: Draft, event: DeliveryFailed, template: Template, survey: Survey | None) -> Draft:
    message = SendMessage(
        # The same however often the failure is reported: delivery sends it once.
        message_id=derived_id("conversations", event.message_id, "template"),
        conversation_id=draft.current.id,
        kind=event.kind,
        template=template,
    )
    if survey is not None:
        draft = draft.store_survey(survey.model_copy(update={"resent_as": message.message_id}))
    return draft.send(message)


def record_unsent(draft: Draft, event: DeliveryUnsent) -> Draft:
    """A message was not sent: a note for the agents."""
    row = draft.find(event.conversation_id) or draft.conversation
    if row is None or event.reason == "unknown":
        return draft
    draft = _note(draft.about(row), event.kind, unsent_note(event, _meaning(draft, event.code)), event.reason)
    return survey_unsent(draft, event) if event.kind == "survey" else draft


def _note(draft: Draft, kind: str | None, text: str, reason: str) -> Draft:
    """Of a person's messages each; of automatic ones one only until the customer writes again."""
    if kind not in ("reply", "reaction", None):
        if draft.contact.unsent_noted:
            return draft
        draft = draft.store_contact(draft.contact.model_copy(update={"unsent_noted": True}))
    return add_note(draft, text, reason)
