"""The stand-in for a provider, as scenarios, demo and command line use it: for one provider so far."""

from typing import Final

from simulation.sandbox.engagelab.callbacks import (
    Business,
    Customer,
    Json,
    Quote,
    callback_body,
    channel_message_id,
    content,
    deleted_row,
    message_row,
    provider_message_id,
    status_row,
)
from simulation.sandbox.engagelab.provider import LogEntry, Provider
from simulation.sandbox.engagelab.receipts import Faults, ScheduledCallback

STANDS_IN_FOR: Final = frozenset({"engagelab"})

__all__ = [
    "STANDS_IN_FOR",
    "Business",
    "Customer",
    "Faults",
    "Json",
    "LogEntry",
    "Provider",
    "Quote",
    "ScheduledCallback",
    "callback_body",
    "channel_message_id",
    "content",
    "deleted_row",
    "message_row",
    "provider_message_id",
    "status_row",
]
