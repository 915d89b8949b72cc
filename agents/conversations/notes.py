"""The words of conversations' notes for the agents."""

from collections.abc import Mapping
from typing import Final

from providers.provider import ErrorClass
from schemas.events.inbox import AiFailed, AiHandedOver, DeliveryFailed, DeliveryUnsent

_WHAT: Final[Mapping[str, str]] = {
    "reply": "The reply",
    "reaction": "The reaction",
    "greeting": "The greeting",
    "unavailable": "The unavailable message",
    "survey": "The survey",
    "comment": "The question for a comment",
    "ai": "The AI agent's answer",
    "goodbye": "The goodbye message",
}
_TOO_LATE: Final = "24 hours have passed since the customer's last message"
_UNSENT: Final[Mapping[str, str]] = {
    "window_closed": f"{_TOO_LATE}, and there is no template for it",
    "template_unavailable": "its template is not approved, or the provider could not be asked",
    "provider_unavailable": "the provider could not be reached",
    "throttled": "for a day more was to be sent than the provider allows",
}
_CODES: Final[Mapping[ErrorClass, str]] = {
    "retry": "the provider had a fault. It may be sent again",
    "throttled": "more was sent than the provider allows at a time. It may be sent again later",
    "recipient_throttled": "this customer was sent too much in a short time. It may be sent again later",
    "credentials": "the provider does not accept the channel's credentials",
    "account": "the provider has restricted the channel's account",
    "window_closed": f"{_TOO_LATE}. A template can still be sent",
    "recipient": "this customer can't be reached with it",
    "opted_out": "the customer does not want such messages",
    "marketing": "WhatsApp limits the marketing messages that this customer gets. Send none again within 24 hours",
    "template": "its template is missing, paused or not approved",
    "media": "its file could not be fetched, or is not of a kind that is allowed",
}
"""By what the provider's code means."""


def unsent_note(event: DeliveryUnsent, meaning: ErrorClass | None) -> str:
    """What was not sent, and why. meaning: of the code; None: there is none."""
    why = _UNSENT.get(event.reason)
    return f"{_what(event)} was not sent: {why or _why(meaning, 'the provider refused it')}{_code(event)}."


def failed_note(event: DeliveryFailed, meaning: ErrorClass | None) -> str:
    """What the provider accepted and then did not deliver, and why. meaning: of the code; None: there is none."""
    why = _why(meaning, "the provider could not deliver it")
    return f"{_what(event)} did not reach the customer: {why}{_code(event)}."


def _what(event: DeliveryUnsent | DeliveryFailed) -> str:
    return _WHAT.get(event.kind or "", "A message")


def _why(meaning: ErrorClass | None, otherwise: str) -> str:
    return otherwise if meaning is None else _CODES.get(meaning, otherwise)


def _code(event: DeliveryUnsent | DeliveryFailed) -> str:
    return f" (code {event.code})" if event.code else ""


def comment_note(rating: int, comment: str) -> str:
    """Why the customer rated so, in their words."""
    return f"The customer rated {rating} and commented: {comment}"


def ai_note(event: AiHandedOver | AiFailed) -> str:
    """Why a GPT agent let go, and what it says of the conversation."""
    why = _AI_REASONS.get(event.reason or "", "no reason is known")
    summary = event.summary if isinstance(event, AiHandedOver) else None
    said = AI_HANDED_OVER if isinstance(event, AiHandedOver) else AI_FAILED
    return f"{said} Why: {why}." + (f" Summary: {summary}" if summary else "")


_AI_REASONS: Final[Mapping[str, str]] = {
    "asked_for_person": "the customer asked for a person",
    "low_confidence": "it was not sure of the answer",
    "anger": "the customer is angry",
    "topic": "the topic is one for people",
    "cannot_help": "it can't help",
    "phrase": "the customer wrote one of the phrases that lead to a person",
    "answers": "so many answers did not solve it",
    "limit": "it may give no more answers in this conversation",
    "budget": "what it may spend today is used up",
    "media": "it can't see or hear what the customer sent",
    "ungrounded": "no source says what it was going to say",
    "loop": "another machine seems to answer it",
    "tools": "it went on calling tools",
    "no_answer": "its service gave no answer in time",
    "failed": "its service refuses to answer",
    "empty": "its model said nothing",
    "switched_off": "it is not an agent of the channel any longer",
}


AI_HANDED_OVER: Final = "The AI agent asked for a human to take over."
AI_FAILED: Final = "The AI agent gave no answer: a human is to take over."
AI_SWITCHED_OFF: Final = "The AI agent is switched off: a human is to take over."
