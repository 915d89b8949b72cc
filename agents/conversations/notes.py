"""The words of conversations' notes for the agents."""

from collections.abc import Mapping
from typing import Final

from providers.meta import WINDOW_CLOSED
from schemas.events.inbox import DeliveryFailed, DeliveryUnsent

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
_WHY: Final[Mapping[str, str]] = {
    "window_closed": "24 hours have passed since the customer's last message, and there is no template for it",
    "template_unavailable": "its template is not approved, or the provider could not be asked",
    "refused": "the provider refused it",
    "provider_unavailable": "the provider could not be reached",
}


def unsent_note(event: DeliveryUnsent) -> str:
    """What was not sent, and why."""
    code = "" if event.code is None else f" (code {event.code})"
    return f"{_WHAT.get(event.kind, 'A message')} was not sent: {_WHY.get(event.reason, event.reason)}{code}."


def failed_note(event: DeliveryFailed) -> str:
    """What the provider accepted and then did not deliver, and why."""
    code = "" if not event.code else f" (code {event.code})"
    why = _WHY["window_closed"] if event.code == WINDOW_CLOSED else "the provider could not deliver it"
    return f"{_WHAT.get(event.kind or '', 'A message')} did not reach the customer: {why}{code}."


def comment_note(rating: int, comment: str) -> str:
    """Why the customer rated so, in their words."""
    return f"The customer rated {rating} and commented: {comment}"


AI_HANDED_OVER: Final = "The AI agent asked for a human to take over."
AI_FAILED: Final = "The AI agent gave no answer: a human is to take over."
AI_SWITCHED_OFF: Final = "The AI agent is switched off: a human is to take over."
