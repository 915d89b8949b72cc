"""The stand-in for the provider, as scenarios, demo and command line use it. There is one so far."""

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

__all__ = [
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
