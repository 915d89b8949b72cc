"""When time changes the latest conversation, by its row and the channel's settings."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from agents.conversations.rows import Conversation
from schemas.events.conversation import Status
from schemas.settings.channel import ChannelSettings

AUTO_RESOLVE: Final = "auto_resolve"
WAKE: Final = "wake"
REQUEUE: Final = "requeue"


def timers_of(row: Conversation, settings: ChannelSettings) -> Mapping[str, datetime | None]:
    """The conversation's timers; None: that one is not set."""
    after = settings.conversation.auto_resolve_after
    resolves = row.status is Status.OPEN and may_auto_resolve(row, settings)
    return {
        AUTO_RESOLVE: row.active_at + after if after and resolves else None,
        WAKE: row.snoozed_until,
        REQUEUE: requeue_at(row, settings),
    }


def may_auto_resolve(row: Conversation, settings: ChannelSettings) -> bool:
    """Whether silence may resolve it: not while its customer waits for an answer, where the settings say so."""
    return settings.conversation.auto_resolve_while_waiting or row.waiting_since is None


def requeue_at(row: Conversation, settings: ChannelSettings) -> datetime | None:
    """When another agent is asked for, as its customer has waited too long; None: never."""
    after, since = settings.assignment.requeue.unanswered_after, row.waiting_since
    held = row.status is Status.OPEN and row.routed and row.automatic
    if after is None or since is None or not held or row.assignee is None or row.assignee.kind != "human":
        return None
    return max(since, row.turn_began or since) + after
