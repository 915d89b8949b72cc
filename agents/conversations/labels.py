"""A conversation's labels: how many and how long, and how they change."""

from collections.abc import Iterable
from typing import Final

from agents.conversations.draft import Draft
from schemas.events.conversation import ConversationLabelled

MAX_LABELS: Final = 20
MAX_LABEL: Final = 64
"""Characters. Both keep a conversation's row under 8 KiB."""


def relabelled(before: Iterable[str], add: Iterable[str], remove: Iterable[str] = ()) -> tuple[str, ...]:
    """The labels after a change. One that is in both is removed."""
    removed = stripped(remove)
    return tuple(label for label in dict.fromkeys((*before, *stripped(add))) if label not in removed)


def stripped(labels: Iterable[str]) -> tuple[str, ...]:
    """Those that say something, without blanks around them."""
    return tuple(label.strip() for label in labels if label.strip())


def set_labels(draft: Draft, labels: tuple[str, ...], *, by: str) -> Draft:
    """Write and publish them, if they differ."""
    row = draft.current
    if labels == row.labels:
        return draft
    draft = draft.store(row.model_copy(update={"labels": labels}))
    added = tuple(label for label in labels if label not in row.labels)
    removed = tuple(label for label in row.labels if label not in labels)
    return draft.publish(ConversationLabelled(header=draft.header, added=added, removed=removed, by=by))


def add_labels(draft: Draft, labels: tuple[str, ...], *, by: str) -> Draft:
    """Add as many as there is room for."""
    if not labels:
        return draft
    short = (label for label in labels if len(label) <= MAX_LABEL)
    return set_labels(draft, relabelled(draft.current.labels, short)[:MAX_LABELS], by=by)
