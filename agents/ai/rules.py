"""The rules by which a conversation goes to a human without the model's word, and what its customer is told."""

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

from agents.ai.rows import Said, Talk
from agents.opening import is_open
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings

Reason = Literal["phrase", "answers", "limit", "loop"]

TYPED_AT_ONCE: Final = timedelta(seconds=2)
"""In so little time nobody reads an answer and writes another."""
TYPED_A_SECOND: Final = 15
"""Characters: more than a person writes."""
REPEATED: Final = 12
"""Characters from which a text that comes again is a machine's: people do repeat "yes"."""
COMPARED: Final = 5
"""A customer's texts before it that it is compared with."""


def why_at_once(agent: GptAgent, talk: Talk, text: str | None) -> Reason | None:
    """Why a customer's message goes to a human before the model is asked about it."""
    if text and any(says(text, phrase) for phrase in agent.hand_over.phrases):
        return "phrase"
    if talk.machine > agent.limits.machine_answers:
        return "loop"
    if talk.answers >= agent.limits.answers:
        return "limit"
    most = agent.hand_over.after_answers
    return "answers" if most is not None and talk.in_a_row >= most else None


def says(text: str, phrase: str) -> bool:
    """Whether the text has the phrase, as words of its own, whatever the case and accents of either."""
    text, phrase = _folded(text), _folded(phrase)
    if not phrase:
        return False
    at = text.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        if not _joined(text[at - 1 : at], phrase[0]) and not _joined(phrase[-1], text[end : end + 1]):
            return True
        at = text.find(phrase, at + 1)
    return False


def _folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    kept = (char for char in parts if unicodedata.category(char) not in ("Mn", "Cf"))
    return " ".join("".join(kept).casefold().split())


def _joined(before: str, after: str) -> bool:
    """Whether two characters are of one word. Chinese, Japanese and Thai leave no blanks between words."""
    if not before or not after:
        return False
    return all(char.isalnum() and not _unspaced(char) for char in (before, after))


def _unspaced(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF" or "\u0e00" <= char <= "\u0eff" or "\u1000" <= char <= "\u17ff"


def machine_messages(talk: Talk, text: str | None, at: datetime, before: Iterable[Said]) -> int:
    """How many messages in a row seem to be a machine's, with this one. Only the first after an answer is judged."""
    if talk.answered_at is None:
        return talk.machine
    text = _folded(text or "")
    took = at - talk.answered_at
    fast = took <= TYPED_AT_ONCE + timedelta(seconds=len(text) / TYPED_A_SECOND)
    earlier = [_folded(one.text or "") for one in before if one.by == "customer"][-COMPARED:]
    return talk.machine + 1 if fast or (len(text) >= REPEATED and text in earlier) else 0


def told_at_hand_over(
    agent: GptAgent, settings: ChannelSettings, now: datetime, reason: str, proposed: str | None = None
) -> str | None:
    """What the customer is told, once. proposed: by the model.

    Outside business hours the unavailable message says it where there is no text for then. A machine is told nothing.
    """
    if reason == "loop":
        return None
    if not is_open(settings.business_hours, now):
        if agent.hand_over.closed_text:
            return agent.hand_over.closed_text
        if settings.business_hours.unavailable_message:
            return None
    return agent.hand_over.text or proposed or None
