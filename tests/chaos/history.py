"""What a run left behind: every topic, the stages' states, the sandbox's own log, and what was acknowledged."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import orjson

from agents.stage import Stage
from deploy.sandbox.provider import LogEntry
from schemas.codec import from_kafka
from schemas.record import Record
from schemas.topics import WEBHOOKS, Topic
from streams.step import SettingsLookup


class Message(NamedTuple):
    """A committed Kafka message. timestamp: unix milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


State = Mapping[tuple[str, str], bytes]
"""(key, row name) -> row."""


@dataclass(frozen=True)
class Customers:
    """What was acknowledged: id -> conversation key."""

    messages: Mapping[str, str]
    replies: Mapping[str, str]
    resolves: Mapping[str, str]


@dataclass(frozen=True)
class InboundRow:
    """A customer's message in a callback."""

    key: str
    id: str


@dataclass(frozen=True)
class ReceiptRow:
    """A status in a callback."""

    provider_message_id: str
    status: str


@dataclass(frozen=True)
class History:
    """messages: by topic, in order within a partition. states: by stage and partition, as a restart would restore them.

    acknowledged: by ingress. sent: the sandbox's log. receipts: sizes of the bodies that the sandbox posted and got a
    200 for. unfinished: what was still under way when the waiting was given up.
    """

    stages: Sequence[Stage]
    messages: Mapping[Topic, Sequence[Message]]
    states: Mapping[str, Mapping[int, State]]
    settings: SettingsLookup
    acknowledged: Customers
    sent: Sequence[LogEntry]
    receipts: Counter[int] = field(default_factory=Counter)
    unfinished: Collection[str] = ()

    def records(self, topic: Topic) -> Iterator[Record]:
        """The topic's records, in order within a partition."""
        for message in self.messages.get(topic, ()):
            yield from_kafka(topic, message.value, message.headers)

    @cached_property
    def callbacks(self) -> Sequence[tuple[Message, Sequence[InboundRow | ReceiptRow]]]:
        """The callbacks in webhooks with their rows, read without the pipeline's parser."""
        return [(message, list(_rows(message))) for message in self.messages.get(WEBHOOKS, ())]

    @cached_property
    def heard(self) -> Counter[str]:
        """Message id -> how often its customer got it."""
        return Counter(entry.id for entry in self.sent if entry.id and entry.outcome in ("accepted", "timeout"))


def _rows(message: Message) -> Iterator[InboundRow | ReceiptRow]:
    channel = message.key.decode()
    for row in orjson.loads(message.value or b"")["rows"]:
        if "response" in row:
            data = row["response"]["response_data"]
            yield InboundRow(f"{channel}:{data['contact']['wa_id']}", data["channel_message_id"])
        else:
            yield ReceiptRow(row["message_id"], row["status"]["message_status"])
