"""What a run left behind: every topic, the stages' states, the sandbox's own log, and what was acknowledged."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import orjson

from agents.stage import Stage
from schemas.codec import from_kafka
from schemas.effects import AiResult
from schemas.event import Event
from schemas.events.callbacks import WebhookReceived
from schemas.events.operations import TimersFired
from schemas.record import Record
from schemas.topics import TIMERS, WEBHOOKS, Topic
from simulation.sandbox.gpt.service import GptLogEntry
from simulation.sandbox.gpt.tools import ToolLogEntry
from simulation.sandbox.providers import LogEntry
from simulation.sandbox.stand_in import STAND_INS
from streams.replay.rebuild import Input, Replayed, replay
from streams.state import TaskState
from streams.step import SettingsLookup


class Message(NamedTuple):
    """A committed Kafka message. timestamp: unix milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Envelope(NamedTuple):
    """A record without its event. type: the event's."""

    id: str
    subject: str
    type: str
    causation_id: str | None


_TYPE = re.compile(rb'"type":"([^"]+)"')
"""The first one is the event's: what stands before it in a CloudEvent of ours is version, id and source."""

State = Mapping[tuple[str, str], bytes]
"""(key, row name) -> row."""


@dataclass(frozen=True)
class Acknowledged:
    """What ingress took: messages and commands by id, with their conversation keys; a reply is a command, too.

    settings: channel and revision of each change. unexpected: answers that there should not be, by what was asked.
    """

    messages: Mapping[str, str]
    replies: Mapping[str, str]
    commands: Mapping[str, str]
    settings: Collection[tuple[str, int]] = ()
    unexpected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class InboundRow:
    """A customer's message in a callback. at: the provider's time."""

    key: str
    id: str
    at: datetime
    text: str | None


@dataclass(frozen=True)
class ReceiptRow:
    """A status in a callback."""

    provider_message_id: str
    status: str


@dataclass(frozen=True)
class Gpt:
    """What the sandbox knows of GPT agents: calls of models and tools, oldest first. said: all that they answer."""

    calls: Sequence[GptLogEntry] = ()
    tools: Sequence[ToolLogEntry] = ()
    said: Collection[str] = ()


@dataclass(frozen=True)
class History:
    """messages: by topic, in order within a partition. states: by stage and partition, as a restart would restore them.

    acknowledged: by ingress. sent, gpt: the sandbox's logs. answered: what the account's AI agent said, by request, the
    answers that got lost too. receipts: sizes of the bodies that the sandbox posted and got a 200 for. unfinished: what
    was still under way when the waiting was given up; silent: the groups of which Kafka reported nothing any more.
    """

    stages: Sequence[Stage]
    messages: Mapping[Topic, Sequence[Message]]
    states: Mapping[str, Mapping[int, State]]
    settings: SettingsLookup
    acknowledged: Acknowledged
    sent: Sequence[LogEntry]
    answered: Mapping[str, Sequence[AiResult]] = field(default_factory=dict)
    gpt: Gpt = Gpt()
    receipts: Counter[int] = field(default_factory=Counter)
    unfinished: Collection[str] = ()
    silent: Collection[str] = ()

    def records(self, topic: Topic, *kinds: type[Event]) -> Iterator[Record]:
        """The topic's records, in order within a partition; where kinds are given, of these only."""
        for message in self.records_with_messages(topic, *kinds):
            yield message[1]

    def records_with_messages(self, topic: Topic, *kinds: type[Event]) -> Iterator[tuple[Message, Record]]:
        """The same, each with its message."""
        wanted = {name for name, kind in topic.types.items() if issubclass(kind, kinds)} if kinds else None
        for message in self.messages.get(topic, ()):
            # To read an event costs ten times as much as to see what it is.
            if wanted is None or (found := _TYPE.search(message.value or b"")) is None or found[1].decode() in wanted:
                yield message, from_kafka(topic, message.value, message.headers)

    def envelopes(self, topic: Topic) -> Iterator[Envelope]:
        """The topic's records without what they say."""
        for message in self.messages.get(topic, ()):
            if topic.raw:
                record = from_kafka(topic, message.value, message.headers)
                yield Envelope(record.id, record.subject, record.event.type, record.causation_id)
            else:
                body = orjson.loads(message.value or b"{}")
                yield Envelope(body["id"], body["subject"], body["type"], body.get("causationid"))

    @cached_property
    def callbacks(self) -> Sequence[tuple[Message, Sequence[InboundRow | ReceiptRow]]]:
        """The callbacks in webhooks with their rows, read without the pipeline's parser."""
        return [(message, list(_rows(message))) for message in self.messages.get(WEBHOOKS, ())]

    def replayed(self, stage: Stage) -> Iterator[tuple[int, TaskState, Iterator[Replayed]]]:
        """The stage's partitions, each with its rows, which change as its replay is read."""
        inputs = defaultdict[int, list[Input]](list)
        for message in self.messages.get(stage.input, ()):
            taken = Input(message.offset, message.key, message.value or b"", message.headers, message.timestamp)
            inputs[message.partition].append(taken)
        for partition in sorted(inputs.keys() | self.states.get(stage.name, {}).keys()):
            state, timers = TaskState(), self._firings.get((stage.name, partition), ())
            steps = replay(stage, inputs[partition], timers, self.settings, state, partition=partition)
            yield partition, state, steps

    @cached_property
    def _firings(self) -> Mapping[tuple[str, int], Sequence[TimersFired]]:
        firings = defaultdict[tuple[str, int], list[TimersFired]](list)
        for record in self.records(TIMERS, TimersFired):
            if isinstance(record.event, TimersFired):
                firings[record.event.stage, record.event.partition].append(record.event)
        return firings

    @cached_property
    def heard(self) -> Counter[str]:
        """Message id -> how often its customer got it."""
        return Counter(entry.id for entry in self.sent if entry.id and entry.outcome in ("accepted", "timeout"))


def _rows(message: Message) -> Iterator[InboundRow | ReceiptRow]:
    record = from_kafka(WEBHOOKS, message.value, message.headers)
    assert isinstance(record.event, WebhookReceived)
    read = STAND_INS[record.event.provider].read(record.event.body)
    for row in read.inbound:
        yield InboundRow(f"{record.subject}:{row.contact}", row.id, row.at or record.time, row.text)
    for receipt in read.receipts:
        yield ReceiptRow(receipt.message_id, receipt.status)
